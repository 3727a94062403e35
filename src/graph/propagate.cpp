#include "graph/propagate.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace mmsb::graph {

Propagation::Propagation(const Graph& graph) : graph_(graph) {
    auto& why = memory_->why;
    auto& marked = memory_->marked;
    auto& summary = memory_->summary;
    if (why.size() < graph.node_slots()) why.resize(graph.node_slots());
    const auto words = graph.order().end() / bits + 1;
    if (marked.size() < words) marked.resize(words);
    if (summary.size() < words / bits + 1) summary.resize(words / bits + 1);
    why_ = why.data();
    marked_ = marked.data();
    summary_ = summary.data();
    word_ = end_ = summary.size() * bits;
}

Propagation::~Propagation() {
    if (word_ != end_ || lone_ != no_node) memory_.drop();  // it was left in the middle
}

void Propagation::has(PageId page, Fate fate) {
    if (const auto node = graph_.node_of(page); node != no_node) mark_children(node, fate);
}

void Propagation::ask(PageId page) {
    if (const auto node = graph_.node_of(page); node != no_node) mark(node, asked);
}

Node Propagation::peek() const noexcept {
    if (lone_ != no_node) return lone_;
    // What is in another word is not looked for.
    return word_ == end_ || marked_[word_] == 0 ? no_node : first_marked();
}

// To the next word in which something is marked. False: there is none. REQUIRES that nothing is in
// the word at hand.
bool Propagation::go_on() noexcept {
    auto at = word_ / bits;
    summary_[at] &= ~(std::uint64_t{1} << (word_ % bits));
    while (at != end_ / bits && summary_[at] == 0) ++at;
    word_ = at * bits;
    if (word_ == end_) return false;
    word_ += static_cast<std::size_t>(std::countr_zero(summary_[at]));
    return true;
}

void Propagation::take(Node node) {
    memory_->batch.push_back({node, std::exchange(why_[node], std::uint8_t{0})});
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
    if (!find_word()) return;
    auto& [whys, marked, summary, batch, shaded, way, shaded_nodes] = *memory_;
    if (shaded.size() < whys.size()) shaded.resize(whys.size());
    edges_left_ += worth;
    bool goes_on = shade(batch.front().node);
    for (auto s = word_ / bits; goes_on && s < summary.size(); ++s) {
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
