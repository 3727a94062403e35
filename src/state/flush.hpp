/// state/flush: from the ring into the segment files and to the disk, and who waits for it.
///
/// Anybody's work, in batches under the files' lock (PROTOCOL, flush, wait; rules 5 to 8 and 17). A
/// failed write or sync poisons the bus: nothing is retried and believed.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

enum class Flush : std::uint8_t { write, sync };

/// Writes what is logged; sync: until the disk has it, too. Does nothing where that is done already
/// up to `upto`. Throws Poisoned, Busy (the files' lock), Io.
void flush(Attachment& bus, Flush how, Lsn upto,
           std::chrono::nanoseconds timeout = std::chrono::seconds(5));

/// Reserves room in the segments up to `upto`. Throws OutOfSpace: nothing is lost.
void prepare(Attachment& bus, Lsn upto);

/// Until the disk has everything up to `lsn`. Throws NotDurable (committed; do not repeat) after
/// `timeout`, Poisoned.
void wait_until_durable(Attachment& bus, Lsn lsn, Sequence sequence,
                        std::chrono::nanoseconds timeout);

[[noreturn]] void throw_poisoned(const Attachment& bus);

/// The thread that flushes within about a millisecond of a commit, and syncs for
/// Durability::interval.
void start_timer(Attachment& bus);
void stop_timer(Attachment& bus) noexcept;
/// There is something to flush. Costs a load where the timer is awake.
void wake_timer(Attachment& bus) noexcept;

}  // namespace mmsb::state
