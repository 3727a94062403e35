/// graph/locality: which bytes of a derived page a change of its parents can reach, by what its
/// function says of itself. Pure.
#pragma once

#include "graph/function.hpp"

#include <vector>

namespace mmsb::graph {

/// Stretches of `call.out` outside of which all bytes stay as they were, ascending and apart.
/// False: that cannot be said, so all of it.
[[nodiscard]] bool reached_ranges(Locality locality, const Call& call, std::vector<ByteRange>& out);

}  // namespace mmsb::graph
