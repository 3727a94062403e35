// The graphs of the public benchmark of JavaScript's reactivity libraries
// (milomg/js-reactivity-benchmark), with the answers and the numbers of computations that it
// expects. Derived pages are all kept up to date, so every graph counts as if all of it were read.
#include "support/sanitizers.hpp"

#include <mmsb/mmsb.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace mmsb::test {
namespace {

using Value = TypedPage<double>;
using Doubles = std::span<const double>;

double sum_of(Doubles values) {
    double sum = 0;
    for (const auto value : values) sum += value;
    return sum;
}

std::vector<double> parents_of(const Recompute& r) {
    std::vector<double> values;
    for (std::size_t i = 0; i != r.parents(); ++i) values.push_back(r.parent<double>(i)[0]);
    return values;
}

/// A bus whose recompute functions are counted; verified at the end.
class Counted {
public:
    Counted() = default;
    ~Counted() { EXPECT_TRUE(bus.verify({.recompute_every = 1}).good); }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

    void add(std::string_view name, RecomputeFunction function) {
        bus.register_recompute(name, [this, function = std::move(function)](Recompute& r) {
            ++calls_;
            function(r);
        });
    }
    /// `size` doubles, by a function of their own.
    Page computed(const std::vector<Page>& parents, std::size_t size, RecomputeFunction function) {
        const auto name = "test." + std::to_string(++functions_) + "/1";
        add(name, std::move(function));
        const auto page = bus.create_page(size * sizeof(double));
        bus.graph().derive(page, parents, formula::call(name));
        return page;
    }
    /// One double, from its parents' first ones.
    Page computed(const std::vector<Page>& parents, std::function<double(Doubles)> function) {
        return computed(parents, 1, [function = std::move(function)](Recompute& r) {
            r.out<double>()[0] = function(parents_of(r));
        });
    }
    Page plus(Page parent, double what) {
        return computed({parent}, [what](Doubles in) { return in[0] + what; });
    }
    /// How many functions a commit runs.
    template <class F>
    std::size_t calls(const F& commit) {
        calls_ = 0;
        commit();
        return calls_;
    }
    std::size_t write(const Value& page, double value) {
        return calls([&] { page.update(value); });
    }

    State bus = start();

private:
    std::size_t calls_ = 0, functions_ = 0;
};

double value_of(const Page& page, std::size_t at = 0) {
    double value = 0;
    page.read_into(std::as_writable_bytes(std::span(&value, 1)), at * sizeof value);
    return value;
}

TEST(AvoidablePropagation, StopsAtTheConstant) {
    Counted graph;
    const auto head = graph.bus.create<double>();
    const auto constant = graph.computed({graph.plus(head, 0)}, [](Doubles) { return 0; });
    const auto last = graph.plus(graph.plus(graph.plus(constant, 1), 2), 3);
    for (int i = 1; i <= 1000; ++i) ASSERT_EQ(graph.write(head, i), 2U);
    EXPECT_EQ(value_of(last), 6);
}

TEST(BroadPropagation, ComputesEachBranchOnce) {
    Counted graph;
    const auto head = graph.bus.create<double>();
    std::vector<Page> ends;
    for (int i = 0; i < 50; ++i) ends.push_back(graph.plus(graph.plus(head, i), 1));
    for (int i = 1; i <= 50; ++i) {
        ASSERT_EQ(graph.write(head, i), 100U);
        ASSERT_EQ(value_of(ends.front()), i + 1);
        ASSERT_EQ(value_of(ends.back()), i + 50);
    }
}

TEST(DeepPropagation, ComputesEachStepOnce) {
    Counted graph;
    const auto head = graph.bus.create<double>();
    Page last = head;
    for (int i = 0; i < 50; ++i) last = graph.plus(last, 1);
    for (int i = 1; i <= 50; ++i) {
        ASSERT_EQ(graph.write(head, i), 50U);
        ASSERT_EQ(value_of(last), i + 50);
    }
}

TEST(ADiamond, ComputesItsEndOnce) {
    Counted graph;
    const auto head = graph.bus.create<double>();
    std::vector<Page> middle;
    for (int i = 0; i < 5; ++i) middle.push_back(graph.plus(head, 1));
    const auto end = graph.computed(middle, sum_of);
    for (int i = 1; i <= 500; ++i) {
        ASSERT_EQ(graph.write(head, i), 6U);
        ASSERT_EQ(value_of(end), (i + 1) * 5);
    }
}

// One page of all heads, a page for each of its numbers, and one behind each of these. All numbers
// are taken anew; only one is another.
TEST(AMux, ComputesBehindTheOneThatChanged) {
    constexpr std::size_t n = 100;
    Counted graph;
    std::vector<Value> heads;
    for (std::size_t i = 0; i < n; ++i) heads.push_back(graph.bus.create<double>());
    const auto mux = graph.computed({heads.begin(), heads.end()}, n, [](Recompute& r) {
        std::ranges::copy(parents_of(r), r.out<double>().begin());
    });
    std::vector<Page> ends;
    for (std::size_t i = 0; i < n; ++i)
        ends.push_back(graph.plus(
            graph.computed({mux}, 1,
                           [i](Recompute& r) { r.out<double>()[0] = r.parent<double>(0)[i]; }),
            1));
    for (const double factor : {1, 2})
        for (std::size_t i = 0; i < n; ++i) {
            const auto value = factor * static_cast<double>(i + 1);
            ASSERT_EQ(graph.write(heads[i], value), 1 + n + 1);
            ASSERT_EQ(value_of(ends[i]), value + 1);
            ASSERT_EQ(value_of(mux, i), value);
        }
}

TEST(RepeatedObservers, AreOneThatIsComputedOnce) {
    Counted graph;
    const auto head = graph.bus.create<double>();
    const auto sum = graph.computed(std::vector<Page>(30, head), sum_of);
    for (int i = 1; i <= 100; ++i) {
        ASSERT_EQ(graph.write(head, i), 1U);
        ASSERT_EQ(value_of(sum), i * 30);
    }
    EXPECT_EQ(graph.bus.get_stats().graph_edges, 1U);
}

TEST(ATriangle, ComputesItsEndOnceWhateverTheWay) {
    Counted graph;
    const auto head = graph.bus.create<double>();
    std::vector<Page> all{head};
    while (all.size() != 10) all.push_back(graph.plus(all.back(), 1));
    const auto sum = graph.computed(all, sum_of);
    for (int i = 1; i <= 100; ++i) {
        ASSERT_EQ(graph.write(head, i), 10U);
        ASSERT_EQ(value_of(sum), 45 + i * 10);
    }
}

// A library that finds dependencies while functions run has other parents each time here, and
// computes the one of the two that is read. A formula's parents are what it says: both are kept up
// to date, and the end is computed once for all of them.
TEST(AnUnstableGraph, ComputesAllParentsThatTheFormulaNames) {
    Counted graph;
    const auto head = graph.bus.create<double>();
    const auto twice = graph.computed({head}, [](Doubles in) { return 2 * in[0]; });
    const auto inverse = graph.computed({head}, [](Doubles in) { return -in[0]; });
    const auto end = graph.computed({head, twice, inverse}, [](Doubles in) {
        double sum = 0;
        for (int i = 0; i < 20; ++i) sum += std::fmod(in[0], 2) != 0 ? in[1] : in[2];
        return sum;
    });
    for (int i = 1; i <= 100; ++i) {
        ASSERT_EQ(graph.write(head, i), 3U);
        ASSERT_EQ(value_of(end), 20 * (i % 2 != 0 ? 2 * i : -i));
    }
}

// "cellx": four sources change at once, and a thousand layers of four behind them.
TEST(ATallLadder, FollowsFourSourcesInOneCommit) {
    constexpr std::size_t layers = 1000;
    Counted graph;
    graph.add("test.copy/1", [](Recompute& r) { r.out<double>()[0] = parents_of(r)[0]; });
    graph.add("test.add/1", [](Recompute& r) { r.out<double>()[0] = sum_of(parents_of(r)); });
    graph.add("test.subtract/1", [](Recompute& r) {
        r.out<double>()[0] = r.parent<double>(0)[0] - r.parent<double>(1)[0];
    });
    std::array<Value, 4> sources;
    for (auto& source : sources) source = graph.bus.create<double>();
    std::array<Page, 4> last;
    graph.bus.transact([&](Transaction& tx) {
        std::ranges::copy(sources, last.begin());
        for (std::size_t layer = 0; layer != layers; ++layer) {
            const auto above = last;
            for (auto& page : last) page = tx.create_page(sizeof(double));
            tx.derive(last[0], {above[1]}, formula::call("test.copy/1"));
            tx.derive(last[1], {above[0], above[2]}, formula::call("test.subtract/1"));
            tx.derive(last[2], {above[1], above[3]}, formula::call("test.add/1"));
            tx.derive(last[3], {above[2]}, formula::call("test.copy/1"));
        }
    });
    const auto expect = [&](const std::array<double, 4>& set, const std::array<double, 4>& seen) {
        const auto calls = graph.calls([&] {
            graph.bus.transact([&](Transaction& tx) {
                for (std::size_t i = 0; i != 4; ++i) tx.update(sources[i], set[i]);
            });
        });
        EXPECT_EQ(calls, 4 * layers);
        for (std::size_t i = 0; i != 4; ++i) EXPECT_EQ(value_of(last[i]), seen[i]);
    };
    expect({1, 2, 3, 4}, {-3, -6, -2, 2});
    expect({4, 3, 2, 1}, {-2, -4, 2, 3});
}

/// `width` sources and so many pages in each layer behind; each from the page above it and those
/// right of that. Pages that are not fixed leave out one of them, by the first one's value.
struct Layers {
    const char* name;
    unsigned width, layers, parents;
    double fixed;                 ///< Which part of the pages.
    unsigned writes;              ///< Some rounds over all sources.
    std::size_t calls;            ///< That the benchmark expects of a write.
    std::optional<double> sum{};  ///< Of the last layer, after these writes.
};

double drop_one(Doubles in) {
    const auto others = static_cast<double>(in.size() - 1);
    const bool odd = std::fmod(in[0], 2) != 0;
    const auto dropped = odd ? 1 + static_cast<std::size_t>(std::fmod(in[0], others)) : 0;
    double sum = in[0];
    for (std::size_t i = 1; i != in.size(); ++i)
        if (i != dropped) sum += in[i];
    return sum;
}

/// On a bus, and beside it in plain numbers. Source i has `first` + 2 i.
class LayeredGraph {
public:
    LayeredGraph(const Layers& shape, double first)
        : shape_(shape),
          values_(std::size_t{shape.width} * shape.layers),
          changed_(values_.size()) {
        std::mt19937 random(1);
        for (std::size_t node = 0; node != values_.size(); ++node) {
            fixed_.push_back(std::uniform_real_distribution<>()(random) < shape.fixed);
            parents_.push_back(parents_of_node(node));
        }
        graph_.add("test.sum/1", [](Recompute& r) { r.out<double>()[0] = sum_of(parents_of(r)); });
        graph_.add("test.drop/1",
                   [](Recompute& r) { r.out<double>()[0] = drop_one(parents_of(r)); });
        for (std::size_t i = 0; i != shape_.width; ++i)
            values_[i] = first + 2 * static_cast<double>(i);
        graph_.bus.transact([&](Transaction& tx) {
            pages_.clear();
            for (std::size_t node = 0; node != values_.size(); ++node) {
                pages_.push_back(tx.create_page(
                    sizeof(double), {.contents = std::as_bytes(std::span(&values_[node], 1))}));
                if (node < shape_.width) continue;
                std::vector<Page> parents;
                for (const auto parent : parents_[node]) parents.push_back(pages_[parent]);
                tx.derive(pages_.back(), parents,
                          formula::call(fixed_[node] ? "test.sum/1" : "test.drop/1"));
            }
        });
        for (auto& page : pages_) page = graph_.bus.page(page.id());
        std::fill_n(changed_.begin(), shape_.width, true);
        compute_model();
        check();
    }

    /// How many functions ran; as many as the plain numbers say. (0 where nothing changed.)
    std::size_t write(std::size_t source, double value) {
        const auto calls =
            graph_.calls([&] { pages_[source].update(std::as_bytes(std::span(&value, 1))); });
        EXPECT_EQ(calls, write_model(source, value));
        return calls;
    }
    void check() const {
        for (std::size_t node = 0; node != values_.size(); ++node)
            ASSERT_EQ(value_of(pages_[node]), values_[node]) << node;
    }
    [[nodiscard]] double sum() const { return sum_of(Doubles(values_).last(shape_.width)); }

private:
    [[nodiscard]] std::vector<std::size_t> parents_of_node(std::size_t node) const {
        std::vector<std::size_t> parents;
        if (node < shape_.width) return parents;
        const auto above = node / shape_.width - 1, at = node % shape_.width;
        for (std::size_t i = 0; i != shape_.parents; ++i)
            parents.push_back(above * shape_.width + (at + i) % shape_.width);
        return parents;
    }
    std::size_t write_model(std::size_t source, double value) {
        std::fill_n(changed_.begin(), shape_.width, false);
        changed_[source] = values_[source] != value;
        values_[source] = value;
        return compute_model();
    }
    std::size_t compute_model() {
        std::size_t calls = 0;
        for (std::size_t node = shape_.width; node != values_.size(); ++node) {
            changed_[node] = false;
            if (std::ranges::none_of(parents_[node], [&](auto at) { return changed_[at]; }))
                continue;
            ++calls;
            std::vector<double> in;
            for (const auto parent : parents_[node]) in.push_back(values_[parent]);
            const auto made = fixed_[node] ? sum_of(in) : drop_one(in);
            changed_[node] = made != values_[node];
            values_[node] = made;
        }
        return calls;
    }

    Layers shape_;
    std::vector<double> values_;
    std::vector<bool> changed_, fixed_{};
    std::vector<std::vector<std::size_t>> parents_{};
    Counted graph_{};
    std::vector<Page> pages_{};
};

class ALayeredGraph : public testing::TestWithParam<Layers> {};

TEST_P(ALayeredGraph, ComputesWhatAWriteReachesAndNothingElse) {
    const auto& shape = GetParam();
    // As a whole run leaves it, so that the first write of this one changes something, too.
    LayeredGraph graph(shape, shape.writes - shape.width);
    const auto with_sanitizer = std::max<std::size_t>(30'000 / shape.calls, 20);
    const auto writes =
        std::min<std::size_t>(shape.writes, cases<std::size_t>(shape.writes, with_sanitizer));
    for (unsigned i = 0; i != writes; ++i)
        ASSERT_EQ(graph.write(i % shape.width, i + i % shape.width), shape.calls) << i;
    graph.check();
    if (!sanitized) {
        EXPECT_EQ(graph.sum(), shape.sum.value_or(graph.sum()));
    }
}

// The first two are read in part by the benchmark, whose engines then compute less: 5.8 and 77.
INSTANTIATE_TEST_SUITE_P(
    Of, ALayeredGraph,
    testing::Values(Layers{"SimpleComponent", 10, 5, 2, 1, 6000, 14},
                    Layers{"DynamicComponent", 10, 10, 6, 0.75, 3000, 86},
                    Layers{"LargeWebApp", 1000, 12, 4, 0.95, 7000, 209, 29355933696000},
                    Layers{"WideDense", 1000, 5, 25, 1, 3000, 244, 1171484375000},
                    Layers{"Deep", 5, 500, 3, 1, 500, 2493, 3.0239642676898464e241},
                    Layers{"VeryDynamic", 100, 15, 6, 0.5, 2000, 539, 15664996402790400}),
    [](const auto& shape) { return shape.param.name; });

// The benchmark's own writes make each value even, so that nothing is ever left out there.
TEST(AGraphWhoseFunctionsLeaveParentsOut, ComputesWhatAParentChangedOf) {
    LayeredGraph graph({"", 10, 10, 6, 0.25, 0, 0}, 0);
    std::mt19937 random(2);
    std::size_t fewer = 0;
    for (int i = 0; i < cases(2000, 200); ++i)
        fewer += graph.write(random() % 10, static_cast<double>(random() % 50)) != 86 ? 1U : 0U;
    EXPECT_GT(fewer, 0U);
    graph.check();
}

}  // namespace
}  // namespace mmsb::test
