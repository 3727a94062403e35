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
std::int64_t interval_of(const Attachment& bus) noexcept {
    const auto always = bus.timer.sync_every_ns.load();
    if (bus.timer.asked_lsn.load() <= bus.words().durable.load()) return always;
    const auto asked = bus.timer.asked_ns.load();
    return always == 0 ? asked : std::min(always, asked);
}

void timer_loop(Attachment& bus) {
    auto& words = bus.words();
    auto& timer = bus.timer;
    auto last_sync = os::steady_ns();
    bool told = false;
    while (!timer.stopping.load() && !bus.is_lost()) {
        const auto every = interval_of(bus);
        const auto logged = words.logged.load();
        const auto behind = every != 0 ? words.durable.load() : words.flushed.load();
        if (behind >= logged || words.poison.load() != 0) {
            timer.awake.store(0);
            // A commit between the look and the store found the timer awake and did not wake it.
            if (words.logged.load() == logged && interval_of(bus) == every &&
                !timer.stopping.load())
                os::futex_wait(timer.awake, 0, forever);
            timer.awake.store(1);
            continue;
        }
        os::futex_wait(timer.awake, 1, std::chrono::milliseconds(1));
        try {
            MMSB_STEP("timer.turn");
            const bool sync = every != 0 && os::steady_ns() - last_sync >= every;
            if (sync) last_sync = os::steady_ns();
            flush(bus, sync ? Flush::sync : Flush::write, words.logged.load(), bus.lock_timeout);
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
    auto& every = bus.timer.sync_every_ns;
    auto known = every.load();
    while ((known == 0 || interval.count() < known) &&
           !every.compare_exchange_weak(known, interval.count())) {
    }
}

void sync_within(Attachment& bus, Lsn lsn, std::chrono::nanoseconds interval) noexcept {
    auto& timer = bus.timer;
    auto asked = timer.asked_lsn.load();
    const bool is_first = asked <= bus.words().durable.load();
    auto known = timer.asked_ns.load();
    while ((is_first || interval.count() < known) &&
           !timer.asked_ns.compare_exchange_weak(known, interval.count())) {
    }
    while (asked < lsn && !timer.asked_lsn.compare_exchange_weak(asked, lsn)) {
    }
}

void wake_timer(Attachment& bus) noexcept {
    if (!bus.timer.thread.joinable() || bus.timer.awake.load() != 0) return;
    if (bus.timer.awake.exchange(1) == 0) os::futex_wake(bus.timer.awake);
}

}  // namespace mmsb::state
