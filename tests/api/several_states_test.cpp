// Several States of one bus in one process: what each was given counts for what it counts for. And
// what is left of objects that were moved from.
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <thread>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

// Whatever makes it so happens on a thread of the bus.
template <class F>
bool comes(const F& it) {
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!it() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(1ms);
    return it();
}

void expect_each_is_synced(const State& bus, const Page& page, unsigned commits,
                           const CommitOptions& options = {}) {
    for (unsigned i = 0; i != commits; ++i) {
        const auto committed = page.update(pattern(1, i), options);
        ASSERT_TRUE(comes([&] { return bus.durable_sequence() >= committed.sequence; }));
    }
}

Config with(const TempFolder& folder, Config config) {
    config.path = folder.path();
    return config;
}

TEST(ACommit, MayAskForAnIntervalByItself) {
    const TempFolder folder;
    const auto bus = start_with(with(folder, {.interval = 5ms}));
    const auto page = bus.create_page(1);
    expect_each_is_synced(bus, page, 20, {.durability = Durability::interval});
}

// Longer than who syncs stays awake for.
TEST(ACommit, IsOnTheDiskWhenALongerIntervalIsOver) {
    const TempFolder folder;
    const auto bus =
        start_with(with(folder, {.durability = Durability::interval, .interval = 60ms}));
    const auto page = bus.create_page(1);
    expect_each_is_synced(bus, page, 4);
}

// How often a process waits the system counts. (Never more often for being slow.)
TEST(WhoSyncs, SleepsForAsLongAsAnIntervalIs) {
    const TempFolder folder;
    const auto bus = start_with(with(folder, {.durability = Durability::interval, .interval = 1h}));
    const auto page = bus.create_page(1);
    static_cast<void>(bus.wait_durable(page.update(pattern(1, 1)).sequence));
    const auto last = page.update(pattern(1, 2)).sequence;
    const auto waits_in_a_moment = [] {
        rusage before{}, after{};
        getrusage(RUSAGE_SELF, &before);
        std::this_thread::sleep_for(100ms);
        getrusage(RUSAGE_SELF, &after);
        return after.ru_nvcsw - before.ru_nvcsw;
    };
    EXPECT_TRUE(comes([&] { return waits_in_a_moment() < 30; }));
    EXPECT_LT(bus.durable_sequence(), last);
}

TEST(SeveralStates, ShareTheShortestInterval) {
    const TempFolder folder;
    const auto shortest =
        start_with(with(folder, {.durability = Durability::interval, .interval = 5ms}));
    const auto longest =
        start_with(with(folder, {.durability = Durability::interval, .interval = 1h}));
    const auto page = shortest.create_page(1);
    expect_each_is_synced(shortest, page, 20);
}

TEST(SeveralStates, OfWhichOneIsOpenedLaterShortenTheIntervalAtOnce) {
    const TempFolder folder;
    const auto longest =
        start_with(with(folder, {.durability = Durability::interval, .interval = 1h}));
    const auto page = longest.create_page(1);
    static_cast<void>(longest.wait_durable(page.update(pattern(1, 1)).sequence));
    const auto last = page.update(pattern(1, 2)).sequence;
    std::this_thread::sleep_for(50ms);  // who syncs sleeps by now
    EXPECT_LT(longest.durable_sequence(), last);
    const auto shortest =
        start_with(with(folder, {.durability = Durability::interval, .interval = 5ms}));
    EXPECT_TRUE(comes([&] { return longest.durable_sequence() >= last; }));
}

TEST(SeveralStates, ShareTheShortestTimeBetweenCheckpoints) {
    const TempFolder folder;
    const auto seldom = start_with(with(folder, {.checkpoint_interval = 24h}));
    std::this_thread::sleep_for(20ms);  // its thread sleeps by now
    const auto often = start_with(with(folder, {.checkpoint_interval = 1s}));
    std::atomic<bool> is_made{false};
    const auto told = seldom.subscribe({.types = {EventType::checkpoint_done}},
                                       [&](const Event&) { is_made = true; });
    const auto page = often.create_page(10'000);
    for (unsigned i = 0; i < 400; ++i) page.update(pattern(10'000, i));  // what is worth one
    EXPECT_TRUE(comes([&] { return is_made.load(); }));
}

TEST(SeveralStates, AreToldOfNoticesEachUntilItIsStopped) {
    const TempFolder folder;
    int first = 0, second = 0;
    auto a = start_with(with(folder, {.on_notice = [&](const Notice&) { ++first; }}));
    const auto b = start_with(with(folder, {.on_notice = [&](const Notice&) { ++second; }}));
    const int before = first - second;  // of opening
    b.create_page(1, {.location = Location::gpu});
    EXPECT_EQ(first - second, before);
    EXPECT_GT(second, 0);
    const int until_stopped = first, then = second;
    stop(std::move(a));
    b.create_page(1, {.location = Location::gpu});
    EXPECT_EQ(first, until_stopped);
    EXPECT_GT(second, then);
}

TEST(ALockTimeout, MayBeLongerThanAnybodyLives) {
    const TempFolder folder;
    const auto bus = start_with(with(folder, {.interval = std::chrono::milliseconds::max(),
                                              .checkpoint_interval = std::chrono::seconds::max(),
                                              .lock_timeout = std::chrono::milliseconds::max()}));
    const auto page = bus.create_page(8);
    const auto work = [&](unsigned from) {
        for (unsigned i = 0; i < 2000; ++i)
            page.write(from, pattern(1, i), {.durability = Durability::process});
    };
    std::thread other(work, 0U);
    work(4);
    other.join();
    EXPECT_TRUE(bus.verify().good);
}

TEST(WhatWasMovedFrom, SaysSo) {
    const auto bus = start();
    const auto page = bus.create_page(100);
    page.update(pattern(100, 1));
    auto view = bus.snapshot({page});
    const auto taken = std::move(view);
    // NOLINTBEGIN(bugprone-use-after-move,clang-analyzer-cplusplus.Move): that is what is tested
    EXPECT_EQ(view.sequence(), Sequence::zero);
    thrown<WrongContext>([&] { static_cast<void>(view.bytes(page)); });
    thrown<WrongContext>([&] { static_cast<void>(view.pages()); });
    thrown<WrongContext>([&] { static_cast<void>(diff(view, taken)); });
    auto log = bus.tlog();
    auto its = std::move(log);
    thrown<WrongContext>([&] { static_cast<void>(log.next(Timeout::zero())); });
    EXPECT_TRUE(its.next(Timeout::zero()));
    auto delta = diff(pattern(100, 1), pattern(100, 2));
    const auto same = std::move(delta);
    EXPECT_TRUE(delta.empty());
    EXPECT_TRUE(delta.runs().empty());
    EXPECT_EQ(delta.page_size(), 0U);
    delta.apply_to({});
    // NOLINTEND(bugprone-use-after-move,clang-analyzer-cplusplus.Move)
    delta = same;
    EXPECT_EQ(delta.runs().size(), same.runs().size());
}

}  // namespace
}  // namespace mmsb::test
