/// edges/growth: in which order the edges of a graph without a cycle may come.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// Parent and child; nodes are numbered from 0.
using NodePair = std::pair<std::uint32_t, std::uint32_t>;

struct Growth {
    std::string name{};
    std::vector<NodePair> edges{};  ///< In the order in which they come; none twice.
};

/// Each shape once, of so many nodes and about so many edges.
[[nodiscard]] std::vector<Growth> growths(std::uint32_t nodes, std::uint32_t edges);

}  // namespace bench
