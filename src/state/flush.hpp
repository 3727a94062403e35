/// state/flush: from the ring into the segment files and to the disk, and who waits for it.
///
/// Anybody's work, in batches under the files' lock (PROTOCOL, flush, wait; rules 5 to 8 and 17). A
/// failed write or sync poisons the bus: nothing is retried and believed.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

enum class Flush : std::uint8_t { write, sync };

/// Writes what is logged; sync: until the disk has it, too. Does nothing where that is done already
/// up to `upto`. False where less than that is logged (or the words were written over). Throws
/// Poisoned, Busy (the files' lock), and what keeps this process from writing at all (no
/// descriptors, no memory): that harms nobody else, and the next one goes on.
bool flush(Attachment& bus, Flush how, Lsn upto, std::chrono::nanoseconds timeout);

/// Until the disk has everything up to `upto`, which is logged. Throws what flush() throws, and
/// Corrupt where that cannot be reached: the words were written over.
void sync_upto(Attachment& bus, Lsn upto, std::chrono::nanoseconds timeout);

/// Writes and syncs again, also what is known to be durable already (see state/header,
/// mend_poison).
void flush_again(Attachment& bus, std::chrono::nanoseconds timeout);

/// Where the words that say what is in the files contradict their seals: writes again all that they
/// may have been wrong about, syncs, and puts them right. REQUIRES that nobody else has the bus.
/// Throws Corrupt where that is not possible.
void mend_files_words(Attachment& bus, std::chrono::nanoseconds timeout);

/// Reserves room in the segments up to `upto`. REQUIRES the writers' lock. Throws OutOfSpace:
/// nothing is lost; Busy after `timeout`; Poisoned where the name of a new segment could not be
/// synced.
void prepare(Attachment& bus, Lsn upto, std::chrono::nanoseconds timeout);

/// What a wait for this sequence throws when `timeout` is over. A commit makes it before it is
/// one, so that running out of memory cannot make it look as if it had not been.
[[nodiscard]] NotDurable not_durable(const Attachment& bus, Sequence sequence,
                                     std::chrono::nanoseconds timeout);
/// Throws NotDurable: this process could not write, and `why`. Returns where there is no memory for
/// that text.
void throw_not_durable(const Attachment& bus, Sequence sequence, const std::exception_ptr& why);
/// Until the disk has everything up to `lsn`. False: not within `timeout`; or, for `patience`, this
/// process could not write and no other did (no descriptors, no memory): `why` has the error then.
/// Throws Poisoned, Corrupt where the shared memory is lost, and what `each_round` throws, which is
/// called every 10 ms.
bool wait_until_durable(Attachment& bus, Lsn lsn, std::chrono::nanoseconds timeout,
                        std::chrono::nanoseconds patience, std::exception_ptr& why,
                        FunctionRef<void()> each_round);

/// Of the newest record that the disk has. Throws Corrupt where the words were written over.
[[nodiscard]] Sequence durable_sequence(const Attachment& bus);

[[noreturn]] void throw_poisoned(const Attachment& bus);

/// The thread that flushes within about a millisecond of a commit, and syncs for
/// Durability::interval.
void start_timer(Attachment& bus);
void stop_timer(Attachment& bus) noexcept;
/// From now on, with the shortest interval of all who say so.
void sync_every(Attachment& bus, std::chrono::nanoseconds interval) noexcept;
/// All that is logged by now, within that time. Before wake_timer().
void sync_once(Attachment& bus, std::chrono::nanoseconds within) noexcept;
/// There is something to flush. Costs a load where the timer is awake.
void wake_timer(Attachment& bus) noexcept;

}  // namespace mmsb::state
