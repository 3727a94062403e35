#include "state/derive.hpp"

#include "state/computing.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <functional>
#include <ranges>
#include <set>
#include <unordered_set>

namespace mmsb::state {

namespace {

using Kind = GraphChange::Kind;

bool is_stale_now(const Attachment& bus, PageId page) {
    const auto line = bus.catalog.line_of(page);
    const auto* found = line ? bus.arena->line(*line) : nullptr;
    return found != nullptr && (found->location.load(relaxed) & arena::stale_bit) != 0;
}

class Deriver {
public:
    Deriver(Attachment& bus, Staged& staged, Propagation mode)
        : bus_(bus), staged_(staged), by_id_(staged), mode_(mode) {}

    void run() {
        staged_.made.clear();
        staged_.made.is_derived = true;
        for (auto& page : staged_.pages) {
            page.computed.reset();
            page.stale.reset();
        }
        bus_.catalog.follow_logged(bus_);
        const auto view = bus_.catalog.graph(staged_.made.graph_head);
        const auto net = net_changes(*view);
        check_changes(*view, net);
        if (staged_.refresh) {
            choose(*view, staged_.refresh->priority);
            take_part(*view, *staged_.refresh);
        }
        staged_.made.graph = net;
        const bool rules_change = std::ranges::any_of(net, [](const GraphChange& change) {
            return change.kind == Kind::set_rule || change.kind == Kind::remove_rule;
        });
        // Edges count as they are behind this commit. (Of others than these nothing becomes stale.)
        const bool bounds_change = std::ranges::any_of(net, [](const GraphChange& change) {
            return change.edge.type == EdgeType::control || change.edge.type == EdgeType::compiler;
        });
        if (!rules_change && (staged_.pages.empty() || !bounds_change)) return propagate(*view, {});
        const auto seeds = seeds_of(net);
        propagate(reachable(*view, net, seeds), net);
    }

private:
    std::vector<GraphChange> net_changes(const graph::Graph& graph) const {
        const auto changes = all_changes(graph);
        if (changes.empty()) return {};
        auto tried = try_changes(graph, changes);
        if (!tried.cycle.empty()) throw_cycle(tried.cycle);
        return std::move(tried.net);
    }

    // What goes with pages that go, then what was asked for: that counts.
    std::vector<GraphChange> all_changes(const graph::Graph& graph) const {
        std::vector<GraphChange> changes;
        for (const auto& page : staged_.pages)
            if (page.deleted) remove_with_page(graph, page.page, changes);
        changes.insert(changes.end(), staged_.graph.begin(), staged_.graph.end());
        return changes;
    }

    [[noreturn]] static void throw_cycle(const std::vector<PageId>& cycle) {
        std::string way;
        for (const auto page : cycle)
            way += fmt::format("{}{}", way.empty() ? "" : " -> ", number(page));
        throw GraphCycle(ErrorCode::graph_cycle, "the edge would close a cycle: " + way,
                         {.page = cycle.front(),
                          .expected = "no way back to where it begins",
                          .found = way,
                          .pages = cycle});
    }

    void require_page(PageId page) {
        if (const auto* staged = by_id_.find(page); staged != nullptr) {
            if (staged->deleted) throw_not_found(bus_, page);
            if (staged->created) return;
        }
        if (!bus_.catalog.line_of(page)) throw_not_found(bus_, page);
    }

    void check_changes(const graph::Graph& view, std::span<const GraphChange> net) {
        // All that was asked for, also what is there already: its pages may go in this commit.
        for (const auto& [kind, edge, rule] : staged_.graph) {
            if (kind == Kind::add_edge) require_page(edge.parent);
            if (kind == Kind::add_edge || kind == Kind::set_rule) require_page(edge.child);
            if (!rule) continue;
            for (const auto parent : rule->parents) require_page(parent);
        }
        for (const auto& page : staged_.pages) {
            if (page.writes.empty() || page.created) continue;
            const auto& rule = view.rule(page.page);
            if (rule == nullptr) continue;
            if (std::ranges::any_of(net, [&](const GraphChange& change) {
                    return change.edge.child == page.page && change.kind >= Kind::set_rule;
                }))
                continue;
            throw InvalidArgument(
                ErrorCode::invalid_argument,
                fmt::format("page {} is computed from others and not written", number(page.page)),
                {.page = page.page,
                 .expected = "a page without a formula",
                 .found = rule->function});
        }
    }

    [[nodiscard]] std::vector<PageId> seeds_of(std::span<const GraphChange> net) {
        std::vector<PageId> seeds;
        for (const auto& page : staged_.pages)
            if (!page.deleted) seeds.push_back(page.page);
        for (const auto& change : net)
            if (change.kind >= Kind::set_rule) seeds.push_back(change.edge.child);
        seeds.insert(seeds.end(), chosen_.begin(), chosen_.end());
        return seeds;
    }

    // What a refresh shall compute: children first, because each needs its parents.
    void choose(const graph::Graph& view, int priority) {
        const auto derived = view.derived();
        for (const auto page : derived | std::views::reverse) {
            if (!is_stale_now(bus_, page)) continue;
            const auto node = view.node_of(page);
            const auto function = bus_.functions.find(view.rule_of(node)->function);
            const bool is_needed =
                std::ranges::any_of(view.children_of(node), [&](const graph::Graph::Child& child) {
                    return (child.kinds & graph::by_formula) != 0 &&
                           chosen_.contains(view.page_of(child.node));
                });
            if (is_needed || (function != nullptr && function->priority >= priority))
                chosen_.insert(page);
        }
    }

    // The first of them: what a page needs comes before it.
    void take_part(const graph::Graph& view, Refresh& refresh) {
        refresh.is_part = chosen_.size() > refresh.most;
        if (refresh.is_part) {
            Computing::Pages first;
            for (const auto page : view.derived()) {
                if (first.size() == refresh.most) break;
                if (chosen_.contains(page)) first.insert(page);
            }
            chosen_.swap(first);
        }
        refresh.chosen = chosen_.size();
    }

    void propagate(const graph::Graph& graph, std::span<const GraphChange> net) {
        Computing(bus_, staged_, by_id_, graph, mode_, chosen_).run(net);
    }

    Attachment& bus_;
    Staged& staged_;
    StagedById by_id_;
    Propagation mode_;
    Computing::Pages chosen_{};  // by a refresh
};

}  // namespace

bool derive(Attachment& bus, Staged& staged, Propagation mode) {
    const auto began = os::clock_ns();
    try {
        Deriver(bus, staged, mode).run();
        staged.made.ns = std::max<std::int64_t>(os::clock_ns() - began, 0);
        return true;
    } catch (const Moved&) {
        return false;
    }
}

std::vector<int> stale_priorities(Attachment& bus) {
    bus.catalog.follow_logged(bus);
    Lsn head = 0;
    const auto view = bus.catalog.graph(head);
    std::set<int, std::greater<>> found;
    for (const auto page : view->derived()) {
        if (!is_stale_now(bus, page)) continue;
        if (const auto function = bus.functions.find(view->rule(page)->function))
            found.insert(function->priority);
    }
    return {found.begin(), found.end()};
}

bool are_unchanged(const Attachment& bus, std::span<const ReadPage> reads) noexcept {
    return std::ranges::all_of(reads, [&bus](const ReadPage& read) {
        const auto* line = bus.arena->line(read.line);
        return line != nullptr && line->lsn.load(relaxed) == read.lsn &&
               line->id.load(relaxed) == number(read.page);
    });
}

bool are_there(const Attachment& bus, const Staged& staged) {
    std::unordered_set<PageId> created;
    for (const auto& page : staged.pages)
        if (page.created) created.insert(page.page);
    const auto is_there = [&](PageId page) {
        return created.contains(page) || bus.catalog.line_of(page).has_value();
    };
    return std::ranges::all_of(staged.made.graph, [&](const GraphChange& change) {
        const auto& [kind, edge, rule] = change;
        if (kind == Kind::add_edge) return is_there(edge.parent) && is_there(edge.child);
        return kind != Kind::set_rule ||
               (is_there(edge.child) && std::ranges::all_of(rule->parents, is_there));
    });
}

void write_graph(Attachment& bus, const Staged& staged) {
    auto& body = bus.scratch.body;
    std::vector<std::byte> parents;
    for (const auto& [kind, edge, rule] : staged.made.graph) {
        if (kind == Kind::add_edge || kind == Kind::remove_edge) {
            log::write_entry(
                log::EdgeEntry{edge.parent, edge.child, edge.type, kind == Kind::add_edge}, body);
            continue;
        }
        parents.clear();
        if (rule) log::write_page_ids(rule->parents, parents);
        log::write_entry(
            log::FormulaEntry{
                edge.child, rule != nullptr,
                rule ? std::string_view(rule->function) : std::string_view(),
                rule ? std::span<const std::byte>(rule->arguments) : std::span<const std::byte>(),
                parents},
            body);
    }
}

}  // namespace mmsb::state
