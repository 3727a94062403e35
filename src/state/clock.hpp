/// state/clock: is the system clock still what it was? (PROTOCOL, rule 22.)
///
/// Retention by age believes the system clock: one that is set ten years ahead makes the whole past
/// look old. So the clock is compared with the one that counts since boot, which nobody sets. A
/// jump of over an hour is logged, said, and suspends retention by age until somebody sets a
/// retention anew; nothing else depends on the time (timestamps of records never go back).
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

/// Logs a jump since the last look of any process, and suspends retention by age. Called before
/// anything is dropped for its age, and now and then. Throws Busy, Poisoned, OutOfSpace, Io; then
/// the next look finds the jump.
void look_at_clock(Attachment& bus, std::chrono::nanoseconds timeout);

}  // namespace mmsb::state
