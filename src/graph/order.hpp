/// graph/order: numbers that nodes are given so that each comes before its children, kept while
/// edges come. Pure.
///
/// Pearce and Kelly's online topological order ("A dynamic topological sort algorithm for directed
/// acyclic graphs", ACM JEA 11, 2006): an edge against the order moves only what lies between its
/// two ends. Where the child has no children yet it simply gets a number above all, and a parent
/// without parents one below all: so that a path that grows at its root, or at its leaf, costs a
/// constant an edge and not the path's length. The same holds for all that leads to the parent, and
/// for all that the child leads to, where that is much less than what lies between: so that a small
/// part is joined to a large one at the small one's cost. The searches take turns, the one that has
/// done less work first.
///
/// Invariants: (1) each node that is in has a position of its own, and at(position(n)) == n; (2)
/// the positions lie in [first(), end()), with holes; (3) for each edge that was put in:
/// position(parent) < position(child). Threads: const from any, else alone.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace mmsb::graph {

using Node = std::uint32_t;
using Position = std::uint32_t;
inline constexpr Node no_node = std::numeric_limits<Node>::max();

/// Where a node's neighbours are found, for as long as a call lasts.
class Neighbours {
public:
    virtual ~Neighbours() = default;
    virtual void parents(Node node, std::vector<Node>& out) const = 0;   ///< Appends.
    virtual void children(Node node, std::vector<Node>& out) const = 0;  ///< Appends.
    [[nodiscard]] virtual std::size_t parent_count(Node node) const = 0;
    [[nodiscard]] virtual std::size_t child_count(Node node) const = 0;
};

class Order {
public:
    /// Memory for one more, so that adding it cannot fail.
    void make_room(Node node);
    /// Behind all, or before all. REQUIRES a node that is not in. Where memory runs out nothing has
    /// changed, here and below.
    void add_last(Node node);
    void add_first(Node node);
    void remove(Node node) noexcept;  ///< Leaves a hole.

    /// Makes room for the edge, which is in `graph` or not. False: it would close a cycle, and
    /// nothing has changed; cycle() is the path child, ..., parent. REQUIRES both are in.
    [[nodiscard]] bool put_before(Node parent, Node child, const Neighbours& graph);
    [[nodiscard]] const std::vector<Node>& cycle() const noexcept { return cycle_; }
    /// As in `nodes`: for a graph that is loaded. REQUIRES all that are in, once.
    void assign(std::span<const Node> nodes);

    [[nodiscard]] Position position(Node node) const noexcept { return position_[node]; }
    [[nodiscard]] Node at(Position position) const noexcept { return at_[position]; }
    [[nodiscard]] Position first() const noexcept { return first_; }
    [[nodiscard]] Position end() const noexcept { return end_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// Throws std::logic_error naming what is wrong. For tests.
    void check_invariants(const Neighbours& graph) const;

private:
    void place(Node node, Position position) noexcept;
    // Spreads the nodes anew, with as much room at both ends as they take.
    void spread();
    // In their order, which `nodes` is in afterwards. REQUIRES that all they lead to are among them
    // (move_first: all that lead to them).
    void move_last(std::vector<Node>& nodes);
    void move_first(std::vector<Node>& nodes);

    /// A search from one end of an edge.
    struct Search {
        std::vector<Node> found{};
        std::uint32_t mark = 0;
        std::size_t next = 0, work = 0;  // in `found`; nodes and links looked at
        [[nodiscard]] bool is_over() const noexcept { return next == found.size(); }
    };
    enum class Found : std::uint8_t { cycle, below, above };
    void begin(Search& search, Node from);
    // What the child leads to up to the parent, or all that leads to the parent: whichever is found
    // first.
    [[nodiscard]] Found search(Node parent, Node child, const Neighbours& graph);
    // One more node. False: the searches have met.
    [[nodiscard]] bool step_down(const Neighbours& graph, Position limit);
    [[nodiscard]] bool step_up(const Neighbours& graph);
    void make_cycle(Node last, Node next);
    // What leads to the parent, down to the child. False: it is more than `most`.
    [[nodiscard]] bool reach_up(Node parent, Position limit, std::size_t most,
                                const Neighbours& graph);
    void reorder();
    void sort(std::vector<Node>& nodes) const;

    std::vector<Position> position_{};  // by node
    std::vector<Node> at_{};            // by position; no_node: a hole
    Position first_ = 0, end_ = 0;
    std::size_t size_ = 0;
    // Of the search at hand, kept for its memory.
    std::vector<std::uint32_t> mark_{};  // by node
    std::vector<Node> from_{};           // by node: where its search came from
    std::uint32_t last_mark_ = 0;
    Search below_{}, above_{};
    bool is_all_below_ = false;  // nothing that the child leads to lies behind the limit
    std::vector<Node> next_{}, cycle_{};
    std::vector<Position> pool_{};
};

}  // namespace mmsb::graph
