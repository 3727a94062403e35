// Unlogged pages whose functions fail or do what they must not, and those that cannot be.
#include "api/derived.hpp"
#include "api/unlogged.hpp"
#include "support/raises.hpp"

#include <gtest/gtest.h>

namespace mmsb::test {
namespace {

TEST(AnUnloggedPage, WhoseFunctionThrowsSaysSoAndIsComputedAtTheNextRead) {
    const auto bus = start();
    const auto a = bus.create_page(8);
    bool broken = false;
    const auto next = bus.graph().derive_unlogged(8, {a}, [&broken](Recompute& r) {
        r.out()[7] = std::byte{99};
        if (broken) throw std::runtime_error("out of order");
        r.out()[7] = {};
        r.out()[0] = r.parent(0)[0];
    });
    EXPECT_EQ(value_of(next), 0U);
    a.write(0, byte(1));
    broken = true;
    for (int i = 0; i < 2; ++i) {
        const auto e = thrown<RecomputeFailed>([&] { static_cast<void>(next.read()); });
        EXPECT_NE(std::string_view(e->what()).find("out of order"), std::string_view::npos);
    }
    broken = false;
    EXPECT_EQ(value_of(next), 1U);
}

// Whether it writes to the page, as one that says how far a change reaches and one of a large page,
// or elsewhere.
TEST(AnUnloggedPage, WhoseFunctionThrowsHalfWayTellsAllThatChangesLater) {
    struct Kind {
        std::size_t size;
        Locality locality;
    };
    for (const auto& [size, locality] :
         {Kind{1000, Locality::opaque}, Kind{1000, Locality::lane_wise},
          Kind{100'000, Locality::opaque}}) {
        const auto bus = start();
        const auto a = bus.create_page(size, {.contents = pattern(size, 1)});
        int left = -1;  // bytes that it writes before it throws
        bus.register_recompute("test.copy/1",
                               [&left](Recompute& r) {
                                   for (const auto& [offset, n] : r.changed(0))
                                       for (auto at = offset; at != offset + n; ++at) {
                                           if (left-- == 0) throw std::runtime_error("half way");
                                           r.out()[at] = r.parent(0)[at];
                                       }
                               },
                               {.locality = locality});
        const auto copy = bus.graph().derive_unlogged(size, {a}, formula::call("test.copy/1"));
        std::vector<ByteRange> seen;
        const auto last = bus.graph().derive_unlogged(1, {copy}, [&seen](Recompute& r) {
            seen.assign(r.changed(0).begin(), r.changed(0).end());
            r.out()[0] ^= std::byte{1};
        });
        left = 5;  // also the first time
        thrown<RecomputeFailed>([&] { static_cast<void>(last.read()); });
        left = -1;
        static_cast<void>(last.read());
        a.write(500, pattern(10, 3));
        for (int i = 0; i != 2; ++i) {
            left = 5;
            thrown<RecomputeFailed>([&] { static_cast<void>(last.read()); });
        }
        left = -1;
        static_cast<void>(last.read());
        ASSERT_EQ(seen.size(), 1U);
        EXPECT_LE(seen[0].offset, 500U);
        EXPECT_GE(seen[0].offset + seen[0].size, 510U);
        EXPECT_EQ(Bytes(copy.read()), Bytes(a.read()));
    }
}

// One that says how far a change reaches may write elsewhere on its way.
TEST(AnUnloggedPage, WhoseFunctionThrowsAfterItMadeAllZeroIsMadeAnew) {
    const auto bus = start();
    const auto a = bus.create_page(1000, {.contents = filled(1000, 5)}), b = bus.create_page(1000);
    a.write(750, filled(250, 0));
    bus.register_recompute(
        "test.sum/1",
        [](Recompute& r) {
            std::ranges::fill(r.out(), std::byte{0});
            for (std::size_t i = 0; i != r.parents(); ++i) {
                if (r.parent(i)[0] == std::byte{255}) throw std::runtime_error("half way");
                for (std::size_t at = 0; at != r.out().size(); ++at)
                    r.out()[at] = static_cast<std::byte>(std::to_integer<int>(r.out()[at]) +
                                                         std::to_integer<int>(r.parent(i)[at]));
            }
        },
        {.locality = Locality::lane_wise});
    const auto graph = bus.graph();
    const auto sum = graph.derive_unlogged(1000, {a, b}, formula::call("test.sum/1"));
    const auto copy = graph.derive_unlogged(1000, {sum}, formula::copy());
    b.write(700, byte(5));
    b.write(900, byte(5));
    EXPECT_EQ(copy.read()[700], std::byte{10});
    b.write(0, byte(255));
    thrown<RecomputeFailed>([&] { static_cast<void>(copy.read()); });
    b.write(0, byte(0));
    b.write(700, byte(0));  // to what it had half way
    b.write(900, byte(0));  // and to what it has when it is made anew
    EXPECT_EQ(Bytes(sum.read()), Bytes(a.read()));
    EXPECT_EQ(Bytes(copy.read()), Bytes(a.read()));
}

TEST(AnUnloggedPage, WhoseFunctionThrowsKeepsNothingThatItWrote) {
    const auto bus = start();
    const auto a = bus.create_page(8);
    bool broken = false;
    const auto large = bus.graph().derive_unlogged(100'000, {a}, [&broken](Recompute& r) {
        if (broken) r.out()[50'000] = std::byte{9};
        if (broken) throw std::runtime_error("half way");
        r.out()[0] = r.parent(0)[0];
    });
    EXPECT_EQ(large.read()[50'000], std::byte{0});
    a.write(0, byte(1));
    broken = true;
    thrown<RecomputeFailed>([&] { static_cast<void>(large.read()); });
    broken = false;
    EXPECT_EQ(large.read()[0], std::byte{1});
    EXPECT_EQ(large.read()[50'000], std::byte{0});
}

TEST(AnUnloggedPage, ThatCannotBeIsRefused) {
    const auto bus = start(), other = start();
    const auto graph = bus.graph();
    const auto a = bus.create_page(8);
    bus.register_recompute("test.sum/1", [](Recompute&) {}, {.accumulates = true});
    raises<InvalidArgument>(bus,
                            [&] { static_cast<void>(graph.derive_unlogged(8, {}, adding())); });
    raises<InvalidArgument>(
        bus, [&] { static_cast<void>(graph.derive_unlogged(8, {a}, RecomputeFunction{})); });
    for (const auto* name : {"test.sum/1", "test.nobody/1", "mmsb.nothing/1"})
        raises<InvalidArgument>(
            bus, [&] { static_cast<void>(graph.derive_unlogged(8, {a}, formula::call(name))); });
    const auto theirs = other.create_page(8);
    const auto unlogged = other.graph().derive_unlogged(8, {theirs}, adding());
    raises<InvalidArgument>(
        bus, [&] { static_cast<void>(graph.derive_unlogged(8, {theirs}, adding())); });
    raises<InvalidArgument>(
        bus, [&] { static_cast<void>(graph.derive_unlogged(8, {unlogged}, adding())); });
    thrown<PageNotFound>([] { static_cast<void>(UnloggedPage().read()); });
    thrown<PageNotFound>([&] { static_cast<void>(graph.derive_unlogged(8, {Page()}, adding())); });
    const auto page = graph.derive_unlogged(8, {a}, adding());
    Bytes small(7);
    thrown<InvalidArgument>([&] { page.read_into(small); });
    // A function that does what it must not.
    const auto reads =
        graph.derive_unlogged(8, {a}, [&page](Recompute& r) { page.read_into(r.out()); });
    thrown<WrongContext>([&] { static_cast<void>(reads.read()); });
    const auto commits = graph.derive_unlogged(8, {a}, [&a](Recompute&) { a.write(0, byte(1)); });
    thrown<WrongContext>([&] { static_cast<void>(commits.read()); });
    EXPECT_EQ(value_of(page), 0U);
    // But one of a commit may read it.
    a.update(
        [&page](std::span<std::byte> b) { b[0] = static_cast<std::byte>(value_of(page) + 3); });
    EXPECT_EQ(value_of(page), 3U);
}

TEST(AFunctionThatReadsOrMakesUnloggedPages, HangsNowhere) {
    const auto one = start(), two = start();
    const auto a = one.create_page(8), b = two.create_page(8);
    // It may make some, though they are of no use there.
    const auto makes = one.graph().derive_unlogged(8, {a}, [&](Recompute&) {
        static_cast<void>(one.graph().derive_unlogged(8, {a}, formula::copy()));
    });
    EXPECT_EQ(value_of(makes), 0U);
    // Over another State, and back.
    const auto inner = one.graph().derive_unlogged(8, {a}, formula::copy());
    const auto there =
        two.graph().derive_unlogged(8, {b}, [&](Recompute& r) { inner.read_into(r.out()); });
    const auto back =
        one.graph().derive_unlogged(8, {a}, [&](Recompute& r) { there.read_into(r.out()); });
    thrown<WrongContext>([&] { static_cast<void>(back.read()); });
    const auto commits =
        two.graph().derive_unlogged(8, {b}, [&](Recompute&) { a.write(0, byte(1)); });
    const auto through =
        one.graph().derive_unlogged(8, {a}, [&](Recompute& r) { commits.read_into(r.out()); });
    thrown<WrongContext>([&] { static_cast<void>(through.read()); });
    EXPECT_EQ(byte_of(a), 0);
}

TEST(AnUnloggedPage, ThatWasMovedFromIsNoPage) {
    const auto bus = start();
    const auto a = bus.create_page(8);
    auto page = bus.graph().derive_unlogged(8, {a}, formula::copy());
    const auto moved = std::move(page);
    EXPECT_EQ(value_of(moved), 0U);
    thrown<PageNotFound>(
        [&] { static_cast<void>(page.read()); });  // NOLINT(bugprone-use-after-move)
    thrown<PageNotFound>([&] { static_cast<void>(page.size()); });
    thrown<PageNotFound>(
        [&] { static_cast<void>(bus.graph().derive_unlogged(8, {page}, formula::copy())); });
    raises<InvalidArgument>(bus, [&] {
        static_cast<void>(bus.graph().derive_unlogged(
            8, {a}, formula::call("mmsb.copy/1", Bytes(limits::formula_arguments + 1))));
    });
    raises<InvalidArgument>(bus, [&] {
        static_cast<void>(
            bus.graph().derive_unlogged(8, {a}, [](Recompute&) {}, static_cast<Locality>(9)));
    });
    raises<InvalidArgument>(bus, [&] {
        bus.register_recompute("test.any/1", [](Recompute&) {},
                               {.locality = static_cast<Locality>(9)});
    });
}

}  // namespace
}  // namespace mmsb::test
