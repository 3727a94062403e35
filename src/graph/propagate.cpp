#include "graph/propagate.hpp"

#include <bit>

namespace mmsb::graph {

namespace {

constexpr std::size_t bits = 64;

}  // namespace

Propagation::Propagation(const Graph& graph)
    : graph_(graph),
      why_(graph.node_slots()),
      marked_(graph.order().end() / bits + 1),
      summary_(marked_.size() / bits + 1),
      at_(summary_.size()) {}

void Propagation::mark(Node node, std::uint8_t why) noexcept {
    why_[node] = static_cast<std::uint8_t>(why_[node] | why);
    const auto position = graph_.order().position(node);
    const auto word = position / bits;
    marked_[word] |= std::uint64_t{1} << (position % bits);
    summary_[word / bits] |= std::uint64_t{1} << (word % bits);
    at_ = std::min<std::size_t>(at_, word / bits);
}

void Propagation::has(PageId page, Fate fate) {
    if (const auto node = graph_.node_of(page); node != no_node) mark_children(node, fate);
}

void Propagation::ask(PageId page) {
    if (const auto node = graph_.node_of(page); node != no_node) mark(node, asked);
}

void Propagation::mark_children(Node node, Fate fate) noexcept {
    if (fate == Fate::unchanged) return;
    constexpr Kinds bound =
        static_cast<Kinds>(kind_of(EdgeType::control) | kind_of(EdgeType::compiler));
    for (const auto& [child, kinds] : graph_.children_of(node)) {
        std::uint8_t why = 0;
        const bool computed = (kinds & by_formula) != 0;
        if (fate == Fate::changed)
            why = static_cast<std::uint8_t>((computed ? dirty : 0) |
                                            ((kinds & bound) != 0 ? invalid : 0));
        else if (fate == Fate::stale)
            why = computed || (kinds & bound) != 0 ? spoiled : 0;
        else
            why = computed ? refreshed : 0;
        if (why != 0) mark(child, why);
    }
}

Node Propagation::next() noexcept {
    for (; at_ != summary_.size(); ++at_) {
        if (summary_[at_] == 0) continue;
        const auto word = at_ * bits + static_cast<std::size_t>(std::countr_zero(summary_[at_]));
        const auto bit = static_cast<std::size_t>(std::countr_zero(marked_[word]));
        marked_[word] &= marked_[word] - 1;
        if (marked_[word] == 0) summary_[at_] &= summary_[at_] - 1;
        return graph_.order().at(static_cast<Position>(word * bits + bit));
    }
    return no_node;
}

}  // namespace mmsb::graph
