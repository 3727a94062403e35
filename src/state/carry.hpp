/// state/carry: log bytes on their way from shared memory into segment files, looked at first.
///
/// Anybody can write into the ring. What is carried into the files is copied out of it, taken apart
/// record by record, and written only where every checksum is right: a neighbour who scribbles over
/// the ring spoils what is there, never what the log holds already, and it is noticed now instead
/// of at the next reboot.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

/// Writes [from, to), where records begin and end, into the segments: from the ring, or, what it no
/// longer has, read back from the files and written again. REQUIRES the files' lock. Throws Corrupt
/// with file and offset where something is no record (what lies before it is written), Io,
/// OutOfSpace.
void carry(Attachment& bus, Lsn from, Lsn to);

}  // namespace mmsb::state
