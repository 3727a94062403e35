// A page's commits, from the oldest on or from the newest.
#include "api/log_walk.hpp"
#include "state/mentions.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <map>

namespace mmsb::detail {

namespace {

// Is what begins there before all that is asked for?
bool is_before(const log::Record& record, const Bounds& bounds) {
    return record.sequence < bounds.from || !bounds.is_since(record);
}
bool is_before(state::Attachment& bus, log::Lsn start, const Bounds& bounds) {
    const auto there = state::record_at(bus, start);
    return is_before(there.record(), bounds);
}

// A part of the log: from where on, up to where (no_lsn: and what is to come), behind what.
struct Part {
    log::Lsn from = 0, to = log::no_lsn;
    Sequence behind = Sequence::zero;
};

// All that is kept.
Part kept(state::Attachment& bus) {
    // In this order: what is moved meanwhile is then begun to be read too early, and not too late.
    const auto from = std::max(bus.words().history_lsn.load(), state::first_lsn);
    return {from, log::no_lsn, state::oldest_view(bus)};
}

// The commits that change one page. Needs nothing but the log: the numbers of sources keep their
// names. What throws has moved nothing: the next call tries the same.
class PageCommits : public Walk {
public:
    PageCommits(Handle bus, PageId page, Bounds wanted, const Part& part)
        : Walk(bus, std::move(wanted)),
          page_(page),
          at_(part.from),
          goes_on_(part.to == log::no_lsn),
          // What a private bus folds away meanwhile is read once, and as early as can be.
          walks_(attachment().is_private),
          newest_(attachment().words().sequence.load(std::memory_order_acquire)) {
        begin(part.from, part.behind);
        to_ = std::min(part.to, reads_to());
    }

    bool next(Change& change) {
        while (is_at_hand_ || (is_at_hand_ = next_to_look_at())) {
            const auto* entry = find();
            const bool is_told = entry != nullptr && take(*entry, change);
            is_at_hand_ = false;
            if (is_told) return true;
        }
        return false;
    }
    /// Was the page deleted by what was met last, or made by anything that was met?
    [[nodiscard]] bool is_deleted() const noexcept { return is_deleted_; }
    [[nodiscard]] bool is_created() const noexcept { return is_created_; }
    /// It began before all that is asked for.
    [[nodiscard]] bool began_before() const noexcept { return began_before_; }

private:
    bool next_to_look_at() {
        while (!walks_) {
            if (next_start_ != starts_.size()) {
                go_to(starts_[next_start_]);
                const bool is_there = next_record();
                ++next_start_;
                return is_there;
            }
            if (at_ < to_) {
                if (!enter_segment()) return false;
            } else if (goes_on_) {
                go_to(to_);
                passed(Sequence{newest_});
                walks_ = true;
            } else {
                return false;
            }
        }
        return next_record();
    }
    // False: that is behind the bounds.
    bool enter_segment() try {
        go_to(at_);
        const bool before = next_record() && is_before(record(), bounds());
        if (is_ended()) return false;
        auto found = state::records_of(attachment(), page_, at_, to_);
        auto first = found.starts.begin();
        if (before)
            first = std::ranges::partition_point(found.starts, [this](log::Lsn start) {
                return is_before(attachment(), start, bounds());
            });
        next_start_ = static_cast<std::size_t>(first - found.starts.begin());
        starts_ = std::move(found.starts);
        at_ = found.upto;
        began_before_ = began_before_ || before;
        return true;
    } catch (const HistoryDropped&) {
        if (!passes_over_dropped()) throw;
        return true;
    }
    // Is all that has been dropped meanwhile before what is asked for?
    bool passes_over_dropped() {
        const auto [from, to, behind] = kept(attachment());
        if (bounds().from <= behind || from <= at_) return false;
        at_ = std::min(from, to_);
        return true;
    }
    // What the record at hand says of the page.
    const log::PageEntry* find() {
        const log::PageEntry* found = nullptr;
        const auto look_at = [&](const log::Entry& entry) {
            if (entry.kind != log::EntryKind::page || entry.page.page != page_) return true;
            entry_ = entry.page;
            found = &entry_;
            return false;
        };
        if (record().kind == log::RecordKind::commit) each_entry(look_at);
        if (found == nullptr && !walks_)
            state::throw_wrong_index(attachment(), record().start, page_);
        return found;
    }
    bool take(const log::PageEntry& entry, Change& change) {
        is_created_ = is_created_ || entry.created;
        is_deleted_ = entry.deleted;
        const auto source = source_of(record().source);
        if (!bounds().admits(record(), source)) return false;
        change = change_of(record(), entry, source);
        return true;
    }
    const std::string& source_of(std::uint32_t number) {
        const auto known = sources_.find(number);
        if (known != sources_.end()) return known->second;
        attachment().catalog.follow_logged(attachment());
        return sources_[number] = attachment().catalog.source(number);
    }

    PageId page_;
    log::Lsn at_;  // where the next segment is begun
    log::Lsn to_ = 0;
    bool goes_on_;
    bool walks_;                      // record by record, of whatever page
    std::uint64_t newest_;            // all up to that is below where the cursor ends
    std::vector<log::Lsn> starts_{};  // of records of the page, before `at_`
    std::size_t next_start_ = 0;
    bool is_at_hand_ = false;  // a record that is not told yet
    log::PageEntry entry_{};
    std::map<std::uint32_t, std::string> sources_{};
    bool is_created_ = false, is_deleted_ = false, began_before_ = false;
};

// By segments; one at least.
std::vector<Part> parts_of(state::Attachment& bus) {
    const auto all = kept(bus);
    std::vector<Part> parts;
    const auto logged = bus.words().logged.load();
    if (!bus.is_private)
        for (const auto& [start, end, context] : bus.segments->ranges())
            if (end > all.from && start < logged)
                parts.push_back({std::max(start, all.from), std::min(end, logged), all.behind});
    if (parts.empty()) parts.push_back(all);
    return parts;
}

// The last one that begins before what is asked for, and all behind it.
Part part_from(state::Attachment& bus, const Bounds& bounds) {
    for (;;) {
        const auto parts = parts_of(bus);
        try {
            const auto first = std::partition_point(
                parts.begin() + 1, parts.end(),
                [&](const Part& part) { return is_before(bus, part.from, bounds); });
            return {(first - 1)->from, log::no_lsn, parts.front().behind};
        } catch (const HistoryDropped&) {
            if (kept(bus).from <= parts.front().from) throw;  // else meanwhile
        }
    }
}

// From the newest on: segment by segment, the last one first, each of which is read and then given
// backwards.
class Backwards {
public:
    Backwards(Handle bus, PageId page, Bounds bounds, std::vector<Part> parts)
        : bus_(bus), page_(page), bounds_(std::move(bounds)), parts_(std::move(parts)) {}
    bool next(Change& change) {
        while (changes_.empty() && !parts_.empty()) read();
        if (changes_.empty()) return false;
        change = std::move(changes_.back());
        changes_.pop_back();
        return true;
    }

private:
    void read() {
        std::vector<Change> changes;
        PageCommits commits(bus_, page_, bounds_, parts_.back());
        for (Change change; commits.next(change);) changes.push_back(std::move(change));
        changes_ = std::move(changes);
        parts_.pop_back();
        if (commits.is_created() || commits.began_before()) parts_.clear();
    }

    Handle bus_;
    PageId page_;
    Bounds bounds_;
    std::vector<Part> parts_;
    std::vector<Change> changes_{};
};

}  // namespace

std::shared_ptr<Stream<Change>::Impl> open_history(Handle handle, PageId page,
                                                   const HistoryOptions& options) {
    const auto bus = Bus::bare(handle);
    auto& attachment = Bus::get(bus).at();
    Bounds bounds{options.from, options.to, options.since, options.until,
                  std::string(options.source)};
    const auto oldest = oldest_of(attachment);
    if (bounds.from != Sequence::zero && bounds.from <= oldest) throw_dropped(oldest);
    if (options.newest_first) {
        bounds.to = std::min(bounds.to, state::newest(attachment).sequence);
        auto impl = std::make_shared<Stream<Change>::Impl>();
        const auto commits =
            std::make_shared<Backwards>(bus, page, std::move(bounds), parts_of(attachment));
        impl->next = [commits](Change& change) { return commits->next(change); };
        return impl;
    }
    const auto part = part_from(attachment, bounds);
    const auto commits = std::make_shared<PageCommits>(bus, page, std::move(bounds), part);
    auto impl = stream_of<Change>(commits);
    impl->next = [commits](Change& change) { return commits->next(change); };
    impl->wait = [commits](const Pin& pin, const state::Deadline& end) {
        return !commits->is_deleted() && commits->wait(pin, end);
    };
    impl->last = [commits](const Change&) { return commits->is_deleted(); };
    return impl;
}

}  // namespace mmsb::detail
