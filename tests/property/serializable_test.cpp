// Transactions of several threads are as if they had run one after the other, in the order of the
// log: each is run again, alone, on a model, and must read there what it read then.
#include "support/sanitizers.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <random>
#include <thread>

namespace mmsb::test {
namespace {

constexpr unsigned transactions = cases(1500U, 150U);
constexpr unsigned threads = 4, pages = 6;

struct Done {
    Sequence sequence{};
    bool logged = false;
    std::vector<std::pair<unsigned, std::uint64_t>> reads{}, writes{};
};

class Workers {
public:
    Workers(const State& bus, unsigned seed) : bus_(bus), seed_(seed) {
        for (unsigned i = 0; i < pages; ++i) pages_.push_back(bus.create<std::uint64_t>());
    }

    void go() {
        std::vector<std::thread> all;
        for (unsigned t = 0; t < threads; ++t) all.emplace_back([this, t] { work(t); });
        for (auto& t : all) t.join();
    }

    void check() {
        // Those that only read saw the state behind the commit that they name; among themselves
        // their order says nothing.
        std::sort(done_.begin(), done_.end(), [](const Done& a, const Done& b) {
            return std::pair(a.sequence, !a.logged) < std::pair(b.sequence, !b.logged);
        });
        std::vector<std::uint64_t> model(pages);
        auto last = Sequence{pages};
        for (const auto& done : done_) {
            if (done.logged) {
                EXPECT_EQ(done.sequence, last + 1);
                last = done.sequence;
            }
            for (const auto& [page, value] : done.reads)
                ASSERT_EQ(model[page], value)
                    << "sequence " << done.sequence << " read page " << page;
            for (const auto& [page, value] : done.writes) model[page] = value;
        }
        for (unsigned i = 0; i < pages; ++i) EXPECT_EQ(pages_[i].read(), model[i]);
    }

private:
    void work(unsigned thread) {
        std::mt19937 random(seed_ * 100 + thread);
        std::vector<Done> mine;
        for (unsigned i = 0; i < transactions; ++i) {
            Done done;
            const auto a = random() % pages, b = random() % pages, c = random() % pages,
                       kind = random() % 4;
            const auto unique = std::uint64_t{thread + 1} << 40U | std::uint64_t{i} << 8U;
            if (kind == 0) {  // an edit: reads and writes one page
                const auto committed = pages_[a].update([&](std::uint64_t& n) {
                    done.reads = {{a, n}};
                    n = unique | (n & 0xffU);
                    done.writes = {{a, n}};
                });
                done.sequence = committed.sequence;
                done.logged = committed.changed();
            } else {
                const auto committed = bus_.transact([&](Transaction& tx) {
                    done.reads = {{a, tx.read(pages_[a])}, {b, tx.read(pages_[b])}};
                    done.writes.clear();
                    if (kind == 1) return;  // only reads
                    done.writes = {{b, unique | ((done.reads[0].second + 1) & 0xffU)},
                                   {c, unique | ((done.reads[1].second * 3) & 0xffU)}};
                    for (const auto& [page, value] : done.writes) tx.update(pages_[page], value);
                });
                done.sequence = committed.sequence;
                done.logged = committed.changed();
            }
            mine.push_back(std::move(done));
        }
        const std::lock_guard lock(mutex_);
        done_.insert(done_.end(), mine.begin(), mine.end());
    }

    const State& bus_;
    unsigned seed_;
    std::vector<TypedPage<std::uint64_t>> pages_{};
    std::mutex mutex_{};
    std::vector<Done> done_{};
};

unsigned seed_of_the_run() {
    const char* given = std::getenv("MMSB_SEED");
    const auto seed = given != nullptr ? static_cast<unsigned>(std::atoi(given))
                                       : std::random_device{}() % 1000000;
    std::cout << "MMSB_SEED=" << seed << '\n';
    return seed;
}

TEST(TransactionsOfSeveralThreads, AreSerializableInTheOrderOfTheLog) {
    const auto seed = seed_of_the_run();
    const auto bus = start_with({});
    Workers workers(bus, seed);
    workers.go();
    workers.check();
    EXPECT_TRUE(bus.verify().good);
}

TEST(TransactionsOfSeveralThreads, AreSerializableOnABusWithAPath) {
    const auto seed = seed_of_the_run();
    const TempFolder folder;
    auto bus = start_with(at(folder));
    Workers workers(bus, seed);
    workers.go();
    workers.check();
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
}

}  // namespace
}  // namespace mmsb::test
