#include "base/bytes.hpp"

namespace mmsb::base {

std::uint64_t ByteReader::long_varint() noexcept {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (failed_ || at_ == in_.size()) break;
        const auto byte = std::to_integer<std::uint64_t>(in_[at_++]);
        const auto low = byte & 0x7FU;
        // The tenth byte has room for one bit of the 64.
        if (shift == 63 && low > 1) break;
        value |= low << shift;
        if ((byte & 0x80U) == 0) {
            // A last byte of zero says nothing: one number would have many forms.
            if (low == 0 && shift != 0) break;
            return value;
        }
    }
    failed_ = true;
    return 0;
}

}  // namespace mmsb::base
