#include "base/bytes.hpp"

#include <algorithm>

namespace mmsb::base {

bool all_zero(std::span<const std::byte> bytes) noexcept {
    constexpr std::size_t few = 16;
    if (bytes.size() >= few)  // each byte is the one before it
        return bytes[0] == std::byte{0} &&
               std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
    unsigned any = 0;
    for (const auto byte : bytes) any |= std::to_integer<unsigned>(byte);
    return any == 0;
}

// Size 0: it is longer, or none.
ByteReader::Varint ByteReader::varint_in(std::uint64_t word) noexcept {
    constexpr std::uint64_t more = 0x8080808080808080;
    const auto last = ~word & more;  // the first byte that none follows
    if (last == 0) return {};
    const auto bits = static_cast<unsigned>(std::countr_zero(last)) + 1;
    const auto size = bits / 8;
    word &= ~more & (~std::uint64_t{0} >> (64 - bits));
    // Seven bits of each byte: pairs of them are drawn together, then fours, then all.
    word = (word & 0x007F007F007F007F) | (word & 0x7F007F007F007F00) >> 1U;
    word = (word & 0x00003FFF00003FFF) | (word & 0x3FFF00003FFF0000) >> 2U;
    word = (word & 0x000000000FFFFFFF) | (word & 0x0FFFFFFF00000000) >> 4U;
    // A last byte of zero says nothing: one number would have many forms.
    if (size > 1 && word >> (7 * (size - 1)) == 0) return {};
    return {word, size};
}

ByteReader::Varint ByteReader::varint_by_bytes(const std::byte* at, std::size_t left) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i != std::min(left, varint_max); ++i) {
        const auto byte = std::to_integer<std::uint64_t>(at[i]);
        const auto low = byte & 0x7FU;
        // The tenth byte has room for one bit of the 64.
        if (i + 1 == varint_max && low > 1) break;
        value |= low << (7 * i);
        if ((byte & 0x80U) == 0) {
            if (low == 0 && i != 0) break;  // as above
            return {value, i + 1};
        }
    }
    return {};
}

}  // namespace mmsb::base
