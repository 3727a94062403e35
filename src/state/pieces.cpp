#include "state/stage.hpp"

#include "base/bytes.hpp"
#include "state/prefetch.hpp"

#include <bit>

namespace mmsb::state {

namespace {

constexpr std::size_t least_block = 64 * limits::kib;
constexpr std::size_t most_kept = 4 * limits::mib;

}  // namespace

void Pieces::make_room(std::size_t size) {
    while (size > room_.size()) {
        if (next_ == blocks_.size()) {
            // As much again as there is: many pieces take few blocks.
            const auto block = std::max({base::round_up(size, cache_line), least_block,
                                         std::min(base::round_up(total_, cache_line), most_kept)});
            blocks_.push_back(
                {std::make_unique_for_overwrite<std::byte[]>(block + cache_line), block});
            total_ += block;
        }
        auto& block = blocks_[next_++];
        const auto past = std::bit_cast<std::uintptr_t>(block.bytes.get()) % cache_line;
        room_ = {block.bytes.get() + (cache_line - past) % cache_line, block.size};
    }
}

std::span<std::byte> Pieces::take(std::size_t size) {
    const auto rounded = base::round_up(size, cache_line);
    make_room(rounded);
    const auto piece = room_.first(size);
    room_ = room_.subspan(rounded);
    return piece;
}

std::span<std::byte> Pieces::take_small(std::size_t size) {
    const auto rounded = base::round_up(size, small_alignment);
    make_room(rounded);
    room_ = room_.first(room_.size() - rounded);
    return {room_.data() + room_.size(), size};
}

void Pieces::clear() noexcept {
    while (total_ > most_kept) {
        total_ -= blocks_.back().size;
        blocks_.pop_back();
    }
    next_ = 0;
    room_ = {};
}

}  // namespace mmsb::state
