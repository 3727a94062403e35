// A process that scribbles over the shared memory while others read, write, open and leave. It can
// spoil bytes and make calls fail. Nobody crashes, nobody hangs, nobody touches what is not his
// (the address sanitizer looks on in its build), every failure is a typed error; and where it keeps
// its hands off the locks, the log stays good and has every commit that was promised to be on disk.
#include "crash/seed.hpp"
#include "crash/shared.hpp"
#include "support/child.hpp"
#include "trust/scribbler.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int untyped = 97;

Config quiet(const std::string& folder, Open open = Open::create_or_open) {
    Config config{.path = folder, .open = open, .lock_timeout = 20ms};
    config.on_notice = [](const Notice&) {};
    return config;
}

/// What the processes of a round tell each other, outside the bus.
struct Round {
    std::atomic<int> ready{0};  ///< Who has the bus open.
    std::atomic<bool> over{false};
};

/// Runs `step` until the round is over. Typed errors are what a neighbour may cause; anything else
/// is this program's exit code.
template <class F>
int keep_on(const Round& round, F step) {
    while (!round.over.load()) {
        try {
            step();
        } catch (const Error&) {
            std::this_thread::sleep_for(100us);
        } catch (const std::exception& e) {
            std::fprintf(stderr, "untyped: %s\n", e.what());
            return untyped;
        }
    }
    return 0;
}

struct Victims {
    std::string folder;
    Round& round;
    unsigned seed;

    // Every kind of commit. What was synced is told to who counts.
    int write(const Pipe& synced) const {
        std::mt19937 random(seed);
        std::optional<State> bus;
        bool told = false;
        const int code = keep_on(round, [&] {
            if (!bus || random() % 512 == 0) {
                bus.reset();
                bus = start_with(quiet(folder));
            }
            if (!std::exchange(told, true)) ++round.ready;
            const auto name = "page " + std::to_string(random() % 12);
            const std::size_t size = random() % 8 == 0 ? random() % 40'000 : random() % 300;
            switch (random() % 10) {
                case 0:
                    if (const auto page = bus->find_page(name)) bus->delete_page(*page);
                    break;
                case 1:
                    if (const auto page = bus->find_page(name)) page->resize(size);
                    break;
                case 2:
                    bus->transact(
                        [&](Transaction& tx) {
                            if (const auto page = tx.find_page(name)) {
                                auto bytes = tx.read(*page);
                                if (!bytes.empty()) tx.write(*page, 0, filled(1, int(random())));
                            }
                            if (const auto page = tx.find_page("counter"))
                                tx.write(*page, 0, pattern(8, unsigned(random())));
                        },
                        {.attempts = 20});
                    break;
                case 3: {
                    const auto page = bus->open_page("counter", 64);
                    const auto done = page.write(0, pattern(64, unsigned(random())),
                                                 {.durability = Durability::sync});
                    synced.write(number(done.sequence));
                    break;
                }
                case 4:
                    if (const auto page = bus->find_page(name))
                        page->set_metadata("key", std::to_string(random() % 4));
                    break;
                default: {
                    const auto page = bus->find_page(name);
                    if (!page)
                        bus->create_page(size, {.name = name});
                    else if (const auto there = page->size(); there > 0)
                        page->write(random() % there, filled(1, int(random())));
                }
            }
        });
        try {
            bus.reset();
        } catch (const Error&) {
        }
        return code;
    }

    // Every kind of look.
    int read(Open open) const {
        std::mt19937 random(seed);
        std::optional<State> bus;
        bool told = false;
        return keep_on(round, [&] {
            if (!bus || random() % 256 == 0) {
                bus.reset();
                bus = start_with(quiet(folder, open));
            }
            if (!std::exchange(told, true)) ++round.ready;
            const auto pages = bus->pages();
            for (const auto& page : pages) {
                try {
                    static_cast<void>(page.read());
                    static_cast<void>(page.info());
                    Bytes some(16);
                    page.read_into(std::span(some).first(std::min<std::size_t>(16, page.size())));
                    static_cast<void>(page.peek([](std::span<const std::byte> bytes) {
                        unsigned sum = 0;
                        for (const auto b : bytes) sum += std::to_integer<unsigned>(b);
                        return sum;
                    }));
                } catch (const Error&) {
                }
            }
            static_cast<void>(bus->get_stats());
            static_cast<void>(bus->durable_sequence());
            switch (random() % 8) {
                case 0: {
                    const auto view = bus->snapshot(pages);
                    for (const auto& page : pages) static_cast<void>(view.bytes(page));
                    break;
                }
                case 1:
                    static_cast<void>(bus->verify());
                    break;
                case 2:
                    if (!pages.empty())
                        for (const auto& change : pages[random() % pages.size()].history())
                            if (change.changed_bytes > 1'000'000) break;
                    break;
                case 3:
                    static_cast<void>(bus->at(bus->sequence()).pages());
                    break;
                default:
                    break;
            }
        });
    }
};

struct Totals {
    std::uint64_t scribbles = 0, rounds = 0, synced = 0, reopened = 0, refused = 0;
};

class Neighbourhood {
public:
    explicit Neighbourhood(std::uint64_t seed) : random_(seed) {}

    // One round: a good bus, three neighbours and one who scribbles.
    void round(bool locks, std::uint64_t scribbles, Totals& totals) {
        const TempFolder folder;
        {
            auto bus = start_with(at(folder));
            for (int i = 0; i < 8; ++i)
                bus.create_page(
                    100 + 700 * static_cast<std::size_t>(i),
                    {.name = "page " + std::to_string(i), .contents = bytes_of("page")});
            bus.wait_durable(Sequence::newest);
        }
        const Shared<Round> shared;
        const auto victim = [&] { return Victims{folder.path(), *shared, unsigned(random_())}; };
        Pipe synced;
        const auto writer_a = victim(), writer_b = victim(), reader = victim(), viewer = victim();
        Child a([&] { return writer_a.write(synced); });
        Child b([&] { return writer_b.write(synced); });
        Child c([&] { return reader.read(Open::existing); });
        Child d([&] { return viewer.read(Open::read_only); });
        synced.close_writing();
        const auto patience = Clock::now() + 60s;
        while (shared->ready.load() < 4 && Clock::now() < patience)
            std::this_thread::sleep_for(1ms);
        EXPECT_EQ(shared->ready.load(), 4) << "a good bus does not open";
        std::this_thread::sleep_for(50ms);
        scribble(folder, locks, scribbles);
        std::this_thread::sleep_for(100ms);
        shared->over.store(true);
        const auto end = Clock::now();
        // What a neighbour may cost is time, and not without end.
        for (auto* child : {&a, &b, &c, &d}) expect_end(*child, end + 60s);
        std::uint64_t promised = 0;
        while (const auto sequence = synced.read<std::uint64_t>())
            promised = std::max(promised, *sequence), ++totals.synced;
        totals.scribbles += scribbles;
        ++totals.rounds;
        look_at_log(folder, locks, promised, totals);
    }

private:
    void scribble(const TempFolder& folder, bool locks, std::uint64_t count) {
        const ForeignMap map(arena_of(folder.path()));
        ASSERT_TRUE(map);
        Scribbler hand(map, small.ring_size, random_());
        hand.locks = locks;
        // Some rounds leave nearly everything as it is written, some put nearly all of it right.
        const auto keep = random_() % 64;
        for (std::uint64_t i = 0; i < count; ++i) {
            hand.scribble();
            if (hand.random()() % 64 >= keep) hand.undo();
            if (i % 4 == 0) std::this_thread::sleep_for(50us);
        }
    }

    static void expect_end(Child& child, Clock::time_point limit) {
        std::optional<int> code;
        while (!(code = child.try_wait())) {
            if (Clock::now() > limit) {
                ADD_FAILURE() << "a neighbour hangs: process " << child.pid();
                child.signal(SIGABRT);
                child.wait();
                return;
            }
            std::this_thread::sleep_for(2ms);
        }
        EXPECT_EQ(*code, 0) << "a neighbour died: minus a signal, or an untyped error";
    }

    static void look_at_log(const TempFolder& folder, bool locks, std::uint64_t promised,
                            Totals& totals) {
        remove_arena(folder.path());
        try {
            const auto bus = start_with(quiet(folder.path()));
            ++totals.reopened;
            EXPECT_TRUE(bus.verify().good);
            if (!locks) {
                EXPECT_GE(number(bus.sequence()), promised)
                    << "a commit that was synced is missing";
            }
        } catch (const Error& e) {
            // With the locks written over two writers may have been inside at once.
            if (!locks) ADD_FAILURE() << "the log is damaged: " << e.what();
            ++totals.refused;
        }
    }

    std::mt19937_64 random_;
};

void run(bool locks, std::uint64_t scribbles) {
    Neighbourhood neighbourhood(seed());
    Totals totals;
    while (totals.scribbles < scribbles && !testing::Test::HasFailure())
        neighbourhood.round(locks, 1000, totals);
    std::printf(
        "%llu words written over in %llu rounds; %llu synced commits; log good %llu times, "
        "refused %llu\n",
        static_cast<unsigned long long>(totals.scribbles),
        static_cast<unsigned long long>(totals.rounds),
        static_cast<unsigned long long>(totals.synced),
        static_cast<unsigned long long>(totals.reopened),
        static_cast<unsigned long long>(totals.refused));
    EXPECT_GT(totals.synced, 0U) << "nobody came to do anything";
}

TEST(ANeighbourWhoScribbles, SpoilsNothingThatIsOnDisk) { run(false, is_long() ? 500'000 : 7'000); }

TEST(ANeighbourWhoScribblesOverTheLocksToo, CrashesAndHangsNobody) {
    run(true, is_long() ? 500'000 : 7'000);
}

// A page of more than is compared at once, and somebody who writes to its bytes meanwhile.
TEST(BytesThatChangeWhileTheyAreCompared, SpoilThePageAndNotTheLog) {
    constexpr std::size_t size = 200 * limits::kib;
    const TempFolder folder;
    auto config = quiet(folder.path());
    config.lock_timeout = 60s;  // nothing here is in the way
    {
        const auto bus = start(config);
        const auto page = bus.create_page(size, {.name = "p"});
        const Shared<Round> round;
        Child toggles([&] {
            const ForeignMap map(arena_of(folder.path()));
            const auto* const line = reinterpret_cast<arena::PageLine*>(map.word(arena::table_at));
            auto& word = *map.word(arena::heap_at + line->offset.load());
            ++round->ready;
            for (std::uint64_t n = 0; !round->over.load(); ++n) word = n % 2 << 8U;
            return 0;
        });
        while (round->ready.load() == 0) std::this_thread::sleep_for(1ms);
        Bytes bytes(size);
        for (int n = 1; n <= (is_long() ? 5000 : 500); ++n) {
            for (std::size_t i = 8; i < size; i += 3) bytes[i] = static_cast<std::byte>(n);
            page.write(0, bytes);
        }
        round->over.store(true);
        EXPECT_EQ(toggles.wait(), 0);
    }
    remove_arena(folder.path());
    EXPECT_TRUE(start(config).verify().good);
}

}  // namespace
}  // namespace mmsb::test
