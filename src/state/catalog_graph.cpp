// What of the catalog is the dependency graph.
#include "state/catalog.hpp"

#include <mmsb/error.hpp>

#include <mutex>

namespace mmsb::state {

namespace {

graph::RulePointer rule_of(const replay::Formula& formula) {
    return std::make_shared<const graph::Rule>(
        graph::Rule{formula.function, formula.arguments, formula.parents});
}

}  // namespace

bool Catalog::is_derived(PageId page) const {
    const std::shared_lock lock(mutex_);
    return graph_->graph.rule(page) != nullptr;
}

GraphView Catalog::graph(log::Lsn& head) const {
    const std::shared_lock lock(mutex_);
    head = graph_head_;
    return GraphView(graph_);
}

graph::Graph& Catalog::own_graph() {
    if (graph_->lookers.load(std::memory_order_acquire) != 0) {
        auto copy = std::make_shared<HeldGraph>();
        copy->graph = graph_->graph;
        graph_ = std::move(copy);
    }
    return graph_->graph;
}

void Catalog::replace_graph(const replay::Structure& by) {
    const auto& [edges, formulas] = by.dependencies;
    std::vector<std::pair<PageId, graph::RulePointer>> rules;
    rules.reserve(formulas.size());
    for (const auto& [child, formula] : formulas) {
        rules.emplace_back(child, rule_of(formula));
        has_edges(child);
        for (const auto parent : formula.parents) has_edges(parent);
    }
    for (const auto& edge : edges) {
        has_edges(edge.parent);
        has_edges(edge.child);
    }
    auto made = std::make_shared<HeldGraph>();
    // A cycle is in no log that we wrote; of another one the pages are there, and no graph.
    static_cast<void>(made->graph.load(std::vector<Edge>(edges.begin(), edges.end()), rules));
    graph_ = std::move(made);
    graph_head_ = graph_->graph.empty() ? 0 : by.head;
}

replay::Dependencies Catalog::dependencies_of(const graph::Graph& graph) {
    replay::Dependencies all;
    for (const auto& edge : graph.added_edges()) all.edges.insert(edge);
    for (const auto page : graph.derived()) {
        const auto rule = graph.rule(page);
        all.formulas[page] = {rule->function, rule->arguments, rule->parents};
    }
    return all;
}

void Catalog::apply_graph(const log::Record& record, std::span<const std::byte> body) {
    auto& graph = own_graph();
    // What goes first, a formula that is replaced among it; what comes then: as in replay
    // (DependencyChange).
    log::EntryReader going(body);
    for (log::Entry entry; going.next(entry);) {
        if (entry.kind == log::EntryKind::edge && !entry.edge.added)
            graph.remove_edge(entry.edge.parent, entry.edge.child, entry.edge.type);
        if (entry.kind == log::EntryKind::formula) graph.remove_rule(entry.formula.child);
    }
    log::EntryReader coming(body);
    for (log::Entry entry; coming.next(entry);) {
        std::vector<PageId> cycle;
        if (entry.kind == log::EntryKind::edge && entry.edge.added) {
            has_edges(entry.edge.parent);
            has_edges(entry.edge.child);
            cycle = graph.add_edge(entry.edge.parent, entry.edge.child, entry.edge.type);
        }
        if (entry.kind == log::EntryKind::formula && entry.formula.added) {
            const auto parents = log::page_ids(entry.formula.parents);
            has_edges(entry.formula.child);
            for (const auto parent : parents) has_edges(parent);
            cycle = graph.set_rule(
                entry.formula.child,
                rule_of({std::string(entry.formula.function),
                         {entry.formula.arguments.begin(), entry.formula.arguments.end()},
                         parents}));
        }
        if (!cycle.empty())
            throw Corrupt(ErrorCode::corrupt, "the log's dependency graph has a cycle",
                          {.page = cycle.front(),
                           .expected = "edges without a way back",
                           .found = "a cycle",
                           .sequence = record.sequence});
    }
    graph_head_ = record.start;
}

}  // namespace mmsb::state
