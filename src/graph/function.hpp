/// graph/function: what computes a derived page, and the functions that every process has. Pure.
///
/// A function's name ends with its version ("mmsb.copy/1"): another result for the same bytes is
/// another version, because old records are replayed with the name that they have.
#pragma once

#include <mmsb/types.hpp>

#include <functional>
#include <span>
#include <string_view>

namespace mmsb::graph {

/// What a function sees during one call.
struct Call {
    PageId page = PageId::none;
    std::span<const std::span<const std::byte>> parents{};
    /// Which bytes of each parent changed; at the first call all.
    std::span<const std::span<const ByteRange>> changed{};
    std::span<const std::byte> arguments{};
    std::span<std::byte> out{};  ///< As the page was; to be written.
};
using Function = std::function<void(const Call&)>;

/// A function that every process has.
struct BuiltIn {
    Function call{};
    Locality locality = Locality::opaque;
};

/// The built-in function of that name; nullptr: there is none. They throw InvalidArgument where
/// sizes or arguments do not fit. Arguments are little-endian.
///
///     mmsb.copy/1         the parent's bytes; of the parent's size
///     mmsb.slice/1        u64 offset, u64 size: that part of the parent; of that size
///     mmsb.concatenate/1  all parents, one behind the other; of their size together
///     mmsb.checksum/1     CRC-32C (Castagnoli) of the parent as u32; 4 bytes
///     mmsb.threshold/1    f64 limit: 1 where the parent's first f64 is above it, else 0; 1 byte
///     mmsb.fold/1         u8 fold (0 sum, 1 minimum, 2 maximum, 3 count of those that are not 0),
///                         u8 lane (0 i32, 1 i64, 2 f32, 3 f64) over all whole lanes of all
///                         parents, in order; one lane, of a count a u64. Sums of integers wrap;
///                         sums of floats are made in f64, from the first lane to the last. Of no
///                         lane at all: 0.
[[nodiscard]] const BuiltIn* built_in(std::string_view name);

}  // namespace mmsb::graph
