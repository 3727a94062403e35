#include "state/stage.hpp"

#include <bit>

namespace mmsb::state {

std::span<std::byte> Pieces::take(std::size_t size) {
    constexpr std::size_t line = 64, least_block = std::size_t{64} * 1024;
    const auto rounded = (size + line - 1) / line * line;
    if (rounded > room_.size()) {
        const auto block = std::max(rounded, least_block);
        blocks_.push_back(std::make_unique_for_overwrite<std::byte[]>(block + line));
        auto* const begin = blocks_.back().get();
        const auto past = std::bit_cast<std::uintptr_t>(begin) % line;
        room_ = {begin + (line - past) % line, block};
    }
    const auto piece = room_.first(size);
    room_ = room_.subspan(rounded);
    return piece;
}

}  // namespace mmsb::state
