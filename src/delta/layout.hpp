/// delta/layout: what the writer and the reader of encoded deltas share (the layout is in
/// codec.hpp). Internal to the room.
#pragma once

#include "delta/codec.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace mmsb::delta {

inline constexpr std::size_t small_page = std::size_t{1}
                                          << 16U;  ///< The largest with 2-byte positions.
inline constexpr std::uint64_t medium_page = std::uint64_t{1} << 32U;  ///< The same, 4 bytes.
inline constexpr std::size_t bucket_size = 256;

[[nodiscard]] constexpr std::size_t buckets_of(std::size_t page_size) noexcept {
    return page_size / bucket_size + (page_size % bucket_size != 0 ? 1 : 0);
}

/// Calls `fn` with a 0 of the type that positions in a page of that size have.
template <class F>
constexpr auto with_position(std::size_t page_size, F&& fn) {
    if (page_size <= small_page) return fn(std::uint16_t{0});
    if (page_size <= medium_page) return fn(std::uint32_t{0});
    return fn(std::uint64_t{0});
}

[[nodiscard]] constexpr unsigned width_code(std::size_t page_size) noexcept {
    return page_size <= small_page ? 1U : page_size <= medium_page ? 2U : 3U;
}
[[nodiscard]] constexpr std::size_t position_width(std::size_t page_size) noexcept {
    return std::size_t{1} << width_code(page_size);
}

[[nodiscard]] constexpr std::byte first_byte(Encoding encoding, unsigned width) noexcept {
    return static_cast<std::byte>(static_cast<unsigned>(encoding) | width << 4U);
}

template <class T>
[[nodiscard]] T load(const std::byte* from) noexcept {
    T value{};
    std::memcpy(&value, from, sizeof value);
    return value;
}
/// Writes a value and moves `to` behind it.
template <class T>
void store(std::byte*& to, T value) noexcept {
    std::memcpy(to, &value, sizeof value);
    to += sizeof value;
}

}  // namespace mmsb::delta
