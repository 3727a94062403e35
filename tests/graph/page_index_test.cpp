// Which node a page is, beside a map, for ids that are near each other and far apart.
#include "graph/page_index.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace mmsb::graph {
namespace {

TEST(PageIndex, IsAMap) {
    for (const std::uint64_t reach : {100ULL, 100'000ULL, ~0ULL}) {
        std::mt19937_64 random(reach);
        PageIndex index;
        std::map<PageId, Node> model;
        const auto any = [&] { return PageId{1 + random() % reach}; };
        const auto known = [&] {
            const auto at = model.lower_bound(any());
            return at == model.end() ? model.begin() : at;
        };
        for (Node i = 0; i != 20'000; ++i) {
            if (model.size() > 500 || (!model.empty() && random() % 3 == 0)) {
                const auto at = known();
                EXPECT_EQ(index.find(at->first), at->second);
                index.erase(at->first);
                EXPECT_EQ(index.find(at->first), no_node);
                model.erase(at);
            } else if (const auto page = any(); model.emplace(page, i).second) {
                index.insert(page, i);
            }
            const auto page = any();
            const auto found = model.find(page);
            EXPECT_EQ(index.find(page), found == model.end() ? no_node : found->second);
            EXPECT_EQ(index.size(), model.size());
        }
        for (const auto& [page, node] : model) EXPECT_EQ(index.find(page), node);
    }
}

}  // namespace
}  // namespace mmsb::graph
