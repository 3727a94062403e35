// A whole graph at once.
#include "base/assert.hpp"
#include "graph/graph.hpp"

#include <bit>
#include <numeric>

namespace mmsb::graph {

/// All links of all nodes, one behind the other. Each step reads memory in order; what it touches
/// out of order is a few bytes a node. (Each link by itself, and lists of each node that are walked
/// in another order than they were made in, would be several misses a link.)
class Graph::Loading {
public:
    explicit Loading(Graph& graph) : graph_(graph) {}

    void reserve(std::size_t links) {
        MMSB_ASSERT(links < no_link);
        links_.reserve(links);
    }
    [[nodiscard]] Node node(PageId page) {
        const auto there = graph_.node_of(page);
        return there == no_node ? graph_.make_node(page, false) : there;
    }
    void add(Node parent, Node child, Kinds kind) { links_.push_back({parent, child, kind}); }

    /// Makes the graph's lists and order of all that was added. False: there is a cycle.
    [[nodiscard]] bool finish() {
        nodes_ = graph_.nodes_.size();
        sort_by_parent();
        find_children();
        find_parents();
        if (!find_order()) return false;
        for (Node node = 0; node != nodes_; ++node) {
            const auto below = part(children_, first_child_, node);
            const auto above = part(parents_, first_parent_, node);
            graph_.nodes_[node].children.assign(below.begin(), below.end());
            graph_.nodes_[node].parents.assign(above.begin(), above.end());
        }
        return true;
    }

private:
    struct Link {
        Node parent = no_node, child = no_node;
        Kinds kind = 0;
    };
    using Indices = std::vector<std::uint32_t>;  // by node, and one for the end

    template <class T>
    static std::span<const T> part(const std::vector<T>& all, const Indices& first, Node node) {
        return std::span(all).subspan(first[node], first[node + std::size_t{1}] - first[node]);
    }

    // A counting sort.
    void sort_by_parent() {
        Indices place(nodes_ + 1);
        for (const auto& link : links_) ++place[link.parent + std::size_t{1}];
        std::partial_sum(place.begin(), place.end(), place.begin());
        std::vector<Link> sorted(links_.size());
        for (const auto& link : links_) sorted[place[link.parent]++] = link;
        links_ = std::move(sorted);
    }

    // Each pair once, with all its kinds.
    void find_children() {
        children_.reserve(links_.size());
        first_child_.resize(nodes_ + 1);
        first_parent_.resize(nodes_ + 1);
        Indices known(nodes_, no_link);  // by child: where it is in children_
        auto next = links_.begin();
        for (Node parent = 0; parent != nodes_; ++parent) {
            const auto first = first_child_[parent] = count_of(children_);
            for (; next != links_.end() && next->parent == parent; ++next) {
                auto& at = known[next->child];
                if (at == no_link || at < first) {
                    at = count_of(children_);
                    children_.push_back({next->child, 0, 0});
                    ++first_parent_[next->child + std::size_t{1}];
                }
                children_[at].kinds = static_cast<Kinds>(children_[at].kinds | next->kind);
            }
        }
        first_child_[nodes_] = count_of(children_);
        std::partial_sum(first_parent_.begin(), first_parent_.end(), first_parent_.begin());
    }

    // The same links from the other side.
    void find_parents() {
        parents_.resize(children_.size());
        auto place = first_parent_;
        for (Node parent = 0; parent != nodes_; ++parent)
            for (auto i = first_child_[parent]; i != first_child_[parent + std::size_t{1}]; ++i) {
                auto& child = children_[i];
                const auto at = place[child.node]++;
                child.at = at - first_parent_[child.node];
                parents_[at] = {parent, i - first_child_[parent]};
                graph_.edges_ += static_cast<std::size_t>(std::popcount(child.kinds));
            }
    }

    // Kahn's algorithm.
    [[nodiscard]] bool find_order() {
        Indices missing(nodes_);
        std::vector<Node> order;
        order.reserve(nodes_);
        for (Node node = 0; node != nodes_; ++node) {
            missing[node] = first_parent_[node + std::size_t{1}] - first_parent_[node];
            if (missing[node] == 0) order.push_back(node);
        }
        for (std::size_t i = 0; i != order.size(); ++i)
            for (const auto& child : part(children_, first_child_, order[i]))
                if (--missing[child.node] == 0) order.push_back(child.node);
        if (order.size() != nodes_) return false;
        graph_.order_.assign(order);
        return true;
    }

    static std::uint32_t count_of(const std::vector<Child>& all) noexcept {
        return static_cast<std::uint32_t>(all.size());
    }

    Graph& graph_;
    std::size_t nodes_ = 0;
    std::vector<Link> links_{};
    std::vector<Child> children_{};  // by parent
    std::vector<Parent> parents_{};  // by child
    Indices first_child_{}, first_parent_{};
};

bool Graph::load(std::span<const Edge> edges,
                 const std::vector<std::pair<PageId, RulePointer>>& rules) {
    Graph made;
    Loading loading(made);
    std::size_t named = 0;
    for (const auto& rule : rules) named += rule.second->parents.size();
    loading.reserve(edges.size() + named);
    for (const auto& edge : edges) {
        if (edge.parent == edge.child) return false;
        const auto parent = loading.node(edge.parent);
        loading.add(parent, loading.node(edge.child), kind_of(edge.type));
    }
    for (const auto& [child, rule] : rules) {
        const auto node = loading.node(child);
        for (const auto parent : rule->parents) {
            if (parent == child) return false;
            loading.add(loading.node(parent), node, by_formula);
        }
        made.name_parents(node, *rule);
        made.nodes_[node].rule = rule;
        ++made.rules_;
    }
    if (!loading.finish()) return false;
    *this = std::move(made);
    return true;
}

}  // namespace mmsb::graph
