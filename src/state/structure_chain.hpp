/// state/structure_chain: the structural records of the log, each of which says where the one
/// before it starts (PROTOCOL, rule 10). Threads: any.
#pragma once

#include "state/cursor.hpp"

namespace mmsb::state {

/// The one that starts there; record().previous_structure is before it, or no_lsn. Throws Corrupt
/// where it is none, and what record_at() does.
[[nodiscard]] Cursor structural_record_at(Attachment& bus, Lsn start);

/// Where they start, from the one at `head` back to those that start before `from`, ascending.
/// Reads each of them. Likewise.
[[nodiscard]] std::vector<Lsn> structure_chain(Attachment& bus, Lsn head, Lsn from);

}  // namespace mmsb::state
