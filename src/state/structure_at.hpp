/// state/structure_at: what the pages were called, and what depended on what, as of an earlier
/// commit: by the records that change it, which lead from one to the one before, and not by those
/// that change bytes.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

/// Nothing: image_at() is as quick here (a private bus, or one of which the structure has changed
/// very often since then, or since the checkpoint before it). Throws what that does.
[[nodiscard]] std::optional<replay::Structure> structure_at(Attachment& bus, Sequence at);

}  // namespace mmsb::state
