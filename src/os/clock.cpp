#include "os/process.hpp"

#include <ctime>
#include <thread>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

namespace mmsb::os {

namespace {

std::atomic<std::int64_t> clock_shift_ns{0};

std::int64_t nanoseconds(clockid_t clock) noexcept {
    timespec t{};
    ::clock_gettime(clock, &t);
    return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// ---- the processor's counter: a commit has a time, and asking the kernel's clock costs more than
// copying a page. In between two questions, a millisecond apart at most, the time stamp counter
// says how much later it is.

#if defined(__x86_64__)
// Does it count at one speed, on all cores, in all states of sleep? (Intel's manual, volume 3,
// "Invariant TSC"; AMD's has the same bit.)
bool counter_is_steady() noexcept {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return ::__get_cpuid(0x80000007U, &a, &b, &c, &d) != 0 && (d & (1U << 8U)) != 0;
}
std::uint64_t counter() noexcept { return ::__rdtsc(); }
#else
bool counter_is_steady() noexcept { return false; }
std::uint64_t counter() noexcept { return 0; }
#endif

struct Moment {
    std::uint64_t ticks = 0;
    std::int64_t ns = 0;
};

Moment moment_of(clockid_t clock) noexcept { return {counter(), nanoseconds(clock)}; }

constexpr unsigned scale_bits = 32;
constexpr std::int64_t longest_ns = 1'000'000;

// How many ns a tick has, as a fraction of 2^32; 0 while it is not known. Measured between two
// readings of the steady clock, so far apart that what reading it takes is nothing.
std::uint64_t scale() noexcept {
    static const bool steady = counter_is_steady();
    static const Moment first = moment_of(CLOCK_MONOTONIC);
    static std::atomic<std::uint64_t> known{0};
    if (const auto s = known.load(std::memory_order_relaxed); s != 0 || !steady) return s;
    constexpr std::int64_t apart_ns = 10'000'000;
    const auto now = moment_of(CLOCK_MONOTONIC);
    const auto ns = now.ns - first.ns;
    if (ns < apart_ns || now.ticks <= first.ticks) return 0;
    const auto ticks = static_cast<double>(now.ticks - first.ticks);
    const auto measured = static_cast<std::uint64_t>(static_cast<double>(ns) / ticks *
                                                     (std::uint64_t{1} << scale_bits));
    known.store(measured, std::memory_order_relaxed);
    return measured;
}

struct Anchor {
    Moment at{};
    std::uint64_t scale = 0, most_ticks = 0;
};
thread_local Anchor anchor{};

std::int64_t ask_the_kernel() noexcept {
    anchor.at = moment_of(CLOCK_REALTIME);
    anchor.scale = scale();
    anchor.most_ticks = anchor.scale == 0
                            ? 0
                            : (static_cast<std::uint64_t>(longest_ns) << scale_bits) / anchor.scale;
    return anchor.at.ns;
}

std::int64_t real_ns() noexcept {
    // A counter that was set back is far ahead, too.
    const auto ticks = counter() - anchor.at.ticks;
    if (ticks >= anchor.most_ticks) [[unlikely]]
        return ask_the_kernel();
    return anchor.at.ns + static_cast<std::int64_t>(ticks * anchor.scale >> scale_bits);
}

}  // namespace

std::int64_t clock_ns() noexcept {
    return real_ns() + clock_shift_ns.load(std::memory_order_relaxed);
}
void shift_clock(std::int64_t ns) noexcept { clock_shift_ns.store(ns); }
std::int64_t boot_clock_ns() noexcept { return nanoseconds(CLOCK_BOOTTIME); }
std::int64_t steady_ns() noexcept { return nanoseconds(CLOCK_MONOTONIC); }

}  // namespace mmsb::os
