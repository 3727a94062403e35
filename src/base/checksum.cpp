#include "base/checksum.hpp"

#include <array>

// ISA-L is not there for WebAssembly.
#if !defined(__EMSCRIPTEN__)
#include <isa-l/crc.h>

#include <algorithm>
#endif

namespace mmsb::base {

namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < table.size(); ++i) {
        std::uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82F63B78U : 0U);
        }
        table[i] = crc;
    }
    return table;
}
constexpr auto table = make_table();

}  // namespace

std::uint32_t crc32c_by_table(std::uint32_t seed, std::span<const std::byte> bytes) noexcept {
    for (const std::byte byte : bytes) {
        seed = (seed >> 8U) ^ table[(seed ^ std::to_integer<std::uint32_t>(byte)) & 0xFFU];
    }
    return seed;
}

std::uint32_t crc32c(std::uint32_t seed, std::span<const std::byte> bytes) noexcept {
#if defined(__EMSCRIPTEN__)
    return crc32c_by_table(seed, bytes);
#else
    // ISA-L counts in int.
    constexpr std::size_t longest = std::size_t{1} << 30U;
    while (!bytes.empty()) {
        const auto n = std::min(bytes.size(), longest);
        // Its declaration lacks the const; it only reads.
        auto* const data =
            const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
        seed = crc32_iscsi(data, static_cast<int>(n), seed);
        bytes = bytes.subspan(n);
    }
    return seed;
#endif
}

}  // namespace mmsb::base
