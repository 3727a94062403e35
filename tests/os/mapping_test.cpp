#include "os/mapping.hpp"
#include "os/fork.hpp"

#include "os/helpers.hpp"
#include "support/sanitizers.hpp"

#include <sys/mman.h>
#include <sys/resource.h>

#include <csignal>

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
