/// state/page_at: one page as of an earlier commit: as it is, where nothing has changed it since;
/// else by its own records (state/mentions) and what it was before them. What that costs depends on
/// how often the page changed, and not on how often the others did.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

/// The page's line, where no commit behind `at` has named the page; nothing: one has, or it is
/// gone. Of a page that is made behind it, nothing.
[[nodiscard]] std::optional<arena::LineCopy> unchanged_since(Attachment& bus, Sequence at,
                                                             PageId page);

/// An image in which the page alone is (nobody, where it was not there then), without edges and
/// formulas. Nothing: it has changed, and state/past's image_at() is as quick here (a private bus,
/// whose log has no indexes). Throws what that does; of damage only where the page's records or an
/// index are.
[[nodiscard]] std::optional<replay::Image> page_at(Attachment& bus, Sequence at, PageId page);

}  // namespace mmsb::state
