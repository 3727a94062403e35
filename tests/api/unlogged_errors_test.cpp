// Unlogged pages whose functions fail or do what they must not, and those that cannot be.
#include "api/derived.hpp"
#include "api/unlogged.hpp"
#include "support/raises.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mmsb::test {
namespace {

using testing::ElementsAre;

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
        const auto a = bus.create_page(size);
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
        EXPECT_THAT(seen, ElementsAre(ByteRange{500, 10})) << size;
        EXPECT_EQ(Bytes(copy.read()), Bytes(a.read()));
    }
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
