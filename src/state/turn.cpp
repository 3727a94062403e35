#include "state/turn.hpp"

namespace mmsb::state {

namespace {

constexpr int conflicts_before = 4;
constexpr std::chrono::nanoseconds nap = std::chrono::microseconds(20);

// The turn that this thread holds; of one bus at a time, which is enough for a courtesy.
thread_local std::uint64_t held = 0;

std::uint64_t new_turn(const Attachment& bus) noexcept {
    static std::atomic<std::uint32_t> count{0};
    const auto process = static_cast<std::uint32_t>(bus.process);
    return std::uint64_t{process} << 32U | (count.fetch_add(1) | 1U);
}

}  // namespace

// Whoever holds it may be dead, and the words may be anybody's doing: no longer than a turn lasts.
void wait_for_turn(Attachment& bus) noexcept {
    auto& words = bus.words();
    auto holder = words.turn_of.load();
    if (holder == 0 || holder == held) return;
    const auto end = os::steady_ns() + longest_turn.count();
    const std::atomic<std::uint32_t> alone{0};
    while (os::steady_ns() < end) {
        os::futex_wait(alone, 0, nap);
        if (words.turn_of.load() != holder) return;
    }
    words.turn_of.compare_exchange_strong(holder, 0);
}

void Turn::conflicted() noexcept {
    if (++conflicts_ < conflicts_before) return;
    auto& word = bus_.words().turn_of;
    if (mine_ != 0 && word.load() == mine_) return;  // others have not let it pass yet
    wait_for_turn(bus_);
    const auto turn = new_turn(bus_);
    std::uint64_t none = 0;
    if (word.compare_exchange_strong(none, turn)) held = mine_ = turn;
}

Turn::~Turn() {
    if (mine_ == 0) return;
    auto turn = mine_;
    bus_.words().turn_of.compare_exchange_strong(turn, 0);
    if (held == mine_) held = 0;
}

}  // namespace mmsb::state
