// One walk through the main calls, on a private bus and on one with a path.
#include "support/contents.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace mmsb::test {
namespace {

// What each step left, for looking back at it.
using Steps = std::vector<Contents>;

Steps walk(const State& bus) {
    Steps steps{contents_of(bus)};
    const auto note = [&] { steps.push_back(contents_of(bus)); };
    const auto a = bus.create_page(64, {.name = "a", .contents = bytes_of("hello, world")});
    note();
    a.write(7, bytes_of("MMSB!"));
    note();
    a.update(filled(64, 7));
    note();
    a.update([](std::span<std::byte> bytes) { bytes[3] = std::byte{9}; });
    note();
    a.resize(200);
    note();
    a.write(150, bytes_of("behind the old end"));
    note();
    a.resize(10);
    note();
    a.rename("b");
    note();
    a.set_metadata("unit", "metre");
    note();
    const auto c = a.clone({.name = "c"});
    note();
    bus.transact([&](Transaction& tx) {
        tx.write(a, 0, bytes_of("x"));
        tx.write(c, 1, bytes_of("y"));
        tx.create_page(5, {.name = "d"});
    });
    note();
    bus.delete_page(a);
    note();
    return steps;
}

void look_back(const State& bus, const Steps& steps) {
    for (std::size_t i = 0; i < steps.size(); ++i) {
        EXPECT_EQ(steps[i].sequence, i);
        EXPECT_EQ(contents_of(bus.at(Sequence{i})), steps[i]) << "as of " << i;
    }
}

TEST(Smoke, APrivateBusKeepsWhatItIsGivenAndItsPast) {
    const auto bus = start();
    const auto steps = walk(bus);
    look_back(bus, steps);
    const auto report = bus.verify();
    EXPECT_TRUE(report.good);
    EXPECT_EQ(report.records, steps.size() - 1);
}

TEST(Smoke, ABusWithAPathIsTheSameAfterItIsOpenedAgain) {
    const TempFolder folder;
    Steps steps;
    {
        auto bus = start(at(folder));
        steps = walk(bus);
        look_back(bus, steps);
        stop(std::move(bus));
    }
    auto bus = start(at(folder));
    EXPECT_FALSE(bus.recovery().needed);
    EXPECT_EQ(contents_of(bus), steps.back());
    look_back(bus, steps);
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
}

TEST(Smoke, ABusIsRebuiltFromItsLogWhereTheSharedMemoryIsGone) {
    const TempFolder folder;
    Steps steps;
    {
        auto bus = start(at(folder));
        steps = walk(bus);
        stop(std::move(bus));
    }
    remove_arena(folder.path());
    auto bus = start(at(folder));
    EXPECT_EQ(contents_of(bus), steps.back());
    EXPECT_EQ(bus.recovery().replayed, steps.size() - 1);
    look_back(bus, steps);
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
}

TEST(Smoke, HistoryTellsEachChangeOfAPage) {
    const auto bus = start();
    const auto page = bus.create_page(8, {.name = "p"});
    page.write(0, bytes_of("ab"), {.source = "me", .label = "first", .tag = 4});
    page.write(0, bytes_of("ac"));
    std::vector<Change> changes;
    for (const auto& change : page.history()) changes.push_back(change);
    ASSERT_EQ(changes.size(), 3U);
    EXPECT_EQ(changes[1].source, "me");
    EXPECT_EQ(changes[1].label, "first");
    EXPECT_EQ(changes[1].tag, 4U);
    EXPECT_EQ(changes[1].changed_bytes, 2U);
    EXPECT_EQ(changes[2].changed_bytes, 1U);
    EXPECT_EQ(changes[2].epoch, Epoch{2});
    EXPECT_EQ(changes[2].process, ::getpid());
}

TEST(Smoke, StatsCountPagesAndDeltas) {
    const auto bus = start();
    const auto page = bus.create_page(100);
    page.write(0, bytes_of("abc"));
    const auto stats = bus.get_stats();
    EXPECT_EQ(stats.total_pages, 1U);
    EXPECT_EQ(stats.total_page_bytes, 100U);
    EXPECT_EQ(stats.total_deltas, 1U);
    EXPECT_EQ(stats.total_delta_bytes, 3U);
    std::ostringstream out;
    print_stats(out, stats);
    EXPECT_NE(out.str().find("1 (cpu 1, gpu 0, unified 0)"), std::string::npos);
}

}  // namespace
}  // namespace mmsb::test
