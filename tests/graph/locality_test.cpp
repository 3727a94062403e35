// What a function says of its locality holds for what is looked at: a change reaches no byte
// outside, and what is outside need not be looked at.
#include "graph/locality.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace mmsb::graph {
namespace {

using testing::ElementsAre;
using Ranges = std::vector<ByteRange>;

std::optional<Ranges> reached(Locality locality, const std::vector<std::size_t>& parents,
                              const std::vector<Ranges>& changed, std::size_t size,
                              std::vector<std::byte> arguments = {}) {
    std::vector<Bytes> bytes;
    std::vector<std::span<const std::byte>> views;
    for (const auto n : parents) bytes.emplace_back(n);
    for (const auto& each : bytes) views.emplace_back(each);
    std::vector<std::span<const ByteRange>> spans(changed.begin(), changed.end());
    Bytes out(size);
    Ranges ranges{{7, 7}};  // of before
    if (!reached_ranges(locality, {PageId{1}, views, spans, arguments, out}, ranges))
        return std::nullopt;
    return ranges;
}

Bytes offset(std::uint64_t n) {
    const auto bytes = std::as_bytes(std::span(&n, 1));
    return {bytes.begin(), bytes.end()};
}

TEST(Locality, OfAnOpaqueFunctionSaysNothing) {
    EXPECT_FALSE(reached(Locality::opaque, {10}, {{{1, 1}}}, 10));
}

TEST(Locality, PassesThroughInOrderAndWithinThePage) {
    EXPECT_THAT(
        *reached(Locality::passthrough, {100, 100}, {{{50, 10}, {90, 10}}, {{0, 1}, {55, 20}}}, 95),
        ElementsAre(ByteRange{0, 1}, ByteRange{50, 25}, ByteRange{90, 5}));
    EXPECT_THAT(*reached(Locality::passthrough, {100}, {{}}, 100), ElementsAre());
}

TEST(Locality, OfASliceIsShiftedByItsArgument) {
    EXPECT_THAT(*reached(Locality::slice, {1000}, {{{0, 10}, {95, 10}, {200, 5}, {900, 1}}}, 200,
                         offset(100)),
                ElementsAre(ByteRange{0, 5}, ByteRange{100, 5}));
    EXPECT_FALSE(reached(Locality::slice, {1000}, {{{0, 10}}}, 200));                // no offset
    EXPECT_FALSE(reached(Locality::slice, {1000}, {{{0, 10}}}, 200, offset(1001)));  // outside
    EXPECT_FALSE(reached(Locality::slice, {9, 9}, {{{0, 1}}, {}}, 9, offset(0)));
}

TEST(Locality, OfLanesOfSeveralParentsIsPutTogether) {
    const auto of_two = [](const Ranges& first, const Ranges& second) {
        return *reached(Locality::lane_wise, {1024, 1024}, {first, second}, 1024);
    };
    EXPECT_THAT(of_two({{70, 8}}, {{64, 2}}), ElementsAre(ByteRange{64, 64}));
    EXPECT_THAT(of_two({{70, 60}}, {{500, 30}}),
                ElementsAre(ByteRange{64, 128}, ByteRange{448, 128}));
    EXPECT_THAT(of_two({{500, 1}}, {{3, 2}}), ElementsAre(ByteRange{0, 64}, ByteRange{448, 64}));
    EXPECT_THAT(of_two({{70, 8}}, {{130, 8}}), ElementsAre(ByteRange{64, 128}));
    EXPECT_THAT(of_two({{130, 8}}, {{70, 8}}), ElementsAre(ByteRange{64, 128}));
    EXPECT_THAT(of_two({{130, 8}}, {}), ElementsAre(ByteRange{128, 64}));
    EXPECT_THAT(of_two({}, {{130, 8}}), ElementsAre(ByteRange{128, 64}));
    EXPECT_THAT(of_two({}, {}), ElementsAre());
    EXPECT_THAT(of_two({{0, 8}, {256, 8}}, {{64, 8}}),
                ElementsAre(ByteRange{0, 128}, ByteRange{256, 64}));
    EXPECT_THAT(*reached(Locality::lane_wise, {1000}, {{{990, 8}}}, 1000),
                ElementsAre(ByteRange{960, 40}));
}

TEST(Locality, OfLanesIsInProportion) {
    EXPECT_THAT(*reached(Locality::lane_wise, {1024}, {{{130, 1}}}, 128),  // f64 to u8
                ElementsAre(ByteRange{16, 8}));
    EXPECT_THAT(*reached(Locality::lane_wise, {256, 512}, {{{5, 1}}, {{300, 4}}}, 512),
                ElementsAre(ByteRange{0, 128}, ByteRange{256, 64}));
    EXPECT_FALSE(reached(Locality::lane_wise, {300}, {{{0, 1}}}, 100));  // three to one
    EXPECT_FALSE(reached(Locality::lane_wise, {0}, {{}}, 100));
    EXPECT_FALSE(reached(Locality::lane_wise, {1000}, {{{0, 1}}}, 300));
}

// Lanes of any size that it may have: what changes lies inside what is said to be reached.
TEST(Locality, OfLanesHoldsEveryLaneThatChanges) {
    std::mt19937 random(7);
    for (int i = 0; i < 20'000; ++i) {
        const std::size_t in = std::size_t{1} << random() % 7, out = std::size_t{1} << random() % 7;
        const std::size_t n = 1 + random() % 300;
        const auto first = random() % (n * in);
        const auto size = 1 + random() % (n * in - first);
        const auto ranges = reached(Locality::lane_wise, {n * in}, {{{first, size}}}, n * out);
        ASSERT_TRUE(ranges) << in << ' ' << out;
        const auto holds = [&](std::size_t byte) {
            return std::ranges::any_of(*ranges, [&](const ByteRange& range) {
                return byte >= range.offset && byte < range.offset + range.size;
            });
        };
        for (auto lane = first / in; lane <= (first + size - 1) / in; ++lane) {
            ASSERT_TRUE(holds(lane * out) && holds(lane * out + out - 1))
                << "lanes of " << in << " and " << out << ", " << n << " of them, changed " << first
                << " + " << size;
        }
        EXPECT_LE(ranges->back().offset + ranges->back().size, n * out);
    }
}

}  // namespace
}  // namespace mmsb::graph
