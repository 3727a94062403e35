// Derived pages: computed in the commit that changes what they are computed from; stale where they
// cannot be; the same graph wherever the bus is opened.
#include "api/derived.hpp"
#include "support/child.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <thread>

namespace mmsb::test {
namespace {

using testing::ElementsAre;

TEST(ADerivedPage, FollowsInTheSameCommit) {
    const auto bus = start();
    add_mean(bus);
    const auto temps = bus.create<double[]>(8, {.name = "temps"});
    const auto total = bus.create<double>(), mean = bus.create<double>();
    const auto alarm = bus.create<std::uint8_t>();
    bus.transact([&](Transaction& tx) {
        tx.derive(total, {temps}, formula::sum<double>());
        tx.derive(alarm, {mean}, formula::threshold(80.0));
        tx.derive(mean, {temps}, formula::call("test.mean/1"));
    });
    const auto before = bus.sequence();
    const auto done = temps.update([](std::span<double> t) { t[3] = 800.0; });
    EXPECT_EQ(done.sequence, before + 1);
    EXPECT_EQ(total.read(), 800.0);
    EXPECT_EQ(mean.read(), 100.0);
    EXPECT_EQ(alarm.read(), 1);
    EXPECT_EQ(bus.at(before).get(total), 0.0);
    EXPECT_EQ(bus.at(before + 1).get(alarm), 1);
    EXPECT_TRUE(mean.page().info().derived);
    EXPECT_FALSE(mean.page().info().stale);
    EXPECT_TRUE(bus.verify().good);
    const auto stats = bus.get_stats();
    EXPECT_EQ(stats.graph_nodes, 4U);
    EXPECT_EQ(stats.graph_edges, 3U);
    EXPECT_EQ(stats.graph_max_depth, 2U);
    EXPECT_EQ(stats.propagation_count, 2U);
}

// Which one comes out of two is left to compilers and processors, and another one's verify() would
// find a difference.
TEST(Graph, ASumThatIsNoNumberIsAlwaysTheSameOne) {
    const auto bus = start({});
    const auto sums_of = [&]<class T>(T from) {
        const auto in = bus.create<T[]>(3);
        const auto sum = bus.create<T>();
        bus.transact([&](Transaction& tx) { tx.derive(sum, {in}, formula::sum<T>()); });
        const auto other = std::nan("77");
        constexpr auto no_end = std::numeric_limits<T>::infinity();
        for (const auto& values :
             {std::array{from, static_cast<T>(other), static_cast<T>(-other)},
              std::array{-static_cast<T>(other), from, from}, std::array{no_end, -no_end, from}}) {
            in.update([&](std::span<T> lanes) { std::ranges::copy(values, lanes.begin()); });
            const T expected = std::numeric_limits<T>::quiet_NaN();
            EXPECT_EQ(sum.page().read(), Bytes(std::as_bytes(std::span(&expected, 1)).begin(),
                                               std::as_bytes(std::span(&expected, 1)).end()));
        }
    };
    sums_of(1.0F);
    sums_of(1.0);
}

TEST(ADerivedPage, IsComputedNoFurtherThanWhereBytesStayTheSame) {
    const auto bus = start();
    int calls = 0;
    add_next(bus, &calls);
    const auto source = bus.create<double>();
    const auto alarm = bus.create_page(1), after = bus.create_page(1);
    bus.graph().derive(alarm, {source}, formula::threshold(10.0));
    bus.graph().derive(after, {alarm}, formula::call("test.next/1"));
    EXPECT_EQ(calls, 1);
    source.update(5.0);
    EXPECT_EQ(calls, 1);
    source.update(50.0);
    EXPECT_EQ(calls, 2);
    EXPECT_EQ(byte_of(after), 2);
    const auto diamond = bus.create_page(2);
    bus.graph().derive(diamond, {alarm, after}, formula::concatenate());
    source.update(1.0);
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(diamond.read(), (Bytes{std::byte{0}, std::byte{1}}));
}

TEST(ADerivedPage, IsToldWhichBytesOfItsParentsChanged) {
    const auto bus = start();
    const auto a = bus.create_page(1000), b = bus.create_page(10), sum = bus.create_page(1);
    std::vector<ByteRange> of_a, of_b;
    bus.register_recompute("test.look/1", [&](Recompute& r) {
        of_a.assign(r.changed(0).begin(), r.changed(0).end());
        of_b.assign(r.changed(1).begin(), r.changed(1).end());
        r.out()[0] = r.parent(0)[500] ^ r.arguments()[0];
    });
    bus.graph().derive(sum, {a, b}, formula::call("test.look/1", byte(3)));
    EXPECT_THAT(of_a, ElementsAre(ByteRange{0, 1000}));
    EXPECT_THAT(of_b, ElementsAre(ByteRange{0, 10}));
    bus.transact([&](Transaction& tx) {
        tx.write(a, 500, filled(3, 9));
        tx.write(a, 999, filled(1, 9));
    });
    EXPECT_THAT(of_a, ElementsAre(ByteRange{500, 3}, ByteRange{999, 1}));
    EXPECT_TRUE(of_b.empty());
    EXPECT_EQ(byte_of(sum), 9 ^ 3);
}

// A smaller parent changes bytes of the page that nothing of the parent reaches any more.
TEST(ADerivedPage, IsComparedAsAWholeWhereItsParentHasAnotherSize) {
    const auto bus = start();
    bus.register_recompute("test.padded/1",
                           [](Recompute& r) {
                               const auto rest =
                                   std::ranges::copy(r.parent(0), r.out().begin()).out;
                               std::ranges::fill(rest, r.out().end(), std::byte{0});
                           },
                           {.locality = Locality::passthrough});
    const auto parent = bus.create_page(600), padded = bus.create_page(600);
    bus.graph().derive(padded, {parent}, formula::call("test.padded/1"));
    parent.update(filled(600, 7));
    parent.resize(64);
    auto expected = filled(64, 7);
    expected.resize(600);
    EXPECT_EQ(padded.read(), expected);
    parent.resize(300);  // what it has gained is zero
    EXPECT_EQ(padded.read(), expected);
    EXPECT_TRUE(bus.verify({.recompute_every = 1}).good);
}

TEST(ADerivedPage, IsNotWritten) {
    const auto bus = start();
    const auto a = bus.create_page(4), b = bus.create_page(4);
    bus.graph().derive(b, {a}, formula::copy());
    const auto refused = raises<InvalidArgument>(bus, [&] { b.write(0, bytes_of("x")); });
    EXPECT_EQ(refused->page(), b.id());
    EXPECT_EQ(refused->found(), "mmsb.copy/1");
    raises<InvalidArgument>(bus, [&] { b.update(filled(4, 1)); });
    bus.transact([&](Transaction& tx) {
        tx.underive(b);
        tx.write(b, 0, bytes_of("mine"));
    });
    a.write(0, bytes_of("a"));
    EXPECT_EQ(text_of(b.read()), "mine");
    EXPECT_FALSE(b.info().derived);
}

TEST(ADerivedPage, OfACycleIsRefusedWithTheWay) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1), c = bus.create_page(1);
    bus.graph().derive(b, {a}, formula::copy());
    bus.graph().add_dependency(b, c, EdgeType::control);
    const auto refused =
        raises<GraphCycle>(bus, [&] { bus.graph().derive(a, {c}, formula::copy()); });
    EXPECT_THAT(refused->cycle(), ElementsAre(c.id(), a.id(), b.id(), c.id()));
    raises<GraphCycle>(bus, [&] { bus.graph().add_dependency(a, a, EdgeType::data); });
    raises<GraphCycle>(bus, [&] {
        bus.transact([&](Transaction& tx) {
            tx.add_dependency(c, tx.create_page(1), EdgeType::data);
            tx.add_dependency(c, a, EdgeType::compiler);
        });
    });
    EXPECT_FALSE(bus.graph().formula(a).has_value());
    EXPECT_EQ(bus.graph().topological_order().size(), 3U);
}

TEST(ADerivedPage, ThatCannotBeMadeChangesNothing) {
    const auto bus = start();
    const auto a = bus.create_page(4), b = bus.create_page(5), gone = bus.create_page(1);
    bus.delete_page(gone);
    const auto failed =
        raises<RecomputeFailed>(bus, [&] { bus.graph().derive(b, {a}, formula::copy()); });
    EXPECT_EQ(failed->page(), b.id());
    EXPECT_EQ(failed->function(), "mmsb.copy/1");
    raises<PageNotFound>(bus, [&] { bus.graph().derive(b, {gone}, formula::copy()); });
    raises<PageNotFound>(bus, [&] { bus.graph().derive(gone, {a}, formula::copy()); });
    raises<InvalidArgument>(bus, [&] { bus.graph().derive(b, {}, formula::copy()); });
    raises<InvalidArgument>(bus, [&] { bus.graph().derive(b, {a}, formula::call("")); });
    raises<InvalidArgument>(bus, [&] { bus.graph().derive(b, {a}, formula::call("mmsb.no/1")); });
    const auto other = start();
    raises<InvalidArgument>(
        bus, [&] { bus.graph().derive(b, {other.create_page(1)}, formula::copy()); });
    EXPECT_THROW(bus.register_recompute("mmsb.copy/2", [](Recompute&) {}), InvalidArgument);
    EXPECT_THROW(bus.register_recompute("x/1", nullptr), InvalidArgument);
    EXPECT_TRUE(bus.graph().topological_order().empty());
}

TEST(AFunctionThatThrows, FailsTheCommitOrLeavesThePageStale) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1), c = bus.create_page(1);
    const auto picky = [](Recompute& r) {
        if (r.parent(0)[0] == std::byte{13}) throw std::runtime_error("unlucky");
        r.out()[0] = r.parent(0)[0];
    };
    bus.register_recompute("test.picky/1", picky);
    bus.register_recompute("test.lenient/1", picky, {.stale_on_throw = true});
    bus.graph().derive(b, {a}, formula::call("test.picky/1"));
    const auto failed = raises<RecomputeFailed>(bus, [&] { a.update(byte(13)); });
    EXPECT_THAT(failed->what(), testing::HasSubstr("unlucky"));
    EXPECT_EQ(failed->function(), "test.picky/1");
    bus.graph().derive(b, {a}, formula::call("test.lenient/1"));
    bus.graph().derive(c, {b}, formula::copy());
    a.update(byte(13));
    EXPECT_EQ(byte_of(a), 13);
    EXPECT_TRUE(b.read_versioned().version.stale);
    EXPECT_TRUE(c.info().stale);
    a.update(byte(7));
    EXPECT_EQ(byte_of(c), 7);
    EXPECT_FALSE(c.info().stale);
    EXPECT_TRUE(bus.verify().good);
}

// A function that does not like two halves of different commits never gets them for an error.
TEST(ATransactionThatWasOvertaken, IsRunAgainWhateverItsDerivedPagesSay) {
    const auto bus = start();
    const auto page = bus.create_page(2), first = bus.create_page(1);
    int halves = 0;  // that it was given
    bus.register_recompute("test.same/1", [&](Recompute& r) {
        if (r.parent(0).empty()) return;
        for (const auto byte : r.parent(0))
            if (byte != r.parent(0)[0] && ++halves != 0) throw std::runtime_error("two halves");
        r.out()[0] = r.parent(0)[0];
    });
    bus.graph().derive(first, {page}, formula::call("test.same/1"));
    int runs = 0;
    const auto overtake = [&runs](const std::function<void()>& by) {
        if (++runs == 1) std::thread(by).join();
    };
    bus.transact([&](Transaction& tx) {
        const auto now = tx.read(page);
        overtake([&] { page.update(filled(2, 5)); });
        tx.write(page, 1, std::span(now).last(1));
    });
    EXPECT_EQ(runs, 2);
    EXPECT_EQ(page.read(), filled(2, 5));
    runs = 0;
    page.update([&](std::span<std::byte> bytes) {
        overtake([&] { page.resize(1); });
        std::ranges::fill(bytes, std::byte{7});
    });
    EXPECT_EQ(runs, 2);
    EXPECT_EQ(page.read(), filled(1, 7));
    page.resize(0);
    page.resize(2);
    auto tx = bus.transaction();
    static_cast<void>(tx.read(page));
    page.update(filled(2, 8));
    tx.write(page, 1, bytes_of("x"));
    const auto outcome = tx.try_commit();
    EXPECT_EQ(outcome.status, CommitStatus::conflict);
    EXPECT_EQ(outcome.page, page.id());
    EXPECT_EQ(halves, 0);
    thrown<RecomputeFailed>([&] { page.write(1, bytes_of("x")); });  // his own doing
    EXPECT_EQ(halves, 1);
    EXPECT_EQ(byte_of(first), 8);
}

TEST(AnEdgeOfACommit, CountsInItWhateverElseChanges) {
    for (const bool with_formula : {false, true}) {
        const auto bus = start();
        const auto gate = bus.create_page(1), page = bus.create_page(1), x = bus.create_page(1),
                   y = bus.create_page(1);
        bus.transact([&](Transaction& tx) {
            tx.write(gate, 0, bytes_of("1"));
            tx.add_dependency(gate, page, EdgeType::control);
            if (with_formula) tx.derive(x, {y}, formula::copy());
        });
        EXPECT_TRUE(page.read_versioned().version.stale) << with_formula;
        page.write(0, bytes_of("1"));
        bus.transact([&](Transaction& tx) {
            tx.write(gate, 0, bytes_of("2"));
            tx.remove_dependency(gate, page);
            if (with_formula) tx.underive(x);
        });
        EXPECT_FALSE(page.read_versioned().version.stale) << with_formula;
    }
}

TEST(AFunctionThatCommits, IsRefused) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1), c = bus.create_page(1);
    bus.register_recompute("test.bad/1", [&](Recompute&) { c.update(byte(1)); });
    raises<WrongContext>(bus, [&] { bus.graph().derive(b, {a}, formula::call("test.bad/1")); });
}

TEST(AFunctionThatNobodyHas, LeavesPagesStaleUntilSomebodyHasIt) {
    const TempFolder folder;
    PageId ids[3];
    {
        const auto bus = start(at(folder));
        const auto a = bus.create_page(1, {.name = "a"}), b = bus.create_page(1, {.name = "b"}),
                   c = bus.create_page(1, {.name = "c"});
        bus.graph().derive(b, {a}, formula::call("test.next/1"));
        bus.graph().derive(c, {b}, formula::copy());
        EXPECT_TRUE(b.info().stale);
        EXPECT_TRUE(c.info().stale);
        a.update(byte(5));
        EXPECT_EQ(byte_of(c), 0);
        EXPECT_EQ(bus.graph().propagate(), 0U);
        ids[0] = a.id(), ids[1] = b.id(), ids[2] = c.id();
    }
    for (const bool after_reboot : {false, true}) {
        if (after_reboot) remove_arena(folder.path());
        const auto bus = start(at(folder));
        EXPECT_EQ(bus.graph().formula(ids[1])->function, "test.next/1");
        EXPECT_TRUE(bus.page("c").read_versioned().version.stale);
        EXPECT_THAT(bus.graph().ancestors(ids[2]), ElementsAre(ids[0], ids[1]));
        EXPECT_TRUE(bus.verify().good);
    }
    const auto bus = start(at(folder));
    const auto seen = bus.sequence();
    add_next(bus);
    EXPECT_EQ(bus.sequence(), seen + 1);
    EXPECT_EQ(byte_of(bus.page("c")), 6);
    EXPECT_FALSE(bus.page("c").info().stale);
    EXPECT_TRUE(bus.at(seen).info(ids[2]).stale);
    EXPECT_FALSE(bus.at(seen + 1).info(ids[2]).stale);
    EXPECT_TRUE(bus.verify().good);
}

TEST(DerivedPagesAcrossProcesses, AreMarkedWhereTheyCannotBeComputedAndRefreshedByAnother) {
    const TempFolder folder;
    const auto bus = start(at(folder));
    add_next(bus);
    const auto a = bus.create_page(1, {.name = "a"}), b = bus.create_page(1),
               c = bus.create_page(1), d = bus.create_page(1);
    bus.graph().derive(b, {a}, formula::call("test.next/1"));
    bus.graph().derive(c, {b}, formula::copy());
    bus.graph().derive(d, {a}, formula::copy());
    Child other([&] {
        const auto theirs = start(at(folder));
        theirs.page("a").update(byte(40));
        return 0;
    });
    EXPECT_EQ(other.wait(), 0);
    EXPECT_EQ(byte_of(a), 40);
    EXPECT_EQ(byte_of(d), 40);
    EXPECT_FALSE(d.info().stale);
    EXPECT_TRUE(b.info().stale && c.info().stale);
    EXPECT_EQ(byte_of(b), 1);
    EXPECT_EQ(bus.graph().propagate(), 2U);
    EXPECT_EQ(byte_of(c), 41);
    EXPECT_FALSE(b.info().stale || c.info().stale);
    EXPECT_TRUE(bus.verify().good);
}

}  // namespace
}  // namespace mmsb::test
