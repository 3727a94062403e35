#include "state/derive.hpp"

#include "delta/ranges.hpp"
#include "graph/propagate.hpp"
#include "state/commit.hpp"
#include "state/read.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace mmsb::state {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
using graph::Fate;
using Kind = GraphChange::Kind;

// What was read does not go together any more.
struct Moved {};

// A page as it is, and as it will be.
struct PageState {
    std::uint32_t line = unknown_line;
    StagedPage* staged = nullptr;  // the user's, where he changes it
    std::unique_ptr<std::byte[]> memory{};
    std::span<const std::byte> before{}, now{};
    bool was_stale = false, is_stale = false, is_new = false;
    std::vector<ByteRange> changed{};
};

class Deriver {
public:
    Deriver(Attachment& bus, Staged& staged, Propagation mode)
        : bus_(bus), staged_(staged), mode_(mode), as_of_(logged()) {}

    void run() {
        staged_.made = {};
        for (auto& page : staged_.pages) {
            page.computed.reset();
            page.stale.reset();
            by_id_.emplace(page.page, &page);
        }
        bus_.catalog.follow_logged(bus_);
        TriedChanges tried;
        Lsn head = 0;
        const auto changes = changes_with_deleted(head);
        const auto view = changes.empty()
                              ? bus_.catalog.graph(staged_.made.graph_head)
                              : bus_.catalog.graph_with(changes, tried, staged_.made.graph_head);
        if (staged_.made.graph_head != head) throw Moved{};
        if (!tried.cycle.empty()) throw_cycle(tried.cycle);
        check_changes(*view, tried.net);
        staged_.made.graph = tried.net;
        const bool rules_change = std::ranges::any_of(tried.net, [](const GraphChange& change) {
            return change.kind == Kind::set_rule || change.kind == Kind::remove_rule;
        });
        if (!rules_change) return propagate(*view, {}, *view);
        const auto seeds = seeds_of(tried.net, *view);
        propagate(reachable(*view, tried.net, seeds), tried.net, *view);
    }

private:
    [[nodiscard]] Lsn logged() const { return bus_.words().logged.load(std::memory_order_acquire); }

    // What was asked for, and what goes with pages that go; as of `head`.
    std::vector<GraphChange> changes_with_deleted(Lsn& head) {
        auto changes = staged_.graph;
        const auto view = bus_.catalog.graph(head);
        for (const auto& page : staged_.pages)
            if (page.deleted) remove_with_page(*view, page.page, changes);
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
        const auto staged = by_id_.find(page);
        if (staged != by_id_.end()) {
            if (staged->second->deleted) throw_not_found(bus_, page);
            if (staged->second->created) return;
        }
        auto line = unknown_line;
        static_cast<void>(find_line(bus_, page, line));
    }

    void check_changes(const graph::Graph& view, std::span<const GraphChange> net) {
        for (const auto& [kind, edge, rule] : net) {
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

    [[nodiscard]] std::vector<PageId> seeds_of(std::span<const GraphChange> net,
                                               const graph::Graph& view) {
        std::vector<PageId> seeds;
        for (const auto& page : staged_.pages)
            if (!page.deleted) seeds.push_back(page.page);
        for (const auto& change : net)
            if (change.kind == Kind::set_rule) seeds.push_back(change.edge.child);
        if (staged_.refresh)
            for (const auto page : view.derived())
                if (is_stale_now(page)) seeds.push_back(page);
        return seeds;
    }

    [[nodiscard]] bool is_stale_now(PageId page) const {
        const auto line = bus_.catalog.line_of(page);
        const auto* found = line ? bus_.arena->line(*line) : nullptr;
        return found != nullptr && (found->location.load(relaxed) & arena::stale_bit) != 0;
    }

    void propagate(const graph::Graph& graph, std::span<const GraphChange> net,
                   const graph::Graph& view) {
        graph::Propagation propagation(graph);
        for (auto& page : staged_.pages) {
            const auto node = graph.node_of(page.page);
            if (page.deleted || node == graph::no_node) continue;
            const bool derived = graph.rule_of(node) != nullptr;
            if (derived && (page.size || page.created)) propagation.ask(page.page);
            if (derived || graph.children_of(node).empty()) continue;
            const auto& now = state_of(page.page);
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
            if (change.kind == Kind::remove_rule && is_stale_now(change.edge.child) &&
                !is_deleted(change.edge.child))
                mark(change.edge.child, state_of(change.edge.child), false);
        }
        if (staged_.refresh)
            for (const auto page : view.derived())
                if (is_stale_now(page)) propagation.ask(page);
        propagation.run([&](graph::Node node, std::uint8_t why) {
            const auto page = graph.page_of(node);
            const auto& rule = graph.rule_of(node);
            return rule ? visit_derived(page, *rule, why) : visit_bound(page, why);
        });
    }

    [[nodiscard]] bool is_deleted(PageId page) const {
        const auto found = by_id_.find(page);
        return found != by_id_.end() && found->second->deleted;
    }

    // A page that nothing computes, bound by control or compiler edges.
    Fate visit_bound(PageId page, std::uint8_t why) {
        if ((why & (graph::invalid | graph::spoiled)) == 0 || is_deleted(page))
            return Fate::unchanged;
        auto& now = state_of(page);
        const bool written = now.staged != nullptr && !now.staged->writes.empty();
        if (written || now.is_stale || now.is_new) return Fate::unchanged;
        mark(page, now, true);
        return Fate::stale;
    }

    Fate visit_derived(PageId page, const graph::Rule& rule, std::uint8_t why) {
        auto& now = state_of(page);
        const bool to_do = (why & (graph::asked | graph::dirty | graph::refreshed)) != 0;
        if (to_do) {
            if (const auto function = may_compute(rule, why, page))
                if (const auto fate = compute(page, rule, *function, now)) return *fate;
        }
        if (now.is_stale || (why & ~unsigned{graph::refreshed}) == 0) return Fate::unchanged;
        mark(page, now, true);
        return Fate::stale;
    }

    [[nodiscard]] FunctionPointer may_compute(const graph::Rule& rule, std::uint8_t why,
                                              PageId page) {
        const bool asked = (why & graph::asked) != 0;
        if ((why & graph::invalid) != 0 && !asked) return nullptr;  // a control edge
        auto function = bus_.functions.find(rule.function);
        if (!function) return nullptr;
        if (mode_ == Propagation::deferred && !asked && !function->accumulates) return nullptr;
        for (const auto parent : rule.parents)
            if (parent == page || state_of(parent).is_stale) return nullptr;
        return function;
    }

    // Nothing: it threw, and that leaves the page stale.
    std::optional<Fate> compute(PageId page, const graph::Rule& rule,
                                const RegisteredFunction& function, PageState& now) {
        std::vector<std::span<const std::byte>> parents;
        std::vector<std::vector<ByteRange>> whole(rule.parents.size());
        std::vector<std::span<const ByteRange>> changed;
        const bool first = now.is_new || now.was_stale || new_rules_.contains(page);
        for (std::size_t i = 0; i != rule.parents.size(); ++i) {
            const auto& parent = state_of(rule.parents[i]);
            parents.push_back(parent.now);
            if (first) whole[i].push_back({0, parent.now.size()});
            changed.emplace_back(first ? whole[i] : parent.changed);
        }
        look_again();
        auto out = std::make_unique<std::byte[]>(now.now.size() + 1);
        const std::span<std::byte> bytes(out.get(), now.now.size());
        std::ranges::copy(now.now, bytes.begin());
        try {
            const InsideFunction inside(bus_);
            function.call({page, parents, changed, rule.arguments, bytes});
        } catch (const WrongContext&) {
            throw;
        } catch (const std::exception& e) {
            if (function.stale_on_throw) return std::nullopt;
            throw RecomputeFailed(
                ErrorCode::recompute_failed,
                fmt::format("page {}: {} threw: {}", number(page), rule.function, e.what()),
                {.page = page, .name = rule.function, .found = e.what()});
        }
        ++staged_.made.computed;
        return keep(page, now, std::move(out), bytes);
    }

    Fate keep(PageId page, PageState& now, std::unique_ptr<std::byte[]> memory,
              std::span<const std::byte> bytes) {
        now.changed = delta::changed_ranges(now.before, bytes);
        const bool differs = !now.changed.empty() || now.is_new;
        if (!differs && !now.was_stale) return Fate::unchanged;
        auto& entry = entry_of(page, now);
        entry.stale = now.is_stale = false;
        entry.computed = Write{0, bytes};
        now.now = bytes;
        staged_.made.memory.push_back(std::move(memory));
        return differs ? Fate::changed : Fate::fresh;
    }

    // What the record will say of it.
    StagedPage& entry_of(PageId page, const PageState& now) {
        if (now.staged != nullptr) return *now.staged;
        const auto [at, fresh] = entries_.try_emplace(page, staged_.made.pages.size());
        if (fresh) staged_.made.pages.push_back({.page = page, .line = now.line});
        return staged_.made.pages[at->second];
    }

    void mark(PageId page, PageState& now, bool stale) {
        now.is_stale = stale;
        entry_of(page, now).stale = stale;
    }

    PageState& state_of(PageId page) {
        const auto [at, fresh] = states_.try_emplace(page);
        if (fresh) read(page, at->second);
        return at->second;
    }

    void read(PageId page, PageState& to) {
        if (const auto staged = by_id_.find(page); staged != by_id_.end())
            to.staged = staged->second;
        to.is_new = to.staged != nullptr && to.staged->created;
        if (!to.is_new) read_live(page, to);
        if (to.staged == nullptr) return;
        const auto size = to.staged->size.value_or(to.before.size());
        auto now = std::make_unique<std::byte[]>(static_cast<std::size_t>(size) + 1);
        const std::span<std::byte> bytes(now.get(), static_cast<std::size_t>(size));
        std::ranges::copy(to.before.first(std::min(to.before.size(), bytes.size())), bytes.begin());
        for (const auto& write : to.staged->writes) {
            if (write.offset > size || write.bytes.size() > size - write.offset)
                throw Moved{};  // it became smaller: the commit will say so, or conflict
            std::ranges::copy(write.bytes,
                              bytes.begin() + static_cast<std::ptrdiff_t>(write.offset));
        }
        to.now = bytes;
        to.changed = to.is_new ? std::vector<ByteRange>{{0, bytes.size()}}
                               : delta::changed_ranges(to.before, bytes);
        if (!to.staged->writes.empty()) to.is_stale = false;
        staged_.made.memory.push_back(std::move(now));
    }

    void read_live(PageId page, PageState& to) {
        Wanted wanted{.page = page, .line = to.staged != nullptr ? to.staged->line : unknown_line};
        ReadMany read;
        try {
            read = read_many(bus_, std::span(&wanted, 1));
        } catch (const PageNotFound&) {
            if (to.staged != nullptr) throw;
            throw Moved{};  // deleted since, with its edges
        }
        if (!wanted.found) throw Moved{};
        to.line = wanted.line;
        to.before = to.now = wanted.bytes;
        to.memory = std::move(read.memory);
        to.was_stale = to.is_stale = wanted.info.stale();
        staged_.made.reads.push_back({page, wanted.line, wanted.info.lsn});
    }

    // A user's function never sees pages of two different moments.
    void look_again() {
        const auto now = logged();
        if (now == as_of_) return;
        for (const auto& read : staged_.made.reads) {
            const auto* line = bus_.arena->line(read.line);
            if (line == nullptr || line->lsn.load(std::memory_order_acquire) != read.lsn)
                throw Moved{};
        }
        as_of_ = now;
    }

    Attachment& bus_;
    Staged& staged_;
    Propagation mode_;
    Lsn as_of_;
    std::unordered_map<PageId, StagedPage*> by_id_{};
    std::unordered_map<PageId, PageState> states_{};
    std::unordered_map<PageId, std::size_t> entries_{};
    std::unordered_set<PageId> new_rules_{};
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

bool are_unchanged(const Attachment& bus, std::span<const ReadPage> reads) noexcept {
    return std::ranges::all_of(reads, [&bus](const ReadPage& read) {
        const auto* line = bus.arena->line(read.line);
        return line != nullptr && line->lsn.load(relaxed) == read.lsn &&
               line->id.load(relaxed) == number(read.page);
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
