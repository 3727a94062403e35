#include "api/overlay.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace mmsb::detail {

Overlay::Stretch Overlay::copy(std::span<const std::byte> bytes) {
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

bool Overlay::put_inside(const auto& stretch, std::uint64_t offset,
                         std::span<const std::byte> bytes) noexcept {
    if (stretch.first > offset || end_of(stretch) < offset + bytes.size()) return false;
    std::memcpy(stretch.second.bytes.data() + (offset - stretch.first), bytes.data(), bytes.size());
    return true;
}

void Overlay::put(std::uint64_t offset, std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    if (only_) {
        if (put_inside(*only_, offset, bytes)) return;
        stretches_.try_emplace(only_->first, only_->second);
        only_.reset();
    } else if (stretches_.empty()) {
        only_.emplace(offset, copy(bytes));
        return;
    }
    put_beside(offset, bytes);
}

void Overlay::put_beside(std::uint64_t offset, std::span<const std::byte> bytes) {
    const auto end = offset + bytes.size();
    auto at = stretches_.upper_bound(offset);
    if (at != stretches_.begin()) --at;
    if (at != stretches_.end() && put_inside(*at, offset, bytes)) return;
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
    if (only_) {
        if (only_->first < size)
            only_->second.cut(size - only_->first);
        else
            only_.reset();
        return;
    }
    stretches_.erase(stretches_.lower_bound(size), stretches_.end());
    if (stretches_.empty()) return;
    auto& [offset, last] = *stretches_.rbegin();
    last.cut(size - offset);
}

void Overlay::over(std::span<std::byte> out, std::uint64_t offset) const {
    const auto end = offset + out.size();
    const auto show = [&](const auto& stretch) {
        const auto from = std::max(stretch.first, offset), to = std::min(end_of(stretch), end);
        if (from >= to) return;
        std::memcpy(out.data() + (from - offset),
                    stretch.second.bytes.data() + (from - stretch.first),
                    static_cast<std::size_t>(to - from));
    };
    if (only_) return show(*only_);
    auto at = stretches_.upper_bound(offset);
    if (at != stretches_.begin()) --at;
    for (; at != stretches_.end() && at->first < end; ++at) show(*at);
}

std::span<const state::Write> Overlay::writes() const {
    const auto all = pieces_.make<state::Write>(only_ ? 1 : stretches_.size());
    if (only_) all.front() = {only_->first, only_->second.bytes};
    std::ranges::transform(stretches_, all.begin(), [](const auto& stretch) {
        return state::Write{stretch.first, stretch.second.bytes};
    });
    return all;
}

}  // namespace mmsb::detail
