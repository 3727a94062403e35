#include "base/bytes.hpp"
#include "base/assert.hpp"

#include <mmsb/types.hpp>

#include <gtest/gtest.h>

#include <initializer_list>
#include <limits>
#include <random>
#include <string>

namespace {

using mmsb::Bytes;
using mmsb::base::ByteReader;
using mmsb::base::ByteWriter;

constexpr auto largest = std::numeric_limits<std::uint64_t>::max();

Bytes raw(std::initializer_list<unsigned> values) {
    Bytes bytes;
    for (const unsigned v : values) bytes.push_back(static_cast<std::byte>(v));
    return bytes;
}
Bytes varint(std::uint64_t v) {
    Bytes bytes;
    ByteWriter(bytes).varint(v);
    return bytes;
}
bool refused(const Bytes& bytes) {
    ByteReader reader(bytes);
    return reader.varint() == 0 && reader.failed();
}

TEST(ByteReader, GivesBackEveryVarintInItsShortestForm) {
    std::mt19937_64 random(1);
    for (unsigned bits = 0; bits <= 64; ++bits) {
        const auto top = bits == 0 ? 0 : largest >> (64 - bits);
        for (const auto v : {top, top / 2 + 1, top & random(), top == 0 ? 0 : top - 1}) {
            const auto bytes = varint(v);
            EXPECT_EQ(bytes.size(), mmsb::base::varint_size(v)) << v;
            ByteReader reader(bytes);
            EXPECT_EQ(reader.varint(), v);
            EXPECT_TRUE(reader.at_end() && !reader.failed()) << v;
        }
    }
    EXPECT_EQ(varint(largest).size(), mmsb::base::varint_max);
}

// Where more follows, eight bytes are looked at at once.
TEST(ByteReader, ReadsAVarintTheSameWhateverFollowsIt) {
    std::mt19937_64 random(2);
    for (int round = 0; round < 200'000; ++round) {
        // Any bytes: a number, or one byte too many, or too many bits.
        Bytes bytes;
        for (auto n = random() % 12; n != 0; --n)
            bytes.push_back(static_cast<std::byte>(0x80 | (random() % 4 == 0 ? 0 : random())));
        bytes.push_back(static_cast<std::byte>(random() % 4 == 0 ? 0 : random() % 128));
        ByteReader alone(bytes);
        const auto value = alone.varint();
        const auto size = bytes.size();
        auto followed = bytes;
        for (int i = 0; i < 8; ++i) followed.push_back(static_cast<std::byte>(random()));
        ByteReader reader(followed);
        ASSERT_EQ(reader.varint(), value);
        ASSERT_EQ(reader.failed(), alone.failed());
        if (!reader.failed()) {
            ASSERT_EQ(reader.position(), size);
        }
    }
}

TEST(Bytes, AreAllZeroOrOneOfThemIsNot) {
    for (std::size_t size = 0; size < 100; ++size) {
        Bytes bytes(size);
        EXPECT_TRUE(mmsb::base::all_zero(bytes));
        for (auto& byte : bytes) {
            byte = std::byte{0x40};
            EXPECT_FALSE(mmsb::base::all_zero(bytes));
            byte = std::byte{0};
        }
    }
}

TEST(ByteReader, RefusesAVarintThatIsCutTooLongOrTooLarge) {
    auto cut = varint(largest);
    while (!cut.empty()) {
        cut.pop_back();
        EXPECT_TRUE(refused(cut)) << cut.size();
    }
    EXPECT_TRUE(refused(raw({0x80, 0x00})));
    EXPECT_TRUE(refused(raw({0xFF, 0x80, 0x00})));
    EXPECT_TRUE(refused(raw({0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02})));
    EXPECT_TRUE(refused(raw({0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x81, 0x00})));
}

TEST(ByteReader, GivesNothingButZerosOnceItHasFailed) {
    const auto bytes = raw({1, 2, 3, 4, 5, 6});
    ByteReader reader(bytes);
    EXPECT_EQ(reader.fixed<std::uint16_t>(), 0x0201);
    EXPECT_EQ(reader.fixed<std::uint64_t>(), 0U);
    EXPECT_TRUE(reader.failed());
    EXPECT_EQ(reader.fixed<std::uint8_t>(), 0);
    EXPECT_EQ(reader.varint(), 0U);
    EXPECT_TRUE(reader.bytes(0).empty());
    EXPECT_TRUE(reader.rest().empty());
    EXPECT_TRUE(reader.text(100).empty());
    EXPECT_EQ(reader.position(), 2U);
}

TEST(ByteReader, RefusesATextLongerThanAllowedOrThanTheInput) {
    Bytes bytes;
    ByteWriter(bytes).text("state");
    EXPECT_EQ(ByteReader(bytes).text(5), "state");
    ByteReader strict(bytes);
    strict.text(4);
    EXPECT_TRUE(strict.failed());
    ByteReader cut(std::span<const std::byte>(bytes).first(5));
    cut.text(5);
    EXPECT_TRUE(cut.failed());
    const auto huge = varint(largest);
    ByteReader lying(huge);
    EXPECT_TRUE(lying.text(largest).empty());
    EXPECT_TRUE(lying.failed());
}

TEST(ByteWriter, WritesLittleEndian) {
    Bytes bytes;
    ByteWriter writer(bytes);
    writer.fixed(std::uint32_t{0x04030201});
    writer.varint(300);
    writer.text("a");
    EXPECT_EQ(bytes, raw({1, 2, 3, 4, 0xAC, 0x02, 1, 'a'}));
}

TEST(AssertDeathTest, SaysWhatDidNotHoldAndWhere) {
    EXPECT_DEATH(MMSB_ASSERT(1 + 1 == 3), "assertion failed: 1 \\+ 1 == 3, at .*bytes_test.cpp");
    MMSB_ASSERT(1 + 1 == 2);
}

}  // namespace
