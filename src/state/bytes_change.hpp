/// state/bytes_change: pages of which a commit changes bytes and nothing else, which are most: how
/// they are found, logged and applied.
///
/// What is checked is a copy of the page's line, and what is used afterwards is that copy: also the
/// line is written from it, so that what a neighbour wrote over it in between is of no effect.
/// (state/redo has the other half: records that somebody else has to put onto pages.)
#pragma once

#include "base/steps.hpp"
#include "state/redo.hpp"

namespace mmsb::state {

/// Under the writers' lock: the line of the page, if it is that of a page which is there and up to
/// date, and agrees with its check. False: whatever is wrong is for others to say.
[[nodiscard]] inline bool find_still(const Attachment& bus, PageId page, std::uint32_t line,
                                     arena::LineCopy& out) noexcept {
    const auto* const found = line == unknown_line ? nullptr : bus.arena->line(line);
    return found != nullptr && arena::Arena::copy(*found, out) && out.id == number(page) &&
           page != PageId::none && arena::Arena::agrees(out) && out.lsn <= bus.tail.applied &&
           !out.stale();
}

/// Appends the page's entry to what the commit does, but for its delta of `size` bytes: returns
/// where that has to be written.
[[nodiscard]] std::byte* add_bytes_change(Attachment& bus, std::uint32_t line,
                                          const arena::LineCopy& was, std::size_t size);

/// Puts it onto its page, whose line is busy, for the record that ends at `end`. `write` stores the
/// bytes, as others read them.
template <class Write>
void apply_bytes(Attachment& bus, const BytesChange& change, Lsn end, Sequence sequence,
                 const Write& write) noexcept {
    auto& line = *bus.arena->line(change.line);
    const auto& was = change.was;
    line.lsn.store(was.lsn | arena::busy, relaxed);
    arena::write_fence();
    MMSB_STEP("apply.line_busy");
    if (const auto bytes = bus.arena->bytes(was.offset, was.size)) write(*bytes);
    MMSB_STEP("apply.bytes");
    count_delta(bus.words(), change.changed_bytes);
    auto now = was;
    now.lsn = end;
    now.epoch = was.epoch + 1;
    now.sequence = number(sequence);
    now.location = arena::location_of(was.location);
    line.id.store(now.id, relaxed);
    line.epoch.store(now.epoch, relaxed);
    line.sequence.store(now.sequence, relaxed);
    line.size.store(now.size, relaxed);
    line.offset.store(now.offset, relaxed);
    line.location.store(now.location, relaxed);
    line.check.store(arena::check_of(now), relaxed);
    MMSB_STEP("apply.fields");
    line.lsn.store(end, std::memory_order_release);
    MMSB_STEP("apply.line");
}

}  // namespace mmsb::state
