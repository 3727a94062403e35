// A process that commits is killed with SIGKILL at random instants. Afterwards: nothing that it had
// acknowledged is missing, nothing is there by half, and the log gives exactly the live pages.
#include "support/child.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

namespace mmsb::test {
namespace {

constexpr unsigned accounts = 5;
constexpr std::int64_t total = 1000;

// Every commit moves an amount between two of the accounts and counts itself: the accounts add up
// to `total`, and the counter is the number of commits.
int commit_for_ever(const std::string& folder, const Pipe& acknowledged, Durability durability) {
    auto bus = start_with({.path = folder, .durability = durability});
    std::vector<TypedPage<std::int64_t>> pages;
    for (unsigned i = 0; i < accounts; ++i)
        pages.push_back(bus.open<std::int64_t>("account " + std::to_string(i)));
    const auto counter = bus.open<std::uint64_t>("counter");
    std::mt19937 random(static_cast<unsigned>(::getpid()));
    for (;;) {
        const auto from = random() % accounts, to = random() % accounts;
        std::uint64_t count = 0;
        bus.transact([&](Transaction& tx) {
            count = tx.read(counter) + 1;
            tx.update(counter, count);
            if (from == to) return;
            tx.update(pages[from], tx.read(pages[from]) - 1);
            tx.update(pages[to], tx.read(pages[to]) + 1);
            if (count % 16 == 0) {  // structure, too
                const auto name = "extra " + std::to_string(count % 64);
                if (const auto old = tx.find_page(name)) tx.delete_page(*old);
                tx.create_page(100 + count % 5000, {.name = name, .contents = bytes_of("new")});
            }
        });
        acknowledged.write(count);
    }
}

void make(const TempFolder& folder) {
    auto bus = start_with(at(folder));
    for (unsigned i = 0; i < accounts; ++i)
        bus.open<std::int64_t>("account " + std::to_string(i))
            .update(total / std::int64_t{accounts});
    bus.open<std::uint64_t>("counter");
    stop(std::move(bus));
}

void check(const State& bus, std::uint64_t acknowledged) {
    std::int64_t sum = 0;
    for (unsigned i = 0; i < accounts; ++i)
        sum += bus.page<std::int64_t>("account " + std::to_string(i)).read();
    EXPECT_EQ(sum, total) << "a commit is there by half";
    EXPECT_GE(bus.page<std::uint64_t>("counter").read(), acknowledged)
        << "a commit that was acknowledged is missing";
    const auto report = bus.verify();
    EXPECT_TRUE(report.good) << "page " << report.page << " differs at " << report.offset;
}

struct Kills {
    int count = 0, recovered = 0;
    std::uint64_t acknowledged = 0;
};

Kills kill_repeatedly(const TempFolder& folder, int kills, Durability durability, bool power_cut) {
    std::mt19937 random(std::random_device{}());
    Kills result;
    for (; result.count < kills && !testing::Test::HasFailure(); ++result.count) {
        Pipe acknowledged;
        Child child([&] { return commit_for_ever(folder.path(), acknowledged, durability); });
        acknowledged.close_writing();
        // The first acknowledgement says that it has begun.
        if (const auto first = acknowledged.read<std::uint64_t>()) result.acknowledged = *first;
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 10'000));
        child.signal(SIGKILL);
        while (const auto count = acknowledged.read<std::uint64_t>()) result.acknowledged = *count;
        EXPECT_EQ(child.wait(), -SIGKILL);
        if (power_cut) remove_arena(folder.path());
        auto bus = start_with(at(folder));
        result.recovered += bus.recovery().needed ? 1 : 0;
        check(bus, result.acknowledged);
        stop(std::move(bus));
    }
    return result;
}

int how_many() { return std::getenv("MMSB_LONG") != nullptr ? 1000 : 100; }

TEST(KillingAWriter, LosesNothingThatWasAcknowledged) {
    const TempFolder folder;
    make(folder);
    const auto kills = kill_repeatedly(folder, how_many(), Durability::process, false);
    EXPECT_EQ(kills.recovered, kills.count);
    std::printf("%d kills, %llu commits acknowledged\n", kills.count,
                static_cast<unsigned long long>(kills.acknowledged));
}

TEST(LosingTheSharedMemoryToo, LosesNothingThatTheDiskHad) {
    const TempFolder folder;
    make(folder);
    const auto kills = kill_repeatedly(folder, how_many() / 4, Durability::sync, true);
    EXPECT_EQ(kills.recovered, kills.count);
    std::printf("%d kills, %llu commits acknowledged\n", kills.count,
                static_cast<unsigned long long>(kills.acknowledged));
}

// What a power cut leaves: any prefix of what was not synced. It opens, to some commit, whole.
TEST(ALogCutAtEveryByte, OpensToAWholePrefix) {
    const TempFolder folder;
    make(folder);
    {
        auto bus = start_with(at(folder));
        const auto counter = bus.open<std::uint64_t>("counter");
        for (int i = 0; i < 20; ++i) counter.update([](std::uint64_t& n) { ++n; });
        EXPECT_EQ(counter.read(), 20U);
        stop(std::move(bus));
    }
    remove_arena(folder.path());
    const auto segment = folder / "log/0000000000000001.seg";
    const auto whole = read_file(segment);
    Sequence newest = Sequence::zero;
    for (auto size = first_record_end(whole); size <= whole.size(); ++size) {
        write_file(segment, std::string_view(whole).substr(0, size));
        auto config = at(folder);
        config.open = Open::read_only;
        const auto bus = start(config);
        EXPECT_GE(bus.sequence(), newest) << "cut at " << size;
        newest = bus.sequence();
        if (const auto counter = bus.find_page("counter")) {
            std::uint64_t n = 0;
            counter->read_into(std::as_writable_bytes(std::span(&n, 1)));
            EXPECT_LE(n, 20U);
        }
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_EQ(number(newest), 31U);  // 6 pages made, 5 of them filled, 20 increments
}

}  // namespace
}  // namespace mmsb::test
