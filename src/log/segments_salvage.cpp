// The segments of a damaged log: those that can be read.
#include "log/segments.hpp"

#include <mmsb/error.hpp>

#include <fmt/format.h>

namespace mmsb::log {

Segments::Segments(os::Folder& folder, const Uuid& bus, std::vector<Problem>& problems)
    : folder_(folder), bus_(bus), geometry_(), writable_(false) {
    std::uint64_t expected = 0;
    for (const auto& name : folder_.list()) {  // Sorted: by id.
        const auto id = segment_id(name);
        if (!id) continue;
        const auto path = folder_.path() + '/' + name;
        if (expected != 0 && expected != *id) {
            problems.push_back({expected,
                                folder_.path() + '/' + segment_name(expected),
                                {Refusal::Kind::damaged, 0, fmt::format("segment {}", expected),
                                 fmt::format("no file; the next one is segment {}", *id)}});
        }
        expected = *id + 1;
        try {
            auto segment = open_segment(*id);
            if (!segment) continue;  // dropped by another process meanwhile
            const auto start = segment->header.start;
            while (!segments_.empty() && segments_.back()->header.start >= start)
                segments_.pop_back();
            segments_.push_back(std::move(segment));
        } catch (const Corrupt& e) {
            problems.push_back(
                {*id, path, {Refusal::Kind::damaged, e.offset(), e.expected(), e.found()}});
        }
    }
    frozen_ = true;
}

}  // namespace mmsb::log
