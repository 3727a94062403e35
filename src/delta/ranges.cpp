#include "delta/ranges.hpp"

#include "delta/windows.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace mmsb::delta {

namespace {

constexpr std::size_t at_a_time = 64;  // windows

// Of `size` bytes of the page from `begin` on.
void add_changed(const std::byte* before, const std::byte* now, std::size_t begin, std::size_t size,
                 std::vector<ByteRange>& out) {
    std::array<Window, at_a_time> found;
    Tally ignored;
    for (std::size_t at = 0; at < size; at += at_a_time * window) {
        const auto offset = begin + at, n = std::min(at_a_time * window, size - at);
        const auto count = collect({offset, {before + offset, n}, {now + offset, n}}, Expect::few,
                                   found.data(), ignored);
        add_ranges(std::span(found).first(count), out);
    }
}

}  // namespace

void add_ranges(std::span<const Window> windows, std::vector<ByteRange>& ranges) {
    for (const auto& w : windows) {
        const auto first = w.offset + static_cast<std::size_t>(std::countr_zero(w.mask));
        const auto end = w.offset + static_cast<std::size_t>(std::bit_width(w.mask));
        if (!ranges.empty() && ranges.back().offset + ranges.back().size + window > w.offset)
            ranges.back().size = end - ranges.back().offset;
        else
            ranges.push_back({first, end - first});
    }
}

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
