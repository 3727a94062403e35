/// api/log_walk: what the lazy sequences over the log have in common.
#pragma once

#include "api/stream.hpp"
#include "state/cursor.hpp"
#include "state/past.hpp"

#include <algorithm>
#include <map>

namespace mmsb::detail {

/// Which commits are asked for; each bound narrows.
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
    [[nodiscard]] bool is_since(const log::Record& record) const {
        return !since || time_of(record) >= *since;
    }
    [[nodiscard]] bool admits(const log::Record& record, std::string_view its_source) const {
        return record.sequence >= from && is_since(record) &&
               (source.empty() || its_source == source);
    }
};

[[noreturn]] inline void throw_dropped(Sequence oldest) {
    throw HistoryDropped(ErrorCode::history_dropped,
                         "that part of the past is not kept; the oldest commit is " +
                             std::to_string(number(oldest) + 1),
                         {.sequence = oldest + 1});
}

/// Where the kept past begins. REQUIRES that there is one.
[[nodiscard]] inline Sequence oldest_of(state::Attachment& attachment) {
    const auto oldest = state::oldest_view(attachment);
    if (!attachment.logging) throw_dropped(oldest);
    return oldest;
}

/// Walks records, up to what was logged when it last looked.
class Walk {
public:
    Walk(const Walk&) = delete;
    Walk& operator=(const Walk&) = delete;

    /// Until more is logged than this has walked. False: timeout, or none that counts can come.
    bool wait(const Pin& bus, const state::Deadline& end) {
        const auto& words = bus.at().words();
        const auto more = [&](state::Look) {
            return words.logged.load(std::memory_order_acquire) > cursor_->to();
        };
        if (!more(state::Look::whole)) {
            if (ended_ || bounds_.over(last_)) return false;
            if (!bus.wait(state::every_commit, within(end), more)) return false;
        }
        cursor_->extend(words.logged.load(std::memory_order_acquire));
        return true;
    }
    [[nodiscard]] const Handle& bus() const noexcept { return bus_; }
    [[nodiscard]] const log::Record& record() const { return cursor_->record(); }
    [[nodiscard]] std::span<const std::byte> body() { return cursor_->body(); }
    [[nodiscard]] state::Attachment& attachment() const { return Bus::get(bus_).at(); }
    /// Who committed it. The numbers of sources keep their names.
    [[nodiscard]] const std::string& source() {
        const auto number = record().source;
        if (const auto known = sources_.find(number); known != sources_.end()) return known->second;
        attachment().catalog.follow_logged(attachment());
        return sources_[number] = attachment().catalog.source(number);
    }
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

    /// Does the record at hand say something of one of `pages`, or are these none at all?
    bool names_one_of(const std::vector<PageId>& pages) {
        bool is_named = pages.empty();
        if (!is_named && record().kind == log::RecordKind::commit)
            each_entry([&](const log::Entry& entry) {
                is_named = entry.kind == log::EntryKind::page &&
                           std::ranges::find(pages, entry.page.page) != pages.end();
                return !is_named;
            });
        return is_named;
    }

protected:
    Walk(Handle bus, Bounds bounds) : bus_(bus), bounds_(std::move(bounds)) {}
    ~Walk() = default;

    // Behind that sequence.
    void begin(log::Lsn from, Sequence behind) {
        last_ = behind;
        read_from(attachment(), from, std::nullopt);
    }
    /// The next record, of any kind. False: none, or one behind the bounds was met.
    bool next_record() {
        auto& bus = attachment();  // is it open still?
        // A viewer may have found shared memory that was not there: it is the same log.
        if (&bus != read_) read_from(bus, cursor_->at(), cursor_->to());
        if (ended_ || !cursor_->next()) return false;
        ended_ = record().kind == log::RecordKind::commit && bounds_.ended(record());
        last_ = record().sequence;
        return !ended_;
    }
    /// next_record() goes on there.
    void go_to(log::Lsn from) { cursor_->seek(from); }
    [[nodiscard]] log::Lsn reads_to() const { return cursor_->to(); }
    /// All up to that sequence has been passed.
    void passed(Sequence sequence) noexcept { last_ = std::max(last_, sequence); }
    /// A record behind the bounds was met.
    [[nodiscard]] bool is_ended() const noexcept { return ended_; }
    [[nodiscard]] const Bounds& bounds() const noexcept { return bounds_; }
    [[nodiscard]] std::span<const log::PageEntry> pages() const noexcept { return pages_; }

private:
    void read_from(state::Attachment& bus, log::Lsn from, std::optional<log::Lsn> to) {
        cursor_.emplace(bus, from, to);
        cursor_->gather(pages_);
        read_ = &bus;
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
    std::optional<state::Cursor> cursor_{};
    const state::Attachment* read_ = nullptr;  ///< That the cursor reads.
    std::vector<log::PageEntry> pages_{};      ///< Of the record at hand.
    std::map<std::uint32_t, std::string> sources_{};
    Sequence last_ = Sequence::zero;
    bool ended_ = false;  ///< A record behind the bounds was met.
};

template <class T, class Commits>
[[nodiscard]] std::shared_ptr<typename Stream<T>::Impl> stream_of(
    const std::shared_ptr<Commits>& commits) {
    auto impl = std::make_shared<typename Stream<T>::Impl>();
    impl->bus = commits->bus();
    impl->wait = [commits](const Pin& bus, const state::Deadline& end) {
        return commits->wait(bus, end);
    };
    return impl;
}

}  // namespace mmsb::detail
