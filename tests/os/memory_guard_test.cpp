#include "os/memory_guard.hpp"

#include "os/file.hpp"
#include "os/helpers.hpp"
#include "os/mapping.hpp"

#include <csetjmp>
#include <csignal>
#include <thread>

namespace mmsb::os {
namespace {

using test::in_child;

constexpr std::size_t page_bytes = 4096;

// A file of some pages of 'x', as memory.
struct Mapped {
    explicit Mapped(std::size_t pages) : file(memory_file("guarded")) {
        file.allocate(0, pages * page_bytes);
        memory = Mapping::shared(file, 0, pages * page_bytes, page_bytes, true);
        std::memset(memory.data(), 'x', pages * page_bytes);
    }
    void cut(std::size_t size) const {
        ASSERT_EQ(::ftruncate(file.fd(), static_cast<off_t>(size)), 0);
    }
    [[nodiscard]] std::byte at(std::size_t i) const {
        return *static_cast<volatile std::byte*>(memory.data() + i);
    }
    [[nodiscard]] std::span<std::byte> pages(std::size_t first, std::size_t count) const {
        return {memory.data() + first * page_bytes, count * page_bytes};
    }

    File file;
    Mapping memory{};
};

TEST(AMemoryGuard, GivesZerosForWhatIsGoneAndSaysSo) {
    for (int round = 0; round < 3; ++round) {  // its places are used again
        const Mapped mapped(4);
        const auto first = mapped.pages(0, 1), rest = mapped.pages(1, 3);
        std::atomic<bool> lost{false}, other{false};
        const MemoryGuard guard(std::span(&rest, 1), lost), another(std::span(&first, 1), other);
        mapped.cut(page_bytes);
        EXPECT_EQ(mapped.at(100), std::byte{'x'});
        EXPECT_FALSE(lost.load());
        EXPECT_EQ(mapped.at(page_bytes + 5000), std::byte{0});
        EXPECT_TRUE(lost.load());
        EXPECT_FALSE(other.load());
        rest[5001] = std::byte{7};  // nobody else's
        EXPECT_EQ(mapped.at(page_bytes), std::byte{0});
        EXPECT_EQ(mapped.at(100), std::byte{'x'});
    }
}

TEST(AMemoryGuard, GuardsRangesOfManyAtOnce) {
    const Mapped a(2), b(2);
    const std::vector<std::span<std::byte>> ranges{a.pages(0, 2), b.pages(0, 2)};
    std::atomic<bool> lost{false};
    MemoryGuard guard;
    EXPECT_FALSE(guard);
    guard = MemoryGuard(ranges, lost);
    EXPECT_TRUE(guard);
    b.cut(0);
    EXPECT_EQ(b.at(page_bytes), std::byte{0});
    EXPECT_TRUE(lost.load());
    EXPECT_EQ(a.at(page_bytes), std::byte{'x'});
}

TEST(AMemoryGuard, OfMoreRangesThanAreKeptIsRefusedAndTakesNone) {
    std::atomic<bool> lost{false};
    const Mapped mapped(1);
    const std::vector<std::span<std::byte>> many(5000, mapped.pages(0, 1));
    EXPECT_THROW(MemoryGuard(many, lost), OutOfSpace);
    const auto fewer = std::span(many).first(4000);
    const MemoryGuard some(fewer, lost);
    EXPECT_TRUE(some);
}

TEST(AMemoryGuard, LosesManyRangesInManyThreads) {
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int round = 0; round < 200; ++round) {
                const Mapped mapped(3);
                const auto middle = mapped.pages(1, 1);
                std::atomic<bool> lost{false};
                const MemoryGuard guard(std::span(&middle, 1), lost);
                if (lost.load()) ++wrong;
                if (::ftruncate(mapped.file.fd(), page_bytes) != 0) ++wrong;
                if (mapped.at(page_bytes) != std::byte{0} || !lost.load()) ++wrong;
                if (mapped.at(0) != std::byte{'x'}) ++wrong;
            }
        });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong.load(), 0);
}

// The signal that ended the child, 0: none.
template <class F>
int signal_of(F child) {
    const int status = in_child(child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

// What a fault in memory that nobody guards does to a process that has a guard for some.
int touch_what_nobody_guards() {
    const Mapped guarded(1), other(1);
    const auto range = guarded.pages(0, 1);
    std::atomic<bool> lost{false};
    const MemoryGuard guard(std::span(&range, 1), lost);
    if (::ftruncate(other.file.fd(), 0) != 0) return 2;
    static_cast<void>(other.at(0));
    return lost.load() ? 3 : 4;
}

TEST(AFaultInMemoryThatNobodyGuards, EndsTheProcessAsWithoutAGuard) {
    EXPECT_EQ(signal_of([] {
                  ::signal(SIGBUS, SIG_DFL);
                  return touch_what_nobody_guards();
              }),
              SIGBUS);
}

sigjmp_buf back;
void jump_back(int) { ::siglongjmp(back, 1); }

TEST(AFaultInMemoryThatNobodyGuards, GoesToTheHandlerThatWasThereBefore) {
    EXPECT_EQ(in_child([] {
                  ::signal(SIGBUS, jump_back);
                  return sigsetjmp(back, 1) == 0 ? touch_what_nobody_guards() : 0;
              }),
              0);
}

TEST(ASigbusThatSomebodySends, IsNotTakenForLostMemory) {
    EXPECT_EQ(in_child([] {
                  ::signal(SIGBUS, SIG_IGN);
                  const Mapped mapped(1);
                  const auto range = mapped.pages(0, 1);
                  std::atomic<bool> lost{false};
                  const MemoryGuard guard(std::span(&range, 1), lost);
                  ::raise(SIGBUS);
                  return lost.load() || mapped.at(0) != std::byte{'x'} ? 1 : 0;
              }),
              0);
    EXPECT_EQ(signal_of([] {
                  ::signal(SIGBUS, SIG_DFL);
                  const Mapped mapped(1);
                  const auto range = mapped.pages(0, 1);
                  std::atomic<bool> lost{false};
                  const MemoryGuard guard(std::span(&range, 1), lost);
                  ::raise(SIGBUS);
                  return 5;
              }),
              SIGBUS);
}

}  // namespace
}  // namespace mmsb::os
