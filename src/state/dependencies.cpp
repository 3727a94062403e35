#include "state/dependencies.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>

namespace mmsb::state {

namespace {

using Kind = GraphChange::Kind;

bool has(const graph::Graph& graph, const Edge& edge) {
    return (graph.kinds(edge.parent, edge.child) & graph::kind_of(edge.type)) != 0;
}

bool same(const graph::RulePointer& a, const graph::RulePointer& b) {
    if (a == b) return true;
    return a && b && a->function == b->function && a->arguments == b->arguments &&
           a->parents == b->parents;
}

std::vector<GraphChange> net_of(const graph::Graph& graph, std::span<const GraphChange> changes) {
    std::map<Edge, bool> edges;
    std::map<PageId, graph::RulePointer> rules;
    for (const auto& [kind, edge, rule] : changes) {
        if (kind == Kind::add_edge || kind == Kind::remove_edge)
            edges[edge] = kind == Kind::add_edge;
        else
            rules[edge.child] = rule;
    }
    std::vector<GraphChange> net;
    for (const auto& [edge, added] : edges)
        if (has(graph, edge) != added)
            net.push_back({added ? Kind::add_edge : Kind::remove_edge, edge, nullptr});
    for (auto& [child, rule] : rules)
        if (!same(graph.rule(child), rule))
            net.push_back({rule ? Kind::set_rule : Kind::remove_rule,
                           {PageId::none, child, EdgeType::data},
                           std::move(rule)});
    return net;
}

// Edges that are new, by parent and child.
std::set<std::pair<PageId, PageId>> new_pairs(std::span<const GraphChange> net) {
    std::set<std::pair<PageId, PageId>> pairs;
    for (const auto& [kind, edge, rule] : net) {
        if (kind == Kind::add_edge) pairs.emplace(edge.parent, edge.child);
        if (!rule) continue;
        for (const auto parent : rule->parents) pairs.emplace(parent, edge.child);
    }
    return pairs;
}

// Does the order that the graph has say already that there is no way back?
bool is_in_order(const graph::Graph& graph, std::pair<PageId, PageId> pair) {
    const auto parent = graph.node_of(pair.first), child = graph.node_of(pair.second);
    if (pair.first == pair.second) return false;
    if (parent == graph::no_node || child == graph::no_node) return true;
    return graph.order().position(parent) < graph.order().position(child);
}

// The part of the graph with the changes that is reached from these pages.
struct Part {
    std::vector<Edge> edges{};
    std::vector<std::pair<PageId, graph::RulePointer>> rules{};
};
Part part_of(const graph::Graph& graph, std::span<const GraphChange> net,
             std::span<const PageId> seeds);

// One that is in the part, and begins with a new pair. REQUIRES that there is one.
std::vector<PageId> cycle_in(const Part& part, const std::set<std::pair<PageId, PageId>>& fresh) {
    std::multimap<PageId, PageId> children;
    for (const auto& edge : part.edges) children.emplace(edge.parent, edge.child);
    for (const auto& [child, rule] : part.rules)
        for (const auto parent : rule->parents) children.emplace(parent, child);
    for (const auto& [parent, child] : fresh) {
        std::map<PageId, PageId> from{{child, parent}};
        std::vector<PageId> next{child};
        while (!next.empty() && !from.contains(parent)) {
            const auto page = next.back();
            next.pop_back();
            for (auto [at, end] = children.equal_range(page); at != end; ++at)
                if (from.emplace(at->second, page).second) next.push_back(at->second);
        }
        if (parent != child && !from.contains(parent)) continue;
        std::vector<PageId> way{parent};
        if (parent != child)
            for (auto page = from.at(parent); page != parent; page = from.at(page))
                way.push_back(page);
        way.push_back(parent);
        std::ranges::reverse(way);
        return way;
    }
    return {};
}

}  // namespace

TriedChanges try_changes(const graph::Graph& graph, std::span<const GraphChange> changes) {
    TriedChanges result;
    result.net = net_of(graph, changes);
    const auto fresh = new_pairs(result.net);
    if (fresh.empty() || (fresh.size() == 1 && is_in_order(graph, *fresh.begin()))) return result;
    std::vector<PageId> seeds;
    seeds.reserve(fresh.size());
    for (const auto& [parent, child] : fresh) seeds.push_back(child);
    const auto part = part_of(graph, result.net, seeds);
    if (graph::Graph made; made.load(part.edges, part.rules)) return result;
    result.cycle = cycle_in(part, fresh);
    return result;
}

void remove_with_page(const graph::Graph& graph, PageId page, std::vector<GraphChange>& out) {
    const auto node = graph.node_of(page);
    if (node == graph::no_node) return;
    const auto remove = [&](const Edge& edge) {
        if (has(graph, edge)) out.push_back({Kind::remove_edge, edge, nullptr});
    };
    if (graph.rule_of(node)) out.push_back({Kind::remove_rule, {PageId::none, page}, nullptr});
    for (const auto& edge : graph.parents(page)) remove(edge);
    for (const auto& edge : graph.children(page)) remove(edge);
    for (const auto& [child, at, kinds] : graph.children_of(node))
        if ((kinds & graph::by_formula) != 0)
            out.push_back({Kind::remove_rule, {PageId::none, graph.page_of(child)}, nullptr});
}

namespace {

Part part_of(const graph::Graph& graph, std::span<const GraphChange> net,
             std::span<const PageId> seeds) {
    std::map<PageId, graph::RulePointer> rules;  // that are not the graph's
    std::multimap<PageId, PageId> added;         // children by a rule or edge that is new
    std::set<Edge> gone, fresh;
    for (const auto& [kind, edge, rule] : net) {
        if (kind == Kind::remove_edge) gone.insert(edge);
        if (kind == Kind::add_edge) {
            fresh.insert(edge);
            added.emplace(edge.parent, edge.child);
        }
        if (kind != Kind::set_rule && kind != Kind::remove_rule) continue;
        rules[edge.child] = rule;
        if (!rule) continue;
        for (const auto parent : rule->parents) added.emplace(parent, edge.child);
    }
    Part part;
    auto& [edges, all_rules] = part;
    std::unordered_set<PageId> seen(seeds.begin(), seeds.end());
    std::vector<PageId> next(seen.begin(), seen.end());
    const auto visit = [&](PageId page) {
        if (seen.insert(page).second) next.push_back(page);
    };
    while (!next.empty()) {
        const auto page = next.back();
        next.pop_back();
        const auto changed = rules.find(page);
        auto rule = changed == rules.end() ? graph.rule(page) : changed->second;
        if (rule) all_rules.emplace_back(page, std::move(rule));
        if (const auto node = graph.node_of(page); node != graph::no_node) {
            for (const auto& [child, at, kinds] : graph.children_of(node)) {
                const auto id = graph.page_of(child);
                for (const auto type : graph::all_edge_types)
                    if ((kinds & graph::kind_of(type)) != 0 && !gone.contains({page, id, type}))
                        edges.push_back({page, id, type});
                visit(id);
            }
        }
        for (auto [child, end] = added.equal_range(page); child != end; ++child)
            visit(child->second);
        for (auto edge = fresh.lower_bound({page, PageId::none, EdgeType::data});
             edge != fresh.end() && edge->parent == page; ++edge)
            edges.push_back(*edge);
    }
    return part;
}

}  // namespace

graph::Graph reachable(const graph::Graph& graph, std::span<const GraphChange> net,
                       std::span<const PageId> seeds) {
    const auto part = part_of(graph, net, seeds);
    graph::Graph made;
    static_cast<void>(made.load(part.edges, part.rules));  // no cycle: the changes were tried
    return made;
}

}  // namespace mmsb::state
