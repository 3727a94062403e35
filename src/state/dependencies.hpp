/// state/dependencies: the dependency graph as this process has followed it, to be looked at
/// without a lock, and changes of it that are not committed yet.
#pragma once

#include "graph/graph.hpp"

#include <atomic>
#include <memory>

namespace mmsb::state {

/// One graph, and how many look at it: who changes it copies it first where somebody does.
struct HeldGraph {
    graph::Graph graph{};
    std::atomic<std::uint32_t> lookers{0};
};

/// A graph that does not change while this lives. Move-only; any thread.
class GraphView {
public:
    /// REQUIRES whatever keeps changes away (the catalog's lock).
    explicit GraphView(std::shared_ptr<HeldGraph> held) : held_(std::move(held)) {
        held_->lookers.fetch_add(1, std::memory_order_relaxed);
    }
    GraphView(GraphView&& other) noexcept = default;
    GraphView& operator=(GraphView&&) = delete;
    ~GraphView() {
        if (held_) held_->lookers.fetch_sub(1, std::memory_order_release);
    }
    const graph::Graph& operator*() const noexcept { return held_->graph; }
    const graph::Graph* operator->() const noexcept { return &held_->graph; }

private:
    std::shared_ptr<HeldGraph> held_;
};

/// One change that a commit asks for, or makes.
struct GraphChange {
    enum class Kind : std::uint8_t { add_edge, remove_edge, set_rule, remove_rule };
    Kind kind = Kind::add_edge;
    Edge edge{};                ///< Of a rule only the child.
    graph::RulePointer rule{};  ///< set_rule only.
};

/// What they come to.
struct TriedChanges {
    std::vector<PageId> cycle{};     ///< Not empty: with them there would be this one.
    std::vector<GraphChange> net{};  ///< Else: each edge and each page's rule once at most.
};
/// The last change of an edge, or of a page's rule, counts. A cycle begins with an edge that one of
/// them adds.
[[nodiscard]] TriedChanges try_changes(const graph::Graph& graph,
                                       std::span<const GraphChange> changes);

/// Of a rule that was removed, or edges of a page that is deleted: what has to be removed with it.
void remove_with_page(const graph::Graph& graph, PageId page, std::vector<GraphChange>& out);

/// The part of a graph that a change of `seeds` can reach, as it is with `net` changes.
[[nodiscard]] graph::Graph reachable(const graph::Graph& graph, std::span<const GraphChange> net,
                                     std::span<const PageId> seeds);

}  // namespace mmsb::state
