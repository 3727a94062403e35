// Waiting for commits and pages, across threads and processes: nothing is missed, nobody waits
// longer than asked, and whoever dies keeps nobody waiting.
#include "support/child.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <poll.h>

#include <chrono>
#include <thread>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

struct Waiting : testing::Test {
    TempFolder folder{};
    State bus = start_with(at(folder));
    Page page = bus.create_page(8, {.name = "page"});
};
using WaitingAcrossProcesses = Waiting;

bool readable(const Watch& watch, int timeout_ms = 0) {
    pollfd ready{.fd = watch.fd(), .events = POLLIN, .revents = 0};
    return ::poll(&ready, 1, timeout_ms) == 1;
}

std::vector<PageId> taken(Watch& watch) {
    std::vector<PageId> pages;
    for (const auto& change : watch.take()) pages.push_back(change.page);
    return pages;
}

TEST_F(Waiting, ReturnsAtOnceForWhatIsThereAndNothingAfterTheTimeout) {
    EXPECT_EQ(bus.wait(Sequence::zero), bus.sequence());
    EXPECT_FALSE(bus.wait(bus.sequence(), 5ms));
    EXPECT_FALSE(bus.wait(Sequence::newest, 0ms));
    EXPECT_FALSE(page.wait(page.epoch(), 5ms));
    const auto version = page.wait(page.epoch() + 1, 0ms);
    ASSERT_TRUE(version);
    EXPECT_EQ(version->epoch, page.epoch());
}

TEST_F(Waiting, AThreadIsWokenByACommitOfAnother) {
    for (int i = 0; i < 200; ++i) {
        const auto seen = page.epoch();
        const int value = i + 1;
        std::thread writer([&] { page.write(0, std::as_bytes(std::span(&value, 1))); });
        const auto version = page.wait(seen);
        EXPECT_TRUE(version && version->epoch > seen);
        writer.join();
    }
}

// Each process answers the other's count: a wake that is lost ends the game.
TEST_F(WaitingAcrossProcesses, TwoProcessesPassABallAThousandTimes) {
    const auto ball = bus.create<std::uint64_t>({.name = "ball"});
    constexpr std::uint64_t passes = 1000;
    Child other([&] {
        const auto mine = start_with(at(folder));
        const auto theirs = mine.page<std::uint64_t>("ball");
        for (std::uint64_t n = 1; n < passes; n += 2) {
            if (!theirs.wait_until([&](const std::uint64_t& v) { return v >= n; }, 20s)) return 1;
            theirs.update(n + 1);
        }
        return 0;
    });
    for (std::uint64_t n = 0; n < passes; n += 2) {
        ball.update(n + 1);
        ASSERT_TRUE(ball.wait_until([&](const std::uint64_t& v) { return v >= n + 2; }, 20s)) << n;
    }
    EXPECT_EQ(other.wait(), 0);
}

// Four processes commit as fast as they can; four wait for each of their sequences in turn.
TEST_F(WaitingAcrossProcesses, NoWakeIsLostInAStorm) {
    constexpr std::uint64_t writers = 4, commits = 1500;
    const auto first = bus.sequence();
    const auto last = first + writers * commits;
    std::vector<std::unique_ptr<Child>> waiting, writing;
    for (int i = 0; i < 4; ++i)
        waiting.push_back(std::make_unique<Child>([&, i] {
            auto config = at(folder);
            if (i == 0) config.open = Open::read_only;
            const auto mine = start_with(config);
            for (auto seen = first; seen < last;) {
                const auto now = mine.wait(seen, 20s);
                if (!now || *now <= seen) return 1;
                seen = *now;
            }
            return 0;
        }));
    for (std::uint64_t w = 0; w < writers; ++w)
        writing.push_back(std::make_unique<Child>([&, w] {
            const auto mine = start_with(at(folder));
            const auto counter = mine.open<std::uint64_t>("counter " + std::to_string(w % 2));
            for (std::uint64_t i = 0; i < commits; ++i)
                counter.update([](std::uint64_t& n) { ++n; });
            return 0;
        }));
    for (auto& child : writing) EXPECT_EQ(child->wait(), 0);
    for (auto& child : waiting) EXPECT_EQ(child->wait(), 0);
    EXPECT_GE(bus.sequence(), last);
}

TEST_F(WaitingAcrossProcesses, AWriterThatIsKilledKeepsNobodyWaiting) {
    for (int round = 0; round < 15; ++round) {
        Pipe begun;
        Child writer([&] {
            const auto mine = start_with(at(folder));
            const auto counter = mine.open<std::uint64_t>("counter");
            begun.write(1);
            for (;;) counter.update([](std::uint64_t& n) { ++n; });
            return 0;
        });
        ASSERT_TRUE(begun.read<int>());
        std::thread killer([&] {
            std::this_thread::sleep_for(std::chrono::microseconds(500 * round));
            writer.signal(SIGKILL);
        });
        auto seen = bus.sequence();
        while (const auto now = bus.wait(seen, 100ms)) seen = *now;
        killer.join();
        EXPECT_EQ(writer.wait(), -SIGKILL);
        while (const auto now = bus.wait(seen, 0ms)) seen = *now;  // where it was a slow writer
        EXPECT_EQ(bus.sequence(), seen) << "the last commit was missed";
    }
    EXPECT_TRUE(bus.verify().good);
}

TEST_F(Waiting, ADeletedPageAndAStoppedBusEndTheWait) {
    std::thread waiter([&, seen = page.epoch()] {
        thrown<PageNotFound>([&] { static_cast<void>(page.wait(seen)); });
    });
    std::this_thread::sleep_for(20ms);
    bus.delete_page(page);
    waiter.join();
    std::thread sleeper(
        [&] { thrown<BusClosed>([&] { static_cast<void>(bus.wait(Sequence::newest)); }); });
    std::this_thread::sleep_for(20ms);
    stop(std::move(bus));
    sleeper.join();
}

TEST_F(Waiting, TheLogIsFollowedAsItGrows) {
    auto log = bus.tlog({.from = bus.sequence() + 1});
    EXPECT_FALSE(log.next(5ms));
    std::thread writer([&] {
        for (int i = 1; i <= 50; ++i) page.write(0, std::as_bytes(std::span(&i, 1)));
    });
    for (int i = 1; i <= 50; ++i) {
        const auto record = log.next(20s);
        ASSERT_TRUE(record);
        EXPECT_EQ(record->deltas.size(), 1U);
    }
    writer.join();
    EXPECT_FALSE(log.next(5ms));
}

TEST_F(Waiting, AWatchIsReadableWhileThereIsSomethingToTake) {
    const auto other = bus.create_page(8, {.name = "other"});
    auto watch = bus.watch({page});
    auto all = bus.watch();
    EXPECT_FALSE(readable(watch, 20));
    other.write(0, bytes_of("x"));
    EXPECT_TRUE(readable(all, 5000));
    EXPECT_EQ(taken(all), std::vector{other.id()});
    EXPECT_FALSE(readable(watch, 20));
    page.write(0, bytes_of("x"));
    page.write(0, bytes_of("y"));
    EXPECT_TRUE(readable(watch, 5000));
    const auto changes = watch.take();
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].page, page.id());
    EXPECT_EQ(changes[0].version.epoch, page.epoch());
    EXPECT_FALSE(readable(watch));
    EXPECT_TRUE(watch.take().empty());
    EXPECT_EQ(taken(all), std::vector{page.id()});
}

TEST_F(Waiting, ATakeWakesNobody) {
    const auto other = bus.create_page(8);
    auto watch = bus.watch({page}), armed = bus.watch({other});
    const auto& words = detail::Bus::get(detail::Bus::handle_of(bus)).at().words();
    for (int i = 0; i != 20; ++i) {
        page.write(0, pattern(8, static_cast<unsigned>(i)));
        ASSERT_TRUE(readable(watch, 5000));
        const auto bell = words.bell.load();
        EXPECT_EQ(taken(watch), std::vector{page.id()});
        EXPECT_EQ(words.bell.load(), bell);
    }
    EXPECT_FALSE(readable(armed));
}

// Then its thread has gone away from the commits, and none of them pays for it.
TEST_F(Waiting, AWatchThatNobodyTookFromForLongIsReadableAgain) {
    auto watch = bus.watch({page}), all = bus.watch();
    const auto bit = state::wake_bit(detail::Bus::handle_of(page).line);
    const auto& words = detail::Bus::get(detail::Bus::handle_of(bus)).at().words();
    for (unsigned i = 0; i != 4; ++i) {
        page.write(0, pattern(8, 2 * i));
        ASSERT_TRUE(readable(watch, 5000));
        ASSERT_TRUE(readable(all, 5000));
        std::this_thread::sleep_for(5 * state::sleep_step);
        page.write(0, pattern(8, 2 * i + 1));
        EXPECT_EQ(words.sleepers.load() & bit, 0U);
        auto& first = i % 2 == 0 ? watch : all;
        auto& second = i % 2 == 0 ? all : watch;
        EXPECT_EQ(taken(first), std::vector{page.id()});
        EXPECT_FALSE(readable(first));
        EXPECT_TRUE(readable(second));
        EXPECT_EQ(taken(second), std::vector{page.id()});
    }
}

TEST_F(Waiting, NothingIsMissedOfWhatIsCommittedWhileOneTakes) {
    constexpr std::uint64_t last = 20'000;
    auto watch = bus.watch({page});
    std::thread writer([&] {
        for (std::uint64_t n = 1; n <= last; ++n) {
            page.write(0, std::as_bytes(std::span(&n, 1)));
            if (n % 64 == 0) std::this_thread::sleep_for(20us);
        }
    });
    // Each time that it is readable there is something; and the last commit makes it so.
    std::uint64_t seen = 0;
    while (seen != last) {
        ASSERT_TRUE(readable(watch, 10'000)) << seen;
        ASSERT_EQ(taken(watch).size(), 1U) << seen;
        page.read_into(std::as_writable_bytes(std::span(&seen, 1)));
    }
    writer.join();
    EXPECT_LE(watch.take().size(), 1U);
    EXPECT_FALSE(readable(watch, 20));
}

TEST_F(WaitingAcrossProcesses, AWatchSeesOtherProcessesAndOutlivesItsState) {
    auto watch = bus.watch({page});
    Child other([&] {
        start_with(at(folder)).page("page").write(0, bytes_of("theirs"));
        return 0;
    });
    EXPECT_EQ(other.wait(), 0);
    EXPECT_TRUE(readable(watch, 5000));
    EXPECT_EQ(taken(watch), std::vector{page.id()});
    auto config = at(folder);
    config.open = Open::read_only;
    const auto viewer = start_with(config);
    auto seen = viewer.watch();
    page.write(0, bytes_of("mine"));
    EXPECT_TRUE(readable(seen, 5000));
    EXPECT_EQ(taken(seen), std::vector{page.id()});
    stop(std::move(bus));
    EXPECT_TRUE(readable(watch, 5000));
    thrown<BusClosed>([&] { watch.take(); });
}

}  // namespace
}  // namespace mmsb::test
