/// tests/crash/steps: what shall happen at the named steps of src/base/steps.hpp, and what did.
///
///     arm({.action = Action::kill, .nth = 7});      // in the child: this thread's 7th step
///     arm({.action = Action::stop, .step = "commit.logged"});
///
/// One plan at a time and process; a forked child begins with its parent's.
#pragma once

#include "base/steps.hpp"

#include <mmsb/error.hpp>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <functional>
#include <new>
#include <string_view>
#include <vector>

#include <unistd.h>

namespace mmsb::test {

enum class Action : std::uint8_t {
    nothing,  ///< Only the trace.
    kill,     ///< SIGKILL of this process.
    stop,     ///< SIGSTOP of this process, from this thread.
    fail,     ///< bad_alloc is thrown, where a step may throw; others do not count.
    call,     ///< `called`, at each of them, with its number.
};

struct Plan {
    Action action = Action::nothing;
    std::string_view step{};                 ///< Empty: any.
    unsigned nth = 1;                        ///< Counted among those.
    bool any_thread = false;                 ///< Else only steps of the thread that armed count.
    std::function<void(unsigned)> called{};  ///< May not throw.
};

namespace steps {

inline Plan plan;                             // NOLINT: one in a process, like the hook
inline std::atomic<unsigned> seen{0};         // NOLINT
inline std::atomic<bool> fired{false};        // NOLINT
inline std::vector<std::uint16_t> trace;      // NOLINT: of the thread that armed
inline thread_local bool armed_here = false;  // NOLINT
inline std::atomic<bool> timer_rests{false};  // NOLINT

inline void hook(base::Step step) {
    if (timer_rests && step.name().name == "timer.turn")
        throw Busy(ErrorCode::busy, "the timer rests", {});
    if (!armed_here && !plan.any_thread) return;
    if (armed_here) trace.push_back(static_cast<std::uint16_t>(step.number()));
    if (!plan.step.empty() && plan.step != step.name().name) return;
    if (plan.action == Action::fail && !step.name().may_throw) return;
    const auto nth = seen.fetch_add(1) + 1;
    if (plan.action == Action::call) return plan.called(nth);
    if (nth != plan.nth) return;
    fired = true;
    switch (plan.action) {
        case Action::nothing:
        case Action::call:
            return;
        case Action::kill:
            ::kill(::getpid(), SIGKILL);
            return;
        case Action::stop:
            ::raise(SIGSTOP);
            return;
        case Action::fail:
            throw std::bad_alloc();
    }
}

}  // namespace steps

/// From here on this process flushes only where a commit has to: its steps do not depend on luck.
inline void let_timer_rest() {
    steps::timer_rests = true;
    base::step_hook.store(steps::hook);
}

/// From here on, until disarm().
inline void arm(const Plan& plan) {
    steps::plan = plan;
    steps::seen = 0;
    steps::fired = false;
    steps::trace.clear();
    steps::armed_here = true;
    base::step_hook.store(steps::hook);
}
/// The steps that this thread met, by their number.
inline std::vector<std::uint16_t> disarm() {
    if (!steps::timer_rests) base::step_hook.store(nullptr);
    steps::armed_here = false;
    return steps::trace;
}

[[nodiscard]] inline std::string_view name_of(std::uint16_t step) {
    return base::step_names.at(step).name;
}

}  // namespace mmsb::test
