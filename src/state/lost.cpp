#include "state/lost.hpp"

#include "os/file_system.hpp"

#include <fmt/format.h>

namespace mmsb::state {

void guard_memory(Attachment& bus) {
    auto ranges = bus.arena->mappings();
    for (const auto* lock : {&bus.writers, &bus.files})
        if (const auto page = lock->shared_page(); !page.empty()) ranges.push_back(page);
    bus.guard = os::MemoryGuard(ranges, bus.lost);
    bus.odd.store(true);
}

// The size is asked for, too: of a large page that the file now ends in the kernel shows all, until
// it has split it, with zeros behind the end and without SIGBUS.
bool Attachment::looks_lost() const noexcept {
    if (rebuilt_privately) return false;
    if (!lost.load(std::memory_order_relaxed) && arena->is_cut()) lost.store(true);
    return lost.load(std::memory_order_relaxed);
}

void Attachment::throw_lost() const {
    const auto size = os::extent_of(arena->file()).size;
    throw Corrupt(
        ErrorCode::corrupt,
        fmt::format("{}: another process made this shared memory shorter while it was in use; the "
                    "bus has to be left and opened again",
                    arena->file().path()),
        {.path = arena->file().path(),
         .expected = "the whole file",
         .found = fmt::format("{} bytes", size),
         .offset = size});
}

void throw_lost_committed(const Attachment& bus, Sequence sequence) {
    throw NotDurable(
        ErrorCode::not_durable,
        fmt::format("{}: sequence {} is committed, but its shared memory was taken away before the "
                    "log was written",
                    bus.path, number(sequence)),
        {.path = bus.path, .sequence = sequence});
}

}  // namespace mmsb::state
