#include "graph/order.hpp"

#include <algorithm>
#include <ranges>
#include <stdexcept>
#include <string>

namespace mmsb::graph {

namespace {

constexpr std::size_t least_room = 64;
constexpr std::size_t few = 512;  // nodes and links: looking at so many is no harm
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

void Order::sort(std::vector<Node>& nodes) const {
    std::ranges::sort(nodes, {}, [this](Node node) { return position_[node]; });
}

void Order::move_last(std::vector<Node>& nodes) {
    if (at_.size() - end_ < nodes.size()) spread();
    sort(nodes);
    for (const auto node : nodes) {
        at_[position_[node]] = no_node;
        place(node, end_++);
    }
}

void Order::move_first(std::vector<Node>& nodes) {
    if (first_ < nodes.size()) spread();
    sort(nodes);
    for (const auto node : std::views::reverse(nodes)) {
        at_[position_[node]] = no_node;
        place(node, --first_);
    }
}

void Order::begin(Search& search, Node from) {
    search.mark = ++last_mark_;
    search.found.assign(1, from);
    search.next = search.work = 0;
    mark_[from] = search.mark;
}

bool Order::put_before(Node parent, Node child, const Neighbours& graph) {
    if (parent == child) {
        cycle_.assign(1, parent);
        return false;
    }
    if (position_[parent] < position_[child]) return true;
    if (graph.child_count(child) == 0) {
        below_.found.assign(1, child);
        move_last(below_.found);
        return true;
    }
    if (graph.parent_count(parent) == 0) {
        above_.found.assign(1, parent);
        move_first(above_.found);
        return true;
    }
    switch (search(parent, child, graph)) {
        case Found::cycle:
            return false;
        case Found::above:
            move_first(above_.found);
            return true;
        case Found::below:
            break;
    }
    const auto most =
        is_all_below_ ? few + 4 * below_.work : std::numeric_limits<std::size_t>::max();
    if (reach_up(parent, position_[child], most, graph))
        reorder();
    else
        move_last(below_.found);
    return true;
}

Order::Found Order::search(Node parent, Node child, const Neighbours& graph) {
    const auto limit = position_[parent];
    constexpr std::uint32_t marks = 3;  // that one edge takes
    if (last_mark_ > std::numeric_limits<std::uint32_t>::max() - marks) {
        std::ranges::fill(mark_, 0);  // once in a billion edges
        last_mark_ = 0;
    }
    begin(above_, parent);
    begin(below_, child);
    is_all_below_ = true;
    while (!below_.is_over()) {
        // As Pearce and Kelly do, until that is found to be much.
        const auto down = below_.work + graph.child_count(below_.found[below_.next]);
        const bool may_go_up = down > few && !above_.is_over();
        const bool goes_up =
            may_go_up && above_.work + graph.parent_count(above_.found[above_.next]) < down;
        if (!(goes_up ? step_up(graph) : step_down(graph, limit))) return Found::cycle;
        if (above_.is_over()) return Found::above;
    }
    return Found::below;
}

bool Order::step_down(const Neighbours& graph, Position limit) {
    const auto node = below_.found[below_.next++];
    next_.clear();
    graph.children(node, next_);
    below_.work += 1 + next_.size();
    for (const auto child : next_) {
        if (mark_[child] == above_.mark) {
            make_cycle(node, child);
            return false;
        }
        is_all_below_ = is_all_below_ && position_[child] <= limit;
        if (position_[child] > limit || mark_[child] == below_.mark) continue;
        mark_[child] = below_.mark;
        from_[child] = node;
        below_.found.push_back(child);
    }
    return true;
}

bool Order::step_up(const Neighbours& graph) {
    const auto node = above_.found[above_.next++];
    next_.clear();
    graph.parents(node, next_);
    above_.work += 1 + next_.size();
    for (const auto parent : next_) {
        if (mark_[parent] == below_.mark) {
            make_cycle(parent, node);
            return false;
        }
        if (mark_[parent] == above_.mark) continue;
        mark_[parent] = above_.mark;
        from_[parent] = node;
        above_.found.push_back(parent);
    }
    return true;
}

// The child leads to `last`, that to `next`, and that to the parent.
void Order::make_cycle(Node last, Node next) {
    cycle_.clear();
    const auto child = below_.found.front(), parent = above_.found.front();
    for (auto node = last; node != child; node = from_[node]) cycle_.push_back(node);
    cycle_.push_back(child);
    std::ranges::reverse(cycle_);
    for (auto node = next; node != parent; node = from_[node]) cycle_.push_back(node);
    cycle_.push_back(parent);
}

bool Order::reach_up(Node parent, Position limit, std::size_t most, const Neighbours& graph) {
    begin(above_, parent);
    for (auto& next = above_.next; next != above_.found.size(); ++next) {
        if (above_.work + graph.parent_count(above_.found[next]) > most) return false;
        next_.clear();
        graph.parents(above_.found[next], next_);
        above_.work += 1 + next_.size();
        for (const auto above : next_) {
            if (position_[above] < limit || mark_[above] == above_.mark) continue;
            mark_[above] = above_.mark;
            above_.found.push_back(above);
        }
    }
    return true;
}

// The two sets, each in its order, the parent's first, take the places that both had.
void Order::reorder() {
    sort(above_.found);
    sort(below_.found);
    pool_.clear();
    for (const auto* set : {&above_.found, &below_.found})
        for (const auto node : *set) pool_.push_back(position_[node]);
    std::ranges::sort(pool_);
    auto to = pool_.begin();
    for (const auto* set : {&above_.found, &below_.found})
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
