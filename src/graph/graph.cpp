#include "graph/graph.hpp"

#include "base/assert.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

namespace mmsb::graph {

namespace {

// As vectors grow, but before anything else is done.
template <class T>
void make_room(std::vector<T>& vector, std::size_t size) {
    if (vector.capacity() < size) vector.reserve(std::max(size, 2 * vector.capacity()));
}

}  // namespace

class Graph::Links final : public Neighbours {
public:
    explicit Links(const Graph& graph) : graph_(graph) {}
    void parents(Node node, std::vector<Node>& out) const override {
        for (const auto& parent : graph_.nodes_[node].parents) out.push_back(parent.node);
    }
    void children(Node node, std::vector<Node>& out) const override {
        for (const auto& child : graph_.nodes_[node].children) out.push_back(child.node);
    }
    [[nodiscard]] std::size_t parent_count(Node node) const override {
        return graph_.nodes_[node].parents.size();
    }
    [[nodiscard]] std::size_t child_count(Node node) const override {
        return graph_.nodes_[node].children.size();
    }

private:
    const Graph& graph_;
};

Graph::Graph() = default;
Graph::Graph(const Graph& other) = default;
Graph& Graph::operator=(const Graph& other) = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;
Graph::~Graph() = default;

// Where memory runs out nothing has changed, here and below: a record that was followed by half is
// followed again.
Node Graph::make_node(PageId page, bool first) {
    if (free_.empty()) {
        make_room(free_, nodes_.size() + 1);  // for when it goes
        free_.push_back(static_cast<Node>(nodes_.size()));
        try {
            nodes_.emplace_back();
        } catch (...) {
            free_.pop_back();
            throw;
        }
    }
    const auto node = free_.back();
    order_.make_room(node);
    by_page_.insert(page, node);
    free_.pop_back();
    nodes_[node].page = page;
    if (first)
        order_.add_first(node);
    else
        order_.add_last(node);
    return node;
}

void Graph::drop_if_idle(Node node) {
    auto& data = nodes_[node];
    if (data.rule || !data.children.empty() || !data.parents.empty()) return;
    order_.remove(node);
    by_page_.erase(data.page);
    data = {};
    free_.push_back(node);
}

std::uint32_t Graph::find_link(Node parent, Node child) const noexcept {
    const auto& children = nodes_[parent].children;
    const auto& parents = nodes_[child].parents;
    if (children.size() <= parents.size()) {
        const auto found = std::ranges::find(children, child, &Child::node);
        return found == children.end() ? no_link
                                       : static_cast<std::uint32_t>(found - children.begin());
    }
    const auto found = std::ranges::find(parents, parent, &Parent::node);
    return found == parents.end() ? no_link : found->at;
}

void Graph::add_kind(Node parent, Node child, Kinds kind) {
    auto& children = nodes_[parent].children;
    auto& parents = nodes_[child].parents;
    auto link = find_link(parent, child);
    if (link == no_link) {
        make_room(children, children.size() + 1);
        make_room(parents, parents.size() + 1);
        link = static_cast<std::uint32_t>(children.size());
        children.push_back({child, static_cast<std::uint32_t>(parents.size()), 0});
        parents.push_back({parent, link});
    }
    auto& kinds = children[link].kinds;
    edges_ += (kinds & kind) == 0 ? 1U : 0U;
    kinds = static_cast<Kinds>(kinds | kind);
}

// The last one of each list takes the place that is free.
void Graph::remove_kind(Node parent, Node child, Kinds kind) {
    const auto link = find_link(parent, child);
    MMSB_ASSERT(link != no_link);
    auto& children = nodes_[parent].children;
    auto& parents = nodes_[child].parents;
    auto& kinds = children[link].kinds;
    edges_ -= (kinds & kind) != 0 ? 1U : 0U;
    kinds = static_cast<Kinds>(kinds & ~kind);
    if (kinds != 0) return;
    const auto at = children[link].at;
    if (link + 1 != children.size()) {
        children[link] = children.back();
        nodes_[children[link].node].parents[children[link].at].at = link;
    }
    children.pop_back();
    if (at + 1 != parents.size()) {
        parents[at] = parents.back();
        nodes_[parents[at].node].children[parents[at].at].at = at;
    }
    parents.pop_back();
}

std::vector<PageId> Graph::put(PageId parent, PageId child, Kinds kind) {
    if (parent == child) return {parent, child};
    auto up = node_of(parent), down = node_of(child);
    const bool new_up = up == no_node, new_down = down == no_node;
    if (new_up) up = make_node(parent, !new_down);
    try {
        if (new_down) down = make_node(child, false);
        if (!order_.put_before(up, down, Links(*this))) {
            std::vector<PageId> cycle{parent};
            for (const auto node : order_.cycle()) cycle.push_back(page_of(node));
            return cycle;
        }
        add_kind(up, down, kind);
    } catch (...) {
        drop_if_idle(up);
        if (down != no_node) drop_if_idle(down);
        throw;
    }
    return {};
}

std::vector<PageId> Graph::add_edge(PageId parent, PageId child, EdgeType type) {
    return put(parent, child, kind_of(type));
}

bool Graph::remove_edge(PageId parent, PageId child, EdgeType type) {
    if ((kinds(parent, child) & kind_of(type)) == 0) return false;
    const auto up = node_of(parent), down = node_of(child);
    remove_kind(up, down, kind_of(type));
    drop_if_idle(up);
    drop_if_idle(down);
    return true;
}

std::vector<PageId> Graph::set_rule(PageId child, RulePointer rule) {
    MMSB_ASSERT(rule && !rule->parents.empty());
    const auto before = remove_rule(child);
    try {
        for (const auto parent : rule->parents) {
            auto cycle = put(parent, child, by_formula);
            if (cycle.empty()) continue;
            remove_links(*rule, child);
            if (before) static_cast<void>(set_rule(child, before));
            return cycle;
        }
        name_parents(node_of(child), *rule);
    } catch (...) {
        remove_links(*rule, child);
        throw;
    }
    nodes_[node_of(child)].rule = std::move(rule);
    ++rules_;
    return {};
}

void Graph::name_parents(Node child, const Rule& rule) {
    auto& named = nodes_[child].named;
    named.clear();
    named.reserve(rule.parents.size());
    for (const auto parent : rule.parents) named.push_back(node_of(parent));
}

void Graph::remove_links(const Rule& rule, PageId child) {
    for (const auto parent : rule.parents) {
        if ((kinds(parent, child) & by_formula) == 0) continue;  // named twice
        const auto up = node_of(parent);
        remove_kind(up, node_of(child), by_formula);
        drop_if_idle(up);
    }
    if (const auto node = node_of(child); node != no_node) drop_if_idle(node);
}

RulePointer Graph::remove_rule(PageId child) {
    const auto node = node_of(child);
    if (node == no_node || !nodes_[node].rule) return nullptr;
    const auto rule = std::exchange(nodes_[node].rule, nullptr);
    nodes_[node].named.clear();
    --rules_;
    remove_links(*rule, child);
    return rule;
}

void Graph::remove_link(Node parent, Node child) {
    for (const auto type : all_edge_types)
        if ((kinds(page_of(parent), page_of(child)) & kind_of(type)) != 0)
            remove_kind(parent, child, kind_of(type));
}

void Graph::remove_page(PageId page) {
    auto node = node_of(page);
    if (node == no_node) return;
    std::vector<PageId> neighbours;
    for (const auto& child : nodes_[node].children) neighbours.push_back(page_of(child.node));
    static_cast<void>(remove_rule(page));
    for (const auto child : neighbours)
        if ((kinds(page, child) & by_formula) != 0) static_cast<void>(remove_rule(child));
    node = node_of(page);
    if (node == no_node) return;
    while (!nodes_[node].children.empty()) {
        const auto child = nodes_[node].children.back().node;
        remove_link(node, child);
        drop_if_idle(child);
    }
    while (!nodes_[node].parents.empty()) {
        const auto parent = nodes_[node].parents.back().node;
        remove_link(parent, node);
        drop_if_idle(parent);
    }
    drop_if_idle(node);
}

void Graph::check_invariants() const {
    const auto wrong = [](const char* what) { throw std::logic_error(what); };
    std::size_t edges = 0, rules = 0, links = 0, backlinks = 0;
    for (Node node = 0; node != nodes_.size(); ++node) {
        const auto& data = nodes_[node];
        if (data.page == PageId::none) continue;
        if (node_of(data.page) != node) wrong("graph: a page does not lead to its node");
        if (!data.rule && data.children.empty() && data.parents.empty())
            wrong("graph: a node without edges");
        rules += data.rule ? 1 : 0;
        links += data.children.size();
        for (std::size_t i = 0; i != data.children.size(); ++i) {
            const auto& [child, at, kinds] = data.children[i];
            edges += static_cast<std::size_t>(std::popcount(kinds));
            if (kinds == 0) wrong("graph: a link that stands for nothing");
            const auto& back = nodes_[child].parents.at(at);
            if (back.node != node || back.at != i)
                wrong("graph: a child that does not know its parent");
            if (find_link(node, child) != i) wrong("graph: a link is not found, or there twice");
        }
        backlinks += data.parents.size();
        if (!data.rule) {
            if (!data.named.empty()) wrong("graph: parents of no formula");
            continue;
        }
        for (const auto parent : data.rule->parents)
            if ((kinds(parent, data.page) & by_formula) == 0)
                wrong("graph: a formula's parent without a link");
        if (!std::ranges::equal(data.named, data.rule->parents, {},
                                [this](Node parent) { return page_of(parent); }))
            wrong("graph: a formula's parents are others");
    }
    if (edges != edges_ || rules != rules_ || links != backlinks)
        wrong("graph: a wrong number of edges, rules or links");
    if (by_page_.size() != order_.size()) wrong("graph: pages that are not in the order");
    order_.check_invariants(Links(*this));
}

}  // namespace mmsb::graph
