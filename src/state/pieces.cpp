#include "state/stage.hpp"

#include <bit>

namespace mmsb::state {

namespace {

constexpr std::size_t line = 64;
constexpr std::size_t least_block = 64 * limits::kib;
constexpr std::size_t most_kept = 4 * limits::mib;

}  // namespace

std::span<std::byte> Pieces::take(std::size_t size) {
    const auto rounded = (size + line - 1) / line * line;
    while (rounded > room_.size()) {
        if (next_ == blocks_.size()) {
            // As much again as there is: many pieces take few blocks.
            const auto block = std::max({rounded, least_block, std::min(total_, most_kept)});
            blocks_.push_back({std::make_unique_for_overwrite<std::byte[]>(block + line), block});
            total_ += block;
        }
        auto& block = blocks_[next_++];
        const auto past = std::bit_cast<std::uintptr_t>(block.bytes.get()) % line;
        room_ = {block.bytes.get() + (line - past) % line, block.size};
    }
    const auto piece = room_.first(size);
    room_ = room_.subspan(rounded);
    return piece;
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
