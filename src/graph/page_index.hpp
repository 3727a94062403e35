/// graph/page_index: which node of a graph a page is. Pure.
///
/// Ids are given in order, so most lie near others: they are kept in stretches of 64, and only
/// those are looked up in a table, which stays small enough for the processor's caches. A page
/// that is alone in its stretch takes 280 bytes. Threads: const from any, else alone.
#pragma once

#include "graph/order.hpp"

#include <mmsb/types.hpp>

#include <array>
#include <unordered_map>

namespace mmsb::graph {

class PageIndex {
public:
    [[nodiscard]] Node find(PageId page) const noexcept {  ///< no_node: it is none.
        const auto found = stretches_.find(number(page) / length);
        return found == stretches_.end() ? no_node : found->second.nodes[number(page) % length];
    }
    /// REQUIRES one that is not in. Where memory runs out nothing has changed.
    void insert(PageId page, Node node) {
        auto& stretch = stretches_[number(page) / length];
        stretch.nodes[number(page) % length] = node;
        ++stretch.count;
        ++size_;
    }
    void erase(PageId page) noexcept {  ///< REQUIRES one that is in.
        const auto found = stretches_.find(number(page) / length);
        found->second.nodes[number(page) % length] = no_node;
        --size_;
        if (--found->second.count == 0) stretches_.erase(found);
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    static constexpr std::uint64_t length = 64;
    struct Stretch {
        Stretch() { nodes.fill(no_node); }
        std::array<Node, length> nodes;
        std::uint32_t count = 0;
    };
    std::unordered_map<std::uint64_t, Stretch> stretches_{};
    std::size_t size_ = 0;
};

}  // namespace mmsb::graph
