#include "graph/locality.hpp"

#include <algorithm>
#include <bit>

namespace mmsb::graph {

namespace {

// To what comes before it, where it begins in that or right behind: mostly it is the same of each
// parent.
void add(std::size_t begin, std::size_t end, std::size_t size, std::vector<ByteRange>& out) {
    end = std::min(end, size);
    if (begin >= end) return;
    if (!out.empty() && begin >= out.back().offset && begin - out.back().offset <= out.back().size)
        out.back().size = std::max(out.back().size, end - out.back().offset);
    else
        out.push_back({begin, end - begin});
}

// A lane begins at the same place in both.
inline void add_same_lanes(std::span<const ByteRange> changed, std::size_t size,
                           std::vector<ByteRange>& out) {
    for (const auto& [offset, n] : changed)
        add(offset / lanes_size * lanes_size, base::round_up(offset + n, lanes_size), size, out);
}

// A page has as many lanes as each parent: their sizes are in the same proportion.
bool add_scaled_lanes(std::size_t parent, std::span<const ByteRange> changed, std::size_t size,
                      std::vector<ByteRange>& out) {
    const auto larger = std::max(parent, size), smaller = std::min(parent, size);
    if (smaller == 0 || larger % smaller != 0) return false;
    const auto times = larger / smaller;
    if (!std::has_single_bit(times) || times > lanes_size) return false;
    for (const auto& [offset, n] : changed) {
        const auto begin = offset / lanes_size * lanes_size,
                   end = base::round_up(offset + n, lanes_size);
        if (size == larger)
            add(begin * times, end * times, size, out);
        else
            add(begin / times, end / times, size, out);
    }
    return true;
}

// Of several parents they may come mixed.
void put_in_order(std::vector<ByteRange>& ranges) {
    if (std::ranges::is_sorted(ranges, {}, &ByteRange::offset)) return;
    std::ranges::sort(ranges, {}, &ByteRange::offset);
    auto last = ranges.begin();
    for (auto at = last + 1; at != ranges.end(); ++at) {
        const auto end = last->offset + last->size;
        if (at->offset <= end)
            last->size = std::max(end, at->offset + at->size) - last->offset;
        else
            *++last = *at;
    }
    ranges.erase(last + 1, ranges.end());
}

}  // namespace

namespace detail {

bool find_reached_ranges(Locality locality, const Call& call, std::vector<ByteRange>& out) {
    out.clear();
    const auto size = call.out.size();
    switch (locality) {
        case Locality::opaque:
            return false;
        case Locality::passthrough:
            for (const auto changed : call.changed)
                for (const auto& [offset, n] : changed) add(offset, offset + n, size, out);
            break;
        case Locality::slice: {
            base::ByteReader in(call.arguments);
            const auto from = in.fixed<std::uint64_t>();
            if (in.failed() || call.parents.size() != 1 || from > call.parents[0].size())
                return false;
            for (const auto& [offset, n] : call.changed[0])
                if (offset + n > from)
                    add(offset > from ? offset - from : 0, offset + n - from, size, out);
            break;
        }
        case Locality::lane_wise:
            for (std::size_t i = 0; i != call.parents.size(); ++i) {
                const auto parent = call.parents[i].size();
                if (parent == size)
                    add_same_lanes(call.changed[i], size, out);
                else if (!add_scaled_lanes(parent, call.changed[i], size, out))
                    return false;
            }
            break;
    }
    put_in_order(out);
    return true;
}

}  // namespace detail

}  // namespace mmsb::graph
