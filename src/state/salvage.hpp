/// state/salvage: what is good of a bus whose files are damaged, opened read-only
/// (Open::good_prefix).
///
/// Made of the files alone, in private memory: the newest good checkpoint and the log behind it, up
/// to the first thing that is not as it should be. Takes no lock, writes nothing, and uses shared
/// memory only to know up to where the log is written, so that what others are just writing is not
/// taken for damage.
#pragma once

#include "state/open.hpp"

namespace mmsb::state {

/// Up to where the log's files are written, as the bus's shared memory says; nothing where there is
/// none that is of use (then nobody writes). Not to be trusted beyond that.
[[nodiscard]] std::optional<Lsn> written_upto(Attachment& bus, const Config& config);

/// An attachment to the files alone, its header read and its folders open; no segments, no arena
/// yet. Throws NotABus, NewerFormat, Corrupt (both copies of the header), Io.
[[nodiscard]] std::shared_ptr<Attachment> open_files(const OpenOptions& options);

/// Fills it: segments first, then what else there is. Recovery tells of the damage; the past begins
/// where it can be read up to the end without a gap. Returns what could not be read of the
/// segments. Throws NewerFormat, Corrupt (no good checkpoint leads to the kept log), OutOfSpace,
/// Io.
std::vector<log::Segments::Problem> rebuild_good_prefix(Attachment& bus, const Config& config);

/// An attachment of its own, whatever Config::open says. Throws what those two throw.
[[nodiscard]] std::shared_ptr<Attachment> attach_good_prefix(const OpenOptions& options);

}  // namespace mmsb::state
