/// state/open_alone: attaching where nobody else is: with the arena that the last ones left, or,
/// where it is gone, of another build, cut short or written over, with a new one that is built from
/// the log.
#pragma once

#include "state/header.hpp"
#include "state/open.hpp"
#include "state/rebuild.hpp"

namespace mmsb::state {

/// REQUIRES that <bus>/lock is held exclusively. Throws what attach() throws.
void open_alone(Attachment& bus, const OpenOptions& options, ArenaFile& place);

/// Maps the two locks of the arena.
void map_locks(Attachment& bus);
/// Where the kept past begins, as the header says.
void set_history(Attachment& bus);
/// The newest checkpoint's names, from which following the log goes on.
void load_structure(Attachment& bus);
/// The newest good checkpoint, and the log behind it, into the (empty) arena.
[[nodiscard]] Rebuilt rebuild_from_files(Attachment& bus);

}  // namespace mmsb::state
