// The thread that flushes; see flush.hpp.
#include "base/steps.hpp"
#include "state/flush.hpp"
#include "state/start_thread.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

void tell_stuck(const Attachment& bus, const std::exception& e) noexcept {
    try {
        bus.notice(Notice::Level::warning,
                   fmt::format("{}: nothing that is committed reaches the log's files: {}",
                               bus.path, e.what()));
    } catch (const std::exception&) {  // no memory for the text
    }
}

// 0: nobody asks for the disk.
std::int64_t interval_of(const Timer& timer) noexcept {
    const auto always = timer.sync_every_ns.load(), asked = timer.asked_ns.load();
    return always == 0 || asked == 0 ? std::max(always, asked) : std::min(always, asked);
}

void make_shorter(std::atomic<std::int64_t>& interval, std::int64_t ns) noexcept {
    auto known = interval.load();
    while ((known == 0 || ns < known) && !interval.compare_exchange_weak(known, ns)) {
    }
}

// Whoever asks meanwhile is heard the next time; where it fails, so is who asked before.
void flush_by_timer(Attachment& bus, Flush what) {
    auto& asked = bus.timer.asked_ns;
    const auto once = what == Flush::sync ? asked.exchange(0) : 0;
    try {
        flush(bus, what, bus.words().logged.load(), bus.lock_timeout);
    } catch (...) {
        if (once != 0) make_shorter(asked, once);
        throw;
    }
}

// How long there is nothing to do if nobody commits: all is written, and what is to be synced has
// time.
std::chrono::nanoseconds idle_time(const arena::Control& words, Lsn logged, std::int64_t every,
                                   std::int64_t last_sync) {
    if (words.poison.load() != 0) return forever;
    if (words.flushed.load() < logged) return {};
    if (every == 0 || words.durable.load() >= logged) return forever;
    return std::chrono::nanoseconds(every - (os::steady_ns() - last_sync));
}

void timer_loop(Attachment& bus) {
    // What is less is not slept through: whoever commits meanwhile would have to wake the timer.
    constexpr auto short_time = std::chrono::milliseconds(20);
    auto& words = bus.words();
    auto& timer = bus.timer;
    auto last_sync = os::steady_ns();
    bool told = false;
    while (!timer.stopping.load() && !bus.is_lost()) {
        const auto every = interval_of(timer);
        const auto logged = words.logged.load();
        if (const auto idle = idle_time(words, logged, every, last_sync); idle > short_time) {
            timer.awake.store(0);
            // A commit between the look and the store found the timer awake and did not wake it.
            if (words.logged.load() == logged && interval_of(timer) == every &&
                !timer.stopping.load())
                os::futex_wait(timer.awake, 0, idle);
            timer.awake.store(1);
            continue;
        }
        os::futex_wait(timer.awake, 1, std::chrono::milliseconds(1));
        try {
            MMSB_STEP("timer.turn");
            const bool sync = every != 0 && os::steady_ns() - last_sync >= every;
            if (sync) last_sync = os::steady_ns();
            flush_by_timer(bus, sync ? Flush::sync : Flush::write);
            told = false;
        } catch (const Corrupt& e) {
            // Words that contradict each other may stay so: not at once again, and told once.
            if (words.poison.load() == 0 && !std::exchange(told, true)) tell_stuck(bus, e);
            if (!timer.stopping.load())
                os::futex_wait(timer.awake, 1, std::chrono::milliseconds(100));
        } catch (const std::exception&) {
            continue;  // poison was told; Busy, or no memory: the next round tries again
        }
    }
}

}  // namespace

void start_timer(Attachment& bus) { bus.timer.thread = start_thread(bus, timer_loop); }

void stop_timer(Attachment& bus) noexcept {
    if (!bus.timer.thread.joinable()) return;
    bus.timer.stopping.store(true);
    bus.timer.awake.store(2);
    os::futex_wake(bus.timer.awake);
    bus.timer.thread.join();
}

void sync_every(Attachment& bus, std::chrono::nanoseconds interval) noexcept {
    make_shorter(bus.timer.sync_every_ns, interval.count());
    wake_timer(bus);  // it may sleep for as long as the one of before
}

void sync_once(Attachment& bus, std::chrono::nanoseconds within) noexcept {
    make_shorter(bus.timer.asked_ns, within.count());
}

void wake_timer(Attachment& bus) noexcept {
    if (!bus.timer.thread.joinable() || bus.timer.awake.load() != 0) return;
    if (bus.timer.awake.exchange(1) == 0) os::futex_wake(bus.timer.awake);
}

}  // namespace mmsb::state
