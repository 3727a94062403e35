/// api/event_source: walks the log and makes events of it, as far as a filter admits them.
#pragma once

#include "api/bus.hpp"
#include "observe/events.hpp"
#include "state/cursor.hpp"

#include <deque>

namespace mmsb::detail {

/// Threads: one at a time.
class EventSource {
public:
    /// Throws HistoryDropped where the filter begins in what is not kept, or there is no log.
    EventSource(state::Attachment& bus, EventFilter filter);
    /// The next one of what is known to be committed, if it takes no more than so many records to
    /// find it; `records` becomes what is left of them. Throws HistoryDropped where it was folded
    /// away meanwhile, and what reading throws: the next call is for the same event again.
    bool next(state::Attachment& bus, Event& event, std::size_t& records);
    /// Goes on with what is there now, as if it had begun there: after HistoryDropped.
    void skip_to_now(state::Attachment& bus);
    /// Takes in what has been logged since. False: nothing.
    bool look(state::Attachment& bus);
    /// Of the newest commit whose events were all made.
    [[nodiscard]] Sequence sequence() const noexcept { return sequence_; }
    /// No more can come.
    [[nodiscard]] bool ended() const noexcept { return filter_.to && sequence_ >= *filter_.to; }
    [[nodiscard]] bool admits(const Event& event) const;

private:
    // As of that commit; what comes then is walked.
    void begin(state::Attachment& bus, Sequence at);
    void begin_at(state::Attachment& bus, Sequence at);
    void begin(const replay::Dependencies& dependencies);
    bool begin_by_structure(state::Attachment& bus, Sequence at);
    void take(const log::Record& record, std::span<const std::byte> body);

    EventFilter filter_;
    observe::EventMaker maker_{};
    std::map<std::uint32_t, std::string> sources_{};
    std::optional<state::Cursor> cursor_{};
    const state::Attachment* reads_ = nullptr;  ///< What the cursor reads: a viewer may go over.
    Sequence sequence_ = Sequence::zero;
    bool is_half_ = false;       ///< The record at hand was not taken to its end.
    std::vector<Event> made_{};  // of one record
    std::deque<Event> queue_{};
};

}  // namespace mmsb::detail
