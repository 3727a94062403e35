// A bus that is removed leaves nothing: no file, no shared memory; and nothing of others goes.
#include "os/file.hpp"
#include "support/child.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>
#include <atomic>
#include <optional>
#include <thread>

namespace mmsb::test {
namespace {

fs::path new_bus(const TempFolder& folder) {
    auto bus = start(at(folder));
    bus.create_page(8, {.name = "p"}).write(0, bytes_of("abc"));
    bus.checkpoint();
    stop(std::move(bus));
    return arena_of(folder.path());
}

TEST(Removing, LeavesNeitherFilesNorSharedMemory) {
    const TempFolder folder;
    const auto arena = new_bus(folder);
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
    new_bus(folder);
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
    const auto arena = new_bus(folder);
    fs::copy(folder.path(), copy.path(), fs::copy_options::recursive);
    remove_bus(copy.path());
    EXPECT_TRUE(fs::exists(arena));
    EXPECT_EQ(text_of(start(at(folder)).page("p").read()), "abc");
}

TEST(Removing, OneThatWasInterruptedGoesOn) {
    const TempFolder folder;
    const auto arena = new_bus(folder);
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
    new_bus(folder);
    fs::create_directories(links.path());
    fs::create_directory_symlink(folder.path(), links / "link");
    remove_bus(links / "link");
    EXPECT_FALSE(fs::exists(folder.path()));
    new_bus(folder);
    const auto here = fs::current_path();
    fs::current_path(folder.path());
    remove_bus(".");
    fs::current_path(here);
    EXPECT_FALSE(fs::exists(folder.path()));
}

// Somebody waits for lock.open, which another one has. Then that is gone, with the folder or
// without, and the one who waited goes on, or is told why not.
class WaitingToOpen {
public:
    WaitingToOpen(const TempFolder& folder, Open open) : folder_(folder) {
        stop(start(at(folder)));
        removing_ = locked();
        thread_ = std::thread([this, open] {
            try {
                auto config = at(folder_);
                config.open = open;
                config.lock_timeout = std::chrono::seconds(2);
                opened_ = start(config);
            } catch (const Error& e) {
                code_ = e.code();
            }
            done_ = true;
        });
        while (times_open() < 2 && !done_) std::this_thread::yield();
        EXPECT_FALSE(done_);
    }
    os::FileLock locked() {
        auto file = os::open_folder(folder_.path(), false, 0600)
                        ->open("lock.open", os::Create::if_need, true);
        os::FileLock lock(std::move(*file));
        EXPECT_TRUE(lock.try_exclusive());
        return lock;
    }
    // Nothing: it was opened.
    std::optional<ErrorCode> goes_on() {
        removing_.release();
        thread_.join();
        return code_;
    }

private:
    // By this process, also where it was removed.
    [[nodiscard]] int times_open() const {
        const auto name = fs::weakly_canonical(folder_.path()) / "lock.open";
        int found = 0;
        std::error_code error;  // one that is closed meanwhile
        for (const auto& entry : fs::directory_iterator("/proc/self/fd"))
            found += fs::read_symlink(entry, error).string().starts_with(name.string()) ? 1 : 0;
        return found;
    }

    const TempFolder& folder_;
    std::optional<State> opened_{};  // not stopped meanwhile: that takes the lock, too
    os::FileLock removing_{};
    std::thread thread_{};
    std::atomic<bool> done_{false};
    std::optional<ErrorCode> code_{};
};

TEST(Removing, WhoWaitedForItTakesNoLockThatNobodyElseCanFind) {
    const TempFolder folder;
    WaitingToOpen waiting(folder, Open::create_or_open);
    fs::create_hard_link(folder / "lock.open", folder / "kept");  // as a backup may
    fs::remove(folder / "lock.open");
    auto another = waiting.locked();  // made the file again, and opens the bus
    EXPECT_EQ(waiting.goes_on(), ErrorCode::busy);
    another.release();
    EXPECT_TRUE(start(at(folder)).verify().good);
}

TEST(Removing, ByForceIsToldByStopAndTheStateIsClosed) {
    const TempFolder folder;
    auto bus = start(at(folder));
    const auto page = bus.create_page(3);
    const auto arena = arena_of(folder.path());
    fs::remove_all(folder.path());
    thrown<NotABus>([&] { stop(std::move(bus)); });
    fs::remove(arena);
    thrown<BusClosed>([&] { static_cast<void>(page.read()); });
    EXPECT_TRUE(start(at(folder)).pages().empty());
}

TEST(Removing, WhoWaitedForItMakesAnotherOne) {
    const TempFolder folder;
    WaitingToOpen waiting(folder, Open::create_or_open);
    fs::remove_all(folder.path());
    EXPECT_EQ(waiting.goes_on(), std::nullopt);
    EXPECT_TRUE(start(at(folder)).verify().good);
}

TEST(Removing, WhoWaitedForItAndMayMakeNoneIsToldSoAndLeavesNothing) {
    const TempFolder folder;
    WaitingToOpen waiting(folder, Open::existing);
    for (const auto& entry : fs::directory_iterator(folder.path())) fs::remove_all(entry);
    EXPECT_EQ(waiting.goes_on(), ErrorCode::not_a_bus);
    EXPECT_TRUE(fs::is_empty(folder.path()));
}

}  // namespace
}  // namespace mmsb::test
