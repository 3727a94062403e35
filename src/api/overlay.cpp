#include "api/overlay.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace mmsb::detail {

Overlay::Stretch Overlay::copy(std::span<const std::byte> bytes) {
    constexpr std::size_t short_write = 4096;
    const bool is_short = !std::exchange(written_, true) && bytes.size() <= short_write;
    auto made = is_short ? Stretch(pieces_.take(bytes.size())) : Stretch(bytes.size());
    std::memcpy(made.bytes.data(), bytes.data(), bytes.size());
    return made;
}

// A little rest does not keep the memory of much.
Overlay::Stretch Overlay::rest_of(const Stretch& stretch, std::uint64_t from) {
    const auto rest = stretch.bytes.subspan(static_cast<std::size_t>(from));
    if (rest.size() >= stretch.owned / 2) {
        auto same = stretch;
        same.bytes = rest;
        return same;
    }
    Stretch made(rest.size());
    std::memcpy(made.bytes.data(), rest.data(), rest.size());
    return made;
}

void Overlay::put(std::uint64_t offset, std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    const auto end = offset + bytes.size();
    auto at = stretches_.upper_bound(offset);
    if (at != stretches_.begin()) --at;
    if (at != stretches_.end() && at->first <= offset && end_of(*at) >= end) {  // inside one
        std::memcpy(at->second.bytes.data() + (offset - at->first), bytes.data(), bytes.size());
        return;
    }
    // First what may fail: who goes on after it has lost nothing that was staged.
    Stretches fresh(stretches_.get_allocator());
    fresh.try_emplace(offset, copy(bytes));
    const auto behind = stretches_.lower_bound(end);
    if (behind != stretches_.begin()) {
        const auto& last = *std::prev(behind);
        if (end_of(last) > end) fresh.try_emplace(end, rest_of(last.second, end - last.first));
    }
    while (at != behind) {
        if (at->first < offset) {
            at->second.cut(offset - at->first);
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
    auto& [offset, last] = *stretches_.rbegin();
    last.cut(size - offset);
}

void Overlay::over(std::span<std::byte> out, std::uint64_t offset) const {
    const auto end = offset + out.size();
    auto at = stretches_.upper_bound(offset);
    if (at != stretches_.begin()) --at;
    for (; at != stretches_.end() && at->first < end; ++at) {
        const auto from = std::max(at->first, offset), to = std::min(end_of(*at), end);
        if (from >= to) continue;
        std::memcpy(out.data() + (from - offset), at->second.bytes.data() + (from - at->first),
                    static_cast<std::size_t>(to - from));
    }
}

std::span<const state::Write> Overlay::writes() const {
    const auto all = pieces_.make<state::Write>(stretches_.size());
    std::ranges::transform(stretches_, all.begin(), [](const auto& stretch) {
        return state::Write{stretch.first, stretch.second.bytes};
    });
    return all;
}

}  // namespace mmsb::detail
