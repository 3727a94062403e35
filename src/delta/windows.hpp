/// delta/windows: the windows of 64 bytes in which two versions of a page differ, and the counts
/// from which the sizes of all encodings follow. Internal to the room. Pure.
#pragma once

#include "delta/codec.hpp"
#include "delta/compare.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

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

/// What a comparison is quickest for; what it finds is the same.
enum class Expect : std::uint8_t {
    any,  ///< Changes all over the page.
    few,  ///< Long stretches that are the same.
};
/// Compares one part, adds it to `tally`, and writes its windows to `out` (room for
/// ceil(size / 64)). Returns how many there are. By Highway, like compare().
/// REQUIRES parts in ascending order.
std::size_t collect(const Part& part, Expect expect, Window* out, Tally& tally) noexcept;

/// Stretches that hold all bytes which differ, with a whole window of 64 between two of them:
/// behind those that are there.
void add_ranges(std::span<const Window> windows, std::vector<ByteRange>& ranges);

/// Writes the windows' changed bytes, one behind the other. Returns where they end. By Highway.
std::byte* gather(std::span<const Window> windows, std::byte* values) noexcept;

/// Where the parts of a delta by buckets (codec.hpp) are written next.
struct Buckets {
    std::byte* counts;  ///< Of all buckets; zero at first.
    std::byte* positions;
    std::byte* values;  ///< nullptr: somebody else writes them.
};
/// Likewise, with how many there are in each bucket, and where.
void gather_in_buckets(std::span<const Window> windows, Buckets& to) noexcept;

}  // namespace mmsb::delta
