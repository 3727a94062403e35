/// graph/graph: which page depends on which, and by what each derived page is computed. Pure.
///
/// May include: base and the vocabulary. It knows pages by id and no bytes: who propagates a change
/// (graph/propagate) gets those through callables.
///
/// Invariants: (1) there is no cycle, whatever the edges' types; (2) a pair of pages has one link,
/// which knows all types of edges between them, and whether the child's formula names the parent;
/// (3) a node is there while it has a link or a formula. Threads: const from any, else alone.
#pragma once

#include "graph/order.hpp"
#include "graph/page_index.hpp"

#include <mmsb/types.hpp>

#include <array>
#include <memory>
#include <optional>

namespace mmsb::graph {

/// By what a page is computed, as the log has it.
struct Rule {
    std::string function{};
    Bytes arguments{};
    std::vector<PageId> parents{};  ///< In the formula's order; one may be there twice.
};
using RulePointer = std::shared_ptr<const Rule>;

/// What a link stands for: a set of edges' types, and of the formula.
using Kinds = std::uint8_t;
inline constexpr Kinds by_formula = 0x10;
inline constexpr std::array all_edge_types{EdgeType::data, EdgeType::control, EdgeType::gpu_sync,
                                           EdgeType::compiler};
[[nodiscard]] constexpr Kinds kind_of(EdgeType type) noexcept {
    return static_cast<Kinds>(1U << static_cast<unsigned>(type));
}

class Graph {
public:
    Graph();
    Graph(const Graph& other);
    Graph& operator=(const Graph& other);
    Graph(Graph&&) noexcept;
    Graph& operator=(Graph&&) noexcept;
    ~Graph();

    /// The cycle that it would close (parent, child, ..., parent), or empty: it is there. Where
    /// there is a cycle nothing has changed.
    [[nodiscard]] std::vector<PageId> add_edge(PageId parent, PageId child, EdgeType type);
    /// False: it was not there.
    bool remove_edge(PageId parent, PageId child, EdgeType type);
    /// Likewise; in place of the rule that it has. REQUIRES a rule with a parent. Where memory runs
    /// out the page has no rule.
    [[nodiscard]] std::vector<PageId> set_rule(PageId child, RulePointer rule);
    /// What was there, or nullptr.
    RulePointer remove_rule(PageId child);
    /// With all its edges, and the rules that name it as a parent.
    void remove_page(PageId page);
    /// Everything at once, in linear time, in place of what is there. False: there is a cycle, and
    /// nothing has changed.
    [[nodiscard]] bool load(std::span<const Edge> edges,
                            const std::vector<std::pair<PageId, RulePointer>>& rules);

    [[nodiscard]] bool empty() const noexcept { return order_.size() == 0; }
    [[nodiscard]] std::size_t node_count() const noexcept { return order_.size(); }
    [[nodiscard]] std::size_t edge_count() const noexcept { return edges_; }  ///< Links' types.
    [[nodiscard]] std::size_t rule_count() const noexcept { return rules_; }
    [[nodiscard]] const RulePointer& rule(PageId page) const;        ///< nullptr: it has none.
    [[nodiscard]] bool has_edge(PageId parent, PageId child) const;  ///< Of any type.
    [[nodiscard]] Kinds kinds(PageId parent, PageId child) const;
    /// In the order of the formula, then by id; by id. One edge a type.
    [[nodiscard]] std::vector<Edge> parents(PageId page) const;
    [[nodiscard]] std::vector<Edge> children(PageId page) const;
    [[nodiscard]] std::vector<PageId> ancestors(PageId page) const;    ///< Parents first.
    [[nodiscard]] std::vector<PageId> descendants(PageId page) const;  ///< Likewise.
    [[nodiscard]] std::vector<PageId> topological_order() const;
    [[nodiscard]] std::size_t depth() const;  ///< The longest path, in edges.
    [[nodiscard]] std::vector<Edge> edges() const;
    [[nodiscard]] std::vector<Edge> added_edges() const;  ///< Those that no formula makes.
    [[nodiscard]] std::vector<PageId> derived() const;    ///< Pages with a rule, parents first.

    // -- for who propagates: nodes instead of ids
    struct Child {
        Node node = no_node;
        std::uint32_t at = 0;  ///< Where among its parents this one is.
        Kinds kinds = 0;
    };
    [[nodiscard]] Node node_of(PageId page) const noexcept {  ///< no_node: it has no edge.
        return by_page_.find(page);
    }
    [[nodiscard]] PageId page_of(Node node) const noexcept { return nodes_[node].page; }
    [[nodiscard]] const RulePointer& rule_of(Node node) const noexcept { return nodes_[node].rule; }
    /// The parents that its rule names, in the rule's order.
    [[nodiscard]] std::span<const Node> named_by(Node node) const noexcept {
        return nodes_[node].named;
    }
    [[nodiscard]] std::span<const Child> children_of(Node node) const noexcept {
        return nodes_[node].children;
    }
    /// It will be asked for soon: its rule and children lie somewhere else each.
    void prefetch(Node node) const noexcept {
        const auto& data = nodes_[node];
        __builtin_prefetch(data.children.data());
        __builtin_prefetch(data.named.data());
        __builtin_prefetch(data.rule.get());
    }
    [[nodiscard]] const Order& order() const noexcept { return order_; }
    [[nodiscard]] std::size_t node_slots() const noexcept { return nodes_.size(); }

    /// Throws std::logic_error naming what is wrong. For tests.
    void check_invariants() const;

private:
    // Always has room for all nodes, in a copy as well: so that a node goes without memory.
    struct Free : std::vector<Node> {
        Free() = default;
        Free(const Free& other) : std::vector<Node>(other) { reserve(other.capacity()); }
        Free& operator=(const Free& other) {
            std::vector<Node>::operator=(other);
            reserve(other.capacity());
            return *this;
        }
        Free(Free&&) noexcept = default;
        Free& operator=(Free&&) noexcept = default;
        ~Free() = default;
    };

    class Links;
    struct Parent {
        Node node = no_node;
        std::uint32_t at = 0;  // where among its children this one is
    };
    struct NodeData {
        PageId page = PageId::none;
        RulePointer rule{};
        std::vector<Node> named{};  // the rule's parents
        std::vector<Child> children{};
        std::vector<Parent> parents{};
    };
    static constexpr std::uint32_t no_link = std::numeric_limits<std::uint32_t>::max();

    Node make_node(PageId page, bool first);
    void drop_if_idle(Node node);
    // Where among the parent's children the child is; no_link: nowhere. As long as the shorter of
    // the two lists: over all links of a graph of n that is about the root of n at most, whatever
    // its shape (Chiba, Nishizeki: "Arboricity and subgraph listing algorithms", SIAM J. Comput.
    // 14, 1985), and cheaper than a table of pairs.
    [[nodiscard]] std::uint32_t find_link(Node parent, Node child) const noexcept;
    void add_kind(Node parent, Node child, Kinds kind);
    void remove_kind(Node parent, Node child, Kinds kind);
    class Loading;
    void name_parents(Node child, const Rule& rule);
    void remove_links(const Rule& rule, PageId child);  // Those that it makes.
    void remove_link(Node parent, Node child);          // All kinds but the formula's.
    [[nodiscard]] std::vector<PageId> put(PageId parent, PageId child, Kinds kind);
    [[nodiscard]] std::vector<PageId> in_order(std::vector<Node> nodes) const;
    [[nodiscard]] std::vector<PageId> reached(PageId page, bool up) const;

    std::vector<NodeData> nodes_{};
    Free free_{};
    PageIndex by_page_{};
    Order order_{};
    std::size_t edges_ = 0, rules_ = 0;
};

}  // namespace mmsb::graph
