#include "state/dependencies.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>

namespace mmsb::state {

namespace {

using Kind = GraphChange::Kind;

// What was there before the first change that touched it.
struct Before {
    std::map<Edge, bool> edges{};
    std::map<PageId, graph::RulePointer> rules{};
};

bool has(const graph::Graph& graph, const Edge& edge) {
    return (graph.kinds(edge.parent, edge.child) & graph::kind_of(edge.type)) != 0;
}

std::vector<PageId> make(graph::Graph& graph, const GraphChange& change) {
    const auto& [kind, edge, rule] = change;
    switch (kind) {
        case Kind::add_edge:
            return graph.add_edge(edge.parent, edge.child, edge.type);
        case Kind::remove_edge:
            graph.remove_edge(edge.parent, edge.child, edge.type);
            return {};
        case Kind::set_rule:
            return graph.set_rule(edge.child, rule);
        case Kind::remove_rule:
            graph.remove_rule(edge.child);
            return {};
    }
    return {};
}

bool same(const graph::RulePointer& a, const graph::RulePointer& b) {
    if (a == b) return true;
    return a && b && a->function == b->function && a->arguments == b->arguments &&
           a->parents == b->parents;
}

// First what is added goes, then what was removed comes back: no step closes a cycle.
void take_back(graph::Graph& graph, const Before& before) {
    for (const auto& [edge, was] : before.edges)
        if (!was) graph.remove_edge(edge.parent, edge.child, edge.type);
    for (const auto& [child, rule] : before.rules)
        if (!same(graph.rule(child), rule)) graph.remove_rule(child);
    for (const auto& [edge, was] : before.edges)
        if (was) static_cast<void>(graph.add_edge(edge.parent, edge.child, edge.type));
    for (const auto& [child, rule] : before.rules)
        if (rule && !graph.rule(child)) static_cast<void>(graph.set_rule(child, rule));
}

}  // namespace

TriedChanges try_changes(graph::Graph& graph, std::span<const GraphChange> changes) {
    TriedChanges result;
    Before before;
    for (const auto& change : changes) {
        if (change.kind == Kind::add_edge || change.kind == Kind::remove_edge)
            before.edges.try_emplace(change.edge, has(graph, change.edge));
        else
            before.rules.try_emplace(change.edge.child, graph.rule(change.edge.child));
        result.cycle = make(graph, change);
        if (!result.cycle.empty()) break;
    }
    if (result.cycle.empty()) {
        for (const auto& [edge, was] : before.edges)
            if (has(graph, edge) != was)
                result.net.push_back({was ? Kind::remove_edge : Kind::add_edge, edge, nullptr});
        for (const auto& [child, was] : before.rules) {
            auto now = graph.rule(child);
            if (same(now, was)) continue;
            const Edge edge{PageId::none, child, EdgeType::data};
            result.net.push_back({now ? Kind::set_rule : Kind::remove_rule, edge, std::move(now)});
        }
    }
    take_back(graph, before);
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
    for (const auto& [child, kinds] : graph.children_of(node))
        if ((kinds & graph::by_formula) != 0)
            out.push_back({Kind::remove_rule, {PageId::none, graph.page_of(child)}, nullptr});
}

graph::Graph reachable(const graph::Graph& graph, std::span<const GraphChange> net,
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
    std::vector<Edge> edges;
    std::vector<std::pair<PageId, graph::RulePointer>> all_rules;
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
            for (const auto& [child, kinds] : graph.children_of(node)) {
                const auto id = graph.page_of(child);
                for (const auto type :
                     {EdgeType::data, EdgeType::control, EdgeType::gpu_sync, EdgeType::compiler})
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
    graph::Graph part;
    static_cast<void>(part.load(edges, all_rules));  // no cycle: the changes were tried
    return part;
}

}  // namespace mmsb::state
