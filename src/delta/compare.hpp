/// delta/compare: which bytes differ, as exact masks. Pure. SIMD by Google Highway with run-time
/// dispatch; compare_scalar is its plain twin, and the two are tested against each other.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mmsb::delta {

inline constexpr std::size_t window = 64;  ///< Bytes that one mask covers.

/// Compares `size` bytes in windows of 64. Bit i of masks[w] is set where byte 64 w + i differs;
/// bits beyond `size` are 0. Returns how many bytes differ.
/// REQUIRES room for ceil(size / 64) masks. Reads nothing beyond the two ranges.
std::uint64_t compare(const std::byte* before, const std::byte* after, std::size_t size,
                      std::uint64_t* masks) noexcept;
std::uint64_t compare_scalar(const std::byte* before, const std::byte* after, std::size_t size,
                             std::uint64_t* masks) noexcept;
/// Highway's bit for the instruction set that compare() runs with now (HWY_AVX2, ...).
[[nodiscard]] std::int64_t compare_target() noexcept;
/// The same bytes? As fast as memory allows; for what only needs a yes or no.
[[nodiscard]] bool equal(const std::byte* a, const std::byte* b, std::size_t size) noexcept;

}  // namespace mmsb::delta
