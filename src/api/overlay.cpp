#include "api/overlay.hpp"

#include "state/prefetch.hpp"

#include <algorithm>
#include <cstring>

namespace mmsb::detail {

namespace {

std::uint64_t end_of(const std::pair<const std::uint64_t, std::span<std::byte>>& stretch) {
    return stretch.first + stretch.second.size();
}

}  // namespace

// What is long is compared fastest where it is aligned as pages are.
std::span<std::byte> Overlay::copy(std::span<const std::byte> bytes) {
    const auto size = bytes.size();
    const auto to = size < state::cache_line ? pieces_.take_small(size) : pieces_.take(size);
    std::memcpy(to.data(), bytes.data(), size);
    return to;
}

void Overlay::put(std::uint64_t offset, std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    const auto end = offset + bytes.size();
    auto at = stretches_.upper_bound(offset);
    if (at != stretches_.begin()) --at;
    if (at != stretches_.end() && at->first <= offset && end_of(*at) >= end) {  // inside one
        std::memcpy(at->second.data() + (offset - at->first), bytes.data(), bytes.size());
        return;
    }
    // First what may fail: who goes on after it has lost nothing that was staged.
    Stretches fresh(stretches_.get_allocator());
    fresh.try_emplace(offset, copy(bytes));
    const auto behind = stretches_.lower_bound(end);
    if (behind != stretches_.begin()) {
        const auto& last = *std::prev(behind);
        if (end_of(last) > end)
            fresh.try_emplace(end, last.second.subspan(static_cast<std::size_t>(end - last.first)));
    }
    while (at != behind) {
        if (at->first < offset) {
            const auto before = static_cast<std::size_t>(offset - at->first);
            at->second = at->second.first(std::min(before, at->second.size()));
            ++at;
        } else {
            at = stretches_.erase(at);
        }
    }
    stretches_.merge(fresh);
}

void Overlay::cut(std::uint64_t size) {
    stretches_.erase(stretches_.lower_bound(size), stretches_.end());
    if (stretches_.empty()) return;
    auto& [offset, bytes] = *stretches_.rbegin();
    bytes = bytes.first(std::min(bytes.size(), static_cast<std::size_t>(size - offset)));
}

void Overlay::over(std::span<std::byte> out, std::uint64_t offset) const {
    const auto end = offset + out.size();
    auto at = stretches_.upper_bound(offset);
    if (at != stretches_.begin()) --at;
    for (; at != stretches_.end() && at->first < end; ++at) {
        const auto from = std::max(at->first, offset), to = std::min(end_of(*at), end);
        if (from >= to) continue;
        std::memcpy(out.data() + (from - offset), at->second.data() + (from - at->first),
                    static_cast<std::size_t>(to - from));
    }
}

std::span<const state::Write> Overlay::writes() const {
    const auto all = pieces_.make<state::Write>(stretches_.size());
    std::ranges::transform(stretches_, all.begin(), [](const auto& stretch) {
        return state::Write{stretch.first, stretch.second};
    });
    return all;
}

}  // namespace mmsb::detail
