/// state/wait: sleeping until something is committed, and waking those who sleep.
///
/// Two words in the arena: `sleepers`, a set of bits that says which commits are slept for, and the
/// futex `bell`. Who sleeps reads the bell, adds his bits, looks once more, and sleeps on the bell
/// as he read it. (Another one may add them for him, and looks for him then: announce().) Who
/// commits looks at `sleepers` once he has let go of the lock; where a bit is his, he clears it,
/// changes the bell and wakes. So no wake is lost, whoever comes first; and who died asleep leaves
/// a bit that the next waker clears. A commit that nobody sleeps for pays one load.
///
/// A process may be killed between `logged` and the wake: so every sleep ends after `sleep_step`,
/// and each look before a sleep sees past a dead or stopped writer. A read-only process cannot add
/// its bits; it sleeps in such steps (PROTOCOL, rule 23). Neither word is trusted: scribbling over
/// them makes sleepers look too often, or a step too late.
#pragma once

#include "arena/shared_bytes.hpp"
#include "state/attachment.hpp"

namespace mmsb::state {

/// A bit for each page, by its line (several share one); a commit has those of its pages.
using WakeBits = std::uint32_t;
inline constexpr WakeBits every_commit = ~WakeBits{0};
[[nodiscard]] constexpr WakeBits wake_bit(std::uint32_t line) noexcept {
    return WakeBits{1} << (line % 32);
}
[[nodiscard]] constexpr WakeBits wake_bits(std::span<const std::uint32_t> lines) noexcept {
    WakeBits bits = 0;
    for (const auto line : lines) bits |= wake_bit(line);
    return bits;
}

/// What is slept for.
struct Sleep {
    WakeBits wakes = 0;  ///< Commits that end the sleep, if someone has announced it. Not empty.
    WakeBits announced = 0;  ///< Those that the sleeper announces himself.
};

/// How long a sleeper sleeps at most without looking.
inline constexpr std::chrono::milliseconds sleep_step{10};

/// A moment on the steady clock, so long from now; `forever` and more than the clock has: never.
class Deadline {
public:
    explicit Deadline(Timeout timeout) noexcept;
    /// Negative once it has passed.
    [[nodiscard]] Timeout left() const noexcept;
    [[nodiscard]] bool passed() const noexcept { return left() <= Timeout::zero(); }

private:
    std::int64_t end_ns_;
};

enum class Look : std::uint8_t {
    quick,  ///< At words only: a commit that is just being applied may be overlooked.
    whole,  ///< Also past a writer that is busy, stopped or dead.
};
enum class Waited : std::uint8_t { found, timed_out, interrupted };

/// Calls `look` until it says true, and sleeps in between until a commit has one of the bits, or a
/// step is over. `interrupted` is asked before each sleep; what makes it true calls ring(). Both
/// may throw. The first look comes before anything else, the last one, a whole one, after the
/// deadline.
[[nodiscard]] Waited wait(Attachment& bus, Sleep sleep, const Deadline& end,
                          FunctionRef<bool(Look)> look, FunctionRef<bool()> interrupted);
/// The next commit with one of these bits wakes who sleeps for it. REQUIRES that the caller looks
/// once more afterwards: what is committed by then may have woken nobody. (Of a bus that is open
/// read-only it does nothing: there each looks for himself, step by step.)
void announce(Attachment& bus, WakeBits bits) noexcept;

/// Clears the bits, changes the bell, wakes.
void wake_now(Attachment& bus, WakeBits bits) noexcept;

/// Wakes who sleeps for a commit with these bits. REQUIRES that it is published, and that the
/// writers' lock was let go of since, which on x86 is the fence that this needs.
inline void wake(Attachment& bus, WakeBits bits) noexcept {
#ifndef __x86_64__
    arena::full_fence();
#endif
    if ((bus.words().sleepers.load(std::memory_order_relaxed) & bits) != 0) [[unlikely]]
        wake_now(bus, bits);
}

/// Makes every sleeper of the bus look again: for what is no commit.
void ring(Attachment& bus) noexcept;

}  // namespace mmsb::state
