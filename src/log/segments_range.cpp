// Which segment holds a position, for who reads records: without a lock where it was asked before.
#include "base/assert.hpp"
#include "log/segments.hpp"

namespace mmsb::log {

// Acquire and release at every step, so that the version after is not read before the rest.
std::optional<Range> KeptRange::get(Lsn lsn) const noexcept {
    constexpr auto acquire = std::memory_order_acquire;
    const auto version = version_.load(acquire);
    const Range range{start_.load(acquire), end_.load(acquire),
                      Context{salt_.load(acquire), base_time_ns_.load(acquire)}};
    const bool whole = version % 2 == 0 && version_.load(acquire) == version;
    if (!whole || !range.holds(lsn)) return std::nullopt;
    return range;
}

void KeptRange::set(const Range& range) noexcept {
    if (range.start >= start_.load(std::memory_order_relaxed)) store(range);
}

void KeptRange::store(const Range& range) noexcept {
    constexpr auto release = std::memory_order_release;
    const auto version = version_.load(std::memory_order_relaxed);
    version_.store(version + 1, release);
    start_.store(range.start, release);
    end_.store(range.end, release);
    salt_.store(range.context.salt, release);
    base_time_ns_.store(range.context.base_time_ns, release);
    version_.store(version + 2, release);
}

std::optional<Range> Segments::range(Lsn lsn) {
    if (auto kept = kept_.get(lsn)) return kept;
    const auto [segment, end] = locate(lsn);
    if (!segment) return std::nullopt;
    const Range range{segment->header.start, end, segment->context()};
    const std::unique_lock lock(mutex_);
    // Not what was cut short or dropped between the two locks.
    if (const auto now = place_of(lsn); now.segment == segment && now.end == end) kept_.set(range);
    return range;
}

std::vector<Range> Segments::ranges() {
    std::vector<Range> all;
    for (const auto& [segment, end] : places())
        all.push_back({segment->header.start, end, segment->context()});
    return all;
}

Lsn Segments::extend(Lsn upto, std::int64_t base_time_ns) {
    const auto known = places();
    MMSB_ASSERT(!known.empty());
    auto reached = known.back().end;
    while (reached < upto) reached = end_of(*make_segment(reached, base_time_ns, 0));
    return reached;
}

}  // namespace mmsb::log
