/// state/derive: what a commit does to the pages that depend on those it changes.
///
/// Done before the writers' lock, on staged bytes (PROTOCOL, rules 11 and 20): users' functions run
/// here. What was read for it is remembered and looked at again under the lock; where something has
/// moved, it is done anew. A page is computed only if all its changed ancestors were: else it is
/// marked stale in the same record, and all that is computed from it, too.
#pragma once

#include "state/stage.hpp"

#include <algorithm>

namespace mmsb::state {

/// Is there anything to do?
[[nodiscard]] inline bool needs_derive(const Attachment& bus, const Staged& staged) noexcept {
    return !staged.graph.empty() || staged.refresh.has_value() ||
           (bus.catalog.graph_head() != 0 &&
            std::ranges::any_of(staged.pages, [&bus](const StagedPage& page) {
                return bus.catalog.may_have_edges(page.page);
            }));
}
/// Fills staged.made, and what is made of staged.pages. False: what it read does not go together,
/// because others commit: once more. Throws GraphCycle, InvalidArgument (a write to a derived
/// page), PageNotFound, RecomputeFailed, and what reading throws.
[[nodiscard]] bool derive(Attachment& bus, Staged& staged, Propagation mode);
/// The priorities of the functions of stale pages that this process can compute, the highest first.
[[nodiscard]] std::vector<int> stale_priorities(Attachment& bus);
/// Is each page that was read as it was then? Under the writers' lock.
[[nodiscard]] bool are_unchanged(const Attachment& bus, std::span<const ReadPage> reads) noexcept;
/// Likewise: is each page there that an edge or a formula which is added names?
[[nodiscard]] bool are_there(const Attachment& bus, const Staged& staged);
/// Under the writers' lock, catalog followed: is all as it was when derive() looked, or is there
/// still nothing to do for it?
[[nodiscard]] inline bool still_derived(const Attachment& bus, const Staged& staged) {
    if (!staged.made.is_derived) return !needs_derive(bus, staged);
    return bus.catalog.graph_head() == staged.made.graph_head &&
           (staged.made.reads.empty() || are_unchanged(bus, staged.made.reads)) &&
           (staged.made.graph.empty() || are_there(bus, staged));
}
/// Writes entries for what the commit changes of the graph. REQUIRES still_derived().
void write_graph(Attachment& bus, const Staged& staged);

}  // namespace mmsb::state
