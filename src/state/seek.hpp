/// state/seek: finding a commit in the log by its number, without reading what lies before it.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

/// Where the record of that commit starts. By halves: any place in a segment is near a record, and
/// where one begins its checksums say, which are seeded with the place. Reads some KiB for each of
/// them, whatever the log's size.
/// REQUIRES a commit that is kept and committed. Throws HistoryDropped where it has been dropped
/// meanwhile, Corrupt, Io.
[[nodiscard]] Lsn start_of(Attachment& bus, Sequence commit);

}  // namespace mmsb::state
