/// replay/checkpoint_layout: what the checkpoint's writer and reader share: checkpoint.hpp's
/// tables.
#pragma once

#include "base/checksum.hpp"
#include "log/format.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace mmsb::replay::layout {

inline constexpr std::array<char, 8> magic{'M', 'M', 'S', 'B', 'C', 'H', 'K', '\0'};
inline constexpr std::size_t block_size = std::size_t{1} << 20U;

struct Header {
    std::array<char, 8> magic;
    std::uint16_t major;
    std::uint16_t minor;
    std::uint32_t checksum;
    log::Uuid bus;
    std::uint64_t lsn;
    std::uint64_t structure;
    std::int64_t time_ns;
    std::uint64_t nonce;
};
static_assert(std::has_unique_object_representations_v<Header> && sizeof(Header) == 64);
static_assert(offsetof(Header, major) == 8 && offsetof(Header, minor) == 10);
static_assert(offsetof(Header, checksum) == 12 && offsetof(Header, bus) == 16);
static_assert(offsetof(Header, lsn) == 32 && offsetof(Header, structure) == 40);
static_assert(offsetof(Header, time_ns) == 48 && offsetof(Header, nonce) == 56);

struct Block {
    std::uint32_t checksum;
    std::uint32_t stored_size;
    std::uint32_t raw_size;
    std::uint8_t compression;
    std::array<std::uint8_t, 3> zero;
};
static_assert(std::has_unique_object_representations_v<Block> && sizeof(Block) == 16);
static_assert(offsetof(Block, checksum) == 0 && offsetof(Block, stored_size) == 4);
static_assert(offsetof(Block, raw_size) == 8 && offsetof(Block, compression) == 12);

enum Compression : std::uint8_t { stored_raw = 0, one_zstd_frame = 1 };
enum class Item : std::uint8_t {
    source = 1,
    page = 2,
    bytes = 3,
    zeros = 4,
    end = 5,
    contents = 6,
    change = 7,
    edge = 8,
    formula = 9
};

[[nodiscard]] inline std::uint32_t checksum_of(const Header& header) noexcept {
    const auto all = std::as_bytes(std::span(&header, 1));
    constexpr auto at = offsetof(Header, checksum);
    return base::crc32c(base::crc32c(~std::uint32_t{0}, all.first(at)),
                        all.subspan(at + sizeof header.checksum));
}
/// `in` is a block from behind its checksum on.
[[nodiscard]] inline std::uint32_t checksum_of(std::uint32_t header, std::uint64_t number,
                                               std::span<const std::byte> in) noexcept {
    return base::crc32c(base::crc32c(header, std::as_bytes(std::span(&number, 1))), in);
}

}  // namespace mmsb::replay::layout
