#include "state/wait.hpp"

#include <algorithm>
#include <limits>

namespace mmsb::state {

namespace {

// Going to sleep and being woken on another core takes about as long: so who looks on for so long
// loses at most as much again. And where two answer each other, who looks on is still awake when
// the other one, who slept, has answered; from then on neither sleeps.
constexpr std::int64_t spin_ns = 25'000;
constexpr int looks_a_clock = 16;

// Nobody of a private bus dies without those who wait for him.
constexpr std::chrono::seconds private_step{1};

// Whether it has paid lately to look on, of one thread. It never does where the writer has to have
// this core, nor where commits are far apart: then it is tried once in a while.
class Luck {
public:
    [[nodiscard]] bool is_worth_it() const noexcept {
        return misses_ < few || misses_ % seldom == 0;
    }
    void tell(bool found) noexcept { misses_ = found ? 0 : misses_ + 1; }

private:
    static constexpr std::uint32_t few = 4;
    static constexpr std::uint32_t seldom = 128;  // in none of the quickest 99 of 100
    std::uint32_t misses_ = 0;                    // waits in a row that were not cut short so
};
thread_local Luck luck;

bool spin(const Deadline& end, FunctionRef<bool(Look)> look) {
    const auto until = os::steady_ns() + std::min<std::int64_t>(spin_ns, end.left().count());
    do {
        for (int i = 0; i < looks_a_clock; ++i) {
            os::pause();
            if (look(Look::quick)) return true;
        }
    } while (os::steady_ns() < until);
    return false;
}

// Always where sleeping would end too late: after the deadline, and of who cannot say that he
// sleeps a step later, since nobody wakes him.
bool look_on(const Deadline& end, FunctionRef<bool(Look)> look, bool can_be_woken) {
    const auto left = end.left().count();
    if (left <= 0) return false;
    if (left <= spin_ns || !can_be_woken) return spin(end, look);
    const bool found = luck.is_worth_it() && spin(end, look);
    luck.tell(found);
    return found;
}

}  // namespace

Deadline::Deadline(Timeout timeout) noexcept {
    const auto now = os::steady_ns();
    end_ns_ = timeout.count() < std::numeric_limits<std::int64_t>::max() - now
                  ? now + std::max<std::int64_t>(timeout.count(), 0)
                  : std::numeric_limits<std::int64_t>::max();
}

Timeout Deadline::left() const noexcept {
    if (end_ns_ == std::numeric_limits<std::int64_t>::max()) return forever;
    return Timeout(end_ns_ - os::steady_ns());
}

Waited wait(Attachment& bus, Sleep sleep, const Deadline& end, FunctionRef<bool(Look)> look,
            FunctionRef<bool()> interrupted) {
    auto& words = bus.words();
    const bool may_write = bus.arena->writable();
    const Timeout step = bus.is_private ? Timeout(private_step) : Timeout(sleep_step);
    if (look(Look::quick)) return Waited::found;
    if (sleep.announced != 0 && look_on(end, look, may_write)) return Waited::found;
    for (;;) {
        const auto bell = words.bell.load(std::memory_order_acquire);
        if (interrupted()) return Waited::interrupted;
        const auto left = end.left();
        if (left > Timeout::zero() && sleep.announced != 0) announce(bus, sleep.announced);
        if (look(Look::whole)) return Waited::found;
        if (left <= Timeout::zero()) return Waited::timed_out;
        os::futex_wait(words.bell, bell, std::min(left, step), sleep.wakes);
        if (look(Look::quick)) return Waited::found;
    }
}

void announce(Attachment& bus, WakeBits bits) noexcept {
    if (!bus.arena->writable()) return;
    bus.words().sleepers.fetch_or(bits);
    arena::full_fence();
}

void wake_now(Attachment& bus, WakeBits bits) noexcept {
    auto& words = bus.words();
    words.sleepers.fetch_and(~bits);
    words.bell.fetch_add(1);
    os::futex_wake(words.bell, bits);
}

void ring(Attachment& bus) noexcept {
    auto& words = bus.words();
    if (bus.arena->writable()) words.bell.fetch_add(1);
    os::futex_wake(words.bell);
}

}  // namespace mmsb::state
