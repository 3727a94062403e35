// Any thread may call anything: nothing is lost, nothing is torn, nothing is seen half.
#include "state/ahead.hpp"
#include "support/faults.hpp"
#include "support/sanitizers.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <utility>

namespace mmsb::test {
namespace {

constexpr unsigned rounds = cases(2000U, 200U);

template <class F>
void in_threads(unsigned count, F body) {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
    for (auto& t : threads) t.join();
}

// The bus of most tests: small, so that the ring laps under everybody's hands.
struct Threads : testing::TestWithParam<bool> {
    TempFolder folder{};
    State bus = start_with(GetParam() ? at(folder) : Config{});
};
INSTANTIATE_TEST_SUITE_P(Private, Threads, testing::Values(false));
INSTANTIATE_TEST_SUITE_P(WithAPath, Threads, testing::Values(true));

TEST_P(Threads, NoIncrementIsLost) {
    const auto edited = bus.create<std::uint64_t>(), transacted = bus.create<std::uint64_t>();
    in_threads(4, [&](unsigned) {
        for (unsigned k = 0; k < rounds / 4; ++k) {
            edited.update([](std::uint64_t& n) { ++n; });
            bus.transact([&](Transaction& tx) { tx.update(transacted, tx.read(transacted) + 1); });
        }
    });
    EXPECT_EQ(edited.read(), rounds / 4 * 4);
    EXPECT_EQ(transacted.read(), rounds / 4 * 4);
    EXPECT_EQ(bus.sequence(), Sequence{2 + rounds / 4 * 8});
    EXPECT_TRUE(bus.verify().good);
}

// In the middle of each attempt another thread commits to what was read, as long as it may: each
// would conflict for ever. Once the turn is reserved, the other one lets it pass first.
TEST_P(Threads, ASlowTransactionBesideAQuickWriterGetsItsTurn) {
    const auto hot = bus.create<std::uint64_t>(), slow = bus.create<std::uint64_t>();
    std::atomic<unsigned> asked{0}, answered{0};
    std::atomic<bool> done{false};
    const std::jthread quick([&] {
        for (unsigned n = 0; !done;)
            if (asked.load() != n) {
                n = asked.load();
                hot.update(n);
                answered = n;
            }
    });
    const auto end_it = [](std::atomic<bool>* flag) { *flag = true; };
    const std::unique_ptr<std::atomic<bool>, decltype(end_it)> at_end(&done, end_it);
    // Whom nobody keeps out yet, before anything was in the way, is waited for.
    const auto let_the_other_commit = [&](bool first) {
        const auto n = ++asked;
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(300);
        while (answered.load() != n && (first || std::chrono::steady_clock::now() < end))
            std::this_thread::yield();
    };
    unsigned transacted = 0, edited = 0;
    for (unsigned i = 0; i < 10; ++i) {
        bool first = true;
        bus.transact([&](Transaction& tx) {
            ++transacted;
            tx.update(slow, tx.read(hot));
            let_the_other_commit(std::exchange(first, false));
        });
        first = true;
        hot.update([&](std::uint64_t& n) {
            ++edited;
            ++n;
            let_the_other_commit(std::exchange(first, false));
        });
    }
    EXPECT_GT(transacted, 10U) << "nothing was in the way";
    EXPECT_GT(edited, 10U) << "nothing was in the way";
    EXPECT_TRUE(bus.verify().good);
}

TEST_P(Threads, NoReadIsTorn) {
    constexpr std::size_t size = 3000;
    const auto page = bus.create_page(size, {.contents = filled(size, 0)});
    std::atomic<bool> done{false};
    std::atomic<unsigned> torn{0}, read{0};
    std::thread writer([&] {
        for (unsigned i = 1; i <= rounds; ++i) page.update(filled(size, static_cast<int>(i % 256)));
        done = true;
    });
    const auto one_value = [](std::span<const std::byte> bytes) {
        for (const auto b : bytes)
            if (b != bytes[0]) return false;
        return true;
    };
    in_threads(2, [&](unsigned) {
        Epoch last = Epoch::zero;
        do {
            const auto now = page.read_versioned();
            torn += one_value(now.value) ? 0U : 1U;
            torn +=
                number(now.version.epoch) % 256 == static_cast<unsigned>(now.value[0]) ? 0U : 1U;
            torn += now.version.epoch >= last ? 0U : 1U;
            last = now.version.epoch;
            ++read;
        } while (!done);
    });
    writer.join();
    EXPECT_EQ(torn, 0U);
    EXPECT_GT(read, 0U);
}

TEST_P(Threads, SeveralPagesAreReadAsOfOneSequence) {
    const auto a = bus.create<std::uint64_t>(), b = bus.create<std::uint64_t>();
    std::atomic<bool> done{false};
    std::atomic<unsigned> wrong{0};
    std::thread writer([&] {
        for (std::uint64_t i = 1; i <= rounds; ++i)
            bus.transact([&](Transaction& tx) {
                tx.update(a, i);
                tx.update(b, 1000000 - i);
            });
        done = true;
    });
    in_threads(2, [&](unsigned which) {
        do {
            std::uint64_t x = 0, y = 0;
            if (which == 0) {
                const auto view = bus.snapshot({a, b});
                x = view.get(a);
                y = view.get(b);
                if (number(view.sequence()) != 2 + x) ++wrong;
            } else {
                bus.transact([&](Transaction& tx) {
                    x = tx.read(a);
                    y = tx.read(b);
                });
            }
            if (x != 0 && x + y != 1000000) ++wrong;
        } while (!done);
    });
    writer.join();
    EXPECT_EQ(wrong, 0U);
}

TEST_P(Threads, PagesComeGoGrowAndMoveUnderReaders) {
    std::atomic<bool> done{false};
    std::atomic<unsigned> wrong{0};
    const auto page = bus.create_page(100, {.name = "moving", .contents = filled(100, 1)});
    std::thread writer([&] {
        for (unsigned i = 0; i < rounds / 4; ++i) {
            const std::size_t size = 50 + (i * 977) % 9000;
            bus.transact([&](Transaction& tx) {
                tx.resize(page, size);
                tx.update(page, filled(size, static_cast<int>(1 + i % 255)));
            });
            const auto other = bus.create_page(size, {.name = "o", .contents = filled(size, 77)});
            bus.delete_page(other);
        }
        done = true;
    });
    in_threads(2, [&](unsigned) {
        do {
            const auto bytes = page.read();
            for (const auto b : bytes)
                if (b != bytes[0] || b == std::byte{0}) {
                    ++wrong;
                    break;
                }
            if (const auto other = bus.find_page("o")) {
                try {
                    const auto theirs = other->read();
                    for (const auto b : theirs)
                        if (b != std::byte{77}) {
                            ++wrong;
                            break;
                        }
                } catch (const PageNotFound&) {  // it went meanwhile
                }
            }
        } while (!done);
    });
    writer.join();
    EXPECT_EQ(wrong, 0U);
    EXPECT_TRUE(bus.verify().good);
}

TEST_P(Threads, OpenPageMakesOnePageForAll) {
    for (unsigned round = 0; round < 20; ++round) {
        std::array<PageId, 4> ids{};
        const auto name = "p" + std::to_string(round);
        in_threads(4, [&](unsigned i) { ids[i] = bus.open_page(name, 16).id(); });
        for (const auto id : ids) EXPECT_EQ(id, ids[0]);
    }
    EXPECT_EQ(bus.pages().size(), 20U);
}

TEST_P(Threads, EveryKindOfCallAtOnce) {
    const auto page = bus.create_page(500, {.name = "p"});
    in_threads(6, [&](unsigned which) {
        for (unsigned i = 0; i < rounds / 20; ++i) {
            switch (which) {
                case 0:
                    page.update(pattern(500, i));
                    break;
                case 1:
                    page.set_metadata("k", std::to_string(i));
                    break;
                case 2:
                    bus.delete_page(bus.create_page(5000, {.contents = pattern(5000, i)}));
                    break;
                case 3:
                    EXPECT_TRUE(bus.verify().good);
                    break;
                case 4: {
                    Sequence last = Sequence::zero;
                    try {
                        for (const auto& record : bus.tlog()) {
                            EXPECT_EQ(record.sequence,
                                      last == Sequence::zero ? record.sequence : last + 1);
                            last = record.sequence;
                        }
                    } catch (const HistoryDropped&) {
                    }
                    break;
                }
                default: {
                    const auto view = bus.snapshot({page});
                    EXPECT_EQ(view.bytes(page).size(), 500U);
                    EXPECT_EQ(page.info().name, "p");
                    static_cast<void>(bus.get_stats());
                }
            }
        }
    });
    EXPECT_TRUE(bus.verify().good);
}

// Its size was asked, it shrank, it is read: that is a conflict, and the function runs again.
// So long a log of small records is parsed by a thread of its own, while another one applies it.
TEST_P(Threads, ALongLogIsReplayedWhileItGrows) {
    static std::atomic<unsigned> threads;
    threads = 0;
    const Faults counted([](os::Call call, std::string_view path) {
        threads += call == os::Call::thread && path == state::thread_ahead ? 1 : 0;
        return 0;
    });
    constexpr std::size_t size = 64;
    constexpr unsigned updates = 8000;
    const auto page = bus.create_page(size);
    unsigned n = 0;
    for (; n < updates; ++n) page.update(pattern(size, n));
    const auto before = bus.sequence();
    in_threads(3, [&](unsigned i) {
        for (unsigned k = 0; k < 10; ++k) {
            if (i == 0) {
                for (unsigned more = 0; more < 10; ++more) page.update(pattern(size, ++n));
            } else if (i == 1) {
                EXPECT_TRUE(bus.verify().good);
            } else {
                const auto past = before - k;
                const auto all = bus.at(past).pages();
                ASSERT_EQ(all.size(), 1U);
                EXPECT_EQ(all[0].epoch, Epoch{updates - k});
                EXPECT_EQ(bus.at(past).bytes(page.id()), pattern(size, updates - 1 - k));
            }
        }
    });
    EXPECT_TRUE(bus.verify().good);
    EXPECT_GT(threads, 10U);
}

TEST(ATransaction, ThatReadsAPageWhichShrinksRunsAgain) {
    const auto bus = start();
    const auto page = bus.create_page(4096, {.name = "page"});
    std::atomic<bool> done{false};
    std::thread resizer([&] {
        for (int i = 0; i < 40'000; ++i) page.resize(i % 2 == 0 ? 64 : 4096);
        done = true;
    });
    while (!done)
        EXPECT_NO_THROW(bus.transact([&](Transaction& tx) {
            const auto size = tx.read(page).size();
            EXPECT_TRUE(size == 64 || size == 4096) << size;
        }));
    resizer.join();
}

TEST(DurableCommitters, AreAllAnsweredBySharedSyncs) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    const auto page = bus.create<std::uint64_t[]>(8);
    in_threads(8, [&](unsigned i) {
        for (std::uint64_t k = 1; k <= 20; ++k) {
            const auto done = page.write(i, std::vector{k}, {.durability = Durability::sync});
            EXPECT_GE(bus.durable_sequence(), done.sequence);
        }
    });
    EXPECT_EQ(page.read(), std::vector<std::uint64_t>(8, 20));
    stop(std::move(bus));
}

TEST(BusesInThreads, OpenAndCloseOnTheirOwn) {
    const TempFolder folder;
    in_threads(4, [&](unsigned i) {
        for (unsigned k = 0; k < 5; ++k) {
            auto shared = start_with(at(folder));
            const auto page = shared.open_page("p" + std::to_string(i), 8);
            page.update(pattern(8, i * 100 + k));
            auto mine = start_with({});
            EXPECT_EQ(mine.create_page(8, {.contents = pattern(8, k)}).read(), pattern(8, k));
            EXPECT_EQ(page.read(), pattern(8, i * 100 + k));
            stop(std::move(shared));
        }
    });
    auto bus = start_with(at(folder));
    EXPECT_FALSE(bus.recovery().needed);  // of those who left at once one closed the log
    for (unsigned i = 0; i < 4; ++i)
        EXPECT_EQ(bus.page("p" + std::to_string(i)).read(), pattern(8, i * 100 + 4));
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
}

TEST(APageOpenedByItsName, MayBeDeletedByOthersAllTheTime) {
    const auto bus = start();
    std::atomic<bool> done{false};
    std::thread deleter([&] {
        while (!done.load())
            if (const auto page = bus.find_page("p")) bus.delete_page(*page);
    });
    for (unsigned i = 0; i != rounds; ++i) EXPECT_NO_THROW(bus.open_page("p", 8));
    done = true;
    deleter.join();
}

// What a page is, and what a clone is made of, is of one moment.
TEST(WhatAPageIs, IsNeverHalfOfTwoCommits) {
    const auto bus = start();
    const auto page = bus.create_page(8);
    std::atomic<bool> done{false};
    std::thread writer([&] {
        for (unsigned n = 1; !done.load(); ++n)
            bus.transact([&](Transaction& tx) {
                const auto size = 8 + n % 50;
                tx.resize(page, size);
                tx.rename(page, "n" + std::to_string(size));
                tx.set_metadata(page, "size", std::to_string(size));
                tx.update(page, filled(size, static_cast<int>(size)));
            });
    });
    while (number(bus.sequence()) < 10) std::this_thread::yield();
    for (unsigned i = 0; i != 5 * rounds; ++i) {
        const auto info = page.info();
        EXPECT_EQ(info.name, "n" + std::to_string(info.size));
        EXPECT_EQ(info.metadata.at("size"), std::to_string(info.size));
        if (i % 50 != 0) continue;
        const auto clone = page.clone();
        EXPECT_EQ(clone.read(), filled(clone.size(), static_cast<int>(clone.size())));
        EXPECT_EQ(clone.info().metadata.at("size"), std::to_string(clone.size()));
    }
    done = true;
    writer.join();
}

}  // namespace
}  // namespace mmsb::test
