/// edges/engines: who keeps edges, and refuses one that would close a cycle.
#pragma once

#include "edges/growth.hpp"

#include <cstdint>
#include <memory>
#include <span>

namespace bench {

/// One way of keeping them, of so many nodes from 0 on.
class EdgeKeeper {
public:
    virtual ~EdgeKeeper() = default;
    /// False: it would close a cycle.
    virtual bool add(std::uint32_t parent, std::uint32_t child) = 0;
    /// Throws where what is kept is wrong.
    virtual void check() const {}
};

/// Puts them into two lists, whatever comes.
[[nodiscard]] std::unique_ptr<EdgeKeeper> no_check(std::uint32_t nodes);
/// The same, after a depth-first search from the child for the parent.
[[nodiscard]] std::unique_ptr<EdgeKeeper> depth_first(std::uint32_t nodes);
/// The same lists, beside graph/order.
[[nodiscard]] std::unique_ptr<EdgeKeeper> order_alone(std::uint32_t nodes);
/// graph/graph: pages, links of several types, formulas.
[[nodiscard]] std::unique_ptr<EdgeKeeper> whole_graph(std::uint32_t nodes);
/// All at once, by graph/graph: how long it took. Throws where it finds a cycle.
[[nodiscard]] double load_ns(std::span<const NodePair> edges);

}  // namespace bench
