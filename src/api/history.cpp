// The log as records.
#include "api/own_records.hpp"
#include "delta/codec.hpp"
#include "state/checkpoints.hpp"
#include "state/seek.hpp"
#include "state/structure_at.hpp"
#include "state/structure_chain.hpp"

#include <mmsb/view.hpp>

#include <algorithm>
#include <deque>

namespace mmsb::detail {

namespace {

constexpr replay::Keep::Which no_bytes = replay::Keep::Which::none;

// What pages are called, and what is computed, as after one record after the other.
class Structure {
public:
    // Before all records that follow.
    void begin(const replay::Structure& base) {
        catalog_.load(base);
        is_known_ = true;
    }
    // Takes over the record at hand, where it is the next structural one.
    void take(Walk& walk) {
        const auto& record = walk.record();
        const auto head = catalog_.head() == 0 ? log::no_lsn : catalog_.head();
        if (is_known_ && record.structural && record.previous_structure == head)
            catalog_.take(record, walk.body());
    }
    // A page as after the commit at hand, of which that is an entry; nothing where it is gone.
    std::optional<PageInfo> info(Walk& walk, const log::PageEntry& entry) {
        follow(walk.attachment(), walk.record());
        auto page = catalog_.page(entry.page);
        if (!page) return std::nullopt;
        return replay::info_of(entry.page, *std::move(page), entry.size, entry.epoch,
                               catalog_.is_derived(entry.page), entry.stale);
    }

private:
    void follow(state::Attachment& bus, const log::Record& upto) {
        if (!is_known_) {
            const auto found = state::structure_at(bus, upto.sequence);
            begin(found ? *found
                        : structure_of(state::image_at(bus, upto.sequence, {no_bytes, {}})));
        }
        bus.catalog.follow_logged(bus);
        const auto known = std::max(catalog_.head(), chain_.empty() ? 0 : chain_.back());
        if (const auto head = bus.catalog.head(); upto.start > known && head > known) {
            const auto more = state::structure_chain(bus, head, known + 1);
            chain_.insert(chain_.end(), more.begin(), more.end());
        }
        state::StructuralRecords records(bus);
        for (; !chain_.empty() && chain_.front() <= upto.start; chain_.pop_front()) {
            if (chain_.front() <= catalog_.head()) continue;
            auto& cursor = records.at(chain_.front());
            catalog_.take(cursor.record(), cursor.body());
        }
    }

    state::Catalog catalog_{};
    bool is_known_ = false;
    std::deque<log::Lsn> chain_{};  // of records that are to be taken, as far as known
};

// The commits that the bounds admit. What throws has moved nothing: the next call tries the same.
class Commits : public Walk {
public:
    Commits(Handle bus, Bounds wanted) : Walk(bus, std::move(wanted)) {
        auto& at = attachment();
        const auto oldest = oldest_of(at);
        const auto first = bounds().from;
        if (first != Sequence::zero && first <= oldest) throw_dropped(oldest);
        if (first != Sequence::zero && !at.is_private) {
            const auto newest = state::newest(at);
            if (first <= newest.sequence)
                begin(state::start_of(at, first), first - 1);
            else
                begin(newest.lsn, newest.sequence);
            return;
        }
        log::Lsn from = 0;
        all_ = first == Sequence::zero
                   ? state::base_image(at, {no_bytes, {}}, from)
                   : state::start_image(at, std::max(oldest, first - 1), {no_bytes, {}}, from);
        // Now: a private bus may have folded more of it meanwhile.
        const auto before = std::max(oldest, all_->sequence());
        if (first != Sequence::zero && first <= before) throw_dropped(before);
        begin(from, all_->sequence());
    }

    /// Moves to the next one, unless one is at hand that was not passed yet.
    bool look() {
        while (!is_at_hand_) {
            if (!is_read_ && !next_record()) return false;
            is_read_ = true;
            if (all_)
                apply();
            else
                structure_.take(*this);
            is_at_hand_ =
                record().kind == log::RecordKind::commit && bounds().admits(record(), source());
            is_read_ = false;
        }
        return true;
    }
    void pass() noexcept { is_at_hand_ = false; }
    std::optional<PageInfo> info(const log::PageEntry& entry) {
        if (!all_) return structure_.info(*this, entry);
        const auto* found = all_->find(entry.page);
        if (found == nullptr) return std::nullopt;
        return all_->info(entry.page, *found);
    }

private:
    std::string apply_bytes() {
        changes_.clear();
        for (const auto& page : pages()) changes_.push_back(log::delta_of(page));
        return all_->apply_bytes(log::brief_of(record()), changes_);
    }
    void apply() {
        if (record().end <= all_->lsn()) return;  // it was, and what followed threw
        const auto wrong = record().only_bytes ? apply_bytes() : all_->apply(record(), body());
        if (wrong.empty()) return;
        throw Corrupt(ErrorCode::corrupt, "a record contradicts the ones before it: " + wrong,
                      {.path = attachment().path,
                       .expected = "a record that follows",
                       .found = wrong,
                       .offset = record().start,
                       .sequence = record().sequence - 1});
    }

    // All pages, as after the record at hand, where they are known from the beginning on.
    std::optional<replay::Image> all_{};
    std::vector<log::PageDelta> changes_{};  // of one record
    Structure structure_{};                  // else
    bool is_read_ = false;                   // and not applied yet
    bool is_at_hand_ = false;
};

// The same of those only that name one of a few pages, or of the structural ones.
class ChosenCommits : public OwnRecords {
public:
    ChosenCommits(Handle bus, std::vector<PageId> pages, const Bounds& wanted)
        : OwnRecords(bus, std::move(pages), wanted, part_from(Bus::get(bus).at(), wanted)) {}
    ChosenCommits(Handle bus, const Bounds& structural)
        : ChosenCommits(bus, structural, begin_of(Bus::get(bus).at(), structural)) {}

    bool look() {
        while (OwnRecords::look()) {
            structure_.take(*this);
            if (record().kind == log::RecordKind::commit && bounds().admits(record(), source()))
                return true;
            OwnRecords::pass();
        }
        return false;
    }
    std::optional<PageInfo> info(const log::PageEntry& entry) {
        return structure_.info(*this, entry);
    }
    using OwnRecords::pass;

private:
    struct Begin {
        replay::Structure base{};        // before all that is asked for
        std::vector<log::Lsn> starts{};  // of the structural ones
        log::Lsn upto = 0;               // among all that start before it
        Part part{};
    };
    ChosenCommits(Handle bus, const Bounds& wanted, Begin begin)
        : OwnRecords(bus, std::move(begin.starts), begin.upto, wanted, begin.part) {
        structure_.begin(begin.base);
    }
    static Begin begin_of(state::Attachment& at, const Bounds& bounds) {
        for (;;) {
            const auto oldest = oldest_of(at);
            const auto before =
                std::min(std::max(oldest, bounds.from == Sequence::zero ? oldest : bounds.from - 1),
                         state::newest(at).sequence);
            try {
                return state::look_while_kept(at, before, [&] {
                    // (Not what leads there: of that some may be dropped once it is read.)
                    auto base = state::structure_at(at, before);
                    if (!base) base = state::newest_structure(at, before);
                    if (!base) base.emplace();
                    const auto part = kept(at);
                    const auto upto = at.words().logged.load(std::memory_order_acquire);
                    at.catalog.follow_logged(at);
                    auto starts = state::structure_chain(at, at.catalog.head(),
                                                         std::max(base->head + 1, part.from));
                    return Begin{*std::move(base), std::move(starts), upto, part};
                });
            } catch (const HistoryDropped&) {
                if (bounds.from != Sequence::zero) throw;  // else what is kept now
            }
        }
    }

    Structure structure_{};
};

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
    (formula.added ? out.derived : out.underived).push_back(formula.child);
    for (const auto parent : log::page_ids(formula.parents))
        out.edges_added.push_back({parent, formula.child, EdgeType::data});
}

// The facade's record; false where it names none of the pages that are asked for.
template <class Commits>
bool record_of(Commits& commits, const std::vector<PageId>& pages, bool only_structure,
               Record& out) {
    if (!commits.names_one_of(pages) || (only_structure && !commits.record().structural))
        return false;
    const auto& record = commits.record();
    // Emptied; what the last one's lists had room for, they keep.
    auto types = std::move(out.types);
    auto deltas = std::move(out.deltas);
    types.clear();
    deltas.clear();
    out = {.types = std::move(types), .deltas = std::move(deltas)};
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
            out.deltas.push_back(delta::make_delta(
                e.page, e.epoch, static_cast<std::size_t>(e.size), e.delta, e.changed_bytes));
        }
        const bool only_bytes =
            !e.created && !e.deleted && !e.resized && !e.renamed && e.metadata.empty() && !e.stale;
        if (only_bytes && !e.delta.empty()) return true;
        if (only_bytes) add_type(out, RecordType::page_fresh);  // else it would not be here
        if (auto page = commits.info(e)) {
            out.pages.push_back(*std::move(page));
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

template <class Commits>
std::shared_ptr<Stream<Record>::Impl> stream_records(const std::shared_ptr<Commits>& commits,
                                                     const LogFilter& filter) {
    auto impl = stream_of<Record>(commits);
    impl->next = [commits, pages = filter.pages, tag = filter.tag,
                  only_structure = filter.structure](Record& record) {
        while (commits->look()) {
            const bool is_told = (!tag || commits->record().tag == *tag) &&
                                 record_of(*commits, pages, only_structure, record);
            commits->pass();
            if (is_told) return true;
        }
        return false;
    };
    return impl;
}

}  // namespace

std::shared_ptr<Stream<Record>::Impl> open_tlog(Handle handle, const LogFilter& filter) {
    constexpr std::size_t few = 16;
    const auto bus = Bus::bare(handle);
    auto& attachment = Bus::get(bus).at();
    Bounds bounds{filter.from, filter.to, filter.since, filter.until, filter.source};
    const auto oldest = oldest_of(attachment);
    if (bounds.from == Sequence::newest)
        bounds.from = std::max(state::newest(attachment).sequence, oldest + 1);
    if (bounds.from != Sequence::zero && bounds.from <= oldest) throw_dropped(oldest);
    if (filter.structure && !attachment.is_private)
        return stream_records(std::make_shared<ChosenCommits>(bus, bounds), filter);
    if (filter.pages.empty() || filter.pages.size() > few || attachment.is_private)
        return stream_records(std::make_shared<Commits>(bus, std::move(bounds)), filter);
    return stream_records(std::make_shared<ChosenCommits>(bus, filter.pages, bounds), filter);
}

}  // namespace mmsb::detail
