/// delta/ranges: where two states of a page differ, roughly. Pure.
#pragma once

#include "delta/codec.hpp"

#include <mmsb/types.hpp>

#include <span>
#include <vector>

namespace mmsb::delta {

/// Stretches that hold all bytes which differ, ascending; between two of them there is a whole
/// window (compare.hpp) in which none does. Of another size: all of it. Linear.
void changed_ranges(std::span<const std::byte> before, std::span<const std::byte> now,
                    std::vector<ByteRange>& out);

/// The same where it is known that they differ nowhere else than `within`, ascending and apart.
void changed_ranges(std::span<const std::byte> before, std::span<const std::byte> now,
                    std::span<const ByteRange> within, std::vector<ByteRange>& out);

/// The same of one part: behind those that are there, which lie before it.
void add_changed_ranges(const Part& part, std::vector<ByteRange>& out);

}  // namespace mmsb::delta
