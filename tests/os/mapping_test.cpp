#include "os/mapping.hpp"
#include "os/fork.hpp"

#include "os/helpers.hpp"
#include "support/sanitizers.hpp"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

namespace mmsb::os {
namespace {

using test::bytes;
using test::Failing;
using test::in_child;
using test::read_text;

constexpr std::uint64_t page = 4096, gib = std::uint64_t{1} << 30U;

TEST(Mapping, ShowsTheFileAndGrowsWithIt) {
    const auto file = memory_file("f");
    file.allocate(0, page);
    const auto m = Mapping::shared(file, 0, 16 * gib, page, true);
    EXPECT_EQ(m.room(), 16 * gib);
    std::memcpy(m.data(), "abc", 3);
    EXPECT_EQ(read_text(file, 0, 3), "abc");
    file.allocate(0, 64 * page);
    std::memcpy(m.data() + 63 * page, "far", 3);
    EXPECT_EQ(read_text(file, 63 * page, 3), "far");
}

TEST(Mapping, BeginsWhereItIsToldAndReadsOnlyWhereItIsToldTo) {
    const auto file = memory_file("f");
    file.allocate(0, 2 * page);
    file.write(page, bytes("second"));
    const auto m = Mapping::shared(file, page, page, page, false);
    EXPECT_EQ(std::memcmp(m.data(), "second", 6), 0);
    const auto writes = [&] {
        ::signal(SIGSEGV, SIG_DFL);
        *static_cast<volatile std::byte*>(m.data()) = std::byte{1};
        return 0;
    };
    EXPECT_NE(in_child(writes), 0);
    EXPECT_EQ(read_text(file, page, 6), "second");
}

TEST(Mapping, TakesHalfAsMuchUntilItFits) {
    const auto file = memory_file("f");
    const Failing failing(ENOMEM, Call::map, 0, 3);
    EXPECT_EQ(Mapping::shared(file, 0, 8 * gib, gib, true).room(), gib);
}

TEST(Mapping, SaysThatThereIsNoAddressSpaceForTheLeast) {
    const auto file = memory_file("f");
    const Failing failing(ENOMEM, Call::map, 0, 100);
    try {
        static_cast<void>(Mapping::shared(file, 0, 8 * gib, gib, true));
        FAIL() << "did not throw";
    } catch (const OutOfSpace& e) {
        EXPECT_EQ(e.where(), "address space");
        EXPECT_EQ(e.needed(), gib);
        EXPECT_EQ(failing.hit(), 4);
    }
    EXPECT_THROW(static_cast<void>(Mapping::mirrored(file, 0, page, true)), OutOfSpace);
}

TEST(Mapping, FitsIntoALimitedAddressSpace) {
    if (test::sanitized) GTEST_SKIP() << "a sanitizer's shadow memory needs the address space";
    const auto file = memory_file("f");
    const int status = in_child([&] {
        const rlimit limit{4 * gib, 4 * gib};
        if (::setrlimit(RLIMIT_AS, &limit) != 0) return 2;
        const auto m = Mapping::shared(file, 0, 1024 * gib, page, true);
        return m.room() >= gib && m.room() < 4 * gib ? 0 : 1;
    });
    EXPECT_EQ(status, 0);
}

TEST(Mapping, IsGoneWithItsObjectAndMovesItsMemory) {
    const auto file = memory_file("f");
    file.allocate(0, page);
    std::byte* at = nullptr;
    {
        auto m = Mapping::shared(file, 0, page, page, true);
        at = m.data();
        auto moved = std::move(m);
        EXPECT_EQ(m.data(), nullptr);
        EXPECT_EQ(moved.data(), at);
        Mapping assigned;
        assigned = std::move(moved);
        EXPECT_EQ(assigned.data(), at);
        EXPECT_EQ(::msync(at, page, MS_ASYNC), 0);
    }
    EXPECT_EQ(::msync(at, page, MS_ASYNC), -1);
}

TEST(Mapping, MirroredShowsTheSameBytesTwiceInARow) {
    const auto file = memory_file("ring");
    file.allocate(0, 3 * page);
    const auto m = Mapping::mirrored(file, page, 2 * page, true);
    EXPECT_EQ(m.room(), 2 * page);
    std::memcpy(m.data() + 2 * page - 3, "across", 6);
    EXPECT_EQ(std::memcmp(m.data(), "oss", 3), 0);
    EXPECT_EQ(std::memcmp(m.data() + 4 * page - 3, "acr", 3), 0);
    EXPECT_EQ(read_text(file, page, 3), "oss");
    EXPECT_EQ(read_text(file, 3 * page - 3, 3), "acr");
}

/// Of this mapping, by the kernel's account: bytes that are seen through large pages.
std::uint64_t seen_large(const Mapping& m) {
    std::ifstream smaps("/proc/self/smaps");
    std::ostringstream start;
    start << std::hex << reinterpret_cast<std::uintptr_t>(m.data()) << '-';
    std::string line, name;
    while (std::getline(smaps, line) && !line.starts_with(start.str())) {
    }
    std::uint64_t kib = 0;
    while (smaps >> name >> kib && name != "ShmemPmdMapped:") std::getline(smaps, line);
    return kib * limits::kib;
}

/// Linux from 6.1 on, built with them, and with memory in such pieces.
bool gives_large_pages() {
    const auto file = memory_file("probe");
    const auto m = Mapping::shared(file, 0, 2 * large_page, large_page, true);
    file.allocate(0, 2 * large_page);
    constexpr int collapse = 25;
    return ::madvise(m.data(), 2 * large_page, collapse) == 0;
}

bool all(const std::byte* from, std::uint64_t size, int value) {
    return std::all_of(from, from + size,
                       [&](std::byte b) { return b == static_cast<std::byte>(value); });
}

TEST(Mapping, AllocatesInLargePagesWhatHasRoomForThem) {
    // A large page of the file begins at 1 MiB and at 3 MiB of the mapping.
    const auto file = memory_file("f");
    auto m = Mapping::shared(file, limits::mib, 16 * large_page, page, true);
    EXPECT_EQ((reinterpret_cast<std::uintptr_t>(m.data()) - limits::mib) % large_page, 0U);
    m.allocate(file, 0, limits::mib);
    std::memset(m.data(), 1, limits::mib);
    m.allocate(file, limits::mib, 3 * page);
    EXPECT_GE(file.allocated(), limits::mib + 3 * page);
    auto* const large = m.data() + limits::mib;
    std::memset(large, 2, 3 * page);
    // Joins what is there of the first, makes all of the second, and not of the third.
    m.allocate(file, limits::mib + 3 * page, 2 * large_page);
    EXPECT_GE(file.allocated(), limits::mib + 3 * page + 2 * large_page);
    EXPECT_EQ(file.size(), 2 * limits::mib + 3 * page + 2 * large_page);
    EXPECT_TRUE(all(m.data(), limits::mib, 1));
    EXPECT_TRUE(all(large, 3 * page, 2));
    EXPECT_TRUE(all(large + 3 * page, 2 * large_page, 0));
    if (!gives_large_pages()) GTEST_SKIP() << "this kernel gives no large pages";
    EXPECT_GE(seen_large(m), large_page);  // one may be refused for the moment
    // So does everyone who maps the file.
    const auto viewer = Mapping::shared(file, limits::mib, 16 * large_page, page, false);
    EXPECT_TRUE(all(viewer.data() + limits::mib + large_page, page, 0));
    EXPECT_TRUE(all(viewer.data() + limits::mib, page, 2));
    EXPECT_GE(seen_large(viewer), large_page);
}

TEST(Mapping, LosesNothingOfWhatOthersWriteWhileItJoinsALargePage) {
    const auto file = memory_file("f");
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> rounds{0};
    for (std::uint64_t n = 0; n < 20; ++n) {
        const auto at = n * large_page;
        auto m = Mapping::shared(file, at, large_page, page, true);
        m.allocate(file, 0, 64 * page);
        stop = false;
        std::thread writer([&] {
            auto* const words = reinterpret_cast<std::atomic<std::uint64_t>*>(m.data());
            constexpr std::size_t apart = page / sizeof(std::uint64_t);
            for (std::uint64_t value = 1; !stop || value < 100; ++value) {
                for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(words[i * apart]++, value - 1);
                ++rounds;
            }
        });
        const auto begun = rounds.load();
        while (rounds < begun + 10) std::this_thread::yield();
        m.allocate(file, 64 * page, large_page - 64 * page);
        stop = true;
        writer.join();
    }
}

TEST(Mapping, AllocatesInSmallPagesWhereLargeOnesAreRefused) {
    const auto file = memory_file("f");
    auto m = Mapping::shared(file, 0, 32 * large_page, page, true);
    {
        const Failing passing(EAGAIN, Call::advise, 0, 100);  // each is asked for
        m.allocate(file, 0, 3 * large_page);
        EXPECT_EQ(passing.hit(), 3);
    }
    {
        const Failing none(ENOMEM, Call::advise, 0, 100);  // none any more
        m.allocate(file, 3 * large_page, 3 * large_page);
        m.allocate(file, 6 * large_page, 3 * large_page);
        EXPECT_EQ(none.hit(), 1);
    }
    EXPECT_GE(file.allocated(), 9 * large_page);
    std::memset(m.data(), 1, 9 * large_page);
}

TEST(Mapping, SaysHowMuchItNeedsWhereThereIsNoRoom) {
    const auto file = memory_file("f");
    auto m = Mapping::shared(file, 0, 32 * large_page, page, true);
    const Failing full(ENOSPC, Call::allocate, 1, 100);
    try {
        m.allocate(file, 0, 3 * large_page);
        FAIL() << "did not throw";
    } catch (const OutOfSpace& e) {
        EXPECT_EQ(e.needed(), 3 * large_page);
    }
}

TEST(Mapping, AllocatesAllWhereTheFileSystemCannot) {
    const test::TemporaryFolder folder;
    const auto files = open_folder(folder.path(), false, 0600);
    const auto file = files->open("f", Create::always, true).value();
    auto m = Mapping::shared(file, 0, 4 * large_page, page, true);
    const auto in_memory = memory_file("f");
    auto of_memory = Mapping::shared(in_memory, 0, 4 * large_page, page, true);
    const Failing unknown(EOPNOTSUPP, Call::allocate, 0, 100);
    m.allocate(file, 0, 2 * large_page);
    EXPECT_GE(file.allocated(), 2 * large_page);
    of_memory.allocate(in_memory, 0, 2 * large_page);
    EXPECT_GE(in_memory.allocated(), 2 * large_page);
}

TEST(Mapping, SaysWhatCannotBeMapped) {
    const auto file = memory_file("f");
    for (int n = 0; n < 3; ++n) {
        const Failing failing(EACCES, Call::map, n);
        EXPECT_THROW(static_cast<void>(Mapping::mirrored(file, 0, page, true)), Io);
    }
    const Failing failing(EACCES, Call::map);
    EXPECT_THROW(static_cast<void>(Mapping::shared(file, 0, page, page, true)), Io);
}

TEST(ForkToken, TellsAForkedChildFromItsParent) {
    const ForkToken token;
    ASSERT_TRUE(token.same_process());
    EXPECT_EQ(in_child([&] { return token.same_process() ? 1 : 0; }), 0);
    EXPECT_TRUE(token.same_process());
}

TEST(ForkToken, LetsAChildGoOnByItselfAndKeepsItsParentsForeign) {
    const ForkToken parents;
    EXPECT_EQ(in_child([&] {
                  const ForkToken mine;
                  return mine.same_process() && !parents.same_process() ? 0 : 1;
              }),
              0);
    EXPECT_TRUE(parents.same_process());
}

}  // namespace
}  // namespace mmsb::os
