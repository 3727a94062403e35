// Lines of the page table that no record of the kept log tells of: those of pages that were
// refused, and of pages that were gone before a checkpoint. The log is replayed without them.
#include "arena/arena.hpp"
#include "support/contents.hpp"
#include "support/faults.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cerrno>

namespace mmsb::test {
namespace {

void expect_rebuilt(const TempFolder& folder, State&& bus) {
    EXPECT_TRUE(bus.verify().good);
    const auto all = contents_of(bus);
    stop(std::move(bus));
    remove_arena(folder.path());
    const auto again = start_with(at(folder));
    EXPECT_EQ(contents_of(again), all);
    EXPECT_TRUE(again.verify().good);
}

TEST(APageTable, IsRebuiltFromTheLogAfterPagesWereRefused) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    for (int i = 0; i < 50; ++i) bus.create_page(10);
    {
        const Faults full(always(os::Call::allocate, ENOSPC));
        for (int i = 0; i < 500; ++i)
            raises<OutOfSpace>(bus, [&] {
                bus.transact([](Transaction& tx) {
                    for (int n = 0; n < 3; ++n) tx.create_page(10);
                    tx.create_page(64U << 20U);
                });
            });
    }
    bus.create_page(10, {.name = "behind them"});
    expect_rebuilt(folder, std::move(bus));
}

TEST(APageTable, IsRebuiltFromACheckpointThatDoesNotKnowItsLastLines) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    for (int i = 0; i < 100; ++i) bus.create_page(10);
    auto pages = bus.pages();
    for (std::size_t i = 90; i < pages.size(); ++i) bus.delete_page(pages[i]);
    static_cast<void>(bus.checkpoint());
    bus.create_page(10, {.name = "on the next line"});
    expect_rebuilt(folder, std::move(bus));
}

TEST(AFullArena, HasRoomWhereAPageWasDeleted) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    for (int i = 0; i < 200; ++i) bus.create_page(8192);
    const Faults full(always(os::Call::allocate, ENOSPC));
    raises<OutOfSpace>(bus, [&] { bus.create_page(64U << 20U); });
    while (true) {
        try {
            bus.create_page(8192);
        } catch (const OutOfSpace&) {
            break;
        }
    }
    bus.delete_page(bus.pages()[100]);
    EXPECT_EQ(bus.create_page(8000, {.contents = pattern(8000)}).read(), pattern(8000));
    raises<OutOfSpace>(bus, [&] { bus.create_page(8192); });
}

// Two processes. One dies as it takes a place so far behind the others that it had to allocate more
// of the bitmap, before it has said that the place is taken.
TEST(AnArena, IsMendedWhereItGrewUnseen) {
    auto file = os::memory_file("arena");
    os::File same(::dup(file.fd()), file.path());
    const arena::Stamps stamps{.geometry = {.ring_size = 64 * limits::kib}};
    arena::Arena dead(std::move(file), stamps);
    static_cast<void>(dead.take(64));
    arena::Arena mine(std::move(same), stamps, true);
    ASSERT_TRUE(mine.rebuild_allocator());
    const auto& end = dead.control().heap_end;
    const auto before = end.load();
    for (int i = 0; i < 40; ++i) static_cast<void>(dead.take(limits::mib));
    dead.control().heap_end.store(before);
    ASSERT_TRUE(mine.rebuild_allocator());
    for (int i = 0; i < 40; ++i)
        EXPECT_EQ(mine.take(limits::mib), 4096U + static_cast<unsigned>(i) * limits::mib);
}

TEST(AnArena, KnowsThatItsFileWasMadeShorterAlsoWhereItIsLongAgain) {
    const arena::Stamps stamps{.geometry = {.ring_size = 64 * limits::kib}};
    arena::Arena arena(os::memory_file("arena"), stamps);
    static_cast<void>(arena.take(64));
    EXPECT_FALSE(arena.is_cut());
    static_cast<void>(arena.take(8 * limits::mib));
    EXPECT_FALSE(arena.is_cut());
    const auto size = arena.file().size();
    arena.file().truncate(size - 4096);
    EXPECT_THROW(static_cast<void>(arena.take(64 * limits::mib)), Corrupt);
    EXPECT_EQ(arena.file().size(), size - 4096);
    arena.file().truncate(size);
    EXPECT_TRUE(arena.is_cut());
}

}  // namespace
}  // namespace mmsb::test
