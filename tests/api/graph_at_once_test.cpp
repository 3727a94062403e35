// Derived pages where several things happen at once: in one transaction, and between a commit's
// look and its lock.
#include "api/derived.hpp"
#include "support/contents.hpp"
#include "support/raises.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>

namespace mmsb::test {
namespace {

using testing::ElementsAre;

// All that a page is, by the log, too; and by whoever opens the bus next.
void expect_sound(const State& bus) {
    EXPECT_TRUE(bus.verify({.recompute_every = 1}).good);
    EXPECT_EQ(contents_of(bus.snapshot()), contents_of(bus));
}

// A function whose first call lets another thread do something, and waits for it.
void add_meanwhile(const State& bus, std::function<void()> what) {
    bus.register_recompute(
        "test.meanwhile/1",
        [what = std::move(what), done = std::make_shared<std::atomic<bool>>(false)](Recompute& r) {
            r.out()[0] = r.parent(0)[0];
            if (!done->exchange(true)) std::thread(what).join();
        });
}

TEST(OneTransaction, MayTurnADependencyRound) {
    const TempFolder folder;
    const auto bus = start(at(folder));
    const auto a = bus.create_page(1), b = bus.create_page(1), x = bus.create_page(1);
    bus.graph().derive(b, {a}, formula::copy());
    bus.transact([&](Transaction& tx) {
        tx.derive(b, {x}, formula::copy());
        tx.derive(a, {b}, formula::copy());
    });
    x.update(byte(6));
    EXPECT_EQ(byte_of(a), 6);
    EXPECT_EQ(bus.get_stats().graph_edges, 2U);
    // In the other order, too: what counts is what there is afterwards.
    bus.transact([&](Transaction& tx) {
        tx.derive(x, {a}, formula::copy());
        tx.derive(b, {x}, formula::copy());
        tx.underive(a);
        tx.write(a, 0, byte(7));
    });
    EXPECT_EQ(byte_of(b), 7);
    EXPECT_THAT(bus.graph().ancestors(b), ElementsAre(a.id(), x.id()));
    expect_sound(bus);
}

TEST(OneTransaction, MayWriteAndDeriveAPage) {
    const auto bus = start();
    const auto parent = bus.create_page(2, {.contents = bytes_of("ab")}), page = bus.create_page(2),
               below = bus.create_page(2);
    bus.graph().derive(page, {parent}, formula::copy());
    bus.graph().derive(below, {page}, formula::copy());
    bus.graph().underive(page);
    bus.transact([&](Transaction& tx) {
        tx.update(page, bytes_of("zz"));
        tx.derive(page, {parent}, formula::copy());
    });
    EXPECT_EQ(text_of(page.read()), "ab");
    EXPECT_EQ(text_of(below.read()), "ab");
    expect_sound(bus);
}

TEST(OneTransaction, MayWriteToAPageWhatItThenComputesOfIt) {
    const auto bus = start();
    const auto parent = bus.create_page(2, {.contents = bytes_of("ab")}), page = bus.create_page(2),
               below = bus.create_page(2);
    bus.graph().derive(below, {page}, formula::copy());
    bus.transact([&](Transaction& tx) {
        tx.update(page, bytes_of("ab"));
        tx.derive(page, {parent}, formula::copy());
    });
    EXPECT_EQ(text_of(page.read()), "ab");
    EXPECT_EQ(text_of(below.read()), "ab");
    expect_sound(bus);
}

TEST(OneTransaction, MayDeriveAPageFromOthersAndDeleteItsParent) {
    const auto bus = start();
    const auto old = bus.create_page(1), fresh = bus.create_page(1, {.contents = bytes_of("f")}),
               page = bus.create_page(1);
    bus.graph().derive(page, {old}, formula::copy());
    bus.transact([&](Transaction& tx) {
        tx.derive(page, {fresh}, formula::copy());
        tx.delete_page(old);
    });
    EXPECT_EQ(text_of(page.read()), "f");
    EXPECT_EQ(bus.graph().formula(page)->function, "mmsb.copy/1");
    EXPECT_THROW(bus.transact([&](Transaction& tx) {
        tx.delete_page(fresh);
        tx.derive(page, {fresh}, formula::copy());
    }),
                 PageNotFound);
    expect_sound(bus);
}

TEST(UnderivingAStalePage, FreshensWhatIsComputedFromIt) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1), c = bus.create_page(1);
    bus.graph().derive(b, {a}, formula::call("nobody.has/1"));
    bus.graph().derive(c, {b}, formula::copy());
    EXPECT_TRUE(c.info().stale);
    bus.graph().underive(b);
    EXPECT_FALSE(b.info().stale || c.info().stale);
    expect_sound(bus);
}

TEST(APageThatIsDeletedMeanwhile, GetsNoEdge) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1), gone = bus.create_page(1),
               c = bus.create_page(1);
    add_meanwhile(bus, [&] { bus.delete_page(gone); });
    EXPECT_THROW(bus.transact([&](Transaction& tx) {
        tx.derive(b, {a}, formula::call("test.meanwhile/1"));
        tx.derive(c, {gone}, formula::call("nobody.has/1"));
    }),
                 PageNotFound);
    EXPECT_TRUE(bus.graph().topological_order().empty());
    expect_sound(bus);
}

TEST(AParentThatChangesMeanwhile, IsSeenByTheCommit) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1), other = bus.create_page(1);
    add_meanwhile(bus, [&] { a.update(byte(8)); });
    bus.transact([&](Transaction& tx) {
        tx.derive(b, {a}, formula::call("test.meanwhile/1"));
        tx.update(other, byte(1));
    });
    EXPECT_EQ(byte_of(b), 8);
    expect_sound(bus);
}

TEST(APageThatBecomesStaleMeanwhile, IsFreeAllTheSame) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1), slow = bus.create_page(1);
    bus.graph().derive(b, {a}, formula::copy());
    add_meanwhile(bus, [&] { a.update(byte(5), {.propagation = Propagation::deferred}); });
    const auto source = bus.create_page(1);
    bus.transact([&](Transaction& tx) {
        tx.underive(b);
        tx.derive(slow, {source}, formula::call("test.meanwhile/1"));
    });
    EXPECT_FALSE(b.info().stale);
    EXPECT_FALSE(b.info().derived);
    expect_sound(bus);
}

TEST(AFunctionThatThrowsNoException, IsToldAllTheSame) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1);
    const auto bad = [](Recompute&) { throw 42; };
    bus.register_recompute("test.bad/1", bad);
    bus.register_recompute("test.lenient/1", bad, {.stale_on_throw = true});
    EXPECT_THROW(bus.graph().derive(b, {a}, formula::call("test.bad/1")), RecomputeFailed);
    bus.graph().derive(b, {a}, formula::call("test.lenient/1"));
    EXPECT_TRUE(b.info().stale);
}

// Pages without edges beside a graph, and with edges that are gone, are as any page.
TEST(APageBesideAGraph, IsWrittenAsIfThereWereNone) {
    const TempFolder folder;
    const auto bus = start(at(folder));
    const auto a = bus.create_page(1), b = bus.create_page(1), free = bus.create_page(1);
    bus.graph().derive(b, {a}, formula::copy());
    free.write(0, Bytes{std::byte{1}});
    EXPECT_EQ(b.epoch(), Epoch::zero);
    a.write(0, Bytes{std::byte{2}});
    EXPECT_EQ(b.read(), Bytes{std::byte{2}});
    raises<InvalidArgument>(bus, [&] { b.write(0, Bytes{std::byte{3}}); });
    bus.graph().underive(b);
    b.write(0, Bytes{std::byte{3}});
    a.write(0, Bytes{std::byte{4}});
    EXPECT_EQ(b.read(), Bytes{std::byte{3}});
    expect_sound(bus);
}

}  // namespace
}  // namespace mmsb::test
