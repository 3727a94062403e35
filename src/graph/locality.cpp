#include "graph/locality.hpp"

#include "base/bytes.hpp"

#include <algorithm>
#include <bit>

namespace mmsb::graph {

namespace {

constexpr std::size_t lanes = 64;  // bytes: a whole number of lanes, of whatever size they are

void add(std::size_t begin, std::size_t end, std::size_t size, std::vector<ByteRange>& out) {
    end = std::min(end, size);
    if (begin < end) out.push_back({begin, end - begin});
}

bool add_lanes(std::size_t parent, std::span<const ByteRange> changed, std::size_t size,
               std::vector<ByteRange>& out) {
    // A page has as many lanes as each parent: their sizes are in the same proportion.
    const auto larger = std::max(parent, size), smaller = std::min(parent, size);
    std::size_t times = 1;
    if (larger != smaller) {  // mostly not: dividing takes as long as all the rest
        if (smaller == 0 || larger % smaller != 0) return false;
        times = larger / smaller;
        if (!std::has_single_bit(times) || times > lanes) return false;
    }
    for (const auto& [offset, n] : changed) {
        const auto begin = offset / lanes * lanes, end = base::round_up(offset + n, lanes);
        if (size == larger)
            add(begin * times, end * times, size, out);
        else
            add(begin / times, end / times, size, out);
    }
    return true;
}

// Of several parents they come mixed.
void put_in_order(std::vector<ByteRange>& ranges) {
    if (ranges.size() < 2) return;
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

bool reached_ranges(Locality locality, const Call& call, std::vector<ByteRange>& out) {
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
            for (std::size_t i = 0; i != call.parents.size(); ++i)
                if (!add_lanes(call.parents[i].size(), call.changed[i], size, out)) return false;
            break;
    }
    put_in_order(out);
    return true;
}

}  // namespace mmsb::graph
