// The counters: what they count, and that they agree with the log.
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace mmsb::test {
namespace {

TEST(Counters, FollowPagesThroughTheirLife) {
    const auto bus = start();
    const auto a = bus.create_page(100), b = bus.create_page(10);
    EXPECT_EQ(bus.get_stats().total_page_bytes, 110U);
    a.resize(1000);
    EXPECT_EQ(bus.get_stats().total_page_bytes, 1010U);
    a.resize(5);
    EXPECT_EQ(bus.get_stats().total_page_bytes, 15U);
    bus.delete_page(b);
    const auto stats = bus.get_stats();
    EXPECT_EQ(stats.total_pages, 1U);
    EXPECT_EQ(stats.cpu_pages, 1U);
    EXPECT_EQ(stats.gpu_pages + stats.unified_pages, 0U);
    EXPECT_EQ(stats.total_page_bytes, 5U);
}

TEST(Counters, AgreeWithTheLog) {
    const auto bus = start();
    const auto page = bus.create_page(1000, {.contents = bytes_of("start")});
    for (unsigned i = 0; i < 50; ++i) page.write(i * 7, pattern(i, i));
    std::uint64_t deltas = 0, bytes = 0;
    for (const auto& record : bus.tlog())
        for (const auto& delta : record.deltas) {
            ++deltas;
            bytes += delta.changed_bytes();
        }
    const auto stats = bus.get_stats();
    EXPECT_EQ(stats.total_deltas, deltas);
    EXPECT_EQ(stats.total_delta_bytes, bytes);
    EXPECT_DOUBLE_EQ(stats.avg_delta_bytes,
                     static_cast<double>(bytes) / static_cast<double>(deltas));
    EXPECT_EQ(
        stats.graph_nodes + stats.graph_edges + stats.graph_max_depth + stats.propagation_count,
        0U);
}

TEST(Counters, ResetIsOfThePerformanceCountersOnly) {
    const auto bus = start({.enable_instrumentation = true});
    const auto page = bus.create_page(100);
    page.write(0, pattern(100));
    EXPECT_EQ(bus.get_stats().delta_apply_count, 1U);
    EXPECT_GT(bus.get_stats().delta_apply_total_ns, 0U);
    bus.reset_stats();
    const auto stats = bus.get_stats();
    EXPECT_EQ(stats.delta_apply_count, 0U);
    EXPECT_EQ(stats.delta_apply_total_ns, 0U);
    EXPECT_EQ(stats.total_pages, 1U);
    EXPECT_EQ(stats.total_deltas, 1U);
}

TEST(Counters, AreTheSameAfterARebuild) {
    const TempFolder folder;
    const auto counted = [](const State& bus) {
        const auto s = bus.get_stats();
        return std::vector{s.total_pages, s.cpu_pages, s.total_page_bytes, s.total_deltas,
                           s.total_delta_bytes};
    };
    std::vector<std::uint64_t> before;
    {
        auto bus = start(at(folder));
        for (unsigned i = 0; i < 20; ++i) {
            const auto page = bus.create_page(i * 50, {.contents = pattern(i)});
            page.resize(1000 - i * 7);
            page.write(3, pattern(200, i));
            if (i % 3 == 0) bus.delete_page(page);
        }
        before = counted(bus);
        stop(std::move(bus));
    }
    remove_arena(folder.path());
    auto bus = start(at(folder));
    EXPECT_EQ(counted(bus), before);
    stop(std::move(bus));
}

TEST(Counters, ArePrinted) {
    Stats stats;
    stats.total_pages = stats.cpu_pages = 3;
    stats.conflicts = 17;
    std::ostringstream out;
    print_stats(out, stats);
    EXPECT_NE(out.str().find("3 (cpu 3, gpu 0, unified 0)"), std::string::npos);
    EXPECT_NE(out.str().find("conflicts      17"), std::string::npos);
}

}  // namespace
}  // namespace mmsb::test
