// The checks of words in shared memory tell single bits that changed, one or two of them.
#include "arena/layout.hpp"

#include <gtest/gtest.h>

#include <random>
#include <span>

namespace mmsb::test {
namespace {

// How often one or two bits of the first `bits` are changed, and all seems to be right.
template <class Check>
int missed(std::span<std::uint64_t> words, std::size_t bits, const Check& is_right) {
    int missed = 0;
    const auto flip = [&](std::size_t bit) { words[bit / 64] ^= std::uint64_t{1} << bit % 64; };
    EXPECT_TRUE(is_right());
    for (std::size_t a = 0; a < bits; ++a) {
        flip(a);
        missed += static_cast<int>(is_right());
        for (std::size_t b = a + 1; b < bits; ++b) {
            flip(b);
            missed += static_cast<int>(is_right());
            flip(b);
        }
        flip(a);
    }
    return missed;
}

TEST(TheCheckOfTheLogsEnd, TellsAnyTwoBits) {
    std::mt19937_64 random(1);
    for (int i = 0; i < 20; ++i) {
        const auto lsn = random() >> 24U;
        std::uint64_t w[] = {lsn, random() % 100'000, random() >> 3U, lsn / 2, 3, 0};
        const auto seal = [&] { return arena::seal_of(arena::Tail{w[0], w[1], w[2], w[3], w[4]}); };
        w[5] = seal();
        EXPECT_EQ(missed(w, 6 * 64, [&] { return w[5] == seal(); }), 0);
    }
}

TEST(TheCheckOfWhatIsDurable, TellsAnyTwoBits) {
    std::mt19937_64 random(2);
    for (int i = 0; i < 20; ++i) {
        const auto lsn = random() >> 24U;
        std::uint64_t w[] = {lsn, lsn - lsn % 9, random() % 100'000, 0};
        const auto seal = [&] { return arena::seal_of(arena::FilesTail{w[0], w[1], w[2]}); };
        w[3] = seal();
        EXPECT_EQ(missed(w, 4 * 64, [&] { return w[3] == seal(); }), 0);
    }
}

TEST(TheCheckOfALine, TellsAnyBitOfItsFieldsAndAnyTwoButTheirHighest) {
    std::mt19937_64 random(3);
    for (std::uint64_t i = 1; i <= 10; ++i) {
        const auto lsn = random() >> 24U;
        std::uint64_t w[] = {lsn, i, 7 + lsn / 100, lsn / 90, 4096, random() % 4096 * 64, 0};
        const auto check = [&] {
            return arena::check_of(
                {w[0], w[1], w[2], w[3], w[4], w[5], static_cast<std::uint32_t>(w[6]), 0});
        };
        const auto right = check();
        constexpr int words = 6, pairs = words * (words - 1) / 2;
        EXPECT_LE(missed(w, words * 64 + 32, [&] { return check() == right; }), 2 * pairs + 1);
        for (auto& word : w) word ^= std::uint64_t{1} << 50U;
        EXPECT_NE(check(), right);
    }
}

}  // namespace
}  // namespace mmsb::test
