/// state/prefetch: asking for a page's bytes before they are needed.
///
/// Where a page's bytes are stands in its line, so finding them is two misses, one behind the
/// other. A handle remembers where they were when it was made: then both are on their way at once,
/// asked for here or read from there (state/read), which counts once the line says the same. It is
/// a hint; a wrong one costs time and nothing else.
#pragma once

#include "state/attachment.hpp"

#include <algorithm>

namespace mmsb::state {

/// 0: not known. Else the page's place in units of cache lines, and behind it how many of these are
/// worth asking for; the rest of a longer page comes by the processor's own foresight.
using PlaceHint = std::uint64_t;

inline constexpr std::uint64_t cache_line = 64, most_lines = 16;
inline constexpr unsigned lines_bits = 5;

[[nodiscard]] inline PlaceHint hint_of(std::uint64_t offset, std::uint64_t size) noexcept {
    const auto lines = std::min(size / cache_line + (size % cache_line != 0 ? 1 : 0), most_lines);
    return offset / cache_line << lines_bits | lines;
}
[[nodiscard]] inline PlaceHint hint_of(const Attachment& bus, std::uint32_t line) noexcept {
    const auto* at = line == unknown_line ? nullptr : bus.arena->line(line);
    return at == nullptr ? 0 : hint_of(at->offset.load(relaxed), at->size.load(relaxed));
}
/// Where its bytes begin, in the heap.
[[nodiscard]] inline std::uint64_t offset_of(PlaceHint hint) noexcept {
    return (hint >> lines_bits) * cache_line;
}
inline void prefetch(const Attachment& bus, PlaceHint hint) noexcept {
    const auto lines = hint & ((1U << lines_bits) - 1);
    if (lines == 0) return;
    if (const auto bytes = bus.arena->bytes(offset_of(hint), 1))
        for (std::uint64_t i = 0; i < lines; i += 2) {  // one too many costs less than counting
            __builtin_prefetch(bytes->data() + i * cache_line);
            __builtin_prefetch(bytes->data() + (i + 1) * cache_line);
        }
}

}  // namespace mmsb::state
