// A process that makes the arena's file shorter while others use it. Who asked to survive that gets
// a typed error from every call, reads no zeros as data, can leave, and the bus opens again with
// everything that was synced; who did not ask gets SIGBUS, as ever.
#include "os/mapping.hpp"
#include "support/child.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::size_t sizes[] = {64, 4096, 3 * 4096, 100'000};

// Filled with one value, which is never 0: what was taken away and reads as zeros is seen.
void make(const TempFolder& folder) {
    auto bus = start_with(at(folder));
    // So that the others lie in a large page, the second.
    const auto first = bus.create_page(os::large_page);
    for (const auto size : sizes) {
        const auto page = bus.create_page(size, {.name = std::to_string(size)});
        page.update(filled(size, 1));
    }
    bus.delete_page(first);
    bus.wait_durable(Sequence::newest);
    stop(std::move(bus));
}

Config surviving(const std::string& folder, Open open) {
    Config config{
        .path = folder, .open = open, .survive_lost_memory = true, .lock_timeout = 2000ms};
    config.on_notice = [](const Notice&) {};
    return config;
}

bool is_whole(const Bytes& bytes) {
    return bytes.front() != std::byte{0} &&
           std::ranges::all_of(bytes, [&](std::byte b) { return b == bytes.front(); });
}

// Until the memory is gone; then no call works any more, and leaving does. Exit codes: 0 as it
// should be, else what was wrong.
template <class F>
int use_until_lost(const TempFolder& folder, Open open, const Pipe& ready, F use) {
    auto bus = start_with(surviving(folder.path(), open));
    const auto pages = bus.pages();
    use(bus, pages);
    auto watch = bus.watch(pages);
    ready.write(1);
    const auto end = Clock::now() + 20s;
    for (bool lost = false; !lost;) {
        if (Clock::now() > end) return 3;
        try {
            use(bus, pages);
        } catch (const Corrupt& e) {
            lost = std::string_view(e.what()).find("made this shared memory shorter") !=
                   std::string_view::npos;
        } catch (const NotDurable&) {  // its own last commit
        }
    }
    const std::function<void()> calls[] = {
        [&] { static_cast<void>(pages[0].read()); },
        [&] { static_cast<void>(pages[0].info()); },
        [&] { static_cast<void>(pages[0].wait(Epoch::zero, 1s)); },
        [&] { static_cast<void>(bus.find_page("64")); },
        [&] { static_cast<void>(bus.sequence()); },
        [&] { static_cast<void>(bus.wait(Sequence::newest, 1s)); },
        [&] { static_cast<void>(bus.snapshot(pages)); },
        [&] { static_cast<void>(bus.at(Sequence{1}).pages()); },
        [&] { static_cast<void>(bus.verify()); },
        [&] { static_cast<void>(bus.get_stats()); },
        [&] { static_cast<void>(bus.durable_sequence()); },
        [&] { static_cast<void>(bus.watch()); },
        [&] { static_cast<void>(watch.take()); },
        [&] { bus.create_page(8); },
        [&] { pages[0].write(0, filled(1, 2)); },
        [&] { bus.transact([&](Transaction& tx) { tx.write(pages[0], 0, filled(1, 3)); }); },
    };
    for (const auto& call : calls) {
        try {
            call();
            return 4;
        } catch (const Corrupt&) {
        } catch (const ReadOnly&) {
        }
    }
    stop(std::move(bus));
    return 0;
}

class AProcessThatCutsTheSharedMemory : public testing::TestWithParam<std::uint64_t> {};

TEST_P(AProcessThatCutsTheSharedMemory, KillsNobodyWhoSurvivesIt) {
    const TempFolder folder;
    make(folder);
    const Pipe ready;
    Child writer([&] {
        int value = 1;
        return use_until_lost(folder, Open::existing, ready, [&](State&, const auto& pages) {
            for (const auto& page : pages) page.update(filled(page.size(), value));
            value = value % 255 + 1;
        });
    });
    const auto read = [&](State&, const auto& pages) {
        for (const auto& page : pages)
            if (!is_whole(page.read())) std::_Exit(5);
    };
    Child reader([&] { return use_until_lost(folder, Open::existing, ready, read); });
    Child viewer([&] { return use_until_lost(folder, Open::read_only, ready, read); });
    Child watcher([&] {
        return use_until_lost(folder, Open::existing, ready, [&](State& bus, const auto& pages) {
            const auto view = bus.snapshot(pages);
            for (const auto& page : pages)
                if (!is_whole(Bytes(view.bytes(page).begin(), view.bytes(page).end())))
                    std::_Exit(6);
            static_cast<void>(bus.wait(bus.sequence(), 10ms));
        });
    });
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(ready.read<int>());
    std::this_thread::sleep_for(20ms);
    ASSERT_EQ(::truncate(arena_of(folder.path()).c_str(), static_cast<off_t>(GetParam())), 0);
    for (auto* child : {&writer, &reader, &viewer, &watcher}) EXPECT_EQ(child->wait(), 0);
}

TEST_P(AProcessThatCutsTheSharedMemory, LeavesABusThatOpensFromItsLog) {
    const TempFolder folder;
    make(folder);
    ASSERT_EQ(::truncate(arena_of(folder.path()).c_str(), static_cast<off_t>(GetParam())), 0);
    std::vector<std::string> told;
    auto config = at(folder);
    config.on_notice = [&](const Notice& n) { told.push_back(n.text); };
    {
        auto viewing = config;
        viewing.open = Open::read_only;
        EXPECT_TRUE(is_whole(start_with(viewing).page("4096").read()));
    }
    const auto bus = start_with(config);
    EXPECT_TRUE(bus.verify().good);
    for (const auto size : sizes) EXPECT_EQ(bus.page(std::to_string(size)).read(), filled(size, 1));
    bus.page("64").write(0, filled(64, 9));
    const bool has_stamps = GetParam() >= sizeof(arena::Stamps);
    EXPECT_EQ(
        std::ranges::any_of(told, [](const auto& t) { return t.find("made shorter") != t.npos; }),
        has_stamps);
}

// Nothing, not the locks, not the ring, half of it, not the bitmap, not the table, not the pages,
// not all of the pages.
INSTANTIATE_TEST_SUITE_P(At, AProcessThatCutsTheSharedMemory,
                         testing::Values(0, 4096, 3 * 4096, arena::ring_at + 4096, arena::used_at,
                                         arena::table_at, arena::heap_at,
                                         arena::heap_at + os::large_page + 4096));

TEST(WhoSurvivesLostMemory, DoesNotTakeGrowthForALoss) {
    const TempFolder folder;
    const auto bus = start_with(surviving(folder.path(), Open::create));
    std::atomic<bool> stop{false};
    std::thread reader([&] {
        while (!stop) EXPECT_NO_THROW(static_cast<void>(bus.sequence()));
    });
    for (int i = 0; i < 300; ++i) EXPECT_NO_THROW(bus.create_page(200'000));
    stop = true;
    reader.join();
}

TEST(JoiningABusWhoseMemoryWasCut, IsRefusedWhileOthersHaveItOpen) {
    const TempFolder folder;
    make(folder);
    const Pipe ready, done;
    Child holder([&] {
        auto bus = start_with(surviving(folder.path(), Open::existing));
        ready.write(1);
        static_cast<void>(done.read<int>());
        return 0;
    });
    ASSERT_TRUE(ready.read<int>());
    const auto arena = arena_of(folder.path());
    ASSERT_EQ(::truncate(arena.c_str(), 8192), 0);
    const auto e = thrown<Corrupt>([&] { static_cast<void>(start_with(at(folder))); });
    EXPECT_EQ(e->file(), arena.string());
    done.write(1);
    EXPECT_EQ(holder.wait(), 0);
    EXPECT_TRUE(is_whole(start_with(at(folder)).page("64").read()));
}

TEST(WhoDidNotAskToSurvive, GetsSigbusAsEver) {
    const TempFolder folder;
    make(folder);
    Child child([&] {
        std::signal(SIGBUS, SIG_DFL);  // not a sanitizer's
        auto bus = start_with(at(folder));
        const auto page = bus.page("100000");
        if (::truncate(arena_of(folder.path()).c_str(), 0) != 0) return 0;
        static_cast<void>(page.read());
        return 0;
    });
    EXPECT_EQ(child.wait(), -SIGBUS);
}

}  // namespace
}  // namespace mmsb::test
