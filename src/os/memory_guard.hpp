/// os/memory_guard: mapped memory whose file somebody else makes shorter.
///
/// Touching a mapping behind the end of its file raises SIGBUS, which ends the process. One handler
/// for the whole process, installed when the first guard is made, puts memory of zeros in the place
/// of a guarded range that does so, and sets the flag of whoever guards it. What is not in a
/// guarded range goes to the handler that was there before, or ends the process as it always did.
/// The handler stays; a program that installs another one later has to call it.
#pragma once

#include <atomic>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace mmsb::os {

class MemoryGuard {
public:
    MemoryGuard() = default;
    /// From now on, and as long as this lives, a fault in one of the ranges (whole pages) sets
    /// `lost`: what is read there from then on is zeros, what is written is seen by nobody else.
    /// Throws OutOfSpace (too many ranges are guarded), Io. REQUIRES that the ranges are unmapped
    /// after this is gone.
    MemoryGuard(std::span<const std::span<std::byte>> ranges, std::atomic<bool>& lost);
    MemoryGuard(MemoryGuard&& o) noexcept : slots_(std::exchange(o.slots_, {})) {}
    MemoryGuard& operator=(MemoryGuard&& o) noexcept {
        std::swap(slots_, o.slots_);
        return *this;
    }
    ~MemoryGuard();
    [[nodiscard]] explicit operator bool() const noexcept { return !slots_.empty(); }

private:
    std::vector<std::size_t> slots_{};
};

}  // namespace mmsb::os
