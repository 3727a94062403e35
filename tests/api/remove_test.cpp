// A bus that is removed leaves nothing: no file, no shared memory; and nothing of others goes.
#include "support/child.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

namespace mmsb::test {
namespace {

fs::path make_bus(const TempFolder& folder) {
    auto bus = start(at(folder));
    bus.create_page(8, {.name = "p"}).write(0, bytes_of("abc"));
    bus.checkpoint();
    stop(std::move(bus));
    return arena_of(folder.path());
}

TEST(Removing, LeavesNeitherFilesNorSharedMemory) {
    const TempFolder folder;
    const auto arena = make_bus(folder);
    ASSERT_TRUE(fs::exists(arena));
    remove_bus(folder.path());
    EXPECT_FALSE(fs::exists(arena));
    EXPECT_FALSE(fs::exists(folder.path()));
    thrown<NotABus>([&] { remove_bus(folder.path()); });
    auto again = start(at(folder));  // the path is free for another one
    EXPECT_EQ(again.sequence(), Sequence::zero);
    stop(std::move(again));
}

TEST(Removing, ABusWhoseUserWasKilledIsRemovedWhole) {
    const TempFolder folder;
    Child child([&] {
        auto bus = start(at(folder));
        bus.create_page(8, {.name = "p"});
        std::_Exit(0);
        return 0;
    });
    ASSERT_EQ(child.wait(), 0);
    const auto arena = arena_of(folder.path());
    ASSERT_TRUE(fs::exists(arena));
    remove_bus(folder.path());
    EXPECT_FALSE(fs::exists(arena));
    EXPECT_FALSE(fs::exists(folder.path()));
}

TEST(Removing, ABusThatIsOpenIsNotTouched) {
    const TempFolder folder;
    auto bus = start(at(folder));
    const auto page = bus.create_page(8, {.name = "p"});
    thrown<Busy>([&] { remove_bus(folder.path()); });
    Child child([&] {
        thrown<Busy>([&] { remove_bus(folder.path()); });
        return testing::Test::HasFailure() ? 1 : 0;
    });
    EXPECT_EQ(child.wait(), 0);
    page.write(0, bytes_of("abc"));
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
    EXPECT_EQ(text_of(start(at(folder)).page("p").read()), "abc");
}

TEST(Removing, OtherThingsInTheFolderStay) {
    const TempFolder folder;
    make_bus(folder);
    write_file(folder / "holiday.txt", "precious");
    fs::create_directories(folder / "log" / "mine");
    remove_bus(folder.path());
    EXPECT_EQ(read_file(folder / "holiday.txt"), "precious");
    EXPECT_TRUE(fs::exists(folder / "log" / "mine"));
    EXPECT_FALSE(fs::exists(folder / "bus"));
    fs::remove_all(folder.path());
    fs::create_directories(folder.path());
    write_file(folder / "bus", "no bus at all");
    thrown<NotABus>([&] { remove_bus(folder.path()); });
    EXPECT_EQ(read_file(folder / "bus"), "no bus at all");
    EXPECT_FALSE(fs::exists(folder / "lock.open"));
}

// A copy has an identity and an arena of its own.
TEST(Removing, ACopyDoesNotTakeTheOriginalsSharedMemory) {
    const TempFolder folder, copy;
    const auto arena = make_bus(folder);
    fs::copy(folder.path(), copy.path(), fs::copy_options::recursive);
    remove_bus(copy.path());
    EXPECT_TRUE(fs::exists(arena));
    EXPECT_EQ(text_of(start(at(folder)).page("p").read()), "abc");
}

TEST(Removing, OneThatWasInterruptedGoesOn) {
    const TempFolder folder;
    const auto arena = make_bus(folder);
    fs::remove(arena);
    fs::remove_all(folder / "log");
    remove_bus(folder.path());
    EXPECT_FALSE(fs::exists(folder.path()));
}

TEST(Removing, OneThatWasKilledAtItsEndGoesOn) {
    const TempFolder folder;
    fs::create_directories(folder.path());
    write_file(folder / "lock.open", "");
    remove_bus(folder.path());
    EXPECT_FALSE(fs::exists(folder.path()));
    fs::create_directories(folder.path());
    write_file(folder / "lock.open", "something else of that name");
    thrown<NotABus>([&] { remove_bus(folder.path()); });
    EXPECT_TRUE(fs::exists(folder / "lock.open"));
}

TEST(Removing, ALinkIsFollowedAndAFolderMayBeTheOneThatOneIsIn) {
    const TempFolder folder, links;
    make_bus(folder);
    fs::create_directories(links.path());
    fs::create_directory_symlink(folder.path(), links / "link");
    remove_bus(links / "link");
    EXPECT_FALSE(fs::exists(folder.path()));
    make_bus(folder);
    const auto here = fs::current_path();
    fs::current_path(folder.path());
    remove_bus(".");
    fs::current_path(here);
    EXPECT_FALSE(fs::exists(folder.path()));
}

}  // namespace
}  // namespace mmsb::test
