// What the kernel's memory has of the log is not the disk's for that: which part of it is written
// again before anything counts on it, and which need not be.
#include "os/process.hpp"
#include "support/child.hpp"
#include "support/faults.hpp"
#include "support/reboot.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>

namespace mmsb {
namespace {

using namespace test;

// Commits that are on the disk, by a process that was killed before any of them could say so.
void write_and_die(const std::string& path) {
    Child writer([&] {
        auto bus = start({.path = path});
        const auto page = bus.create_page(64);
        for (std::uint64_t i = 1; i <= 100; ++i) page.write(0, std::as_bytes(std::span(&i, 1)));
        bus.wait_durable(Sequence::newest);
        std::raise(SIGKILL);
        return 0;
    });
    ASSERT_EQ(writer.wait(), -SIGKILL);
}

std::set<std::string> segments_of(const fs::path& folder) {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder / "log"))
        if (entry.path().extension() == ".seg") found.insert(entry.path().filename());
    return found;
}

// Opens it where the segments that are there can be read, but `call` fails on them. Did it open?
bool opens_without(os::Call call, const fs::path& folder) {
    const auto before = segments_of(folder);
    const Faults faults([&](os::Call asked, std::string_view path) {
        return asked == call && before.contains(fs::path(path).filename()) ? EIO : 0;
    });
    try {
        auto bus = start({.path = folder});
        EXPECT_EQ(number(bus.sequence()), 101U);
        return true;
    } catch (const Io&) {
        return false;
    }
}

bool is_written_again(const fs::path& folder) { return !opens_without(os::Call::pwrite, folder); }

TEST(TheLogOfAnotherBoot, IsNotWrittenAgain) {
    const TempFolder folder;
    write_and_die(folder.path());
    reboot(folder.path());
    EXPECT_TRUE(opens_without(os::Call::pwrite, folder.path()));
}

TEST(TheLogOfAnotherBoot, IsWrittenAgainOnceASyncOfItHasFailed) {
    const TempFolder folder;
    write_and_die(folder.path());
    reboot(folder.path());
    EXPECT_FALSE(opens_without(os::Call::sync, folder.path()));
    EXPECT_TRUE(is_written_again(folder.path()));
}

// A container has another number for each time that it is started, on a system that goes on.
TEST(TheLogOfThisBoot, IsOneWithRecordsThatAreNewerThanIt) {
    const TempFolder folder;
    write_and_die(folder.path());
    reboot(folder.path());
    os::shift_clock(0);
    EXPECT_TRUE(is_written_again(folder.path()));
}

TEST(TheLogOfThisBoot, IsThatOfMemoryThatIsStillThere) {
    const TempFolder folder;
    write_and_die(folder.path());
    date_log_before_boot(folder.path());
    stop(start({.path = folder.path()}));
    const auto header = read_file(fs::path(folder.path()) / "bus");
    EXPECT_EQ(log::decode_bus(std::as_bytes(std::span(header))).value->log_boot, os::boot_number());
}

TEST(TheLogOfThisBoot, IsWrittenAgain) {
    const TempFolder folder;
    write_and_die(folder.path());
    remove_arena(folder.path());
    EXPECT_TRUE(is_written_again(folder.path()));
}

TEST(TheLogOfThisBoot, IsThatOfABusThatWasOpenedSince) {
    const TempFolder folder;
    write_and_die(folder.path());
    reboot(folder.path());
    // Who makes the memory anew is killed as soon as he may have written to the log.
    Child opener([&] {
        const auto before = segments_of(folder.path());
        const Faults faults([&](os::Call call, std::string_view path) {
            const auto name = fs::path(path).filename();
            if (call == os::Call::pwrite && name.extension() == ".seg" && !before.contains(name))
                std::raise(SIGKILL);
            return 0;
        });
        auto bus = start({.path = folder.path()});
        return 0;
    });
    ASSERT_EQ(opener.wait(), -SIGKILL);
    EXPECT_TRUE(is_written_again(folder.path()));
}

TEST(TheLogOfAnotherBoot, WasWrittenInThisOneWhereItIsACopy) {
    const TempFolder folder, copy;
    write_and_die(folder.path());
    date_log_before_boot(folder.path());
    fs::copy(folder.path(), copy.path(), fs::copy_options::recursive);
    EXPECT_TRUE(is_written_again(copy.path()));
    // Whoever found that it is one died, or failed as this one did: the next one knows it, too.
    EXPECT_TRUE(is_written_again(copy.path()));
}

TEST(TheLogOfThisBoot, IsThatOfACopyThatABusMade) {
    const TempFolder folder, copy;
    write_and_die(folder.path());
    reboot(folder.path());
    {
        auto viewer = start({.path = folder.path(), .open = Open::read_only});
        static_cast<void>(viewer.copy_to(copy.path()));
    }
    const auto header = read_file(fs::path(copy.path()) / "bus");
    EXPECT_EQ(log::decode_bus(std::as_bytes(std::span(header))).value->log_boot, os::boot_number());
}

}  // namespace
}  // namespace mmsb
