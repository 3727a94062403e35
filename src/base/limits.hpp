/// base/limits: every number at which MMSB says no, and what happens there.
///
/// Tests make buses with a smaller Geometry, so that rings lap and segments end often.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mmsb::limits {

inline constexpr std::uint64_t kib = 1024, mib = 1024 * kib, gib = 1024 * mib, tib = 1024 * gib;

/// The sizes that a bus is made with; they are in its header file and never change.
struct Geometry {
    std::uint64_t ring_size = 16 * mib;  ///< Power of two, from 64 KiB to largest_ring.
    std::uint64_t segment_size =
        64 * mib;  ///< LSNs a segment maps, a multiple of 4096, >= ring_size.
    /// A larger record keeps its entries in a blob file and is a stub in the log.
    [[nodiscard]] constexpr std::uint64_t largest_record() const noexcept { return ring_size / 4; }
    friend bool operator==(const Geometry&, const Geometry&) = default;
};

inline constexpr std::uint64_t largest_ring = 512 * mib;
inline constexpr std::uint64_t address_room = 1 * tib;  ///< OutOfSpace "address space".
inline constexpr std::uint64_t page_size = std::uint64_t{1} << 40U;  ///< InvalidArgument.
inline constexpr std::size_t name_size = 255;                        ///< InvalidArgument.
inline constexpr std::size_t label_size = 1024;                      ///< InvalidArgument.
inline constexpr std::uint64_t source_names = 65'535;                ///< OutOfSpace "source names".
inline constexpr std::size_t metadata_size = 64 * kib;               ///< A page's; InvalidArgument.
inline constexpr std::uint64_t pages_per_record = 1U << 20U;         ///< InvalidArgument.
/// Of one formula: it is one item of a checkpoint's block. InvalidArgument.
inline constexpr std::size_t formula_parents = 65'536;
inline constexpr std::size_t formula_arguments = metadata_size;  ///< InvalidArgument.
inline constexpr std::uint64_t private_history = 56 * mib;       ///< Of a bus without a path.

}  // namespace mmsb::limits
