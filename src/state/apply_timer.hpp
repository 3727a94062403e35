/// state/apply_timer: how long applying takes, for statistics.
#pragma once

#include "arena/arena.hpp"
#include "os/process.hpp"

namespace mmsb::state {

/// Times an apply, where the handle wants it. Two looks at a clock are a tenth of a small commit:
/// so of many, about each eighth is timed, for all eight; which ones follows no pattern of theirs.
class ApplyTimer {
public:
    ApplyTimer(arena::Control& words, Sequence sequence, bool wanted) noexcept : words_(words) {
        constexpr std::uint64_t few = 64, sampled = 8;
        if (!wanted) return;
        const auto scattered = number(sequence) * 0x9e3779b97f4a7c15U >> 32U;  // Fibonacci hashing
        const bool all = words.applies.load(std::memory_order_relaxed) < few;
        times_ = all ? 1 : scattered % sampled == 0 ? sampled : 0;
        if (times_ != 0) began_ = os::clock_ns();
    }
    ~ApplyTimer() {
        if (times_ == 0) return;
        // The cheaper clock. Where it is set in between, the time that this took is not known.
        constexpr std::int64_t longest_ns = 10'000'000'000;
        const auto ns = os::clock_ns() - began_;
        if (ns < 0 || ns > longest_ns) return;
        const auto sum = words_.apply_ns.load(std::memory_order_relaxed);
        words_.apply_ns.store(sum + times_ * static_cast<std::uint64_t>(ns),
                              std::memory_order_relaxed);
    }
    ApplyTimer(const ApplyTimer&) = delete;
    ApplyTimer& operator=(const ApplyTimer&) = delete;

private:
    arena::Control& words_;
    std::uint64_t times_ = 0;
    std::int64_t began_ = 0;
};

}  // namespace mmsb::state
