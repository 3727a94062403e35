#include "delta/ranges.hpp"

#include "delta/layout.hpp"
#include "delta/windows.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

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

// Which bytes differ. Called for each page of a graph, where what is looked at is mostly in one
// window: choosing an instruction set would take as long as looking.
std::uint64_t one_mask(const std::byte* before, const std::byte* after) noexcept {
    std::uint64_t mask = 0;
#if defined(__x86_64__)
    constexpr std::size_t step = sizeof(__m128i);
    for (std::size_t at = 0; at != window; at += step) {
        const auto was = _mm_loadu_si128(reinterpret_cast<const __m128i*>(before + at));
        const auto is = _mm_loadu_si128(reinterpret_cast<const __m128i*>(after + at));
        const auto same = static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(was, is)));
        mask |= std::uint64_t{same ^ 0xFFFFU} << at;
    }
#else
    for (std::size_t at = 0; at != window; ++at)
        mask |= std::uint64_t{before[at] != after[at]} << at;
#endif
    return mask;
}

// Of less than a window; what is behind it is the same.
std::uint64_t last_mask(const Part& part) noexcept {
    std::array<std::byte, window> was{}, is{};
    std::memcpy(was.data(), part.before.data(), part.before.size());
    std::memcpy(is.data(), part.after.data(), part.after.size());
    return one_mask(was.data(), is.data());
}

// Of no more than a window.
void add_one_window(const Part& part, std::vector<ByteRange>& out) {
    if (part.after.empty()) return;
    const auto mask = part.after.size() == window ? one_mask(part.before.data(), part.after.data())
                                                  : last_mask(part);
    if (mask != 0)
        add(part.offset, part.offset + static_cast<std::size_t>(std::countr_zero(mask)),
            part.offset + static_cast<std::size_t>(std::bit_width(mask)), out);
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
