// The lazy sequences over the log: a page's history, and the log as records.
#include "api/stream.hpp"  // IWYU pragma: keep
#include "delta/codec.hpp"
#include "state/cursor.hpp"
#include "state/past.hpp"

#include <mmsb/view.hpp>

#include <algorithm>

namespace mmsb::detail {

namespace {

// Which commits are asked for; each bound narrows.
struct Bounds {
    Sequence from = Sequence::zero, to = Sequence::newest;
    std::optional<Time> since{}, until{};
    std::string source{};

    [[nodiscard]] bool ended(const log::Record& record) const {
        return record.sequence > to || (until && time_of(record) > *until);
    }
    /// No commit that is yet to come can be admitted.
    [[nodiscard]] bool over(Sequence newest) const {
        return newest >= to || (until && os::clock_ns() > until->time_since_epoch().count());
    }
    [[nodiscard]] bool admits(const log::Record& record, std::string_view its_source) const {
        return record.sequence >= from && (!since || time_of(record) >= *since) &&
               (source.empty() || its_source == source);
    }
};

// Walks the commits that the bounds admit, up to what was committed when it last looked.
class Commits {
public:
    Commits(Handle bus, Bounds bounds, replay::Keep keep) : bus_(bus), bounds_(std::move(bounds)) {
        auto& attachment = Bus::get(bus_).at();
        const auto oldest = state::oldest_view(attachment);
        if (!attachment.logging) dropped(oldest);
        log::Lsn from = 0;
        structure_ = bounds_.from == Sequence::zero
                         ? state::base_image(attachment, std::move(keep), from)
                         : state::start_image(attachment, std::max(oldest, bounds_.from - 1),
                                              std::move(keep), from);
        // Now: a private bus may have folded more of it meanwhile.
        const auto before = std::max(oldest, structure_.sequence());
        if (bounds_.from != Sequence::zero && bounds_.from <= before) dropped(before);
        cursor_.emplace(attachment, from);
        cursor_->gather(pages_);
    }
    Commits(const Commits&) = delete;
    Commits& operator=(const Commits&) = delete;

    /// Moves to the next one; structure() is as after it.
    bool next() {
        const auto& attachment = Bus::get(bus_).at();
        while (!ended_ && cursor_->next()) {
            const auto& record = cursor_->record();
            const auto wrong = record.only_bytes ? structure_.apply_bytes(record, pages_)
                                                 : structure_.apply(record, cursor_->body());
            if (!wrong.empty())
                throw Corrupt(ErrorCode::corrupt,
                              "a record contradicts the ones before it: " + wrong,
                              {.path = attachment.path,
                               .expected = "a record that follows",
                               .found = wrong,
                               .offset = record.start,
                               .sequence = record.sequence - 1});
            if (record.kind != log::RecordKind::commit) continue;
            ended_ = bounds_.ended(record);
            if (!ended_ && bounds_.admits(record, source())) return true;
        }
        return false;
    }
    /// Until more is logged than this has walked. False: timeout, or none that counts can come.
    bool wait(const Pin& bus, const state::Deadline& end) {
        const auto& words = bus.at().words();
        const auto more = [&](state::Look) {
            return words.logged.load(std::memory_order_acquire) > cursor_->to();
        };
        if (!more(state::Look::whole)) {
            if (ended_ || bounds_.over(structure_.sequence())) return false;
            if (!bus.wait(state::every_commit, within(end), more)) return false;
        }
        cursor_->extend(words.logged.load(std::memory_order_acquire));
        return true;
    }
    [[nodiscard]] const Handle& bus() const noexcept { return bus_; }
    [[nodiscard]] const log::Record& record() const { return cursor_->record(); }
    /// Each entry of the record at hand, until one answers false.
    void each_entry(FunctionRef<bool(const log::Entry&)> visit) {
        if (record().only_bytes) {
            log::Entry entry;
            for (const auto& page : pages_) {
                entry.page = page;
                if (!visit(entry)) return;
            }
            return;
        }
        log::EntryReader reader(cursor_->body());
        for (log::Entry entry; reader.next(entry);)
            if (!visit(entry)) return;
    }
    [[nodiscard]] const replay::Image& structure() const { return structure_; }
    [[nodiscard]] std::string source() const {
        const auto known = structure_.sources().find(record().source);
        return known == structure_.sources().end() ? std::string() : known->second;
    }

private:
    [[noreturn]] static void dropped(Sequence oldest) {
        throw HistoryDropped(ErrorCode::history_dropped,
                             "that part of the past is not kept; the oldest commit is " +
                                 std::to_string(number(oldest) + 1),
                             {.sequence = oldest + 1});
    }
    // Where only what comes until some moment counts, there is no waiting beyond it.
    [[nodiscard]] state::Deadline within(const state::Deadline& end) const {
        if (!bounds_.until) return end;
        const auto left =
            Timeout(bounds_.until->time_since_epoch().count() - os::clock_ns()) + Timeout(1);
        return state::Deadline(std::min(left, end.left()));
    }

    Handle bus_;
    Bounds bounds_;
    replay::Image structure_{};
    std::optional<state::Cursor> cursor_{};
    std::vector<log::PageEntry> pages_{};  ///< Of the record at hand.
    bool ended_ = false;                   ///< A record behind the bounds was met.
};

// What the record at hand did to the page, if it names it.
bool next_change(Commits& commits, PageId page, Change& change, bool& deleted) {
    bool found = false;
    commits.each_entry([&](const log::Entry& entry) {
        found = entry.kind == log::EntryKind::page && entry.page.page == page;
        if (!found) return true;
        change = change_of(commits.record(), entry.page, commits.source());
        deleted = entry.page.deleted;
        return false;
    });
    return found;
}

void add_type(Record& out, RecordType type) {
    if (std::find(out.types.begin(), out.types.end(), type) == out.types.end())
        out.types.push_back(type);
}

// What an entry that is of no page says.
void add_dependency(const log::Entry& entry, Record& out) {
    if (entry.kind == log::EntryKind::edge) {
        const auto& [parent, child, type, added] = entry.edge;
        add_type(out, added ? RecordType::edge_added : RecordType::edge_removed);
        (added ? out.edges_added : out.edges_removed).push_back({parent, child, type});
        return;
    }
    const auto& formula = entry.formula;
    add_type(out, formula.added ? RecordType::page_derived : RecordType::page_underived);
    for (const auto parent : log::page_ids(formula.parents))
        out.edges_added.push_back({parent, formula.child, EdgeType::data});
}

// The facade's record; false where it names none of the pages that are asked for.
bool record_of(Commits& commits, const std::vector<PageId>& pages, Record& out) {
    bool asked = pages.empty();
    if (!asked)
        commits.each_entry([&](const log::Entry& entry) {
            asked = entry.kind == log::EntryKind::page &&
                    std::ranges::find(pages, entry.page.page) != pages.end();
            return !asked;
        });
    if (!asked) return false;
    const auto& record = commits.record();
    out = {};
    out.sequence = record.sequence;
    out.time = time_of(record);
    out.source = commits.source();
    out.label = record.label;
    out.tag = record.tag;
    out.process = record.process;
    commits.each_entry([&](const log::Entry& entry) {
        if (entry.kind != log::EntryKind::page) {
            add_dependency(entry, out);
            return true;
        }
        const auto& e = entry.page;
        if (e.created) add_type(out, RecordType::page_created);
        if (e.deleted) add_type(out, RecordType::page_deleted);
        if (e.resized) add_type(out, RecordType::page_resized);
        if (e.renamed && !e.created) add_type(out, RecordType::page_renamed);
        if (!e.metadata.empty() && !e.created) add_type(out, RecordType::metadata_set);
        if (e.stale) add_type(out, RecordType::page_stale);
        if (!e.delta.empty()) {
            add_type(out, RecordType::commit);
            out.deltas.push_back(
                delta::make_delta(e.page, e.epoch, static_cast<std::size_t>(e.size), e.delta));
        }
        if (!e.created && !e.deleted && !e.resized && !e.renamed && e.metadata.empty() && !e.stale)
            return true;
        if (const auto* page = commits.structure().find(e.page)) {
            out.pages.push_back(commits.structure().info(e.page, *page));
        } else {
            auto& gone = out.pages.emplace_back();
            gone.id = e.page;
            gone.epoch = e.epoch;
        }
        return true;
    });
    return true;
}

}  // namespace

template class Stream<Change>;
template class Stream<Record>;

namespace {

template <class T>
std::shared_ptr<typename Stream<T>::Impl> stream_of(const std::shared_ptr<Commits>& commits) {
    auto impl = std::make_shared<typename Stream<T>::Impl>();
    impl->bus = commits->bus();
    impl->wait = [commits](const Pin& bus, const state::Deadline& end) {
        return commits->wait(bus, end);
    };
    return impl;
}

}  // namespace

std::shared_ptr<Stream<Change>::Impl> open_history(Handle bus, PageId page,
                                                   const HistoryOptions& options) {
    auto commits = std::make_shared<Commits>(
        Bus::bare(bus),
        Bounds{options.from, options.to, options.since, options.until, std::string(options.source)},
        replay::Keep{replay::Keep::Which::none, {}});
    const auto deleted = std::make_shared<bool>(false);
    auto next = [commits, page, deleted](Change& change) {
        while (commits->next())
            if (next_change(*commits, page, change, *deleted)) return true;
        return false;
    };
    auto impl = options.newest_first ? std::make_shared<Stream<Change>::Impl>()
                                     : stream_of<Change>(commits);
    if (!options.newest_first) {
        impl->next = std::move(next);
        impl->last = [deleted](const Change&) { return *deleted; };
        return impl;
    }
    auto all = std::make_shared<std::vector<Change>>();
    for (Change change; next(change);) all->push_back(std::move(change));
    impl->next = [all](Change& change) {
        if (all->empty()) return false;
        change = std::move(all->back());
        all->pop_back();
        return true;
    };
    return impl;
}

std::shared_ptr<Stream<Record>::Impl> open_tlog(Handle bus, const LogFilter& filter) {
    auto commits = std::make_shared<Commits>(
        Bus::bare(bus), Bounds{filter.from, filter.to, filter.since, filter.until, filter.source},
        replay::Keep{replay::Keep::Which::none, {}});
    auto impl = stream_of<Record>(commits);
    impl->next = [commits, pages = filter.pages, tag = filter.tag](Record& record) {
        while (commits->next())
            if ((!tag || commits->record().tag == *tag) && record_of(*commits, pages, record))
                return true;
        return false;
    };
    return impl;
}

}  // namespace mmsb::detail
