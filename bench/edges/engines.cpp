#include "edges/engines.hpp"

#include "graph/graph.hpp"
#include "graph/order.hpp"

#include <chrono>
#include <stdexcept>
#include <vector>

namespace bench {

namespace {

using mmsb::PageId;
using mmsb::graph::Node;

/// Who is next to whom.
class Lists : public mmsb::graph::Neighbours {
public:
    explicit Lists(std::uint32_t nodes) : parents_(nodes), children_(nodes) {}
    void add(Node parent, Node child) {
        children_[parent].push_back(child);
        parents_[child].push_back(parent);
    }
    void parents(Node node, std::vector<Node>& out) const override {
        out.insert(out.end(), parents_[node].begin(), parents_[node].end());
    }
    void children(Node node, std::vector<Node>& out) const override {
        out.insert(out.end(), children_[node].begin(), children_[node].end());
    }
    [[nodiscard]] std::size_t parent_count(Node node) const override {
        return parents_[node].size();
    }
    [[nodiscard]] std::size_t child_count(Node node) const override {
        return children_[node].size();
    }
    [[nodiscard]] const std::vector<Node>& children_of(Node node) const { return children_[node]; }

private:
    std::vector<std::vector<Node>> parents_, children_;
};

class NoCheck final : public EdgeKeeper {
public:
    explicit NoCheck(std::uint32_t nodes) : lists_(nodes) {}
    bool add(std::uint32_t parent, std::uint32_t child) override {
        lists_.add(parent, child);
        return true;
    }

private:
    Lists lists_;
};

class DepthFirst final : public EdgeKeeper {
public:
    explicit DepthFirst(std::uint32_t nodes) : lists_(nodes), seen_(nodes) {}
    bool add(std::uint32_t parent, std::uint32_t child) override {
        if (reaches(child, parent)) return false;
        lists_.add(parent, child);
        return true;
    }

private:
    bool reaches(Node from, Node to) {
        ++turn_;
        next_.assign(1, from);
        seen_[from] = turn_;
        while (!next_.empty()) {
            const auto node = next_.back();
            next_.pop_back();
            if (node == to) return true;
            for (const auto child : lists_.children_of(node))
                if (std::exchange(seen_[child], turn_) != turn_) next_.push_back(child);
        }
        return false;
    }

    Lists lists_;
    std::vector<std::uint32_t> seen_;
    std::vector<Node> next_{};
    std::uint32_t turn_ = 0;
};

class OrderAlone final : public EdgeKeeper {
public:
    explicit OrderAlone(std::uint32_t nodes) : lists_(nodes), is_in_(nodes) {}
    bool add(std::uint32_t parent, std::uint32_t child) override {
        // As Graph places nodes that are new.
        if (!std::exchange(is_in_[parent], std::uint8_t{1})) {
            order_.make_room(parent);
            if (is_in_[child] != 0)
                order_.add_first(parent);
            else
                order_.add_last(parent);
        }
        if (!std::exchange(is_in_[child], std::uint8_t{1})) {
            order_.make_room(child);
            order_.add_last(child);
        }
        if (!order_.put_before(parent, child, lists_)) return false;
        lists_.add(parent, child);
        return true;
    }
    void check() const override { order_.check_invariants(lists_); }

private:
    Lists lists_;
    std::vector<std::uint8_t> is_in_;
    mmsb::graph::Order order_{};
};

PageId page(std::uint32_t node) { return PageId{node + std::uint64_t{1}}; }

class WholeGraph final : public EdgeKeeper {
public:
    bool add(std::uint32_t parent, std::uint32_t child) override {
        return graph_.add_edge(page(parent), page(child), mmsb::EdgeType::data).empty();
    }
    void check() const override { graph_.check_invariants(); }

private:
    mmsb::graph::Graph graph_{};
};

}  // namespace

std::unique_ptr<EdgeKeeper> no_check(std::uint32_t nodes) {
    return std::make_unique<NoCheck>(nodes);
}
std::unique_ptr<EdgeKeeper> depth_first(std::uint32_t nodes) {
    return std::make_unique<DepthFirst>(nodes);
}
std::unique_ptr<EdgeKeeper> order_alone(std::uint32_t nodes) {
    return std::make_unique<OrderAlone>(nodes);
}
std::unique_ptr<EdgeKeeper> whole_graph(std::uint32_t) { return std::make_unique<WholeGraph>(); }

double load_ns(std::span<const NodePair> edges) {
    std::vector<mmsb::Edge> all;
    all.reserve(edges.size());
    for (const auto& [parent, child] : edges)
        all.push_back({page(parent), page(child), mmsb::EdgeType::data});
    mmsb::graph::Graph graph;
    const auto began = std::chrono::steady_clock::now();
    const bool loaded = graph.load(all, {});
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - began;
    if (!loaded || graph.edge_count() != edges.size())
        throw std::runtime_error("a graph that is loaded at once is wrong");
    graph.check_invariants();
    return took.count();
}

}  // namespace bench
