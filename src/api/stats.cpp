#include "api/bus.hpp"

#include <mmsb/mmsb.hpp>

#include <fmt/format.h>
#include <ostream>

namespace mmsb {

using detail::Bus;

Stats State::get_stats() const {
    auto& bus = Bus::get(bus_).at();
    const auto& words = bus.words();
    bus.catalog.follow_logged(bus);
    Stats s;
    s.cpu_pages = words.pages_at[0].load();
    s.gpu_pages = words.pages_at[1].load();
    s.unified_pages = words.pages_at[2].load();
    s.total_pages = s.cpu_pages + s.gpu_pages + s.unified_pages;
    s.total_page_bytes = words.page_bytes.load();
    s.total_deltas = words.deltas.load();
    s.total_delta_bytes = words.delta_bytes.load();
    if (s.total_deltas != 0)
        s.avg_delta_bytes =
            static_cast<double>(s.total_delta_bytes) / static_cast<double>(s.total_deltas);
    s.delta_apply_count = words.applies.load();
    s.delta_apply_total_ns = words.apply_ns.load();
    if (s.delta_apply_count != 0)
        s.delta_apply_avg_ns =
            static_cast<double>(s.delta_apply_total_ns) / static_cast<double>(s.delta_apply_count);
    log::Lsn head = 0;
    const auto graph = bus.catalog.graph(head);
    s.graph_nodes = graph->node_count();
    s.graph_edges = graph->edges().size();
    s.graph_max_depth = graph->depth();
    s.propagation_count = words.propagations.load();
    s.propagation_total_ns = words.propagation_ns.load();
    if (s.propagation_count != 0)
        s.propagation_avg_ns =
            static_cast<double>(s.propagation_total_ns) / static_cast<double>(s.propagation_count);
    s.conflicts = words.conflicts.load();
    s.transactions_abandoned = words.abandoned.load();
    return s;
}

void State::reset_stats() const {
    auto& bus = Bus::get(bus_);
    bus.refuse_writing();
    auto& words = bus.at().words();
    words.applies.store(0);
    words.apply_ns.store(0);
    words.propagations.store(0);
    words.propagation_ns.store(0);
    words.conflicts.store(0);
    words.abandoned.store(0);
}

void print_stats(std::ostream& out, const Stats& s) {
    out << fmt::format(
        "pages          {} (cpu {}, gpu {}, unified {}), {} bytes\n"
        "deltas         {}, {} bytes, {:.1f} bytes on average\n"
        "graph          {} nodes, {} edges, depth {}\n"
        "delta applies  {}, {} ns, {:.1f} ns on average\n"
        "propagations   {}, {} ns, {:.1f} ns on average\n"
        "conflicts      {}\n"
        "abandoned      {}\n",
        s.total_pages, s.cpu_pages, s.gpu_pages, s.unified_pages, s.total_page_bytes,
        s.total_deltas, s.total_delta_bytes, s.avg_delta_bytes, s.graph_nodes, s.graph_edges,
        s.graph_max_depth, s.delta_apply_count, s.delta_apply_total_ns, s.delta_apply_avg_ns,
        s.propagation_count, s.propagation_total_ns, s.propagation_avg_ns, s.conflicts,
        s.transactions_abandoned);
}

namespace {
thread_local Scope* current_scope = nullptr;
}

Scope::Scope(const State& state) : state_(&state), outer_(std::exchange(current_scope, this)) {}
Scope::~Scope() { current_scope = outer_; }
const State& Scope::current() {
    if (current_scope == nullptr)
        throw WrongContext(
            ErrorCode::wrong_context, "there is no Scope in this thread",
            {.expected = "a Scope, or a State as the first argument", .found = "neither"});
    return *current_scope->state_;
}

}  // namespace mmsb
