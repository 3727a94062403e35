/// log/head: the twelve bytes that every record begins with, and the seed of its checksums. For
/// record.cpp and scan.cpp only.
#pragma once

#include "base/checksum.hpp"
#include "log/record.hpp"

#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

namespace mmsb::log {

struct Head {
    std::uint32_t checksum;  // Over [4, padded size).
    std::uint16_t check;     // Over [6, 12).
    std::uint8_t kind;
    std::uint8_t flags;
    std::uint32_t size;  // From the head's first byte, without the padding.
};
static_assert(sizeof(Head) == head_size && std::has_unique_object_representations_v<Head>);
static_assert(offsetof(Head, checksum) == 0 && offsetof(Head, check) == 4);
static_assert(offsetof(Head, kind) == 6 && offsetof(Head, flags) == 7 && offsetof(Head, size) == 8);

namespace flag {
inline constexpr std::uint8_t structural = 1, tag = 2, label = 4, durable = 8, blob = 16;
inline constexpr std::uint8_t all = structural | tag | label | durable | blob;
}  // namespace flag

/// What both checksums of the record at `start` begin with.
[[nodiscard]] inline std::uint32_t record_seed(std::uint64_t salt, Lsn start) noexcept {
    const std::uint64_t both[]{salt, start};
    return base::crc32c(~std::uint32_t{0}, std::as_bytes(std::span(both)));
}
/// The 16-bit check of a head. Its seed differs from the record's, else it would be a part of the
/// same sum and say nothing new.
[[nodiscard]] inline std::uint16_t head_check(std::uint32_t seed, const Head& head) noexcept {
    constexpr std::uint32_t other = 0x5bd1e995;
    const auto bytes = std::as_bytes(std::span(&head, 1)).subspan(offsetof(Head, kind));
    return static_cast<std::uint16_t>(base::crc32c(seed ^ other, bytes));
}
/// A kind and flags that go together, and a size that such a record can have.
[[nodiscard]] constexpr bool plausible(const Head& head) noexcept {
    switch (static_cast<RecordKind>(head.kind)) {
        case RecordKind::commit:
            return (head.flags & ~flag::all) == 0 && head.size > head_size;
        case RecordKind::filler:
            return head.flags == 0 && head.size % 8 == 0 && head.size >= 16;
        case RecordKind::source:
        case RecordKind::incarnation:
        case RecordKind::retention:
        case RecordKind::clock:
            return (head.flags & ~flag::all) == 0 && (head.flags & flag::blob) == 0 &&
                   head.size > head_size;
        case RecordKind::close:
            return (head.flags & ~flag::all) == 0 && (head.flags & flag::blob) == 0 &&
                   (head.flags & flag::durable) == 0 && head.size > head_size;
    }
    return false;
}
[[nodiscard]] inline Head load_head(std::span<const std::byte> bytes) noexcept {
    Head head;
    std::memcpy(&head, bytes.data(), sizeof head);
    return head;
}

}  // namespace mmsb::log
