// The lazy sequences over the log: a page's history, and the log as records.
#include "api/bus.hpp"
#include "delta/codec.hpp"
#include "state/cursor.hpp"
#include "state/past.hpp"

#include <mmsb/view.hpp>

#include <algorithm>

namespace mmsb::detail {

template <class T>
struct Stream<T>::Impl {
    std::function<bool(T&)> next{};
};

template <class T>
bool Stream<T>::advance() {
    return impl_->next(current_);
}
template class Stream<Change>;
template class Stream<Record>;

namespace {

Time time_of(const log::Record& record) { return Time(std::chrono::nanoseconds(record.time_ns)); }

// Which commits are asked for; each bound narrows.
struct Bounds {
    Sequence from = Sequence::zero, to = Sequence::newest;
    std::optional<Time> since{}, until{};
    std::string source{};

    [[nodiscard]] bool ended(const log::Record& record) const {
        return record.sequence > to || (until && time_of(record) > *until);
    }
    [[nodiscard]] bool admits(state::Attachment& bus, const log::Record& record) const {
        return record.sequence >= from && (!since || time_of(record) >= *since) &&
               (source.empty() || bus.catalog.source(record.source) == source);
    }
};

// Walks the commits that the bounds admit.
class Commits {
public:
    Commits(Handle bus, Bounds bounds, replay::Keep keep) : bus_(bus), bounds_(std::move(bounds)) {
        auto& attachment = Bus::get(bus_).at();
        const auto oldest = state::oldest_view(attachment);
        if (!attachment.logging ||
            (bounds_.from != Sequence::zero && bounds_.from <= oldest && oldest != Sequence::zero))
            throw HistoryDropped(ErrorCode::history_dropped,
                                 "that part of the past is not kept; the oldest commit is " +
                                     std::to_string(number(oldest) + 1),
                                 {.sequence = oldest + 1});
        log::Lsn from = 0;
        structure_ = state::base_image(attachment, std::move(keep), from);
        cursor_.emplace(attachment, from);
        attachment.catalog.follow_logged(attachment);
    }
    /// Moves to the next one; structure() is as after it.
    bool next() {
        auto& attachment = Bus::get(bus_).at();
        while (cursor_->next()) {
            const auto& record = cursor_->record();
            if (const auto wrong = structure_.apply(record, cursor_->body()); !wrong.empty())
                throw Corrupt(ErrorCode::corrupt,
                              "a record contradicts the ones before it: " + wrong,
                              {.path = attachment.path,
                               .expected = "a record that follows",
                               .found = wrong,
                               .offset = record.start,
                               .sequence = record.sequence - 1});
            if (record.kind != log::RecordKind::commit) continue;
            if (bounds_.ended(record)) return false;
            if (bounds_.admits(attachment, record)) return true;
        }
        return false;
    }
    [[nodiscard]] const log::Record& record() const { return cursor_->record(); }
    [[nodiscard]] std::span<const std::byte> body() { return cursor_->body(); }
    [[nodiscard]] const replay::Image& structure() const { return structure_; }
    [[nodiscard]] std::string source() const {
        return Bus::get(bus_).at().catalog.source(record().source);
    }

private:
    Handle bus_;
    Bounds bounds_;
    replay::Image structure_{};
    std::optional<state::Cursor> cursor_{};
};

// What the record at hand did to the page, if it names it.
bool change_of(Commits& commits, PageId page, Change& change) {
    log::EntryReader reader(commits.body());
    for (log::Entry entry; reader.next(entry);) {
        if (entry.kind != log::EntryKind::page || entry.page.page != page) continue;
        const auto& record = commits.record();
        const auto summary =
            delta::check(entry.page.delta, static_cast<std::size_t>(entry.page.size));
        change = {.sequence = record.sequence,
                  .epoch = entry.page.epoch,
                  .time = time_of(record),
                  .source = commits.source(),
                  .label = std::string(record.label),
                  .tag = record.tag,
                  .process = record.process,
                  .changed_bytes = summary ? summary->changed_bytes : 0};
        return true;
    }
    return false;
}

void add_type(Record& out, RecordType type) {
    if (std::find(out.types.begin(), out.types.end(), type) == out.types.end())
        out.types.push_back(type);
}

// The facade's record; false where it names none of the pages that are asked for.
bool record_of(Commits& commits, const std::vector<PageId>& pages, Record& out) {
    const auto& record = commits.record();
    out = {};
    out.sequence = record.sequence;
    out.time = time_of(record);
    out.source = commits.source();
    out.label = record.label;
    out.tag = record.tag;
    out.process = record.process;
    bool asked = pages.empty();
    log::EntryReader reader(commits.body());
    for (log::Entry entry; reader.next(entry);) {
        if (entry.kind != log::EntryKind::page) continue;
        const auto& e = entry.page;
        asked = asked || std::find(pages.begin(), pages.end(), e.page) != pages.end();
        if (e.created) add_type(out, RecordType::page_created);
        if (e.deleted) add_type(out, RecordType::page_deleted);
        if (e.resized) add_type(out, RecordType::page_resized);
        if (e.renamed && !e.created) add_type(out, RecordType::page_renamed);
        if (!e.metadata.empty() && !e.created) add_type(out, RecordType::metadata_set);
        if (!e.delta.empty()) {
            add_type(out, RecordType::commit);
            out.deltas.push_back(
                delta::make_delta(e.page, e.epoch, static_cast<std::size_t>(e.size), e.delta));
        }
        if (!e.created && !e.deleted && !e.resized && !e.renamed && e.metadata.empty()) continue;
        if (const auto* page = commits.structure().find(e.page)) {
            out.pages.push_back(commits.structure().info(e.page, *page));
        } else {
            auto& gone = out.pages.emplace_back();
            gone.id = e.page;
            gone.epoch = e.epoch;
        }
    }
    return asked;
}

}  // namespace

std::shared_ptr<Stream<Change>::Impl> open_history(Handle bus, PageId page,
                                                   const HistoryOptions& options) {
    auto commits = std::make_shared<Commits>(
        Bus::bare(bus),
        Bounds{options.from, options.to, options.since, options.until, std::string(options.source)},
        replay::Keep{replay::Keep::Which::none, {}});
    auto next = [commits, page](Change& change) {
        while (commits->next())
            if (change_of(*commits, page, change)) return true;
        return false;
    };
    auto impl = std::make_shared<Stream<Change>::Impl>();
    if (!options.newest_first) {
        impl->next = std::move(next);
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
    auto impl = std::make_shared<Stream<Record>::Impl>();
    impl->next = [commits, pages = filter.pages, tag = filter.tag](Record& record) {
        while (commits->next())
            if ((!tag || commits->record().tag == *tag) && record_of(*commits, pages, record))
                return true;
        return false;
    };
    return impl;
}

}  // namespace mmsb::detail
