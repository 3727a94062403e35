/// state/structure_chain: the structural records of the log, each of which says where the one
/// before it starts (PROTOCOL, rule 10). Threads: any.
#pragma once

#include "state/cursor.hpp"

namespace mmsb::state {

/// Reads some of them, one after the other: those that lie near each other are read at once.
/// Threads: one.
class StructuralRecords {
public:
    explicit StructuralRecords(Attachment& bus) : bus_(bus), cursor_(bus, 0) {}

    /// The one that starts there, until the next call; record().previous_structure is before it, or
    /// no_lsn. Throws Corrupt where it is none, and what Cursor::next does.
    [[nodiscard]] Cursor& at(Lsn start);

private:
    Attachment& bus_;
    Cursor cursor_;
};

/// Where they start, from the one at `head` back to those that start before `from`, ascending.
/// Reads each of them. Likewise.
[[nodiscard]] std::vector<Lsn> structure_chain(Attachment& bus, Lsn head, Lsn from);

}  // namespace mmsb::state
