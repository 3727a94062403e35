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
        const auto& all = graph_.nodes_[node].parents;
        out.insert(out.end(), all.begin(), all.end());
    }
    void children(Node node, std::vector<Node>& out) const override {
        for (const auto& child : graph_.nodes_[node].children) out.push_back(child.node);
    }
    [[nodiscard]] bool has_parents(Node node) const override {
        return !graph_.nodes_[node].parents.empty();
    }
    [[nodiscard]] bool has_children(Node node) const override {
        return !graph_.nodes_[node].children.empty();
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

std::uint64_t Graph::pair_of(Node parent, Node child) noexcept {
    // Mixed, since std::hash of a number is the number.
    return (std::uint64_t{parent} << 32U | child) * 0x9e3779b97f4a7c15U;
}

Node Graph::node_of(PageId page) const noexcept {
    const auto found = by_page_.find(page);
    return found == by_page_.end() ? no_node : found->second;
}

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
    by_page_.emplace(page, node);
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

void Graph::add_kind(Node parent, Node child, Kinds kind) {
    auto& up = nodes_[parent];
    auto& down = nodes_[child];
    make_room(up.at_child, up.at_child.size() + 1);
    make_room(up.children, up.children.size() + 1);
    make_room(down.at_parent, down.at_parent.size() + 1);
    make_room(down.parents, down.parents.size() + 1);
    const auto [link, fresh] =
        links_.try_emplace(pair_of(parent, child), static_cast<std::uint32_t>(up.children.size()));
    if (fresh) {
        up.at_child.push_back(static_cast<std::uint32_t>(down.parents.size()));
        down.at_parent.push_back(link->second);
        up.children.push_back({child, 0});
        down.parents.push_back(parent);
    }
    auto& kinds = up.children[link->second].kinds;
    edges_ += (kinds & kind) == 0 ? 1U : 0U;
    kinds = static_cast<Kinds>(kinds | kind);
}

void Graph::remove_kind(Node parent, Node child, Kinds kind) {
    const auto link = links_.find(pair_of(parent, child));
    auto& up = nodes_[parent];
    auto& down = nodes_[child];
    const auto i = link->second;
    auto& kinds = up.children[i].kinds;
    edges_ -= (kinds & kind) != 0 ? 1U : 0U;
    kinds = static_cast<Kinds>(kinds & ~kind);
    if (kinds != 0) return;
    links_.erase(link);
    const auto j = up.at_child[i];
    // The last one of each list takes the place that is free.
    if (i + 1 != up.children.size()) {
        up.children[i] = up.children.back();
        up.at_child[i] = up.at_child.back();
        nodes_[up.children[i].node].at_parent[up.at_child[i]] = i;
        links_[pair_of(parent, up.children[i].node)] = i;
    }
    up.children.pop_back();
    up.at_child.pop_back();
    if (j + 1 != down.parents.size()) {
        down.parents[j] = down.parents.back();
        down.at_parent[j] = down.at_parent.back();
        nodes_[down.parents[j]].at_child[down.at_parent[j]] = j;
    }
    down.parents.pop_back();
    down.at_parent.pop_back();
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
    static_cast<void>(remove_rule(page));
    auto node = node_of(page);
    if (node == no_node) return;
    std::vector<PageId> neighbours;
    for (const auto& child : nodes_[node].children) neighbours.push_back(page_of(child.node));
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
        const auto parent = nodes_[node].parents.back();
        remove_link(parent, node);
        drop_if_idle(parent);
    }
    drop_if_idle(node);
}

bool Graph::load(std::span<const Edge> edges,
                 const std::vector<std::pair<PageId, RulePointer>>& rules) {
    Graph made;
    const auto node = [&made](PageId page) {
        const auto there = made.node_of(page);
        return there == no_node ? made.make_node(page, false) : there;
    };
    for (const auto& edge : edges) {
        if (edge.parent == edge.child) return false;
        const auto up = node(edge.parent);
        made.add_kind(up, node(edge.child), kind_of(edge.type));
    }
    for (const auto& [child, rule] : rules) {
        const auto down = node(child);
        for (const auto parent : rule->parents) {
            if (parent == child) return false;
            made.add_kind(node(parent), down, by_formula);
        }
        made.name_parents(down, *rule);
        made.nodes_[down].rule = rule;
        ++made.rules_;
    }
    if (!made.order_.sort(Links(made))) return false;
    *this = std::move(made);
    return true;
}

void Graph::check_invariants() const {
    const auto wrong = [](const char* what) { throw std::logic_error(what); };
    std::size_t edges = 0, rules = 0, links = 0;
    for (Node node = 0; node != nodes_.size(); ++node) {
        const auto& data = nodes_[node];
        if (data.page == PageId::none) continue;
        if (node_of(data.page) != node) wrong("graph: a page does not lead to its node");
        if (!data.rule && data.children.empty() && data.parents.empty())
            wrong("graph: a node without edges");
        rules += data.rule ? 1 : 0;
        links += data.children.size();
        for (std::size_t i = 0; i != data.children.size(); ++i) {
            const auto& [child, kinds] = data.children[i];
            edges += static_cast<std::size_t>(std::popcount(kinds));
            const auto at = data.at_child.at(i);
            if (kinds == 0) wrong("graph: a link that stands for nothing");
            if (nodes_[child].parents.at(at) != node || nodes_[child].at_parent.at(at) != i)
                wrong("graph: a child that does not know its parent");
            const auto link = links_.find(pair_of(node, child));
            if (link == links_.end() || link->second != i) wrong("graph: a link is not found");
        }
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
    if (edges != edges_ || rules != rules_ || links != links_.size())
        wrong("graph: a wrong number of edges, rules or links");
    if (by_page_.size() != order_.size()) wrong("graph: pages that are not in the order");
    order_.check_invariants(Links(*this));
}

}  // namespace mmsb::graph
