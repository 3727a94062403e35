#include "delta/ranges.hpp"

#include "delta/layout.hpp"
#include "delta/windows.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace mmsb::delta {

namespace {

constexpr std::size_t at_a_time = 64;  // windows

// [first, end), in a window that begins at `begin`.
void add(std::size_t begin, std::size_t first, std::size_t end, std::vector<ByteRange>& ranges) {
    if (!ranges.empty() && ranges.back().offset + ranges.back().size + window > begin)
        ranges.back().size = end - ranges.back().offset;
    else
        ranges.push_back({first, end - first});
}

// The first and the last byte that are another, and those between them.
struct Differing {
    std::size_t first = 0, end = 0;

    void add(std::uint64_t differs, std::size_t at) noexcept {
        if (differs == 0) return;
        if (end == 0) first = at + static_cast<std::size_t>(std::countr_zero(differs)) / 8;
        end = at + (static_cast<std::size_t>(std::bit_width(differs)) + 7) / 8;
    }
};

// Of no more than a window: what is found of it needs no mask.
void add_one_window(const Part& part, std::vector<ByteRange>& out) {
    constexpr std::size_t word = sizeof(std::uint64_t);
    const auto* const before = part.before.data();
    const auto* const after = part.after.data();
    const auto size = part.after.size();
    Differing differing;
    std::size_t at = 0;
    for (; at + word <= size; at += word)
        differing.add(load<std::uint64_t>(before + at) ^ load<std::uint64_t>(after + at), at);
    if (at != size) {
        std::uint64_t was = 0, is = 0;
        std::memcpy(&was, before + at, size - at);
        std::memcpy(&is, after + at, size - at);
        differing.add(was ^ is, at);
    }
    if (differing.end != 0)
        add(part.offset, part.offset + differing.first, part.offset + differing.end, out);
}

void add_windows(const Part& part, std::vector<ByteRange>& out) {
    std::array<Window, at_a_time> found;
    Tally ignored;
    for (std::size_t at = 0; at < part.after.size(); at += at_a_time * window) {
        const auto n = std::min(at_a_time * window, part.after.size() - at);
        const Part some{part.offset + at, part.before.subspan(at, n), part.after.subspan(at, n)};
        const auto count = collect(some, Expect::few, found.data(), ignored);
        add_ranges(std::span(found).first(count), out);
    }
}

// (inline: of what is called for each page, twice, the compiler makes one function.)
inline void add_part(const Part& part, std::vector<ByteRange>& out) {
    part.after.size() <= window ? add_one_window(part, out) : add_windows(part, out);
}

}  // namespace

void add_ranges(std::span<const Window> windows, std::vector<ByteRange>& ranges) {
    for (const auto& w : windows) {
        const auto first = w.offset + static_cast<std::size_t>(std::countr_zero(w.mask));
        const auto end = w.offset + static_cast<std::size_t>(std::bit_width(w.mask));
        add(w.offset, first, end, ranges);
    }
}

void add_changed_ranges(const Part& part, std::vector<ByteRange>& out) { add_part(part, out); }

void changed_ranges(std::span<const std::byte> before, std::span<const std::byte> now,
                    std::vector<ByteRange>& out) {
    const ByteRange whole{0, now.size()};
    changed_ranges(before, now, std::span(&whole, 1), out);
}

void changed_ranges(std::span<const std::byte> before, std::span<const std::byte> now,
                    std::span<const ByteRange> within, std::vector<ByteRange>& out) {
    if (before.size() != now.size()) return out.assign(1, {0, now.size()});
    out.clear();
    for (const auto& [offset, size] : within)
        add_part({offset, before.subspan(offset, size), now.subspan(offset, size)}, out);
}

}  // namespace mmsb::delta
