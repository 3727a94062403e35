// The thread that flushes; see flush.hpp.
#include "base/steps.hpp"
#include "state/flush.hpp"
#include "state/start_thread.hpp"

#include <fmt/format.h>

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

void timer_loop(Attachment& bus) {
    auto& words = bus.words();
    auto& timer = bus.timer;
    auto last_sync = os::steady_ns();
    bool told = false;
    while (!timer.stopping.load() && !bus.is_lost()) {
        const auto every = timer.sync_every_ns.load();
        const auto logged = words.logged.load();
        const auto behind = every != 0 ? words.durable.load() : words.flushed.load();
        if (behind >= logged || words.poison.load() != 0) {
            timer.awake.store(0);
            // A commit between the look and the store found the timer awake and did not wake it.
            if (words.logged.load() == logged && !timer.stopping.load())
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

void wake_timer(Attachment& bus) noexcept {
    if (!bus.timer.thread.joinable() || bus.timer.awake.load() != 0) return;
    if (bus.timer.awake.exchange(1) == 0) os::futex_wake(bus.timer.awake);
}

}  // namespace mmsb::state
