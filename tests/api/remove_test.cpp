// A bus that is removed leaves nothing: no file, no shared memory; and nothing of others goes.
#include "os/file.hpp"
#include "state/header.hpp"
#include "support/child.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <thread>

namespace mmsb::test {
namespace {

fs::path arena_of_new_bus(const TempFolder& folder) {
    auto bus = start(at(folder));
    bus.create_page(8, {.name = "p"}).write(0, bytes_of("abc"));
    bus.checkpoint();
    stop(std::move(bus));
    return arena_of(folder.path());
}

TEST(Removing, LeavesNeitherFilesNorSharedMemory) {
    const TempFolder folder;
    const auto arena = arena_of_new_bus(folder);
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
    arena_of_new_bus(folder);
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
    const auto arena = arena_of_new_bus(folder);
    fs::copy(folder.path(), copy.path(), fs::copy_options::recursive);
    remove_bus(copy.path());
    EXPECT_TRUE(fs::exists(arena));
    EXPECT_EQ(text_of(start(at(folder)).page("p").read()), "abc");
}

TEST(Removing, OneThatWasInterruptedGoesOn) {
    const TempFolder folder;
    const auto arena = arena_of_new_bus(folder);
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
    arena_of_new_bus(folder);
    fs::create_directories(links.path());
    fs::create_directory_symlink(folder.path(), links / "link");
    remove_bus(links / "link");
    EXPECT_FALSE(fs::exists(folder.path()));
    arena_of_new_bus(folder);
    const auto here = fs::current_path();
    fs::current_path(folder.path());
    remove_bus(".");
    fs::current_path(here);
    EXPECT_FALSE(fs::exists(folder.path()));
}

// How many open files of this process are this one's, also where it was removed.
int times_open(const fs::path& file) {
    int found = 0;
    std::error_code error;  // one that is closed meanwhile
    for (const auto& entry : fs::directory_iterator("/proc/self/fd"))
        found += fs::read_symlink(entry, error).string().starts_with(file.string()) ? 1 : 0;
    return found;
}

TEST(Removing, WhoWaitedForItTakesNoLockThatNobodyElseCanFind) {
    const TempFolder folder;
    stop(start(at(folder)));
    const auto name = fs::path(folder.path()) / "lock.open";
    const auto taken = [&] {
        os::FileLock lock(std::move(*os::open_folder(folder.path(), false, 0600)
                                         ->open("lock.open", os::Create::if_need, true)));
        EXPECT_TRUE(lock.try_exclusive());
        return lock;
    };
    auto removing = taken();
    std::optional<std::string> refused;
    std::thread opening([&] {
        auto config = at(folder);
        config.lock_timeout = std::chrono::seconds(1);
        if (const auto error = thrown<Busy>([&] { static_cast<void>(start(config)); }))
            refused = error->what();
    });
    while (times_open(name) < 2) std::this_thread::yield();
    fs::remove(name);
    auto another = taken();  // made the file again, and opens the bus
    removing.release();
    opening.join();
    EXPECT_THAT(refused, testing::Optional(testing::HasSubstr("is being opened")));
    another.release();
    EXPECT_TRUE(start(at(folder)).verify().good);
}

TEST(Removing, WhoWaitedForAFolderThatIsGoneIsToldSo) {
    const TempFolder folder;
    stop(start(at(folder)));
    auto opened = os::open_folder(folder.path(), false, 0600);
    remove_bus(folder.path());
    thrown<NotABus>(
        [&] { static_cast<void>(state::lock_for_opening(*opened, std::chrono::seconds(1))); });
}

}  // namespace
}  // namespace mmsb::test
