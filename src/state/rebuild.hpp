/// state/rebuild: a new arena from a checkpoint and the log, as after a reboot.
///
/// The log's good prefix is replayed onto the pages. What follows it is a torn tail (dropped, and
/// said) or damage (Corrupt: nothing is dropped), told apart by PROTOCOL, reboot and rule 3.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

/// What the log turned out to be.
struct Rebuilt {
    Lsn end = 0;              ///< Of the good prefix.
    Lsn last_commit_end = 0;  ///< The end of its last commit, or where the replay began.
    Lsn promised = 0;         ///< Up to here its records say that the disk has it.
    bool clean = false;       ///< It and its file end with a close record, and nothing was dropped.
    bool fresh = false;       ///< There is a log, and nothing was ever written there.
    std::uint64_t dropped_bytes = 0;
    std::uint64_t records = 0;
    std::optional<Damage> damage{};  ///< Only where it was to be kept.
};

/// For who wants what is good of a damaged log (state/salvage).
struct RebuildOptions {
    Lsn limit = log::no_lsn;      ///< Nothing from here on is looked at: others may be writing it.
    bool stop_at_damage = false;  ///< Damage ends the good prefix and is told, instead of thrown.
};

/// Fills the new, empty arena: words, table, heap, catalog; from the pages of `start`, where there
/// is one, and the log behind it. Writes no file. Throws Corrupt with
/// file, offset and the sequence up to which all is well; NewerFormat; OutOfSpace; Io.
Rebuilt rebuild(Attachment& bus, const replay::Image* start, const RebuildOptions& options = {});

}  // namespace mmsb::state
