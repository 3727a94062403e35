/// state/load_image: a checkpoint's pages, put into a new arena as they are.
#pragma once

#include "replay/image.hpp"

namespace mmsb::state {

struct Attachment;

/// Fills the empty arena's table, heap and words, and the catalog. REQUIRES an image that keeps all
/// bytes, and no other process. Throws OutOfSpace.
void load_image(Attachment& bus, const replay::Image& image);

}  // namespace mmsb::state
