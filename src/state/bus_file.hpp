/// state/bus_file: the file `bus` of a folder: read whole, changed under its lock, in two copies.
///
/// Both slots say the same at rest: each change writes the one that does not count, syncs it, then
/// the other. So a power cut in between leaves a good one, whichever it hits; and a flipped bit in
/// either is found, and costs nothing: the other one is as new.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

/// Reads it. A slot that was torn or damaged is told as a notice and, where `repair`, written again
/// from the other one. Throws NotABus, NewerFormat, Corrupt, Io, Busy.
[[nodiscard]] log::BusHeader read_bus_file(Attachment& bus, const os::File& file, bool repair);

/// Writes a new file: both slots, one sync. Nobody else knows the file yet.
void write_bus_file(const os::File& file, const log::BusHeader& header);

/// Lets `change` have what the file says now (other processes change it too), writes what it makes
/// of that, durably, where it differs, and returns it. From any thread. Throws Busy where another
/// process has the file's lock for seconds, and what reading and writing throw.
log::BusHeader change_bus_file(Attachment& bus, FunctionRef<void(log::BusHeader&)> change);

/// Throws NotABus where this header, read again, is another bus's.
void check_same_bus(const Attachment& bus, const log::BusHeader& header);

/// Throws what a refused header means for this file.
[[noreturn]] void throw_refused(const std::string& file, const log::Refusal& refusal);
[[noreturn]] void throw_no_bus(const std::string& path, const std::string& expected,
                               const std::string& found);
/// Likewise, while we waited for it.
[[noreturn]] void throw_removed(const std::string& path);

}  // namespace mmsb::state
