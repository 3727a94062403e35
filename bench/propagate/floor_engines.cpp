// What is compared with: a loop over all nodes, and oneTBB's flow graph.
#include "propagate/shapes.hpp"

#include <oneapi/tbb/flow_graph.h>

#include <deque>

namespace bench {

namespace {

// A node is computed where a parent has changed, compared, and copied where it differs.
class PlainLoop final : public Propagator {
public:
    explicit PlainLoop(const Shape& shape)
        : shape_(shape), pages_(shape.parents.size()), changed_(shape.parents.size()) {}
    void update(std::uint64_t value) override {
        std::memcpy(pages_[0].data(), &value, sizeof value);
        changed_[0] = 1;
        std::vector<const Page*> parents;
        Page out;
        for (std::size_t node = 1; node < pages_.size(); ++node) {
            changed_[node] = 0;
            bool dirty = false;
            for (const auto parent : shape_.parents[node]) dirty |= changed_[parent] != 0;
            if (!dirty) continue;
            parents.clear();
            for (const auto parent : shape_.parents[node]) parents.push_back(&pages_[parent]);
            compute(shape_, node, parents, out);
            if (std::memcmp(out.data(), pages_[node].data(), page_size) == 0) continue;
            pages_[node] = out;
            changed_[node] = 1;
        }
    }
    Page read(std::size_t node) override { return pages_[node]; }

private:
    Shape shape_;
    std::vector<Page> pages_;
    std::vector<std::uint8_t> changed_;
};

// One continue_node a page; sources but node 0 never change and have none.
class FlowGraph final : public Propagator {
    using Node = oneapi::tbb::flow::continue_node<oneapi::tbb::flow::continue_msg>;

public:
    explicit FlowGraph(const Shape& shape) : shape_(shape), pages_(shape.parents.size()) {
        std::vector<Node*> at(shape.parents.size());
        for (std::size_t node = 0; node < shape.parents.size(); ++node) {
            bool reached = node == 0;
            for (const auto parent : shape.parents[node]) reached |= at[parent] != nullptr;
            if (!reached) continue;
            at[node] = &nodes_.emplace_back(graph_, [this, node](auto) { run(node); });
            for (const auto parent : shape.parents[node])
                if (at[parent] != nullptr) oneapi::tbb::flow::make_edge(*at[parent], *at[node]);
        }
    }
    void update(std::uint64_t value) override {
        std::memcpy(pages_[0].data(), &value, sizeof value);
        nodes_.front().try_put({});
        graph_.wait_for_all();
    }
    Page read(std::size_t node) override { return pages_[node]; }

private:
    void run(std::size_t node) {
        if (node == 0) return;
        std::vector<const Page*> parents;
        for (const auto parent : shape_.parents[node]) parents.push_back(&pages_[parent]);
        compute(shape_, node, parents, pages_[node]);
    }

    Shape shape_;
    std::vector<Page> pages_;
    oneapi::tbb::flow::graph graph_{};
    std::deque<Node> nodes_{};
};

}  // namespace

std::unique_ptr<Propagator> plain_loop(const Shape& shape) {
    return std::make_unique<PlainLoop>(shape);
}
std::unique_ptr<Propagator> flow_graph(const Shape& shape) {
    return std::make_unique<FlowGraph>(shape);
}

}  // namespace bench
