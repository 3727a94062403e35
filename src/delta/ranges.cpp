#include "delta/ranges.hpp"

#include "delta/compare.hpp"

#include <algorithm>
#include <cstring>

namespace mmsb::delta {

std::vector<ByteRange> changed_ranges(std::span<const std::byte> before,
                                      std::span<const std::byte> now) {
    if (before.size() != now.size()) return {{0, now.size()}};
    std::vector<ByteRange> ranges;
    const auto differ = [&](std::size_t i) { return before[i] != now[i]; };
    for (std::size_t at = 0; at < now.size(); at += window) {
        const auto n = std::min(window, now.size() - at);
        if (std::memcmp(before.data() + at, now.data() + at, n) == 0) continue;
        auto first = at, last = at + n - 1;
        while (!differ(first)) ++first;
        while (!differ(last)) --last;
        const bool goes_on =
            !ranges.empty() && at != 0 && ranges.back().offset + ranges.back().size + window > at;
        if (goes_on)
            ranges.back().size = last + 1 - ranges.back().offset;
        else
            ranges.push_back({first, last + 1 - first});
    }
    return ranges;
}

}  // namespace mmsb::delta
