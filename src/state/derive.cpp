#include "state/derive.hpp"

#include "delta/ranges.hpp"
#include "graph/propagate.hpp"
#include "state/commit.hpp"
#include "state/staged_states.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <functional>
#include <ranges>
#include <set>
#include <unordered_set>

namespace mmsb::state {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
using graph::Fate;
using Kind = GraphChange::Kind;

bool is_stale_now(const Attachment& bus, PageId page) {
    const auto line = bus.catalog.line_of(page);
    const auto* found = line ? bus.arena->line(*line) : nullptr;
    return found != nullptr && (found->location.load(relaxed) & arena::stale_bit) != 0;
}

class Deriver {
public:
    Deriver(Attachment& bus, Staged& staged, Propagation mode)
        : bus_(bus), staged_(staged), pages_(bus, staged), mode_(mode) {}

    void run() {
        staged_.made = {};
        for (auto& page : staged_.pages) {
            page.computed.reset();
            page.stale.reset();
        }
        bus_.catalog.follow_logged(bus_);
        const auto view = bus_.catalog.graph(staged_.made.graph_head);
        const auto tried = try_changes(*view, all_changes(*view));
        if (!tried.cycle.empty()) throw_cycle(tried.cycle);
        check_changes(*view, tried.net);
        if (staged_.refresh) choose(*view, *staged_.refresh);
        staged_.made.graph = tried.net;
        const bool rules_change = std::ranges::any_of(tried.net, [](const GraphChange& change) {
            return change.kind == Kind::set_rule || change.kind == Kind::remove_rule;
        });
        if (!rules_change) return propagate(*view, {});
        const auto seeds = seeds_of(tried.net);
        propagate(reachable(*view, tried.net, seeds), tried.net);
    }

private:
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
        if (const auto* staged = pages_.staged(page); staged != nullptr) {
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
            const bool stays =
                view.rule(page.page) && std::ranges::none_of(net, [&](const GraphChange& change) {
                    return change.edge.child == page.page && change.kind >= Kind::set_rule;
                });
            if (!stays) continue;
            throw InvalidArgument(
                ErrorCode::invalid_argument,
                fmt::format("page {} is computed from others and not written", number(page.page)),
                {.page = page.page,
                 .expected = "a page without a formula",
                 .found = view.rule(page.page)->function});
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
            const auto* function = find_function(view.rule_of(node)->function);
            const bool is_needed =
                std::ranges::any_of(view.children_of(node), [&](const graph::Graph::Child& child) {
                    return (child.kinds & graph::by_formula) != 0 &&
                           chosen_.contains(view.page_of(child.node));
                });
            if (is_needed || (function != nullptr && function->priority >= priority))
                chosen_.insert(page);
        }
    }

    void propagate(const graph::Graph& graph, std::span<const GraphChange> net) {
        graph::Propagation propagation(graph);
        for (auto& page : staged_.pages) {
            const auto node = graph.node_of(page.page);
            if (page.deleted || node == graph::no_node) continue;
            const bool derived = graph.rule_of(node) != nullptr;
            if (derived && (page.size || page.created)) propagation.ask(page.page);
            if (derived || graph.children_of(node).empty()) continue;
            const auto& now = pages_.of(page.page);
            if (!now.changed.empty() || now.is_new || now.before.size() != now.now.size())
                propagation.has(page.page, Fate::changed);
            else if (now.was_stale && !page.writes.empty())
                propagation.has(page.page, Fate::fresh);
        }
        for (const auto& change : net) {
            if (change.kind == Kind::set_rule) {
                propagation.ask(change.edge.child);
                new_rules_.insert(change.edge.child);
            }
            if (change.kind == Kind::remove_rule && !is_deleted(change.edge.child))
                set_free(change.edge.child, propagation);
        }
        for (const auto page : chosen_) propagation.ask(page);
        propagation.run([&](graph::Node node, std::uint8_t why) {
            const auto page = graph.page_of(node);
            const auto& rule = graph.rule_of(node);
            return rule ? visit_derived(page, *rule, why) : visit_bound(page, why);
        });
    }

    // It has no formula any more, and keeps its bytes: they are what they shall be.
    void set_free(PageId page, graph::Propagation& propagation) {
        auto& now = pages_.of(page);
        if (!now.was_stale) return;
        mark(page, now, false);
        propagation.has(page, graph::Fate::fresh);
    }

    [[nodiscard]] bool is_deleted(PageId page) const {
        const auto* staged = pages_.staged(page);
        return staged != nullptr && staged->deleted;
    }

    // A page that nothing computes, bound by control or compiler edges.
    Fate visit_bound(PageId page, std::uint8_t why) {
        if ((why & (graph::invalid | graph::spoiled)) == 0 || is_deleted(page))
            return Fate::unchanged;
        auto& now = pages_.of(page);
        const bool written = now.staged != nullptr && !now.staged->writes.empty();
        if (written || now.is_stale || now.is_new) return Fate::unchanged;
        mark(page, now, true);
        return Fate::stale;
    }

    Fate visit_derived(PageId page, const graph::Rule& rule, std::uint8_t why) {
        auto& now = pages_.of(page);
        // What is stale and of less priority is another refresh's.
        if (staged_.refresh && now.was_stale && !chosen_.contains(page)) return Fate::unchanged;
        const bool to_do =
            staged_.refresh || (why & (graph::asked | graph::dirty | graph::refreshed)) != 0;
        if (to_do) {
            if (const auto* function = may_compute(rule, why))
                if (const auto fate = compute(page, rule, *function, now)) return *fate;
        }
        if (now.is_stale || (why & ~unsigned{graph::refreshed}) == 0) return Fate::unchanged;
        mark(page, now, true);
        return Fate::stale;
    }

    [[nodiscard]] const RegisteredFunction* may_compute(const graph::Rule& rule, std::uint8_t why) {
        // A refresh leaves no page stale that it makes so itself.
        const bool asked = (why & graph::asked) != 0 || staged_.refresh.has_value();
        if ((why & graph::invalid) != 0 && !asked) return nullptr;  // a control edge
        const auto* function = find_function(rule.function);
        if (function == nullptr) return nullptr;
        if (mode_ == Propagation::deferred && !asked && !function->accumulates) return nullptr;
        for (const auto parent : rule.parents)
            if (pages_.of(parent).is_stale) return nullptr;
        return function;
    }

    // Most pages have the function of the page before.
    [[nodiscard]] const RegisteredFunction* find_function(std::string_view name) {
        if (name != function_name_ || !function_) {
            function_ = bus_.functions.find(name);
            function_name_ = name;
        }
        return function_.get();
    }

    // Nothing: it threw, and that leaves the page stale.
    std::optional<Fate> compute(PageId page, const graph::Rule& rule,
                                const RegisteredFunction& function, PageState& now) {
        parents_.clear();
        changed_.clear();
        whole_.assign(rule.parents.size(), {});
        const bool first = now.is_new || now.was_stale || new_rules_.contains(page);
        for (std::size_t i = 0; i != rule.parents.size(); ++i) {
            const auto& parent = pages_.of(rule.parents[i]);
            whole_[i] = {0, parent.now.size()};
            parents_.push_back(parent.now);
            changed_.push_back(first ? std::span<const ByteRange>(&whole_[i], 1)
                                     : std::span<const ByteRange>(parent.changed));
        }
        pages_.look_again();
        const auto bytes = staged_.made.memory.take(now.now.size());
        std::ranges::copy(now.now, bytes.begin());
        try {
            const InsideFunction inside(bus_);
            function.call({page, parents_, changed_, rule.arguments, bytes});
        } catch (const WrongContext&) {
            throw;
        } catch (const std::exception& e) {
            if (function.stale_on_throw) return std::nullopt;
            throw RecomputeFailed(
                ErrorCode::recompute_failed,
                fmt::format("page {}: {} threw: {}", number(page), rule.function, e.what()),
                {.page = page, .name = rule.function, .found = e.what()});
        } catch (...) {
            if (function.stale_on_throw) return std::nullopt;
            throw RecomputeFailed(
                ErrorCode::recompute_failed,
                fmt::format("page {}: {} threw what is no exception", number(page), rule.function),
                {.page = page, .name = rule.function});
        }
        ++staged_.made.computed;
        return keep(page, now, bytes);
    }

    Fate keep(PageId page, PageState& now, std::span<const std::byte> bytes) {
        now.changed = delta::changed_ranges(now.before, bytes);
        const bool differs = !now.changed.empty() || now.is_new;
        const bool written = now.staged != nullptr && !now.staged->writes.empty();
        if (!differs && !now.was_stale && !written) return Fate::unchanged;
        auto& entry = entry_of(page, now);
        entry.stale = now.is_stale = false;
        entry.computed = Write{0, bytes};
        now.now = bytes;
        if (differs) return Fate::changed;
        return now.was_stale ? Fate::fresh : Fate::unchanged;
    }

    // What the record will say of it.
    StagedPage& entry_of(PageId page, PageState& now) {
        if (now.staged != nullptr) return *now.staged;
        auto& pages = staged_.made.pages;
        if (!now.made) {
            now.made = pages.size();
            pages.push_back({.page = page, .line = now.line});
        }
        return pages[*now.made];
    }

    void mark(PageId page, PageState& now, bool stale) {
        now.is_stale = stale;
        entry_of(page, now).stale = stale;
    }

    Attachment& bus_;
    Staged& staged_;
    StagedStates pages_;
    Propagation mode_;
    std::unordered_set<PageId> new_rules_{};
    std::unordered_set<PageId> chosen_{};  // by a refresh
    FunctionPointer function_{};  // of the last name that was looked for
    std::string_view function_name_{};
    // Of the call at hand, kept for their memory.
    std::vector<std::span<const std::byte>> parents_{};
    std::vector<ByteRange> whole_{};
    std::vector<std::span<const ByteRange>> changed_{};
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
    const auto is_there = [&](PageId page) {
        if (bus.catalog.line_of(page)) return true;
        return std::ranges::any_of(staged.pages, [page](const StagedPage& made) {
            return made.page == page && made.created;
        });
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
