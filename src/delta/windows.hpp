/// delta/windows: the windows of 64 bytes in which two versions of a page differ, and the counts
/// from which the sizes of all encodings follow. Internal to the room. Pure.
#pragma once

#include "delta/codec.hpp"
#include "delta/compare.hpp"

#include <cstddef>
#include <cstdint>

namespace mmsb::delta {

/// A window with at least one changed byte: bit i of `mask` is the byte at offset + i.
/// Trivial, so that a large array of them costs nothing until it is used.
struct Window {
    std::size_t offset;
    std::uint64_t mask;
    const std::byte* after;  ///< The new bytes from `offset` on; only set bits are read.
};

/// What was found so far in a page.
struct Tally {
    std::uint64_t changed = 0;  ///< Bytes.
    std::uint64_t runs = 0;     ///< Maximal ones.
    std::uint64_t windows = 0;  ///< Not empty.
    /// Where the last part ended, if its last byte changed: a part that begins here goes on with
    /// that run.
    std::size_t open_end = ~std::size_t{0};
};

/// Compares one part, adds it to `tally`, and writes its windows to `out` (room for
/// ceil(size / 64)). Returns how many there are. By Highway, like compare().
/// REQUIRES parts in ascending order.
std::size_t collect(const Part& part, Window* out, Tally& tally) noexcept;

}  // namespace mmsb::delta
