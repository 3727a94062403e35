// The graph against a plain model: edges of all types and formulas, added and removed at random, on
// every shape that a graph grows in.
#include "graph/graph.hpp"
#include "support/sanitizers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace mmsb::graph {
namespace {

using Model = std::set<Edge>;

PageId page(std::uint64_t n) { return PageId{n + 1}; }

RulePointer rule_of(std::vector<PageId> parents) {
    return std::make_shared<const Rule>(Rule{"a function/1", {}, std::move(parents)});
}

/// What depends on `from`, by the model; itself, too.
std::set<PageId> below(const Model& model, PageId from) {
    std::set<PageId> found{from};
    std::vector<PageId> next{from};
    while (!next.empty()) {
        const auto at = next.back();
        next.pop_back();
        for (auto e = model.lower_bound({at, PageId::none, EdgeType::data});
             e != model.end() && e->parent == at; ++e)
            if (found.insert(e->child).second) next.push_back(e->child);
    }
    return found;
}

/// A path of edges that are in the model, and the new one, back to where it begins.
void expect_cycle(const Model& model, Edge added, const std::vector<PageId>& cycle) {
    ASSERT_GE(cycle.size(), 2U);
    EXPECT_EQ(cycle.front(), added.parent);
    EXPECT_EQ(cycle.at(1), added.child);
    EXPECT_EQ(cycle.back(), added.parent);
    for (std::size_t i = 1; i + 1 < cycle.size(); ++i) {
        const auto edge = model.lower_bound({cycle[i], cycle[i + 1], EdgeType::data});
        EXPECT_TRUE(edge != model.end() && edge->parent == cycle[i] && edge->child == cycle[i + 1]);
    }
}

TEST(AGraph, FollowsAModelWhateverIsAddedAndRemoved) {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        std::mt19937 random(seed);
        Graph graph;
        Model edges;  // but those of formulas
        std::map<PageId, std::vector<PageId>> formulas;
        const auto all = [&] {
            auto model = edges;
            for (const auto& [child, parents] : formulas)
                for (const auto parent : parents) model.insert({parent, child, EdgeType::data});
            return model;
        };
        for (int step = 0; step < 400; ++step) {
            const auto any = [&] { return page(random() % 24); };
            const auto model = all();
            switch (random() % 8) {
                case 0:
                case 1:
                case 2: {
                    const Edge edge{any(), any(), static_cast<EdgeType>(random() % 4)};
                    const auto cycle = graph.add_edge(edge.parent, edge.child, edge.type);
                    const bool closes = below(model, edge.child).contains(edge.parent);
                    ASSERT_EQ(cycle.empty(), !closes);
                    if (closes)
                        expect_cycle(model, edge, cycle);
                    else
                        edges.insert(edge);
                    break;
                }
                case 3: {
                    if (edges.empty()) break;
                    const auto edge =
                        *std::next(edges.begin(), static_cast<long>(random() % edges.size()));
                    ASSERT_TRUE(graph.remove_edge(edge.parent, edge.child, edge.type));
                    ASSERT_FALSE(graph.remove_edge(edge.parent, edge.child, edge.type));
                    edges.erase(edge);
                    break;
                }
                case 4:
                case 5: {
                    const auto child = any();
                    std::vector<PageId> parents{any(), any()};
                    if (random() % 3 == 0) parents.push_back(parents.front());
                    auto others = model;
                    if (const auto had = formulas.find(child); had != formulas.end()) {
                        formulas.erase(child);
                        others = all();
                        formulas[child] = graph.rule(child)->parents;
                    }
                    const auto under = below(others, child);
                    const bool closes = std::ranges::any_of(
                        parents, [&](PageId parent) { return under.contains(parent); });
                    ASSERT_EQ(graph.set_rule(child, rule_of(parents)).empty(), !closes);
                    if (!closes) formulas[child] = parents;
                    break;
                }
                case 6: {
                    const auto child = any();
                    ASSERT_EQ(graph.remove_rule(child) != nullptr, formulas.erase(child) == 1);
                    break;
                }
                default: {
                    const auto gone = any();
                    graph.remove_page(gone);
                    std::erase_if(edges, [&](const Edge& edge) {
                        return edge.parent == gone || edge.child == gone;
                    });
                    std::erase_if(formulas, [&](const auto& formula) {
                        return formula.first == gone ||
                               std::ranges::count(formula.second, gone) != 0;
                    });
                }
            }
            graph.check_invariants();
            const auto after = all();
            ASSERT_EQ(graph.rule_count(), formulas.size());
            const auto listed = graph.edges();
            ASSERT_EQ(Model(listed.begin(), listed.end()), after) << "seed " << seed;
            const auto one = any();
            auto reached = below(after, one);
            reached.erase(one);
            const auto descendants = graph.descendants(one);
            ASSERT_EQ(std::set<PageId>(descendants.begin(), descendants.end()), reached);
        }
        const auto copy = graph;
        copy.check_invariants();
        std::vector<std::pair<PageId, RulePointer>> rules;
        for (const auto id : graph.derived()) rules.emplace_back(id, graph.rule(id));
        Graph loaded;
        const std::vector<Edge> own(edges.begin(), edges.end());
        ASSERT_TRUE(loaded.load(own, rules));
        loaded.check_invariants();
        const auto listed = graph.edges(), again = loaded.edges();
        EXPECT_EQ(Model(again.begin(), again.end()), Model(listed.begin(), listed.end()));
        EXPECT_EQ(loaded.depth(), graph.depth());
    }
}

TEST(AGraph, GrowsInEveryShape) {
    constexpr std::uint64_t n = 20'000;
    const auto grow = [](const char* shape, auto parent_of_step, auto child_of_step) {
        Graph graph;
        for (std::uint64_t i = 0; i < n; ++i)
            ASSERT_TRUE(graph.add_edge(parent_of_step(i), child_of_step(i), EdgeType::data).empty())
                << shape;
        graph.check_invariants();
    };
    std::mt19937_64 random(7);
    grow("at the leaf", [](auto i) { return page(i); }, [](auto i) { return page(i + 1); });
    grow("at the root", [](auto i) { return page(n - i); }, [](auto i) { return page(n - i + 1); });
    grow("a hub of children", [](auto) { return page(0); }, [](auto i) { return page(i + 1); });
    grow("a hub of parents", [](auto i) { return page(i + 1); }, [](auto) { return page(0); });
    grow(
        "in layers", [](auto i) { return page(i / 10); },
        [&](auto i) { return page((i / 1000 + 1) * 100 + random() % 100); });
    grow(
        "at random", [](auto i) { return page(i % 5000); },
        [&](auto i) { return page(i % 5000 + 1 + random() % 50); });
}

/// Nodes by number, and whom each leads to.
class Lists {
public:
    void add(std::size_t parent, std::size_t child) {
        children_.resize(std::max({children_.size(), parent + 1, child + 1}));
        children_[parent].push_back(child);
    }
    [[nodiscard]] bool leads(std::size_t from, std::size_t to) const {
        std::vector<bool> seen(children_.size());
        std::vector<std::size_t> next{from};
        while (!next.empty()) {
            const auto at = next.back();
            next.pop_back();
            if (at == to) return true;
            if (seen[at]) continue;
            seen[at] = true;
            next.insert(next.end(), children_[at].begin(), children_[at].end());
        }
        return false;
    }
    [[nodiscard]] bool has(std::size_t parent, std::size_t child) const {
        return std::ranges::count(children_[parent], child) != 0;
    }

private:
    std::vector<std::vector<std::size_t>> children_{};
};

// Large ones to small ones, with the order in which they came and against it.
TEST(AGraph, IsJoinedFromParts) {
    for (unsigned seed = 1; seed <= mmsb::test::cases(8U, 2U); ++seed) {
        std::mt19937 random(seed);
        Graph graph;
        Lists lists;
        std::size_t nodes = 0, refused = 0;
        const auto add = [&](std::size_t parent, std::size_t child) {
            const bool closes = lists.leads(child, parent);
            const auto cycle = graph.add_edge(page(parent), page(child), EdgeType::data);
            ASSERT_EQ(!cycle.empty(), closes) << "seed " << seed;
            if (!closes) return lists.add(parent, child);
            ++refused;
            ASSERT_EQ(cycle.front(), page(parent));
            ASSERT_EQ(cycle.back(), page(parent));
            for (std::size_t i = 1; i + 1 < cycle.size(); ++i)
                ASSERT_TRUE(lists.has(number(cycle[i]) - 1, number(cycle[i + 1]) - 1));
        };
        std::vector<std::size_t> firsts, lasts;
        for (int part = 0; part != 25; ++part) {
            const auto size = 2 + random() % (part % 5 == 0 ? 3000 : 200), first = nodes;
            const auto shape = random() % 4;
            firsts.push_back(first);
            nodes += size;
            lasts.push_back(nodes - 1);
            for (std::size_t i = 1; i != size; ++i) {
                const auto here = first + i, before = here - 1, half = first + i / 2;
                const auto [parent, child] = shape == 0   ? std::pair{before, here}
                                             : shape == 1 ? std::pair{here, before}
                                             : shape == 2 ? std::pair{half, here}
                                                          : std::pair{here, half};
                ASSERT_TRUE(graph.add_edge(page(parent), page(child), EdgeType::data).empty());
                lists.add(parent, child);
            }
        }
        for (int step = 0; step != 400; ++step) {
            const auto a = random() % firsts.size(), b = random() % firsts.size();
            const auto any = [&] { return random() % nodes; };
            switch (random() % 4) {
                case 0:
                    add(lasts[a], firsts[b]);
                    break;
                case 1:
                    add(firsts[a], lasts[b]);
                    break;
                case 2:
                    add(any(), firsts[b]);
                    break;
                default:
                    add(any(), any());
            }
            if (step % 40 == 0) graph.check_invariants();
        }
        graph.check_invariants();
        EXPECT_GT(refused, 20U);
    }
}

// Before it and behind it, until there is no room at either end, and on.
TEST(AGraph, JoinsASmallPartToALargeOneAtBothEnds) {
    constexpr std::uint64_t large = 2000, all = 2300;
    Graph graph;
    for (std::uint64_t i = 1; i != all; ++i)
        if (i != large) {
            ASSERT_TRUE(graph.add_edge(page(i - 1), page(i), EdgeType::data).empty());
        }
    const std::pair ends{Edge{page(all - 1), page(0)}, Edge{page(large - 1), page(large)}};
    for (int round = 0; round != 30; ++round)
        for (const auto& [parent, child, type] : {ends.first, ends.second}) {
            ASSERT_TRUE(graph.add_edge(parent, child, type).empty());
            graph.check_invariants();
            ASSERT_TRUE(graph.remove_edge(parent, child, type));
        }
}

/// Nodes in a row, whom each leads to and who leads to it, and how often that was looked at.
class Counted final : public Neighbours {
public:
    explicit Counted(std::size_t nodes) : parents_(nodes), children_(nodes) {}
    void add(Node parent, Node child) {
        children_[parent].push_back(child);
        parents_[child].push_back(parent);
    }
    void parents(Node node, std::vector<Node>& out) const override {
        looked_ += parents_[node].size();
        out.insert(out.end(), parents_[node].begin(), parents_[node].end());
    }
    void children(Node node, std::vector<Node>& out) const override {
        looked_ += children_[node].size();
        out.insert(out.end(), children_[node].begin(), children_[node].end());
    }
    [[nodiscard]] std::size_t parent_count(Node node) const override {
        return parents_[node].size();
    }
    [[nodiscard]] std::size_t child_count(Node node) const override {
        return children_[node].size();
    }
    [[nodiscard]] std::size_t looked() const { return std::exchange(looked_, 0); }

private:
    std::vector<std::vector<Node>> parents_, children_;
    mutable std::size_t looked_ = 0;
};

// Whether the many lead to it or come from it.
TEST(TheOrder, JoinsASmallPartToAHubWithoutWalkingAlongIt) {
    constexpr Node many = 20'000, parts = 50, hub = 0, first = many + 1;
    for (const bool up : {false, true}) {
        Order order;
        // The parts are before those that lead to the hub, or behind those that it leads to.
        const auto place_parts = [&] {
            for (Node node = first; node != first + 2 * parts; ++node) order.add_last(node);
        };
        if (up) place_parts();
        for (Node node = 0; node != first; ++node) order.add_last(up ? many - node : node);
        if (!up) place_parts();
        Counted graph(first + 2 * parts);
        for (Node node = 1; node <= many; ++node) up ? graph.add(node, hub) : graph.add(hub, node);
        for (Node part = 0; part != parts; ++part)
            graph.add(first + 2 * part, first + 2 * part + 1);
        for (Node part = 0; part != parts; ++part) {
            const auto parent = up ? hub : first + 2 * part + 1;
            const auto child = up ? first + 2 * part : hub;
            ASSERT_TRUE(order.put_before(parent, child, graph));
            graph.add(parent, child);
        }
        EXPECT_LT(graph.looked(), many);
        order.check_invariants(graph);
    }
}

TEST(AGraph, NamesTheCycleThatAnEdgeWouldClose) {
    Graph graph;
    EXPECT_TRUE(graph.add_edge(page(0), page(1), EdgeType::data).empty());
    EXPECT_TRUE(graph.add_edge(page(1), page(2), EdgeType::control).empty());
    EXPECT_EQ(graph.add_edge(page(2), page(0), EdgeType::compiler),
              (std::vector{page(2), page(0), page(1), page(2)}));
    EXPECT_EQ(graph.add_edge(page(1), page(1), EdgeType::data), (std::vector{page(1), page(1)}));
    EXPECT_EQ(graph.edge_count(), 2U);
    EXPECT_EQ(graph.depth(), 2U);
    graph.check_invariants();
}

TEST(AGraph, IsAsItWasWhereAFormulaWouldCloseACycle) {
    Graph graph;
    EXPECT_TRUE(graph.set_rule(page(1), rule_of({page(0), page(3)})).empty());
    EXPECT_TRUE(graph.set_rule(page(2), rule_of({page(1)})).empty());
    EXPECT_FALSE(graph.set_rule(page(1), rule_of({page(4), page(2)})).empty());
    EXPECT_EQ(graph.rule(page(1))->parents, (std::vector{page(0), page(3)}));
    EXPECT_EQ(graph.parents(page(1)).size(), 2U);
    EXPECT_EQ(graph.node_of(page(4)), no_node);
    graph.check_invariants();
}

TEST(AGraph, IsLoadedOnlyWithoutACycle) {
    Graph graph;
    const std::vector<Edge> circle{{page(0), page(1)}, {page(1), page(2)}, {page(2), page(0)}};
    EXPECT_FALSE(graph.load(circle, {}));
    EXPECT_FALSE(
        graph.load(std::vector<Edge>{{page(0), page(1)}}, {{page(0), rule_of({page(1)})}}));
    EXPECT_TRUE(graph.empty());
    EXPECT_TRUE(graph.load(std::vector<Edge>{{page(0), page(1)}}, {{page(1), rule_of({page(0)})}}));
    EXPECT_EQ(graph.kinds(page(0), page(1)), kind_of(EdgeType::data) | by_formula);
    graph.check_invariants();
}

}  // namespace
}  // namespace mmsb::graph
