#include "base/checksum.hpp"

#include <mmsb/types.hpp>

#include <gtest/gtest.h>

#include <random>

namespace {

using mmsb::Bytes;
using mmsb::bytes_of;
using mmsb::base::crc32c;
using mmsb::base::crc32c_by_table;

TEST(Checksum, IsTheKnownCrc32c) {
    EXPECT_EQ(crc32c(~0U, bytes_of("123456789")), ~0xE3069283U);
    EXPECT_EQ(crc32c_by_table(~0U, bytes_of("123456789")), ~0xE3069283U);
}

// RFC 3720, B.4.
TEST(Checksum, IsThatOfTheIscsiStandard) {
    EXPECT_EQ(~crc32c(~0U, Bytes(32, std::byte{0})), 0x8A9136AAU);
    EXPECT_EQ(~crc32c(~0U, Bytes(32, std::byte{0xFF})), 0x62A8AB43U);
}

TEST(Checksum, AgreesWithTheTableForEverySizeSeedAndAlignment) {
    std::mt19937_64 random(2);
    Bytes bytes(5000);
    for (auto& b : bytes) b = static_cast<std::byte>(random());
    for (std::size_t size = 0; size < 4200; size += size < 600 ? 1 : 37) {
        const auto seed = static_cast<std::uint32_t>(random());
        const auto part = std::span<const std::byte>(bytes).subspan(random() % 67, size);
        ASSERT_EQ(crc32c(seed, part), crc32c_by_table(seed, part)) << size;
    }
    EXPECT_EQ(crc32c(5, {}), 5U);
}

TEST(Checksum, ContinuesWhereItStopped) {
    std::mt19937_64 random(3);
    Bytes bytes(700);
    for (auto& b : bytes) b = static_cast<std::byte>(random());
    const std::span<const std::byte> all(bytes);
    for (std::size_t cut = 0; cut <= all.size(); ++cut) {
        ASSERT_EQ(crc32c(crc32c(0, all.first(cut)), all.subspan(cut)), crc32c(0, all)) << cut;
    }
}

TEST(Checksum, SeesEverySingleFlippedBit) {
    Bytes bytes(200, std::byte{0x5A});
    const auto good = crc32c(7, bytes);
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        const auto flip = static_cast<std::byte>(1U << bit % 8);
        bytes[bit / 8] ^= flip;
        EXPECT_NE(crc32c(7, bytes), good) << bit;
        bytes[bit / 8] ^= flip;
    }
}

}  // namespace
