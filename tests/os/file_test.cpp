#include "os/helpers.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <csignal>
#include <thread>

namespace mmsb::os {
namespace {

using namespace std::chrono_literals;
using test::bytes;
using test::Failing;
using test::in_child;
using test::read_text;
using test::SmallDisk;
using test::TemporaryFolder;

TEST(File, ReadsBackWhatItWroteAndTellsTheEnd) {
    const auto file = memory_file("f");
    file.write(5, bytes("hello"));
    EXPECT_EQ(file.size(), 10U);
    EXPECT_EQ(read_text(file, 0, 100), std::string(5, '\0') + "hello");
    EXPECT_EQ(read_text(file, 7, 2), "ll");
    EXPECT_EQ(read_text(file, 10, 4), "");
    file.truncate(6);
    EXPECT_EQ(read_text(file, 5, 9), "h");
}

TEST(File, ClosesItselfOnceAndMovesItsHandle) {
    auto file = memory_file("f");
    const int fd = file.fd();
    {
        const File other = std::move(file);
        EXPECT_FALSE(file.is_open());
        EXPECT_EQ(other.fd(), fd);
        EXPECT_GE(::fcntl(fd, F_GETFD), 0);
    }
    EXPECT_LT(::fcntl(fd, F_GETFD), 0);
}

// ext4 gives the number of a file that is gone to the next one that is made.
TEST(File, IsAnotherOneThanAFileThatIsGoneWhoseInodeItGot) {
    const TemporaryFolder folder;
    const auto in = open_folder(folder.path(), false, 0600);
    const auto number_of = [](const File& file) {
        struct stat s{};
        EXPECT_EQ(::fstat(file.fd(), &s), 0);
        return s.st_ino;
    };
    for (int tries = 0; tries < 50; ++tries) {
        auto first = in->open("f", Create::always, true);
        const auto number = number_of(*first);
        const auto which = first->inode();
        EXPECT_EQ(in->open("f", Create::never, false)->inode(), which);
        first.reset();
        in->remove("f");
        std::this_thread::sleep_for(20ms);  // times of birth are as fine as the kernel's tick
        const auto second = in->open("f", Create::always, true);
        const bool again = number_of(*second) == number;
        const auto other = second->inode();
        in->remove("f");
        if (!again) continue;
        EXPECT_NE(other, which);
        return;
    }
    GTEST_SKIP() << "no inode was given again by the file system of " << folder.path();
}

TEST(File, AllocatesRoomThatCountsAsTaken) {
    const auto file = memory_file("f");
    file.allocate(0, 256 * 1024);
    EXPECT_EQ(file.size(), 256U * 1024);
    EXPECT_GE(file.allocated(), 256U * 1024);
}

TEST(File, WritesZerosBehindTheEndWhereTheFileSystemCannotAllocate) {
    for (const int error : {EOPNOTSUPP, ENOSYS}) {
        const auto file = memory_file("f");
        file.write(0, bytes("old bytes"));
        const Failing failing(error, Call::allocate);
        file.allocate(0, 300'000);
        EXPECT_EQ(file.size(), 300'000U);
        EXPECT_GE(file.allocated(), 300'000U);
        EXPECT_EQ(read_text(file, 0, 9), "old bytes");
        EXPECT_EQ(read_text(file, 9, 300'000), std::string(299'991, '\0'));
    }
}

TEST(File, RepeatsAnInterruptedCall) {
    const auto file = memory_file("f");
    {
        const Failing failing(EINTR, Call::pwrite, 0, 3);
        file.write(0, bytes("abc"));
        EXPECT_EQ(failing.hit(), 3);
    }
    {
        const Failing failing(EINTR, Call::pread, 0, 3);
        EXPECT_EQ(read_text(file, 0, 3), "abc");
        EXPECT_EQ(failing.hit(), 3);
    }
    const Failing failing(EINTR, Call::allocate, 0, 2);
    file.allocate(0, 4096);
    EXPECT_EQ(file.size(), 4096U);
}

TEST(File, NeverRepeatsASyncThatFailed) {
    const auto file = memory_file("f");
    for (const int error : {EIO, EINTR}) {
        const Failing failing(error, Call::sync);
        EXPECT_THROW(file.sync_data(), Io);
        EXPECT_EQ(failing.seen(), 1);
    }
}

/// Does something that fails, by the seam, with EIO; returns the error.
template <class F>
Io io_error(Call call, F action) {
    const Failing failing(EIO, call);
    try {
        action();
    } catch (const Io& e) {
        return e;
    }
    ADD_FAILURE() << "did not throw";
    return {ErrorCode::io, ""};
}

TEST(File, SaysWhichCallOnWhichFileFailedAndWhy) {
    const auto file = memory_file("f");
    std::vector<std::byte> buffer(8);
    const auto check = [&](Call call, const std::string& name, auto action) {
        const auto e = io_error(call, action);
        EXPECT_EQ(e.system_error(), EIO);
        EXPECT_EQ(e.file(), "memory:f");
        EXPECT_EQ(std::string(e.what()), name + " memory:f: Input/output error");
    };
    check(Call::pread, "pread", [&] { file.read(0, buffer); });
    check(Call::pwrite, "pwrite", [&] { file.write(0, buffer); });
    check(Call::truncate, "ftruncate", [&] { file.truncate(1); });
    check(Call::allocate, "fallocate", [&] { file.allocate(0, 1); });
    check(Call::sync, "fdatasync", [&] { file.sync_data(); });
    check(Call::stat, "fstat", [&] { static_cast<void>(file.size()); });
}

TEST(File, TurnsAFullDiskIntoOutOfSpaceWithTheNumbers) {
    for (const int error : {ENOSPC, EDQUOT}) {
        const auto file = memory_file("f");
        const Failing failing(error, Call::allocate);
        try {
            file.allocate(0, 12'345);
            FAIL() << "did not throw";
        } catch (const OutOfSpace& e) {
            EXPECT_EQ(e.where(), "memory:f");
            EXPECT_EQ(e.needed(), 12'345U);
        }
    }
}

TEST(File, MeetsARealFullDisk) {
    const SmallDisk disk("1m");
    if (!disk.mounted()) GTEST_SKIP() << "mounting a tmpfs is not allowed here: not tried";
    const auto folder = open_folder(disk / "bus", true, 0600);
    const auto file = *folder->open("f", Create::always, true);
    try {
        file.allocate(0, 4 << 20U);
        FAIL() << "did not throw";
    } catch (const OutOfSpace& e) {
        EXPECT_EQ(e.where(), file.path());
        EXPECT_EQ(e.needed(), 4U << 20U);
        EXPECT_GT(e.available(), 0U);
        EXPECT_LE(e.available(), 1U << 20U);
    }
    // A write is cut short by the end of the disk first, and fails when it goes on.
    EXPECT_THROW(file.write(0, std::vector<std::byte>(2 << 20U)), OutOfSpace);
    file.truncate(0);
    file.write(0, bytes("room again"));
    EXPECT_EQ(free_space(folder->path()) / 4096, ((1U << 20U) - 4096) / 4096);
}

TEST(File, RefusesToWriteWhereItWasOpenedForReading) {
    const TemporaryFolder folder;
    const auto disk = open_folder(folder.path(), false, 0600);
    static_cast<void>(disk->open("f", Create::always, true));
    const auto file = *disk->open("f", Create::never, false);
    EXPECT_THROW(file.write(0, bytes("x")), Io);
}

TEST(ReplacingFile, ReplacesWholeOrLeavesNothingBehind) {
    const TemporaryFolder folder;
    const auto path = folder / "export";
    const auto names = [&] { return open_folder(folder.path(), false, 0600)->list(); };
    const auto write = [&](const std::string& content, bool commit) {
        ReplacingFile file(path, 0644);
        file.write(bytes(content.substr(0, 2)));
        file.write(bytes(content.substr(2)));
        if (commit) file.commit();
    };
    write("first", true);
    EXPECT_EQ(read_text(*open_for_reading(path), 0, 100), "first");
    write("second", false);
    EXPECT_EQ(read_text(*open_for_reading(path), 0, 100), "first");
    for (const auto call : {Call::sync, Call::rename}) {
        const Failing failing(EIO, call);
        EXPECT_THROW(write("third", true), Io);
    }
    EXPECT_EQ(read_text(*open_for_reading(path), 0, 100), "first");
    EXPECT_EQ(names(), std::vector<std::string>{"export"});
    write("4th", true);
    EXPECT_EQ(read_text(*open_for_reading(path), 0, 100), "4th");
    EXPECT_EQ(names(), std::vector<std::string>{"export"});
}

TEST(ReplacingFile, ThrowsWhereTheFolderCannotBeSynced) {
    const TemporaryFolder folder;
    ReplacingFile file(folder / "export", 0644);
    const Failing failing(EIO, Call::sync_folder);
    EXPECT_THROW(file.commit(), Io);
}

TEST(OpenForReading, GivesNothingWhereThereIsNoFile) {
    const TemporaryFolder folder;
    EXPECT_FALSE(open_for_reading(folder / "absent"));
    const Failing failing(EACCES, Call::open);
    EXPECT_THROW(static_cast<void>(open_for_reading(folder / "absent")), Io);
}

TEST(FreeSpace, IsToldOrFailsByName) {
    EXPECT_GT(free_space("/tmp"), 0U);
    EXPECT_THROW(static_cast<void>(free_space("/no/such/place")), Io);
}

/// Two openings of one lock file.
class FileLocks : public ::testing::Test {
protected:
    FileLocks() {
        a_ = FileLock(*folder_->open("lock", Create::if_need, true));
        b_ = FileLock(*folder_->open("lock", Create::if_need, true));
    }
    TemporaryFolder place_{};
    std::unique_ptr<Folder> folder_ = open_folder(place_.path(), false, 0600);
    FileLock a_{}, b_{};
};

TEST_F(FileLocks, KeepOneAnotherOutAsFlockSays) {
    EXPECT_TRUE(a_.try_shared());
    EXPECT_TRUE(b_.try_shared());
    EXPECT_FALSE(b_.try_exclusive());
    a_.release();
    EXPECT_TRUE(b_.try_exclusive());
    EXPECT_FALSE(a_.try_shared());
    EXPECT_FALSE(a_.exclusive(3ms));
    b_.to_shared();
    EXPECT_TRUE(a_.try_shared());
}

TEST_F(FileLocks, WaitForWhoReleasesInTime) {
    ASSERT_TRUE(a_.try_exclusive());
    std::thread other([&] {
        std::this_thread::sleep_for(20ms);
        a_.release();
    });
    EXPECT_TRUE(b_.exclusive(60s));
    other.join();
}

TEST_F(FileLocks, ReleaseWhenDestroyedAndMoveWithTheirHolder) {
    ASSERT_TRUE(a_.try_exclusive());
    {
        const FileLock moved = std::move(a_);
        EXPECT_FALSE(b_.try_exclusive());
    }
    EXPECT_TRUE(b_.try_exclusive());
}

TEST_F(FileLocks, AreNotReleasedByAForkedChildButByTheirOwnerWhileTheChildLives) {
    ASSERT_TRUE(a_.try_exclusive());
    const int status = in_child([&] {
        a_.release();
        return 0;
    });
    EXPECT_EQ(status, 0);
    EXPECT_FALSE(b_.try_exclusive());

    const auto child = ::fork();
    if (child == 0) {
        ::pause();
        ::_exit(0);
    }
    {
        const FileLock moved = std::move(a_);
    }
    EXPECT_TRUE(b_.try_exclusive());
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
}

TEST_F(FileLocks, SayWhichFileCannotBeLocked) {
    const Failing failing(ENOLCK, Call::lock);
    EXPECT_THROW(static_cast<void>(a_.try_exclusive()), Io);
}

}  // namespace
}  // namespace mmsb::os
