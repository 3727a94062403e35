/// state/turn: the next turn for a writer who conflicted again and again (PROTOCOL, rule 11).
///
/// A user's function runs without the lock, and what it read is validated under it: beside writers
/// who are quicker, a slow one might run his function for ever. After some conflicts he reserves a
/// turn: whoever else wants to commit lets a millisecond pass, or until the slow one has committed.
/// It is a courtesy, not a lock: nothing depends on it, and who dies with it holds nobody up.
#pragma once

#include "state/attachment.hpp"

#include <chrono>

namespace mmsb::state {

inline constexpr std::chrono::nanoseconds longest_turn = std::chrono::milliseconds(1);

/// Of one call that tries until it does not conflict.
class Turn {
public:
    explicit Turn(Attachment& bus) noexcept : bus_(bus) {}
    ~Turn();  ///< Gives back what it reserved.
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    /// It conflicted. Several times: waits for another one's turn to pass, and reserves the next.
    void conflicted() noexcept;

private:
    Attachment& bus_;
    std::uint64_t mine_ = 0;  ///< As in words.turn_of; 0: none.
    int conflicts_ = 0;
};

void wait_for_turn(Attachment& bus) noexcept;
/// Before the writers' lock: lets another thread's turn pass.
inline void let_turn_pass(Attachment& bus) noexcept {
    if (bus.words().turn_of.load(std::memory_order_relaxed) != 0) [[unlikely]]
        wait_for_turn(bus);
}

}  // namespace mmsb::state
