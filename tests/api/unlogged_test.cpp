// Pages that are computed when they are read, in this process's memory alone.
#include "api/unlogged.hpp"
#include "api/derived.hpp"
#include "support/child.hpp"
#include "support/contents.hpp"
#include "support/raises.hpp"
#include "support/sanitizers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace mmsb::test {
namespace {

using testing::ElementsAre;

TEST(AnUnloggedPage, IsComputedWhenItIsReadAndOnlyThen) {
    const auto bus = start();
    const auto a = bus.create<std::uint64_t>(), b = bus.create<std::uint64_t>();
    int calls = 0;
    const auto sum = bus.graph().derive_unlogged(8, {a.page(), b.page()}, adding(&calls));
    EXPECT_EQ(calls, 0);
    for (std::uint64_t i = 1; i <= 10; ++i) a.update(i);
    b.update(5);
    EXPECT_EQ(calls, 0);
    EXPECT_EQ(value_of(sum), 15U);
    EXPECT_EQ(value_of(sum), 15U);
    bus.create_page(1);  // a commit to other pages
    EXPECT_EQ(value_of(sum), 15U);
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(sum.version(), 1U);
    bus.transact([&](Transaction& tx) {
        tx.update(a, std::uint64_t{5});
        tx.update(b, std::uint64_t{10});
    });
    EXPECT_EQ(value_of(sum), 15U);
    EXPECT_EQ(calls, 2);
    EXPECT_EQ(sum.version(), 1U);  // the same bytes
    EXPECT_EQ(sum.size(), 8U);
    EXPECT_EQ(Bytes(sum.read()).size(), 8U);
}

TEST(AnUnloggedPage, IsNowhereInTheBus) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    const auto a = bus.create<std::uint64_t>();
    const auto before = contents_of(bus);
    const auto sum = bus.graph().derive_unlogged(8, {a.page()}, adding());
    EXPECT_EQ(value_of(sum), 0U);
    EXPECT_EQ(contents_of(bus), before);
    EXPECT_TRUE(bus.graph().children(a.id()).empty());
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
    thrown<BusClosed>([&] { static_cast<void>(sum.read()); });
    bus = start_with(at(folder));  // in the same place
    thrown<BusClosed>([&] { static_cast<void>(sum.read()); });
    const auto again = bus.graph().derive_unlogged(8, {bus.page(a.id())}, adding());
    bus.page(a.id()).write(0, byte(7));
    EXPECT_EQ(value_of(again), 7U);
}

TEST(AnUnloggedPage, IsComputedNoFurtherThanWhereBytesStayTheSame) {
    const auto bus = start();
    const auto a = bus.create_page(8), b = bus.create_page(8);
    const auto graph = bus.graph();
    bus.register_recompute("test.half/1", [](Recompute& r) {
        r.out<std::uint64_t>()[0] = r.parent<std::uint64_t>(0)[0] / 2;
    });
    int calls = 0;
    const auto half = graph.derive_unlogged(8, {a}, formula::call("test.half/1"));
    const auto sum = graph.derive_unlogged(8, {half, b}, adding(&calls));
    a.write(0, byte(8));
    EXPECT_EQ(value_of(sum), 4U);
    a.write(0, byte(9));
    EXPECT_EQ(value_of(sum), 4U);
    EXPECT_EQ(calls, 1);
    // Of derived pages and of built-in functions, too.
    const auto logged = bus.create_page(8);
    graph.derive(logged, {a}, formula::call("test.half/1"));
    const auto both = graph.derive_unlogged(16, {logged, half}, formula::concatenate());
    a.write(0, byte(20));
    EXPECT_EQ(both.read()[0], std::byte{10});
    EXPECT_EQ(both.read()[8], std::byte{10});
}

TEST(AnUnloggedPage, IsToldWhichBytesOfItsParentsChanged) {
    const auto bus = start();
    const auto a = bus.create_page(1000), b = bus.create_page(10);
    std::vector<std::vector<ByteRange>> seen;
    const auto page = bus.graph().derive_unlogged(1, {a, b}, [&seen](Recompute& r) {
        seen.clear();
        for (std::size_t i = 0; i != r.parents(); ++i)
            seen.emplace_back(r.changed(i).begin(), r.changed(i).end());
        r.out()[0] ^= std::byte{1};
    });
    static_cast<void>(page.read());
    EXPECT_THAT(seen, ElementsAre(ElementsAre(ByteRange{0, 1000}), ElementsAre(ByteRange{0, 10})));
    a.write(500, byte(1));
    static_cast<void>(page.read());
    EXPECT_THAT(seen, ElementsAre(ElementsAre(ByteRange{500, 1}), ElementsAre()));
    b.resize(20);
    static_cast<void>(page.read());
    EXPECT_THAT(seen, ElementsAre(ElementsAre(ByteRange{0, 1000}), ElementsAre(ByteRange{0, 20})));
}

TEST(AnUnloggedPage, OfADeletedPageSaysWhichAndOfAStaleOneIsStale) {
    const auto bus = start();
    const auto a = bus.create_page(8), b = bus.create_page(8), derived = bus.create_page(8);
    bus.graph().derive(derived, {b}, formula::copy());
    const auto sum = bus.graph().derive_unlogged(8, {a, derived}, adding());
    const auto behind = bus.graph().derive_unlogged(8, {sum}, adding());
    EXPECT_FALSE(behind.stale());
    b.write(0, byte(4), {.propagation = Propagation::deferred});
    EXPECT_TRUE(behind.stale());
    EXPECT_EQ(value_of(behind), 0U);
    bus.graph().propagate();
    EXPECT_FALSE(behind.stale());
    EXPECT_EQ(value_of(behind), 4U);
    bus.delete_page(a);
    const auto e = thrown<PageNotFound>([&] { static_cast<void>(behind.read()); });
    EXPECT_EQ(e->page(), a.id());
}

// Bytes that stayed the same belong somewhere else.
TEST(PagesComputedFromResizedOnes, AreComputedAnewWhole) {
    const auto bus = start();
    const auto graph = bus.graph();
    const auto a = bus.create_page(4, {.contents = pattern(4, 1)}),
               b = bus.create_page(8, {.contents = pattern(8, 2)}),
               c = bus.create_page(8, {.contents = pattern(8, 3)});
    const auto all = bus.create_page(20);
    graph.derive(all, {a, b, c}, formula::concatenate());
    const auto unlogged = graph.derive_unlogged(20, {a, b, c}, formula::concatenate());
    EXPECT_EQ(unlogged.read(), all.read());
    bus.transact([&](Transaction& tx) {
        tx.resize(a, 8);
        tx.resize(c, 4);
    });
    auto expected = a.read();
    for (const auto& page : {b, c})
        for (const auto byte : page.read()) expected.push_back(byte);
    EXPECT_EQ(all.read(), expected);
    EXPECT_EQ(unlogged.read(), expected);
    EXPECT_TRUE(bus.verify({.recompute_every = 1}).good);
}

TEST(PagesComputedFromResizedOnes, SeeAllAsChangedWhateverTheirLocality) {
    const auto bus = start();
    const auto graph = bus.graph();
    // 9 where the parent has no byte.
    bus.register_recompute("test.padded/1",
                           [](Recompute& r) {
                               const auto in = r.parent(0);
                               for (std::size_t i = 0; i != r.out().size(); ++i)
                                   r.out()[i] = i < in.size() ? in[i] : std::byte{9};
                           },
                           {.locality = Locality::passthrough});
    bus.register_recompute("test.changed/1", [](Recompute& r) {
        for (const auto& [offset, size] : r.changed(0))
            for (auto i = offset; i != std::min(offset + size, r.out().size()); ++i)
                r.out()[i] = std::byte{7};
    });
    const auto a = bus.create_page(100, {.contents = pattern(100, 1)}),
               padded = bus.create_page(100), changed = bus.create_page(40);
    graph.derive(padded, {a}, formula::call("test.padded/1"));
    graph.derive(changed, {a}, formula::call("test.changed/1"));
    const auto unlogged = graph.derive_unlogged(100, {a}, formula::call("test.padded/1"));
    EXPECT_EQ(unlogged.read(), padded.read());
    a.resize(50);
    EXPECT_EQ(padded.read()[70], std::byte{9});
    EXPECT_EQ(unlogged.read(), padded.read());
    changed.resize(45);  // the page itself
    EXPECT_EQ(changed.read(), filled(45, 7));
    EXPECT_TRUE(bus.verify({.recompute_every = 1}).good);
}

TEST(UnloggedPages, OfALongChainAreComputedAndGo) {
    const auto bus = start();
    const auto a = bus.create_page(8);
    constexpr std::uint64_t length = 100'000;
    auto last = bus.graph().derive_unlogged(8, {a}, formula::copy());
    for (std::uint64_t i = 1; i < length; ++i)
        last = bus.graph().derive_unlogged(8, {last}, [](Recompute& r) {
            r.out<std::uint64_t>()[0] = r.parent<std::uint64_t>(0)[0] + 1;
        });
    EXPECT_EQ(value_of(last), length - 1);
    a.write(0, byte(1));
    EXPECT_EQ(value_of(last), length);
}

// Two pages whose sum stays the same: what reads them never sees one without the other, and neither
// does a function.
TEST(UnloggedPages, AreAsOfOneSequenceWhileOthersCommit) {
    const auto bus = start();
    constexpr std::size_t size = 100'000;  // long enough that it moves while it is copied
    constexpr int reads = cases(100, 30);
    constexpr std::uint64_t total = 1'000'000;
    const auto a = bus.create_page(size), b = bus.create_page(size), c = bus.create_page(8);
    const auto set = [](const std::uint64_t& n) { return std::as_bytes(std::span(&n, 1)); };
    std::uint64_t begin = total;
    a.write(size - 8, std::as_bytes(std::span(&begin, 1)));
    std::atomic<bool> mixed{false}, done{false};
    const auto last_of = [](const Recompute& r, std::size_t i) {
        return r.parent<std::uint64_t>(i)[r.parent(i).size() / 8 - 1];
    };
    const auto sum = bus.graph().derive_unlogged(8, {a, b}, [&](Recompute& r) {
        const auto now = last_of(r, 0) + last_of(r, 1);
        if (now != total) mixed = true;
        r.out<std::uint64_t>()[0] = now;
    });
    const auto left = bus.graph().derive_unlogged(
        8, {a, c}, [&](Recompute& r) { r.out<std::uint64_t>()[0] = last_of(r, 0); });
    const auto shown = bus.graph().derive_unlogged(8, {sum, left, b}, [&](Recompute& r) {
        r.out<std::uint64_t>()[0] =
            r.parent<std::uint64_t>(1)[0] + last_of(r, 2) + (r.parent<std::uint64_t>(0)[0] - total);
    });
    std::thread writer([&] {
        for (std::uint64_t n = 0; !done.load(); n = (n + 7) % total)
            bus.transact([&](Transaction& tx) {
                const auto other = total - n;
                tx.write(a, size - 8, set(n));
                tx.write(b, size - 8, set(other));
                if (n % 3 == 0) tx.write(c, 0, set(n));
            });
    });
    std::thread reader([&] {
        for (int i = 0; i < reads; ++i) EXPECT_EQ(value_of(sum), total);
    });
    for (int i = 0; i < reads; ++i) EXPECT_EQ(value_of(shown), total);
    reader.join();
    done = true;
    writer.join();
    EXPECT_FALSE(mixed.load());
    EXPECT_EQ(value_of(shown), total);
}

TEST(UnloggedPagesAcrossProcesses, SeeWhatOthersCommit) {
    const TempFolder folder;
    const auto bus = start_with(at(folder));
    const auto a = bus.create_page(8, {.name = "a"});
    const auto twice = bus.graph().derive_unlogged(8, {a, a}, adding());
    EXPECT_EQ(value_of(twice), 0U);
    Child other([&] {
        auto theirs = start_with(at(folder));
        theirs.page("a").write(0, byte(21));
        return 0;
    });
    EXPECT_EQ(other.wait(), 0);
    EXPECT_EQ(value_of(twice), 42U);
}

}  // namespace
}  // namespace mmsb::test
