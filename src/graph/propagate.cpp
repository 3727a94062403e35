#include "graph/propagate.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace mmsb::graph {

namespace {

constexpr std::size_t bits = 64;

}  // namespace

Propagation::Propagation(const Graph& graph) : graph_(graph) {
    auto& why = memory_->why;
    auto& marked = memory_->marked;
    auto& summary = memory_->summary;
    if (why.size() < graph.node_slots()) why.resize(graph.node_slots());
    const auto words = graph.order().end() / bits + 1;
    if (marked.size() < words) marked.resize(words);
    if (summary.size() < words / bits + 1) summary.resize(words / bits + 1);
    at_ = summary.size();
}

Propagation::~Propagation() {
    if (at_ != memory_->summary.size()) memory_.drop();  // it was left in the middle
}

void Propagation::mark(Node node, std::uint8_t why) noexcept {
    auto& [whys, marked, summary, batch, shaded, way, shaded_nodes] = *memory_;
    whys[node] = static_cast<std::uint8_t>(whys[node] | why);
    const auto position = graph_.order().position(node);
    const auto word = position / bits;
    marked[word] |= std::uint64_t{1} << (position % bits);
    summary[word / bits] |= std::uint64_t{1} << (word % bits);
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
    for (const auto& [child, at, kinds] : graph_.children_of(node)) {
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
    auto& marked = memory_->marked;
    auto& summary = memory_->summary;
    for (; at_ != summary.size(); ++at_) {
        if (summary[at_] == 0) continue;
        const auto word = at_ * bits + static_cast<std::size_t>(std::countr_zero(summary[at_]));
        const auto bit = static_cast<std::size_t>(std::countr_zero(marked[word]));
        marked[word] &= marked[word] - 1;
        if (marked[word] == 0) summary[at_] &= summary[at_] - 1;
        return graph_.order().at(static_cast<Position>(word * bits + bit));
    }
    return no_node;
}

Node Propagation::peek() const noexcept {
    const auto& marked = memory_->marked;
    const auto& summary = memory_->summary;
    // What is further away than a word of the summary is not looked for.
    if (at_ == summary.size() || summary[at_] == 0) return no_node;
    const auto word = at_ * bits + static_cast<std::size_t>(std::countr_zero(summary[at_]));
    const auto bit = static_cast<std::size_t>(std::countr_zero(marked[word]));
    return graph_.order().at(static_cast<Position>(word * bits + bit));
}

void Propagation::take(Node node) {
    memory_->batch.push_back({node, std::exchange(memory_->why[node], std::uint8_t{0})});
}

// All that a node leads to. False: that is more than is worth going through.
bool Propagation::shade(Node node) {
    auto& way = memory_->way;
    way.assign(1, node);
    while (!way.empty()) {
        const auto at = way.back();
        way.pop_back();
        for (const auto& child : graph_.children_of(at)) {
            if (edges_left_ == 0) return false;
            --edges_left_;
            auto& shaded = memory_->shaded[child.node];
            if (shaded != 0) continue;
            shaded = 1;
            memory_->shaded_nodes.push_back(child.node);
            way.push_back(child.node);
        }
    }
    return true;
}

// Takes those of the marked nodes that are heavy and that nothing which is marked leads to.
void Propagation::gather(FunctionRef<bool(Node)> is_heavy) {
    constexpr std::size_t most = 4096;
    constexpr std::size_t worth = 512;  // edges a heavy page: some µs
    const auto is_marked = [](std::uint64_t word) { return word != 0; };
    if (std::ranges::none_of(std::span(memory_->summary).subspan(at_), is_marked)) return;
    auto& [whys, marked, summary, batch, shaded, way, shaded_nodes] = *memory_;
    if (shaded.size() < whys.size()) shaded.resize(whys.size());
    edges_left_ += worth;
    bool goes_on = shade(batch.front().node);
    for (auto s = at_; goes_on && s < summary.size(); ++s) {
        for (auto words = summary[s]; goes_on && words != 0; words &= words - 1) {
            const auto word = s * bits + static_cast<std::size_t>(std::countr_zero(words));
            for (auto left = marked[word]; goes_on && left != 0; left &= left - 1) {
                const auto bit = static_cast<std::size_t>(std::countr_zero(left));
                const auto node = graph_.order().at(static_cast<Position>(word * bits + bit));
                if (shaded[node] == 0 && is_heavy(node)) {
                    marked[word] &= ~(std::uint64_t{1} << bit);
                    if (marked[word] == 0) summary[s] &= ~(std::uint64_t{1} << (word % bits));
                    take(node);
                    edges_left_ += worth;
                }
                goes_on = batch.size() < most && shade(node);
            }
        }
    }
    for (const auto node : shaded_nodes) shaded[node] = 0;
    shaded_nodes.clear();
}

}  // namespace mmsb::graph
