// Functions that take long run in several threads at once; what comes out is what one would make.
#include "api/derived.hpp"
#include "support/raises.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

void take(std::chrono::microseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
}

// A source; `width` pages computed from it, each with one computed from that; and one from all.
struct Fan {
    Page source{}, last{};
    std::vector<Page> first{}, second{};
};
Fan make_fan(const State& bus, std::size_t width) {
    Fan fan{.source = bus.create_page(8)};
    for (std::size_t i = 0; i != width; ++i) {
        fan.first.push_back(bus.create_page(8));
        fan.second.push_back(bus.create_page(8));
    }
    fan.last = bus.create_page(8);
    bus.transact([&](Transaction& tx) {
        for (std::size_t i = 0; i != width; ++i) {
            const Bytes number = filled(1, static_cast<int>(i));
            tx.derive(fan.first[i], {fan.source}, formula::call("test.heavy/1", number));
            tx.derive(fan.second[i], {fan.first[i]}, formula::call("test.heavy/1", number));
        }
        tx.derive(fan.last, fan.second, formula::sum<std::int64_t>());
    });
    return fan;
}

void heavy(Recompute& r) {
    take(100us);
    const auto in = r.parent<std::uint64_t>(0)[0];
    const auto number = std::to_integer<std::uint64_t>(r.arguments()[0]);
    r.out<std::uint64_t>()[0] = number % 5 == 0 ? 7 : in * 3 + number;
}

// The order of pages in each record, and all of their bytes.
std::vector<std::pair<std::vector<PageId>, std::vector<Bytes>>> logged(const State& bus,
                                                                       Sequence from) {
    std::vector<std::pair<std::vector<PageId>, std::vector<Bytes>>> all;
    for (const auto& record : bus.tlog({.from = from})) {
        auto& [pages, bytes] = all.emplace_back();
        for (const auto& delta : record.deltas) {
            pages.push_back(delta.page());
            bytes.push_back(bus.at(record.sequence).bytes(delta.page()));
        }
    }
    return all;
}

TEST(HeavyFunctions, InSeveralThreadsMakeTheSameRecordsAsInOne) {
    std::vector<std::pair<std::vector<PageId>, std::vector<Bytes>>> expected;
    for (const bool one_thread : {true, false}) {
        const auto bus = start();
        bus.register_recompute("test.heavy/1", heavy, {.one_thread = one_thread});
        const auto fan = make_fan(bus, 20);
        const auto from = bus.sequence() + 1;
        for (std::uint64_t i = 1; i <= 10; ++i)
            fan.source.write(0, std::as_bytes(std::span(&i, 1)));
        const auto found = logged(bus, from);
        EXPECT_EQ(found.size(), 10U);
        if (one_thread)
            expected = found;
        else
            EXPECT_EQ(found, expected);
        EXPECT_TRUE(bus.verify({.recompute_every = 1}).good);
    }
}

// Each waits until the other has begun: one thread alone would wait in vain.
TEST(HeavyFunctions, RunAtTheSameTime) {
    if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "there is one processor";
    const auto bus = start();
    std::mutex mutex;
    std::condition_variable changed;
    int inside = 0, met = 0;
    std::atomic<bool> meet{false};
    bus.register_recompute("test.heavy/1", [&](Recompute& r) {
        heavy(r);
        if (!meet) return;
        std::unique_lock lock(mutex);
        ++inside;
        changed.notify_all();
        if (changed.wait_for(lock, 20s, [&] { return inside >= 2; })) ++met;
    });
    const auto a = bus.create_page(8), b = bus.create_page(8), c = bus.create_page(8);
    for (const auto& page : {b, c})
        bus.graph().derive(page, {a}, formula::call("test.heavy/1", filled(1, 1)));
    a.write(0, byte(1));
    meet = true;
    a.write(0, byte(2));
    EXPECT_EQ(met, 2);
    EXPECT_EQ(byte_of(b), 7);
    EXPECT_EQ(byte_of(c), 7);
}

TEST(HeavyFunctions, AskedToStayInTheCommittingThreadDo) {
    const auto bus = start();
    std::atomic<bool> other{false};
    const auto self = std::this_thread::get_id();
    bus.register_recompute("test.heavy/1",
                           [&](Recompute& r) {
                               heavy(r);
                               if (std::this_thread::get_id() != self) other = true;
                           },
                           {.one_thread = true});
    const auto fan = make_fan(bus, 10);
    for (int i = 1; i <= 5; ++i) fan.source.write(0, byte(i));
    EXPECT_FALSE(other);
}

TEST(HeavyFunctions, ThatThrowFailTheCommitByTheFirstAndChangeNothing) {
    const auto bus = start();
    std::atomic<bool> broken{false};
    bus.register_recompute("test.heavy/1", [&](Recompute& r) {
        heavy(r);
        if (broken && r.arguments()[0] >= std::byte{3}) throw std::runtime_error("out of order");
    });
    const auto fan = make_fan(bus, 10);
    for (int i = 1; i <= 3; ++i) fan.source.write(0, byte(i));
    broken = true;
    for (int i = 0; i < 5; ++i) {
        const auto e = raises<RecomputeFailed>(bus, [&] { fan.source.write(0, byte(9)); });
        EXPECT_EQ(e->page(), fan.first[3].id());
    }
    broken = false;
    fan.source.write(0, byte(9));
    EXPECT_EQ(byte_of(fan.first[1]), 28);
    EXPECT_TRUE(bus.verify({.recompute_every = 1}).good);
}

TEST(HeavyFunctions, OfSeveralCommittingThreadsAgree) {
    const auto bus = start();
    bus.register_recompute("test.heavy/1", heavy);
    const auto one = make_fan(bus, 6), two = make_fan(bus, 6);
    std::vector<std::thread> threads;
    for (const auto* fan : {&one, &two})
        threads.emplace_back([fan] {
            for (int i = 1; i <= 20; ++i) fan->source.write(0, byte(i));
        });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(one.last.read(), two.last.read());
    EXPECT_TRUE(bus.verify({.recompute_every = 1}).good);
}

}  // namespace
}  // namespace mmsb::test
