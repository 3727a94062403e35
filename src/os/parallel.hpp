/// os/parallel: independent calls on all of the machine's processors, by oneTBB.
#pragma once

#include <mmsb/types.hpp>

#include <atomic>
#include <cstddef>

namespace mmsb::os {

namespace detail {
void spread(std::size_t n, FunctionRef<void(std::size_t)> call);
// The library orders memory itself; the thread sanitizer, which does not see that, sees this.
inline std::atomic<std::uint64_t> handed_over{0};
}  // namespace detail

/// Calls `call(0)` to `call(n - 1)`, each once, from this thread and others, and returns when all
/// have returned. REQUIRES that `call` throws nothing. Waking the others takes tens of µs: for
/// calls that take longer. In a forked child of a process that has done so: one behind the other,
/// because the threads are not there.
template <class Call>
void in_parallel(std::size_t n, const Call& call) {
    constexpr auto release = std::memory_order_release;
    constexpr auto acquire = std::memory_order_acquire;
    const auto one = [&call](std::size_t i) {
        static_cast<void>(detail::handed_over.load(acquire));
        call(i);
        detail::handed_over.fetch_add(1, release);
    };
    detail::handed_over.fetch_add(1, release);
    detail::spread(n, one);
    static_cast<void>(detail::handed_over.load(acquire));
}

}  // namespace mmsb::os
