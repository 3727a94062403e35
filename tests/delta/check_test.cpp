#include "base/bytes.hpp"
#include "delta/codec.hpp"
#include "delta/pages.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <memory>

namespace {

using namespace mmsb::delta;
using namespace mmsb::delta::test;

/// A small vocabulary to write encoded deltas by hand.
struct Code {
    Bytes bytes;
    explicit Code(unsigned first) { u8({first}); }
    Code& u8(std::initializer_list<unsigned> values) {
        for (const auto v : values) bytes.push_back(static_cast<std::byte>(v));
        return *this;
    }
    Code& u16(std::initializer_list<unsigned> values) {
        for (const auto v : values) u8({v & 0xFFU, v >> 8U});
        return *this;
    }
    Code& u64(std::uint64_t v) {
        mmsb::base::ByteWriter(bytes).fixed(v);
        return *this;
    }
    [[nodiscard]] bool good(std::size_t page_size) const {
        return check(bytes, page_size).has_value();
    }
};

TEST(Check, AcceptsEachEncodingWrittenByHand) {
    EXPECT_TRUE(Code(0x10).u16({3, 9}).u8({1, 2}).good(10));
    EXPECT_TRUE(Code(0x00).u8({1, 2}).u8({255, 0, 43}).u8({1, 2, 3}).good(300));
    EXPECT_TRUE(Code(0x11).u8({2}).u16({0, 2, 3, 7}).u8({1, 2, 3, 4, 5, 6, 7, 8, 9}).good(10));
    EXPECT_TRUE(Code(0x12).u8({1}).u16({2}).u64(0x81).u8({1, 2}).good(10));
    EXPECT_TRUE(Code(0x03).u8({1, 2, 3}).good(3));
}

TEST(Check, RefusesNothingAtAllAndUnknownFirstBytes) {
    EXPECT_FALSE(check({}, 10).has_value());
    for (unsigned first = 0; first < 256; ++first) {
        EXPECT_FALSE(Code(first).good(0)) << first;
        EXPECT_FALSE(Code(first).good(10)) << first;
        const bool known = first == 0x10;
        EXPECT_EQ(Code(first).u16({3}).u8({1}).good(10), known) << first;
    }
}

TEST(Check, RefusesPositionsOfAnotherWidthThanThePages) {
    EXPECT_TRUE(Code(0x10).u16({3}).u8({1}).good(65536));
    EXPECT_FALSE(Code(0x10).u16({3}).u8({1}).good(65537));
    EXPECT_TRUE(Code(0x20).u16({3, 0}).u8({1}).good(65537));
    EXPECT_FALSE(Code(0x20).u16({3, 0}).u8({1}).good(65536));
    EXPECT_TRUE(Code(0x20).u16({3, 0}).u8({1}).good(std::size_t{1} << 32U));
    EXPECT_TRUE(Code(0x30).u64(3).u8({1}).good((std::size_t{1} << 32U) + 1));
    EXPECT_FALSE(Code(0x30).u64(3).u8({1}).good(std::size_t{1} << 32U));
    EXPECT_FALSE(Code(0x13).u8({1, 2, 3}).good(3));
}

TEST(Check, RefusesOffsetsOutOfOrderOrOutside) {
    EXPECT_FALSE(Code(0x10).u16({9, 3}).u8({1, 2}).good(10));
    EXPECT_FALSE(Code(0x10).u16({3, 3}).u8({1, 2}).good(10));
    EXPECT_FALSE(Code(0x10).u16({3, 10}).u8({1, 2}).good(10));
    EXPECT_FALSE(Code(0x10).u16({3, 9}).u8({1}).good(10));
    EXPECT_FALSE(Code(0x10).u16({3, 9}).u8({1, 2, 3}).good(10));
}

TEST(Check, RefusesBucketsThatDisagree) {
    EXPECT_FALSE(Code(0x00).u8({0, 0}).good(300));
    EXPECT_FALSE(Code(0x00).u8({1}).good(300));
    EXPECT_FALSE(Code(0x00).u8({2, 0}).u8({5, 5}).u8({1, 2}).good(300));
    EXPECT_FALSE(Code(0x00).u8({2, 0}).u8({5, 4}).u8({1, 2}).good(300));
    EXPECT_FALSE(Code(0x00).u8({2, 0}).u8({5, 6}).u8({1}).good(300));
    EXPECT_FALSE(Code(0x00).u8({0, 1}).u8({44}).u8({1}).good(300));
    EXPECT_TRUE(Code(0x00).u8({0, 1}).u8({43}).u8({1}).good(300));
    EXPECT_TRUE(Code(0x00).u8({1, 1}).u8({200, 5}).u8({1, 2}).good(300));
    EXPECT_TRUE(Code(0x00).u8({0, 1}).u8({255}).u8({1}).good(512));
}

// However many there are, and wherever they are: many places are looked at at once.
TEST(Check, RefusesAPlaceThatIsNotAboveTheOneBeforeInItsBucket) {
    constexpr unsigned most = 90;
    for (unsigned n = 1; n <= most; ++n) {
        for (unsigned second = 0; second <= n; second += 7) {  // so many are in the second bucket
            Code code(0x00);
            code.u8({n - second, second, 0, 0});
            for (unsigned i = 0; i < n; ++i) code.u8({2 * (i < n - second ? i : i - n + second)});
            for (unsigned i = 0; i < n; ++i) code.u8({255 - i});  // values fall, and do not matter
            ASSERT_TRUE(code.good(1024)) << n << ", " << second;
            for (unsigned i = 1; i < n; ++i) {
                if (i == n - second) continue;
                auto other = code;
                other.bytes[5 + i] = other.bytes[4 + i];
                ASSERT_FALSE(other.good(1024)) << n << ", " << second << ", the same at " << i;
                other = code;
                std::swap(other.bytes[4 + i], other.bytes[5 + i]);
                ASSERT_FALSE(other.good(1024)) << n << ", " << second << ", lower at " << i;
            }
        }
    }
}

TEST(Check, RefusesRunsThatTouchOverlapOrLeave) {
    const auto runs = [](std::initializer_list<unsigned> heads, std::size_t values) {
        Code code(0x11);
        code.u8({static_cast<unsigned>(heads.size() / 2)}).u16(heads);
        code.bytes.resize(code.bytes.size() + values);
        return code.good(10);
    };
    EXPECT_TRUE(runs({1, 2, 4, 6}, 8));
    EXPECT_FALSE(runs({1, 2, 3, 7}, 9)) << "touching";
    EXPECT_FALSE(runs({1, 2, 2, 7}, 9)) << "overlapping";
    EXPECT_FALSE(runs({4, 6, 1, 2}, 8)) << "descending";
    EXPECT_FALSE(runs({1, 2, 4, 7}, 9)) << "beyond the page";
    EXPECT_FALSE(runs({1, 2, 4, 0xFFFF}, 9)) << "far beyond the page";
    EXPECT_FALSE(runs({10, 1}, 1)) << "behind the page";
    EXPECT_FALSE(runs({1, 0}, 0)) << "empty run";
    EXPECT_FALSE(runs({}, 0)) << "no run";
    EXPECT_FALSE(runs({1, 2, 4, 6}, 7)) << "too few values";
    EXPECT_FALSE(runs({1, 2, 4, 6}, 9)) << "too many values";
    EXPECT_FALSE(Code(0x11).u8({0x81, 0x00}).u16({1, 2}).u8({1, 2}).good(10)) << "overlong varint";
    EXPECT_FALSE(Code(0x11).u8({0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1}).good(10));
}

TEST(Check, RefusesMasksThatAreEmptyOverlapOrLeave) {
    struct Head {
        unsigned offset;
        std::uint64_t mask;
    };
    const auto masks = [](std::initializer_list<Head> heads, std::size_t values) {
        Code code(0x12);
        code.u8({static_cast<unsigned>(heads.size())});
        for (const auto& h : heads) code.u16({h.offset}).u64(h.mask);
        code.bytes.resize(code.bytes.size() + values);
        return code.good(100);
    };
    EXPECT_TRUE(masks({{0, 1}, {64, 1ULL << 35U}}, 2));
    EXPECT_FALSE(masks({{0, 1}, {64, 1ULL << 36U}}, 2)) << "beyond the page";
    EXPECT_FALSE(masks({{100, 1}}, 1)) << "behind the page";
    EXPECT_FALSE(masks({{0, 0}}, 0)) << "empty mask";
    EXPECT_FALSE(masks({{5, 1}, {0, 1ULL << 40U}}, 2)) << "descending";
    EXPECT_FALSE(masks({{5, 1}, {5, 2}}, 2)) << "the same window twice";
    EXPECT_TRUE(masks({{0, 1ULL << 9U}, {10, 1}}, 2)) << "windows overlap, their bytes do not";
    EXPECT_FALSE(masks({{0, 1ULL << 10U}, {10, 1}}, 2)) << "the same byte twice";
    EXPECT_FALSE(masks({{0, 3}}, 1)) << "too few values";
    EXPECT_FALSE(masks({{0, 3}}, 3)) << "too many values";
    EXPECT_FALSE(masks({}, 0)) << "no window";
}

TEST(Check, RefusesAWholePageOfAnotherSize) {
    EXPECT_FALSE(Code(0x03).u8({1, 2}).good(3));
    EXPECT_FALSE(Code(0x03).u8({1, 2, 3, 4}).good(3));
}

TEST(Check, RefusesEveryTruncationAndEveryAddedByte) {
    Random random(31);
    for (const std::size_t size : {20U, 300U, 1024U, 5000U, 70'000U}) {
        const auto before = random_bytes(size, random);
        for (const auto pattern : patterns) {
            auto code = encoded(before, changed(before, pattern, random));
            const std::span<const std::byte> all(code);
            // Offsets do not hold their number: a cut by whole pairs may be another delta.
            if (code.empty() || code[0] == std::byte{0x10} || code[0] == std::byte{0x20}) continue;
            for (std::size_t cut = 0; cut < all.size(); cut += 1 + cut / 100) {
                ASSERT_FALSE(check(all.first(cut), size).has_value()) << cut;
            }
            code.push_back(std::byte{1});
            ASSERT_FALSE(check(code, size).has_value());
        }
    }
}

/// Applies hostile bytes only where check accepts them; returns whether it did. Everything is on
/// the heap in its exact size, so that the address sanitizer sees a step beyond either end.
bool survives(const Bytes& hostile, std::size_t page_size) {
    const std::unique_ptr<std::byte[]> code(new std::byte[hostile.size()]);
    std::copy(hostile.begin(), hostile.end(), code.get());
    const std::span<const std::byte> bytes(code.get(), hostile.size());
    const auto summary = check(bytes, page_size);
    if (!summary) return false;
    const std::unique_ptr<std::byte[]> page(new std::byte[page_size]());
    apply(bytes, {page.get(), page_size});
    apply_part(bytes, page_size, page_size / 3, {page.get(), page_size - page_size / 3});
    std::uint64_t n = 0;
    std::size_t end = 0;
    for_each_run(bytes, page_size, [&](std::size_t offset, std::span<const std::byte> run) {
        EXPECT_TRUE(n == 0 || offset > end);
        end = offset + run.size();
        EXPECT_LE(end, page_size);
        n += run.size();
    });
    EXPECT_EQ(n, summary->changed_bytes);
    return true;
}

TEST(Check, LetsNoMutationWriteOutsideThePage) {
    std::size_t accepted = 0, refused = 0;
    for (std::uint64_t seed = 0; seed < mmsb::test::cases(60'000U, 20'000U); ++seed) {
        Random random(seed);
        const auto size = 1 + random() % (seed % 100 == 0 ? 70'000 : 600);
        const auto before = random_bytes(size, random);
        auto code = encoded(
            before, changed(before, *(patterns.begin() + random() % patterns.size()), random));
        if (code.empty()) continue;
        for (auto i = 1 + random() % 3; i != 0; --i) {
            // Heads come first: most mutations go there.
            const auto reach =
                random() % 2 == 0 ? code.size() : std::min<std::size_t>(12, code.size());
            switch (const auto at = random() % reach; random() % 5) {
                case 0:
                    code[at] = static_cast<std::byte>(random());
                    break;
                case 1:
                    code[at] ^= static_cast<std::byte>(1U << random() % 8);
                    break;
                case 2:
                    code[at] = std::byte{0xFF};
                    break;
                case 3:
                    code.resize(1 + at);
                    break;
                default:
                    code.insert(code.begin() + static_cast<std::ptrdiff_t>(at), std::byte{1});
            }
        }
        ++(survives(code, size) ? accepted : refused);
        ASSERT_FALSE(HasFailure()) << "seed " << seed;
    }
    EXPECT_GT(accepted, 1000U);
    EXPECT_GT(refused, mmsb::test::cases(10'000U, 5000U));
}

TEST(Check, LetsNoRandomBytesWriteOutsideThePage) {
    constexpr std::array firsts = {0x00, 0x10, 0x11, 0x12, 0x03, 0x20, 0x21, 0x22};
    std::size_t accepted = 0;
    for (std::uint64_t seed = 0; seed < mmsb::test::cases(100'000U, 30'000U); ++seed) {
        Random random(seed);
        auto code = random_bytes(1 + random() % 40, random);
        code[0] = static_cast<std::byte>(firsts[random() % firsts.size()]);
        // Small numbers are likelier to agree.
        for (std::size_t i = 1; i < code.size(); ++i) code[i] &= static_cast<std::byte>(seed % 8);
        accepted += survives(code, 1 + random() % 600) ? 1 : 0;
        ASSERT_FALSE(HasFailure()) << "seed " << seed;
    }
    EXPECT_GT(accepted, 100U);
}

}  // namespace
