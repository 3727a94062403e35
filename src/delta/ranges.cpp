#include "delta/ranges.hpp"

#include "delta/compare.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace mmsb::delta {

namespace {

constexpr std::size_t windows = 64;

// Of [begin, begin + size); `out` holds what is before that.
void add_changed(const std::byte* before, const std::byte* now, std::size_t begin, std::size_t size,
                 std::vector<ByteRange>& out) {
    std::array<std::uint64_t, windows> masks;
    for (std::size_t at = 0; at < size; at += windows * window) {
        const auto n = std::min(windows * window, size - at);
        if (compare(before + begin + at, now + begin + at, n, masks.data()) == 0) continue;
        for (std::size_t w = 0; w * window < n; ++w) {
            if (masks[w] == 0) continue;
            const auto start = begin + at + w * window;
            const auto first = start + static_cast<std::size_t>(std::countr_zero(masks[w]));
            const auto end = start + static_cast<std::size_t>(std::bit_width(masks[w]));
            if (!out.empty() && out.back().offset + out.back().size + window > start)
                out.back().size = end - out.back().offset;
            else
                out.push_back({first, end - first});
        }
    }
}

}  // namespace

void changed_ranges(std::span<const std::byte> before, std::span<const std::byte> now,
                    std::vector<ByteRange>& out) {
    out.clear();
    if (before.size() == now.size())
        add_changed(before.data(), now.data(), 0, now.size(), out);
    else
        out.push_back({0, now.size()});
}

void changed_ranges(std::span<const std::byte> before, std::span<const std::byte> now,
                    std::span<const ByteRange> within, std::vector<ByteRange>& out) {
    if (before.size() != now.size()) return changed_ranges(before, now, out);
    out.clear();
    for (const auto& [offset, size] : within)
        add_changed(before.data(), now.data(), offset, size, out);
}

}  // namespace mmsb::delta
