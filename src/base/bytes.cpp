#include "base/bytes.hpp"

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

std::uint64_t ByteReader::long_varint() noexcept {
    if (!failed_ && left() >= sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, in_.data() + at_, sizeof word);
        constexpr std::uint64_t more = 0x8080808080808080;
        // The first byte that none follows. Where it is none of these eight: byte by byte, below.
        if (const auto last = ~word & more; last != 0) {
            const auto bits = static_cast<unsigned>(std::countr_zero(last)) + 1;
            const auto size = bits / 8;
            word &= ~more & (~std::uint64_t{0} >> (64 - bits));
            // Seven bits of each byte: pairs of them are drawn together, then fours, then all.
            word = (word & 0x007F007F007F007F) | (word & 0x7F007F007F007F00) >> 1U;
            word = (word & 0x00003FFF00003FFF) | (word & 0x3FFF00003FFF0000) >> 2U;
            word = (word & 0x000000000FFFFFFF) | (word & 0x0FFFFFFF00000000) >> 4U;
            at_ += size;
            // A last byte of zero says nothing: one number would have many forms.
            failed_ = size > 1 && word >> (7 * (size - 1)) == 0;
            return failed_ ? 0 : word;
        }
    }
    return varint_by_bytes();
}

std::uint64_t ByteReader::varint_by_bytes() noexcept {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (failed_ || at_ == in_.size()) break;
        const auto byte = std::to_integer<std::uint64_t>(in_[at_++]);
        const auto low = byte & 0x7FU;
        // The tenth byte has room for one bit of the 64.
        if (shift == 63 && low > 1) break;
        value |= low << shift;
        if ((byte & 0x80U) == 0) {
            if (low == 0 && shift != 0) break;  // as above
            return value;
        }
    }
    failed_ = true;
    return 0;
}

}  // namespace mmsb::base
