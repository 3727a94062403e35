// The walk from what has changed, against a plain model: each page that is reached once, parents
// first, for the same reasons; on graphs that take many words of the bitmap, with one page marked
// or many, and after a walk that ended in the middle.
#include "graph/propagate.hpp"
#include "support/sanitizers.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <stdexcept>

namespace mmsb::graph {
namespace {

constexpr std::uint64_t page_count = 9000;

using Whys = std::map<PageId, unsigned>;

struct Seed {
    PageId page = PageId::none;
    bool is_asked = false;
};

/// What becomes of a page, as if by chance.
Fate fate_of(PageId page, unsigned round) {
    const auto mixed = (number(page) + round * 7919U) * 0x9e3779b97f4a7c15U >> 60U;
    if (mixed < 2) return Fate::unchanged;
    if (mixed == 2) return Fate::stale;
    return mixed == 3 ? Fate::fresh : Fate::changed;
}
bool is_heavy(PageId page) { return number(page) % 5 == 0; }

/// Edges of all types and formulas, from pages before to pages `reach` behind at most, in an order
/// that is not the pages'.
Graph graph_of(std::uint64_t reach, unsigned edges_a_page, std::mt19937& random) {
    std::vector<PageId> order;
    for (std::uint64_t n = 1; n <= page_count; ++n) order.push_back(PageId{n});
    std::ranges::shuffle(order, random);
    std::vector<Edge> edges;
    std::vector<std::pair<PageId, RulePointer>> rules;
    for (std::size_t i = 1; i != order.size(); ++i) {
        Rule rule{"a function/1", {}, {}};
        for (unsigned k = 0; k != edges_a_page; ++k) {
            const auto parent = order[i - 1 - random() % std::min<std::uint64_t>(i, reach)];
            const auto type = all_edge_types[random() % 4];
            if (type == EdgeType::data)
                rule.parents.push_back(parent);
            else
                edges.push_back({parent, order[i], type});
        }
        if (!rule.parents.empty())
            rules.emplace_back(order[i], std::make_shared<const Rule>(std::move(rule)));
    }
    Graph graph;
    EXPECT_TRUE(graph.load(edges, rules));
    return graph;
}

/// All that is visited and why, in the order of the positions.
std::vector<std::pair<PageId, unsigned>> expected(const Graph& graph,
                                                  const std::vector<Seed>& seeds, unsigned round) {
    std::map<Position, unsigned> marked;
    const auto mark = [&](Node node, unsigned why) {
        if (why != 0) marked[graph.order().position(node)] |= why;
    };
    const auto mark_children = [&](Node node, Fate fate) {
        for (const auto& child : graph.children_of(node)) {
            const bool computed = (child.kinds & by_formula) != 0;
            const bool bound =
                (child.kinds & (kind_of(EdgeType::control) | kind_of(EdgeType::compiler))) != 0;
            const auto if_so = [](bool is_so, Why why) { return is_so ? unsigned{why} : 0U; };
            if (fate == Fate::changed)
                mark(child.node, if_so(computed, dirty) | if_so(bound, invalid));
            if (fate == Fate::stale && (computed || bound)) mark(child.node, spoiled);
            if (fate == Fate::fresh && computed) mark(child.node, refreshed);
        }
    };
    for (const auto& seed : seeds) {
        const auto node = graph.node_of(seed.page);
        if (seed.is_asked)
            mark(node, asked);
        else
            mark_children(node, Fate::changed);
    }
    std::vector<std::pair<PageId, unsigned>> visited;
    while (!marked.empty()) {
        const auto [position, why] = *marked.begin();
        marked.erase(marked.begin());
        const auto node = graph.order().at(position);
        visited.emplace_back(graph.page_of(node), why);
        mark_children(node, fate_of(graph.page_of(node), round));
    }
    return visited;
}

void begin(Propagation& propagation, const std::vector<Seed>& seeds) {
    for (const auto& seed : seeds) {
        if (seed.is_asked)
            propagation.ask(seed.page);
        else
            propagation.has(seed.page, Fate::changed);
    }
}

void expect_walk(const Graph& graph, const std::vector<Seed>& seeds, unsigned round) {
    Propagation propagation(graph);
    begin(propagation, seeds);
    std::vector<std::pair<PageId, unsigned>> visited;
    propagation.run([&](Node node, std::uint8_t why) {
        visited.emplace_back(graph.page_of(node), why);
        return fate_of(graph.page_of(node), round);
    });
    EXPECT_EQ(visited, expected(graph, seeds, round));
}

// Pages that are visited together come out of the order of the positions.
void expect_walk_together(const Graph& graph, const std::vector<Seed>& seeds, unsigned round) {
    const auto all = expected(graph, seeds, round);
    const Whys whys(all.begin(), all.end());
    Propagation propagation(graph);
    begin(propagation, seeds);
    std::map<PageId, std::size_t> step_of;
    std::size_t step = 0;
    const auto see = [&](Node node, unsigned why) {
        const auto page = graph.page_of(node);
        EXPECT_TRUE(step_of.emplace(page, step).second);
        EXPECT_TRUE(whys.contains(page) && whys.at(page) == why);
        return fate_of(page, round);
    };
    propagation.run([&](Node node) { return is_heavy(graph.page_of(node)); },
                    [&](Node node, std::uint8_t why) {
                        ++step;
                        return see(node, why);
                    },
                    [&](std::span<Propagation::Visited> nodes) {
                        ++step;
                        for (auto& visited : nodes) {
                            EXPECT_TRUE(is_heavy(graph.page_of(visited.node)));
                            visited.fate = see(visited.node, visited.why);
                        }
                    });
    EXPECT_EQ(step_of.size(), whys.size());
    for (const auto& [page, at] : step_of)
        for (const auto& edge : graph.children(page))
            if (const auto child = step_of.find(edge.child); child != step_of.end()) {
                EXPECT_LT(at, child->second) << number(page) << " leads to " << number(edge.child);
            }
}

// It ends in the middle, wherever a user's function throws or memory runs out.
void break_off(const Graph& graph, const std::vector<Seed>& seeds, unsigned after, unsigned round) {
    unsigned left = after;
    const auto count = [&] {
        if (left-- == 0) throw std::runtime_error("no");
    };
    try {
        Propagation propagation(graph);
        begin(propagation, seeds);
        propagation.run(
            [&](Node node) {
                count();
                return is_heavy(graph.page_of(node));
            },
            [&](Node node, std::uint8_t) {
                count();
                return fate_of(graph.page_of(node), round);
            },
            [&](std::span<Propagation::Visited> nodes) {
                count();
                for (auto& visited : nodes)
                    visited.fate = fate_of(graph.page_of(visited.node), round);
            });
    } catch (const std::runtime_error&) {  // or it was over before
    }
}

TEST(Propagation, ReachesWhatAModelReaches) {
    struct Shape {
        std::uint64_t reach;
        unsigned edges_a_page;
    };
    std::mt19937 random(5);
    for (const auto& [reach, edges_a_page] :
         {Shape{1, 1}, Shape{3, 1}, Shape{page_count, 1}, Shape{100, 2}, Shape{page_count, 4}}) {
        const auto graph = graph_of(reach, edges_a_page, random);
        ASSERT_GT(graph.order().end(), 2U * 64 * 64);  // words of the summary
        for (unsigned round = 0; round != test::cases(40U, 6U); ++round) {
            std::vector<Seed> seeds;
            for (unsigned i = 0; i <= round % 5; ++i) {
                const PageId page{1 + random() % page_count};
                if (graph.node_of(page) != no_node) seeds.push_back({page, random() % 3 == 0});
            }
            break_off(graph, seeds, static_cast<unsigned>(random() % 60), round);
            expect_walk(graph, seeds, round);
            break_off(graph, seeds, static_cast<unsigned>(random() % 8), round);
            expect_walk_together(graph, seeds, round);
        }
    }
}

// What is marked in one walk is of no other: a page alone, too, where looking at it fails.
TEST(Propagation, ThatEndsBeforeItsOnlyPageLeavesNothing) {
    Graph graph;
    ASSERT_TRUE(graph.add_edge(PageId{1}, PageId{2}, EdgeType::control).empty());
    const auto walk = [&](Seed seed, bool fails) {
        Propagation propagation(graph);
        begin(propagation, {seed});
        unsigned whys = 0;
        propagation.run([&](Node) { return fails ? throw std::runtime_error("no") : false; },
                        [&](Node, std::uint8_t why) {
                            whys |= why;
                            return Fate::unchanged;
                        },
                        [](std::span<Propagation::Visited>) {});
        return whys;
    };
    EXPECT_THROW(walk({PageId{2}, true}, true), std::runtime_error);
    EXPECT_EQ(walk({PageId{1}, false}, false), unsigned{invalid});
}

}  // namespace
}  // namespace mmsb::graph
