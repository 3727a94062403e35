/// base/copy: bytes from one place to another.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

namespace mmsb::base {

/// To where there is room for them, which is somewhere else. Returns where they end there. (Of
/// spans std::ranges::copy is a loop over sixteen bytes in libstdc++ 12, not memcpy.)
inline std::byte* copy(std::span<const std::byte> from, std::byte* to) noexcept {
    if (!from.empty()) std::memcpy(to, from.data(), from.size());
    return to + from.size();
}

}  // namespace mmsb::base
