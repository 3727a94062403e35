/// What happened, as values: events that follow from the log's records, and those of a moment.
#pragma once

#include <mmsb/types.hpp>

namespace mmsb {

enum class EventType : std::uint8_t {
    // From the log: the same again, in the same order, whenever it is read (State::events).
    page_created,
    page_deleted,
    page_resized,
    page_changed,          ///< A delta was applied to its bytes.
    page_stale,            ///< It became stale (Version::stale).
    page_fresh,            ///< And it is not any more.
    artefact_invalidated,  ///< It became stale by a compiler edge.
    device_sync_needed,    ///< A page changed that it is bound to by a gpu_sync edge.
    propagated,            ///< Derived pages followed this commit: once, of no page.
    // Of this moment: told to subscribers, not in the log.
    checkpoint_done,  ///< Of the bus, by any process: as of `sequence`, of no page.
    gap,              ///< Past that was to be told is no longer kept: up to `sequence`, of no page.
};
[[nodiscard]] std::string_view to_string(EventType type) noexcept;  ///< "page_created", ...

struct Event {
    EventType type = EventType::page_changed;
    Sequence sequence = Sequence::zero;  ///< Of the commit that it follows from.
    PageId page = PageId::none;
    Epoch epoch = Epoch::zero;  ///< The page's after it. (Of device_sync_needed none.)
    std::string source{};       ///< Who committed.
    std::uint64_t tag = 0;      ///< The commit's.
    friend bool operator==(const Event&, const Event&) = default;
};
/// One line.
std::ostream& operator<<(std::ostream& out, const Event& event);

}  // namespace mmsb
