/// state/lost: shared memory that another process takes away while it is in use, by making its file
/// shorter (os/memory_guard says what happens to the memory).
///
/// What is read then may be zeros in any place: so whoever copies something out of shared memory
/// asks Attachment::require_memory() once more before he believes it, and whoever logs a record
/// asks before it. The attachment stays lost; the bus has to be left and opened again.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

/// From now on the loss of the arena is seen by Attachment::is_lost() instead of ending in SIGBUS,
/// and that costs a system call. REQUIRES arena and locks, as far as the attachment has them.
/// Throws OutOfSpace, Io.
void guard_memory(Attachment& bus);

/// Throws NotDurable: it was logged, into memory that may have been taken away just then.
[[noreturn]] void throw_lost_committed(const Attachment& bus, Sequence sequence);

}  // namespace mmsb::state
