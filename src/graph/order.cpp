#include "graph/order.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace mmsb::graph {

namespace {

constexpr std::size_t least_room = 64;
constexpr Position nowhere = std::numeric_limits<Position>::max();

}  // namespace

void Order::place(Node node, Position position) noexcept {
    position_[node] = position;
    at_[position] = node;
}

void Order::spread() {
    std::vector<Node> in_order;
    in_order.reserve(size_);
    for (auto p = first_; p != end_; ++p)
        if (at_[p] != no_node) in_order.push_back(at_[p]);
    assign(in_order);
}

void Order::make_room(Node node) {
    const auto size = std::size_t{node} + 1;
    if (mark_.size() < size) mark_.resize(size);
    if (from_.size() < size) from_.resize(size);
    if (position_.size() < size) position_.resize(size, nowhere);
    if (end_ == at_.size() || first_ == 0) spread();
}

void Order::add_last(Node node) {
    make_room(node);
    place(node, end_++);
    ++size_;
}

void Order::add_first(Node node) {
    make_room(node);
    place(node, --first_);
    ++size_;
}

void Order::remove(Node node) noexcept {
    at_[position_[node]] = no_node;
    position_[node] = nowhere;
    --size_;
}

void Order::move_last(Node node) {
    if (end_ == at_.size()) spread();
    at_[position_[node]] = no_node;
    place(node, end_++);
}

void Order::move_first(Node node) {
    if (first_ == 0) spread();
    at_[position_[node]] = no_node;
    place(node, --first_);
}

void Order::next_turn() noexcept {
    if (++turn_ != 0) return;
    std::ranges::fill(mark_, 0);  // once in four billion searches
    turn_ = 1;
}

bool Order::put_before(Node parent, Node child, const Neighbours& graph) {
    if (parent == child) {
        cycle_.assign(1, parent);
        return false;
    }
    if (position_[parent] < position_[child]) return true;
    if (!graph.has_children(child)) {
        move_last(child);
        return true;
    }
    if (!graph.has_parents(parent)) {
        move_first(parent);
        return true;
    }
    if (!reach_down(child, parent, position_[parent], graph)) return false;
    reach_up(parent, position_[child], graph);
    reorder();
    return true;
}

bool Order::reach_down(Node from, Node to, Position limit, const Neighbours& graph) {
    next_turn();
    below_.assign(1, from);
    mark_[from] = turn_;
    for (std::size_t i = 0; i != below_.size(); ++i) {
        const auto node = below_[i];
        next_.clear();
        graph.children(node, next_);
        for (const auto child : next_) {
            if (position_[child] > limit || is_marked(child)) continue;
            mark_[child] = turn_;
            from_[child] = node;
            if (child == to) {
                cycle_.clear();
                for (auto n = to; n != from; n = from_[n]) cycle_.push_back(n);
                cycle_.push_back(from);
                std::ranges::reverse(cycle_);
                return false;
            }
            below_.push_back(child);
        }
    }
    return true;
}

void Order::reach_up(Node from, Position limit, const Neighbours& graph) {
    above_.assign(1, from);
    mark_[from] = turn_;
    for (std::size_t i = 0; i != above_.size(); ++i) {
        next_.clear();
        graph.parents(above_[i], next_);
        for (const auto parent : next_) {
            if (position_[parent] < limit || is_marked(parent)) continue;
            mark_[parent] = turn_;
            above_.push_back(parent);
        }
    }
}

// The two sets, each in its order, the parent's first, take the places that both had.
void Order::reorder() {
    const auto by_position = [this](Node a, Node b) { return position_[a] < position_[b]; };
    std::ranges::sort(above_, by_position);
    std::ranges::sort(below_, by_position);
    pool_.clear();
    for (const auto* set : {&above_, &below_})
        for (const auto node : *set) pool_.push_back(position_[node]);
    std::ranges::sort(pool_);
    auto to = pool_.begin();
    for (const auto* set : {&above_, &below_})
        for (const auto node : *set) place(node, *to++);
}

void Order::assign(std::span<const Node> nodes) {
    const auto margin = std::max(least_room, nodes.size());
    at_.assign(nodes.size() + 2 * margin, no_node);
    first_ = end_ = static_cast<Position>(margin);
    for (const auto node : nodes) place(node, end_++);
}

void Order::check_invariants(const Neighbours& graph) const {
    std::size_t there = 0;
    std::vector<Node> children;
    for (Position p = 0; p != at_.size(); ++p) {
        const auto node = at_[p];
        if (node == no_node) continue;
        ++there;
        if (p < first_ || p >= end_) throw std::logic_error("order: a position outside");
        if (position_.at(node) != p) throw std::logic_error("order: a node is not where it says");
        children.clear();
        graph.children(node, children);
        for (const auto child : children)
            if (position_.at(child) <= p)
                throw std::logic_error("order: node " + std::to_string(node) +
                                       " is not before its child " + std::to_string(child));
    }
    if (there != size_) throw std::logic_error("order: a wrong number of nodes");
}

}  // namespace mmsb::graph
