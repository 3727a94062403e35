#include "delta/ranges.hpp"

#include "delta/compare.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace mmsb::delta {

void changed_ranges(std::span<const std::byte> before, std::span<const std::byte> now,
                    std::vector<ByteRange>& out) {
    out.clear();
    if (before.size() != now.size()) {
        out.push_back({0, now.size()});
        return;
    }
    constexpr std::size_t windows = 64;
    std::array<std::uint64_t, windows> masks{};
    for (std::size_t at = 0; at < now.size(); at += windows * window) {
        const auto n = std::min(windows * window, now.size() - at);
        if (compare(before.data() + at, now.data() + at, n, masks.data()) == 0) continue;
        for (std::size_t w = 0; w * window < n; ++w) {
            if (masks[w] == 0) continue;
            const auto begin = at + w * window;
            const auto first = begin + static_cast<std::size_t>(std::countr_zero(masks[w]));
            const auto end = begin + static_cast<std::size_t>(std::bit_width(masks[w]));
            const bool goes_on =
                !out.empty() && begin != 0 && out.back().offset + out.back().size + window > begin;
            if (goes_on)
                out.back().size = end - out.back().offset;
            else
                out.push_back({first, end - first});
        }
    }
}

}  // namespace mmsb::delta
