#include "edges/growth.hpp"

#include <algorithm>
#include <numeric>
#include <random>
#include <unordered_set>

namespace bench {

namespace {

/// Takes each edge once.
class Edges {
public:
    void add(std::uint32_t parent, std::uint32_t child) {
        if (seen_.insert(std::uint64_t{parent} << 32U | child).second)
            all_.emplace_back(parent, child);
    }
    [[nodiscard]] std::size_t size() const { return all_.size(); }
    [[nodiscard]] std::vector<NodePair> take() { return std::move(all_); }

private:
    std::unordered_set<std::uint64_t> seen_{};
    std::vector<NodePair> all_{};
};

std::uint32_t below(std::mt19937& random, std::uint32_t limit) {
    return std::uniform_int_distribution<std::uint32_t>(0, limit - 1)(random);
}

// Each new node is computed from those before it.
std::vector<NodePair> at_the_leaf(std::uint32_t nodes, std::uint32_t each) {
    Edges edges;
    for (std::uint32_t node = 1; node < nodes; ++node)
        for (std::uint32_t back = 1; back <= std::min(each, node); ++back)
            edges.add(node - back, node);
    return edges.take();
}

// Each new node is one that those before it are computed from.
std::vector<NodePair> at_the_root(std::uint32_t nodes, std::uint32_t each) {
    Edges edges;
    for (std::uint32_t node = 1; node < nodes; ++node)
        for (std::uint32_t back = 1; back <= std::min(each, node); ++back)
            edges.add(node, node - back);
    return edges.take();
}

// Layers of a hundredth of the nodes; each node from random ones of the layer above.
std::vector<NodePair> in_layers(std::uint32_t nodes, std::uint32_t each, bool bottom_first) {
    std::mt19937 random(1);
    Edges edges;
    const auto width = std::max(nodes / 100, 1U), layers = nodes / width;
    for (std::uint32_t step = 1; step < layers; ++step) {
        const auto layer = bottom_first ? layers - step : step;
        for (std::uint32_t i = 0; i < width; ++i)
            for (std::uint32_t k = 0; k < each; ++k)
                edges.add((layer - 1) * width + below(random, width), layer * width + i);
    }
    return edges.take();
}

// A hundred nodes each, one behind the other; then each is put before the one that was made before
// it, against the order in which all of them came.
std::vector<NodePair> in_chains(std::uint32_t nodes, std::uint32_t each) {
    constexpr std::uint32_t length = 100;
    Edges edges;
    for (std::uint32_t node = 1; node < nodes; ++node)
        for (std::uint32_t back = 1; back <= std::min(each, node % length); ++back)
            edges.add(node - back, node);
    for (std::uint32_t first = length; first + length <= nodes; first += length)
        edges.add(first + length - 1, first - length);
    return edges.take();
}

// Between any two, in the direction of an order that nobody is told.
std::vector<NodePair> at_random(std::uint32_t nodes, std::uint32_t count) {
    std::mt19937 random(2);
    std::vector<std::uint32_t> order(nodes);
    std::iota(order.begin(), order.end(), 0);
    std::ranges::shuffle(order, random);
    Edges edges;
    while (edges.size() < count) {
        const auto a = below(random, nodes), b = below(random, nodes);
        if (a != b) edges.add(order[std::min(a, b)], order[std::max(a, b)]);
    }
    return edges.take();
}

// A half of the nodes are sources, a half are computed; all from the hub, which is computed from
// all sources, and from a few sources.
std::vector<NodePair> around_a_hub(std::uint32_t nodes, std::uint32_t count) {
    std::mt19937 random(3);
    Edges edges;
    const auto half = (nodes - 1) / 2;
    for (std::uint32_t i = 1; i <= half; ++i) {
        edges.add(i, 0);
        edges.add(0, half + i);
    }
    while (edges.size() < count) edges.add(1 + below(random, half), 1 + half + below(random, half));
    auto all = edges.take();
    std::ranges::shuffle(all, random);
    return all;
}

}  // namespace

std::vector<Growth> growths(std::uint32_t nodes, std::uint32_t edges) {
    const auto each = edges / nodes;
    return {{"at the leaf", at_the_leaf(nodes, each)},
            {"at the root", at_the_root(nodes, each)},
            {"in layers, the top first", in_layers(nodes, each, false)},
            {"in layers, the bottom first", in_layers(nodes, each, true)},
            {"in chains, then joined", in_chains(nodes, each)},
            {"around a hub", around_a_hub(nodes, edges)},
            {"at random", at_random(nodes, edges)}};
}

}  // namespace bench
