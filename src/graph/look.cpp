// What is asked of a graph.
#include "graph/graph.hpp"

#include <algorithm>

namespace mmsb::graph {

namespace {

// One edge a type; a formula's is an edge of data.
void add_edges(PageId parent, PageId child, Kinds kinds, std::vector<Edge>& out) {
    for (const auto type : all_edge_types) {
        const bool by_rule = type == EdgeType::data && (kinds & by_formula) != 0;
        if (by_rule || (kinds & kind_of(type)) != 0) out.push_back({parent, child, type});
    }
}

}  // namespace

const RulePointer& Graph::rule(PageId page) const {
    static const RulePointer none;
    const auto node = node_of(page);
    return node == no_node ? none : nodes_[node].rule;
}

Kinds Graph::kinds(PageId parent, PageId child) const {
    const auto up = node_of(parent), down = node_of(child);
    if (up == no_node || down == no_node) return 0;
    const auto link = find_link(up, down);
    return link == no_link ? Kinds{0} : nodes_[up].children[link].kinds;
}

bool Graph::has_edge(PageId parent, PageId child) const { return kinds(parent, child) != 0; }

std::vector<Edge> Graph::parents(PageId page) const {
    std::vector<Edge> all;
    const auto node = node_of(page);
    if (node == no_node) return all;
    std::vector<PageId> ids;
    if (nodes_[node].rule) ids = nodes_[node].rule->parents;
    std::vector<PageId> others;
    for (const auto& [parent, at] : nodes_[node].parents)
        if ((nodes_[parent].children[at].kinds & by_formula) == 0)
            others.push_back(page_of(parent));
    std::ranges::sort(others);
    ids.insert(ids.end(), others.begin(), others.end());
    for (const auto id : ids) add_edges(id, page, kinds(id, page), all);
    return all;
}

std::vector<Edge> Graph::children(PageId page) const {
    std::vector<Edge> all;
    const auto node = node_of(page);
    if (node == no_node) return all;
    auto links = nodes_[node].children;
    std::ranges::sort(links, {}, [this](const Child& child) { return page_of(child.node); });
    for (const auto& [child, at, kinds] : links) add_edges(page, page_of(child), kinds, all);
    return all;
}

std::vector<PageId> Graph::in_order(std::vector<Node> nodes) const {
    std::ranges::sort(nodes, {}, [this](Node node) { return order_.position(node); });
    std::vector<PageId> ids;
    ids.reserve(nodes.size());
    for (const auto node : nodes) ids.push_back(page_of(node));
    return ids;
}

std::vector<PageId> Graph::reached(PageId page, bool up) const {
    const auto node = node_of(page);
    if (node == no_node) return {};
    std::vector<bool> seen(nodes_.size());
    std::vector<Node> found{node};
    seen[node] = true;
    const auto visit = [&](Node next) {
        if (seen[next]) return;
        seen[next] = true;
        found.push_back(next);
    };
    for (std::size_t i = 0; i != found.size(); ++i) {
        if (up)
            for (const auto& parent : nodes_[found[i]].parents) visit(parent.node);
        else
            for (const auto& child : nodes_[found[i]].children) visit(child.node);
    }
    found.erase(found.begin());
    return in_order(std::move(found));
}

std::vector<PageId> Graph::ancestors(PageId page) const { return reached(page, true); }
std::vector<PageId> Graph::descendants(PageId page) const { return reached(page, false); }

std::vector<PageId> Graph::topological_order() const {
    std::vector<PageId> ids;
    ids.reserve(node_count());
    for (auto p = order_.first(); p != order_.end(); ++p)
        if (order_.at(p) != no_node) ids.push_back(page_of(order_.at(p)));
    return ids;
}

std::vector<PageId> Graph::derived() const {
    std::vector<PageId> ids;
    ids.reserve(rules_);
    for (auto p = order_.first(); p != order_.end(); ++p)
        if (const auto node = order_.at(p); node != no_node && nodes_[node].rule)
            ids.push_back(page_of(node));
    return ids;
}

std::size_t Graph::depth() const {
    std::vector<std::size_t> length(nodes_.size());
    std::size_t longest = 0;
    for (auto p = order_.first(); p != order_.end(); ++p) {
        const auto node = order_.at(p);
        if (node == no_node) continue;
        for (const auto& child : nodes_[node].children)
            longest = std::max(longest,
                               length[child.node] = std::max(length[child.node], length[node] + 1));
    }
    return longest;
}

std::vector<Edge> Graph::edges() const {
    std::vector<Edge> all;
    for (const auto page : topological_order()) {
        const auto of_page = children(page);
        all.insert(all.end(), of_page.begin(), of_page.end());
    }
    return all;
}

std::vector<Edge> Graph::added_edges() const {
    std::vector<Edge> all;
    for (const auto& data : nodes_)
        for (const auto& [child, at, kinds] : data.children)
            add_edges(data.page, page_of(child), static_cast<Kinds>(kinds & ~by_formula), all);
    return all;
}

}  // namespace mmsb::graph
