// Graphs that are long, wide and deep: each page is computed once, and all is there after a reboot.
#include "api/derived.hpp"
#include "support/contents.hpp"

#include <gtest/gtest.h>

#include <atomic>

namespace mmsb::test {
namespace {

void add_plus_one(const State& bus, std::atomic<std::size_t>* calls) {
    bus.register_recompute("test.plus/1", [calls](Recompute& r) {
        std::uint64_t sum = 1;
        for (std::size_t i = 0; i != r.parents(); ++i) sum += r.parent<std::uint64_t>(i)[0];
        r.out<std::uint64_t>()[0] = sum;
        if (calls != nullptr) ++*calls;
    });
}

std::uint64_t number_in(const Page& page) {
    std::uint64_t value = 0;
    page.read_into(std::as_writable_bytes(std::span(&value, 1)));
    return value;
}

std::vector<Page> pages_of(const State& bus, std::size_t n) {
    std::vector<Page> pages;
    bus.transact([&](Transaction& tx) {
        pages.clear();
        for (std::size_t i = 0; i != n; ++i) pages.push_back(tx.create_page(8));
    });
    return pages;
}

constexpr auto step = "test.plus/1";

TEST(LargeGraphs, OfAChainOfAHundredThousand) {
    constexpr std::size_t length = 100'000;
    const TempFolder folder;
    auto bus = start(at(folder));
    std::atomic<std::size_t> calls{0};
    add_plus_one(bus, &calls);
    const auto pages = pages_of(bus, length + 1);
    bus.transact([&](Transaction& tx) {
        for (std::size_t i = 1; i <= length; ++i)
            tx.derive(pages[i], {pages[i - 1]}, formula::call(step));
    });
    EXPECT_EQ(bus.graph().depth(), length);
    calls = 0;
    pages[0].write(0, byte(5));
    EXPECT_EQ(calls, length);
    EXPECT_EQ(number_in(pages[length]), length + 5);
    // Cut in the middle; then the end would close a cycle, with all of the way in the error.
    bus.graph().underive(pages[length / 2]);
    pages[0].write(0, byte(6));
    EXPECT_EQ(number_in(pages[length]), length + 5);
    try {
        bus.graph().derive(pages[length / 2], {pages[length]}, formula::call(step));
        ADD_FAILURE() << "a cycle";
    } catch (const GraphCycle& e) {
        EXPECT_GE(e.cycle().size(), length / 2);
    }
    const auto before = contents_of(bus);
    const auto last = pages[length].id();
    stop(std::move(bus));
    remove_arena(folder.path());
    bus = start(at(folder));
    EXPECT_EQ(contents_of(bus), before);
    add_plus_one(bus, &calls);
    bus.page(pages[length / 2].id()).write(0, byte(0));
    EXPECT_LE(number_in(bus.page(last)), length);
}

TEST(LargeGraphs, OfTenThousandFromOneAndOneFromTenThousand) {
    constexpr std::size_t width = 10'000;
    const auto bus = start();
    std::atomic<std::size_t> calls{0};
    add_plus_one(bus, &calls);
    const auto pages = pages_of(bus, width + 2);
    const std::vector<Page> middle(pages.begin() + 1, pages.end() - 1);
    bus.transact([&](Transaction& tx) {
        for (const auto& page : middle) tx.derive(page, {pages[0]}, formula::call(step));
        tx.derive(pages.back(), middle, formula::call(step));
    });
    calls = 0;
    pages[0].write(0, byte(1));
    EXPECT_EQ(calls, width + 1);
    EXPECT_EQ(number_in(pages.back()), 2 * width + 1);
    EXPECT_TRUE(bus.verify({.recompute_every = 1}).good);
}

TEST(LargeGraphs, OfDiamondsInTwentyLayersComputeEachPageOnce) {
    constexpr std::size_t layers = 20, width = 8;  // their sums fit into 64 bits
    const auto bus = start();
    std::atomic<std::size_t> calls{0};
    add_plus_one(bus, &calls);
    const auto pages = pages_of(bus, layers * width + 1);
    bus.transact([&](Transaction& tx) {
        for (std::size_t i = 0; i != layers * width; ++i) {
            const auto first = 1 + (i / width) * width - width;
            const std::vector<Page> parents =
                i < width
                    ? std::vector<Page>{pages[0]}
                    : std::vector<Page>(pages.begin() + static_cast<std::ptrdiff_t>(first),
                                        pages.begin() + static_cast<std::ptrdiff_t>(first + width));
            tx.derive(pages[1 + i], parents, formula::call(step));
        }
    });
    calls = 0;
    pages[0].write(0, byte(1));
    EXPECT_EQ(calls, layers * width);
    std::uint64_t expected = 2;
    for (std::size_t layer = 1; layer != layers; ++layer) expected = width * expected + 1;
    EXPECT_EQ(number_in(pages.back()), expected);
}

}  // namespace
}  // namespace mmsb::test
