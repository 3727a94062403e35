#include "delta/ranges.hpp"

#include "delta/windows.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace mmsb::delta {

namespace {

constexpr std::size_t at_a_time = 64;  // windows

// [first, end), in a window that begins at `begin`.
inline void add(std::size_t begin, std::size_t first, std::size_t end,
                std::vector<ByteRange>& ranges) {
    if (!ranges.empty() && ranges.back().offset + ranges.back().size + window > begin)
        ranges.back().size = end - ranges.back().offset;
    else
        ranges.push_back({first, end - first});
}

constexpr std::size_t word = sizeof(std::uint64_t);

// The bits in which `n` bytes differ.
std::uint64_t differing(const std::byte* before, const std::byte* now,
                        std::size_t n = word) noexcept {
    std::uint64_t was = 0, is = 0;
    std::memcpy(&was, before, n);
    std::memcpy(&is, now, n);
    return was ^ is;
}

// Of no more than a window. Each byte is looked at once, as others may write `before` meanwhile. By
// words: what has just been computed was stored by words, mostly, and what reads more at once would
// wait for these stores. By branches: they are foreseen, and who goes on with what is found need
// not wait for it.
inline void add_one_window(std::size_t offset, const std::byte* before, const std::byte* now,
                           std::size_t size, std::vector<ByteRange>& out) {
    const auto words = size / word * word;
    const auto at = [&](std::size_t i) { return differing(before + i, now + i); };
    std::size_t first = 0, last = words;
    std::uint64_t in_first = 0;
    while (first != words && (in_first = at(first)) == 0) first += word;
    auto in_last = words == size ? 0 : differing(before + words, now + words, size - words);
    if (in_first == 0) in_first = in_last;  // first == words
    if (in_first == 0) return;
    while (in_last == 0) {
        last -= word;
        in_last = last == first ? in_first : at(last);
    }
    const auto begin = first + static_cast<std::size_t>(std::countr_zero(in_first)) / 8;
    const auto end = last + (static_cast<std::size_t>(std::bit_width(in_last)) + 7) / 8;
    add(offset, offset + begin, offset + end, out);
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
inline void add_part(std::size_t offset, const std::byte* before, const std::byte* now,
                     std::size_t size, std::vector<ByteRange>& out) {
    if (size <= window)
        add_one_window(offset, before, now, size, out);
    else
        add_windows({offset, {before, size}, {now, size}}, out);
}

}  // namespace

void add_ranges(std::span<const Window> windows, std::vector<ByteRange>& ranges) {
    for (const auto& w : windows) {
        const auto first = w.offset + static_cast<std::size_t>(std::countr_zero(w.mask));
        const auto end = w.offset + static_cast<std::size_t>(std::bit_width(w.mask));
        add(w.offset, first, end, ranges);
    }
}

void add_changed_ranges(const Part& part, std::vector<ByteRange>& out) {
    add_part(part.offset, part.before.data(), part.after.data(), part.after.size(), out);
}

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
        add_part(offset, before.data() + offset, now.data() + offset, size, out);
}

}  // namespace mmsb::delta
