// The dependency graph's face: handles, formulas, functions.
#include "api/transaction_impl.hpp"
#include "graph/function.hpp"
#include "state/derive.hpp"

#include <mmsb/state.hpp>

#include <fmt/format.h>
#include <algorithm>
#include <cstring>
#include <ostream>

namespace mmsb {

using detail::Bus;
using state::GraphView;
using Kind = state::GraphChange::Kind;

namespace {

constexpr std::string_view reserved = "mmsb.";

void refuse(const std::string& what, PageId page, const std::string& expected,
            const std::string& found) {
    throw InvalidArgument(ErrorCode::invalid_argument, what,
                          {.page = page, .expected = expected, .found = found});
}

}  // namespace

void detail::check_locality(Locality locality) {
    if (locality > Locality::passthrough)
        refuse("there is no such locality", PageId::none, "one of Locality",
               std::to_string(static_cast<int>(locality)));
}

void detail::check_edge_type(EdgeType type) {
    if (type > EdgeType::compiler)
        refuse("there is no such type of edge", PageId::none, "one of EdgeType",
               std::to_string(static_cast<int>(type)));
}

void detail::check_formula(PageId child, const Formula& formula) {
    if (formula.function.empty() || formula.function.size() > limits::name_size)
        refuse("a formula's function has a name", child,
               fmt::format("1 to {} bytes", limits::name_size),
               fmt::format("{}", formula.function.size()));
    if (formula.function.starts_with(reserved) && graph::built_in(formula.function) == nullptr)
        refuse("there is no such built-in function", child, "one of formula::", formula.function);
    if (formula.arguments.size() > limits::formula_arguments)
        refuse("a formula's arguments are too long", child,
               fmt::format("{} bytes at most", limits::formula_arguments),
               fmt::format("{}", formula.arguments.size()));
}

namespace {

graph::RulePointer rule_of(const Page& child, PageList parents, const Formula& formula) {
    detail::check_formula(child.id(), formula);
    const auto all = parents.get();
    if (all.empty() || all.size() > limits::formula_parents)
        refuse("a formula has no parents, or too many", child.id(),
               fmt::format("1 to {} parents", limits::formula_parents),
               fmt::format("{}", all.size()));
    graph::Rule rule{formula.function, formula.arguments, {}};
    rule.parents.reserve(all.size());
    for (const auto& parent : all) rule.parents.push_back(parent.id());
    return std::make_shared<const graph::Rule>(std::move(rule));
}

Bytes arguments(std::initializer_list<std::uint64_t> numbers) {
    Bytes bytes(numbers.size() * sizeof(std::uint64_t));
    std::memcpy(bytes.data(), numbers.begin(), bytes.size());
    return bytes;
}

// One commit of one change.
Committed commit_change(const detail::Handle& handle, std::vector<state::GraphChange> changes,
                        const CommitOptions& options) {
    auto& bus = Bus::get(handle);
    bus.refuse_writing();
    if (options.expected)
        refuse("CommitOptions::expected is for a page's call", PageId::none, "none", "an epoch");
    state::Staged staged;
    staged.graph = std::move(changes);
    return bus.commit(staged, options);
}

GraphView graph_of(const detail::Handle& handle) {
    auto& bus = Bus::get(handle).at();
    bus.catalog.follow_logged(bus);
    log::Lsn head = 0;
    return bus.catalog.graph(head);
}

// All edges between the two that no formula makes: what is not there comes to nothing.
std::vector<state::GraphChange> removals(const Page& parent, const Page& child) {
    std::vector<state::GraphChange> all;
    all.reserve(std::size(graph::all_edge_types));
    for (const auto type : graph::all_edge_types)
        all.push_back({Kind::remove_edge, {parent.id(), child.id(), type}, nullptr});
    return all;
}

}  // namespace

namespace formula {

Formula call(std::string_view function, std::span<const std::byte> arguments) {
    return {std::string(function), {arguments.begin(), arguments.end()}};
}
Formula copy() { return call("mmsb.copy/1"); }
Formula slice(std::size_t offset, std::size_t size) {
    return {"mmsb.slice/1", arguments({offset, size})};
}
Formula concatenate() { return call("mmsb.concatenate/1"); }
Formula checksum() { return call("mmsb.checksum/1"); }
Formula threshold(double above) {
    return {"mmsb.threshold/1", arguments({std::bit_cast<std::uint64_t>(above)})};
}
Formula fold(Fold fold, Lane lane) {
    return {"mmsb.fold/1", {static_cast<std::byte>(fold), static_cast<std::byte>(lane)}};
}

}  // namespace formula

std::ostream& operator<<(std::ostream& out, const Cause& cause) {
    out << "page " << cause.page;
    if (!cause.name.empty()) out << " \"" << cause.name << '"';
    if (!cause.formula.function.empty()) out << " by " << cause.formula.function;
    return out << ": " << cause.change;
}

// ---- the graph

ShadowPageGraph State::graph() const {
    static_cast<void>(Bus::get(bus_));
    return Bus::graph(bus_);
}

Committed ShadowPageGraph::derive(Page child, PageList parents, const Formula& formula,
                                  const CommitOptions& options) const {
    detail::check_same_bus(child, bus_);
    for (const auto& parent : parents.get()) detail::check_same_bus(parent, bus_);
    return commit_change(bus_,
                         {{Kind::set_rule,
                           {PageId::none, child.id(), EdgeType::data},
                           rule_of(child, parents, formula)}},
                         options);
}

Committed ShadowPageGraph::underive(Page child, const CommitOptions& options) const {
    detail::check_same_bus(child, bus_);
    return commit_change(
        bus_, {{Kind::remove_rule, {PageId::none, child.id(), EdgeType::data}, nullptr}}, options);
}

Committed ShadowPageGraph::add_dependency(Page parent, Page child, EdgeType type,
                                          const CommitOptions& options) const {
    detail::check_same_bus(parent, bus_);
    detail::check_same_bus(child, bus_);
    detail::check_edge_type(type);
    return commit_change(bus_, {{Kind::add_edge, {parent.id(), child.id(), type}, nullptr}},
                         options);
}

Committed ShadowPageGraph::remove_dependency(Page parent, Page child,
                                             const CommitOptions& options) const {
    detail::check_same_bus(parent, bus_);
    detail::check_same_bus(child, bus_);
    return commit_change(bus_, removals(parent, child), options);
}

std::size_t ShadowPageGraph::propagate() const {
    auto& bus = Bus::get(bus_);
    bus.refuse_writing();
    std::size_t computed = 0;
    for (const int priority : state::stale_priorities(bus.at())) {
        state::Refresh refresh{.priority = priority};
        do {
            state::Staged staged;
            staged.refresh = refresh;
            bus.commit(staged, {});
            refresh = *staged.refresh;
            computed += staged.made.computed;
            if (staged.made.computed == 0) refresh.most *= 2;  // of these it has no function
        } while (refresh.is_part);
    }
    return computed;
}

std::optional<Formula> ShadowPageGraph::formula(PageId page) const {
    const auto rule = graph_of(bus_)->rule(page);
    if (!rule) return std::nullopt;
    return Formula{rule->function, rule->arguments};
}

std::vector<Edge> ShadowPageGraph::parents(PageId page) const {
    return graph_of(bus_)->parents(page);
}
std::vector<Edge> ShadowPageGraph::children(PageId page) const {
    return graph_of(bus_)->children(page);
}
std::vector<PageId> ShadowPageGraph::ancestors(PageId page) const {
    return graph_of(bus_)->ancestors(page);
}
std::vector<PageId> ShadowPageGraph::descendants(PageId page) const {
    return graph_of(bus_)->descendants(page);
}
std::vector<PageId> ShadowPageGraph::topological_order() const {
    return graph_of(bus_)->topological_order();
}
bool ShadowPageGraph::has_edge(PageId parent, PageId child) const {
    return graph_of(bus_)->has_edge(parent, child);
}
std::size_t ShadowPageGraph::depth() const { return graph_of(bus_)->depth(); }

void State::register_recompute(std::string_view name, RecomputeFunction function,
                               const RecomputeOptions& options) const {
    auto& bus = Bus::get(bus_);
    if (name.empty() || name.size() > limits::name_size || name.starts_with(reserved))
        refuse(
            "a function's name is empty, too long or reserved", PageId::none,
            fmt::format("1 to {} bytes that do not begin with \"{}\"", limits::name_size, reserved),
            std::string(name));
    if (!function) refuse("a function is to be called", PageId::none, "a function", "none");
    detail::check_locality(options.locality);
    bus.at().functions.put(name, {.call = Bus::function(std::move(function)),
                                  .stale_on_throw = options.stale_on_throw,
                                  .accumulates = options.accumulates,
                                  .priority = options.priority,
                                  .locality = options.locality,
                                  .one_thread = options.one_thread});
    if (!bus.read_only && !graph_of(bus_)->empty()) static_cast<void>(graph().propagate());
}

// ---- in a transaction

void Transaction::derive(Page child, PageList parents, const Formula& formula) {
    detail::check_same_bus(child, impl().bus);
    for (const auto& parent : parents.get()) detail::check_same_bus(parent, impl().bus);
    impl().staged.graph.push_back({Kind::set_rule,
                                   {PageId::none, child.id(), EdgeType::data},
                                   rule_of(child, parents, formula)});
}

void Transaction::underive(Page child) {
    detail::check_same_bus(child, impl().bus);
    impl().staged.graph.push_back(
        {Kind::remove_rule, {PageId::none, child.id(), EdgeType::data}, nullptr});
}

void Transaction::add_dependency(Page parent, Page child, EdgeType type) {
    detail::check_same_bus(parent, impl().bus);
    detail::check_same_bus(child, impl().bus);
    detail::check_edge_type(type);
    impl().staged.graph.push_back({Kind::add_edge, {parent.id(), child.id(), type}, nullptr});
}

void Transaction::remove_dependency(Page parent, Page child) {
    detail::check_same_bus(parent, impl().bus);
    detail::check_same_bus(child, impl().bus);
    for (auto& change : removals(parent, child)) impl().staged.graph.push_back(std::move(change));
}

}  // namespace mmsb
