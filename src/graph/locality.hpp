/// graph/locality: which bytes of a derived page a change of its parents can reach, by what its
/// function says of itself. Pure.
#pragma once

#include "base/bytes.hpp"
#include "graph/function.hpp"

#include <algorithm>
#include <vector>

namespace mmsb::graph {

/// What a change reaches is rounded to so many bytes: a whole number of lanes, whatever their size.
inline constexpr std::size_t lanes_size = 64;

namespace detail {

// Of parents of the page's size, no more than one stretch of each, and all of them together: what
// there is to say of most pages, which are visited one behind the other, so without a call. False:
// it is not as simple as that.
[[nodiscard]] inline bool find_one_stretch_of_lanes(const Call& call, ByteRange& out) noexcept {
    const auto size = call.out.size();
    const auto first = call.changed.front();
    if (size % lanes_size != 0 || call.parents.front().size() != size || first.size() != 1)
        return false;
    const auto begin_of = [](const ByteRange& range) {
        return range.offset / lanes_size * lanes_size;
    };
    const auto end_of = [](const ByteRange& range) {
        return base::round_up(range.offset + range.size, lanes_size);
    };
    auto begin = begin_of(first.front()), end = end_of(first.front());
    for (std::size_t i = 1; i != call.parents.size(); ++i) {
        const auto more = call.changed[i];
        if (call.parents[i].size() != size || more.size() > 1) return false;
        if (more.empty()) continue;
        if (begin_of(more.front()) > end || end_of(more.front()) < begin) return false;
        begin = std::min(begin, begin_of(more.front()));
        end = std::max(end, end_of(more.front()));
    }
    out = {begin, end - begin};
    return true;
}

[[nodiscard]] bool find_reached_ranges(Locality locality, const Call& call,
                                       std::vector<ByteRange>& out);

}  // namespace detail

/// Stretches of `call.out` outside of which all bytes stay as they were, ascending and apart.
/// False: that cannot be said, so all of it. REQUIRES a parent.
[[nodiscard]] inline bool reached_ranges(Locality locality, const Call& call,
                                         std::vector<ByteRange>& out) {
    ByteRange one;
    if (locality == Locality::lane_wise && detail::find_one_stretch_of_lanes(call, one)) {
        out.resize(1);
        out.front() = one;
        return true;
    }
    return detail::find_reached_ranges(locality, call, out);
}

}  // namespace mmsb::graph
