#include "base/checksum.hpp"

#include <array>

// ISA-L is not there for WebAssembly.
#if !defined(__EMSCRIPTEN__)
#include <isa-l/crc.h>

#include <algorithm>
#endif
#if defined(__x86_64__)
#include <nmmintrin.h>

#include <cstring>
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

#if defined(__x86_64__)
// What ISA-L needs before its first byte is more than most records' heads and bodies are worth.
constexpr std::size_t short_size = 128;

// The SSE4.2 instruction is this very polynomial. (Not a call of ISA-L's: it has no entry for it.)
__attribute__((target("sse4.2"))) std::uint32_t by_instruction(
    std::uint32_t seed, std::span<const std::byte> bytes) noexcept {
    std::uint64_t crc = seed;
    const auto* at = bytes.data();
    auto left = bytes.size();
    for (; left >= 8; left -= 8, at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, at, sizeof word);
        crc = _mm_crc32_u64(crc, word);
    }
    auto small = static_cast<std::uint32_t>(crc);
    if (left >= 4) {
        std::uint32_t word = 0;
        std::memcpy(&word, at, sizeof word);
        small = _mm_crc32_u32(small, word);
        left -= 4;
        at += 4;
    }
    for (; left != 0; --left, ++at) small = _mm_crc32_u8(small, std::to_integer<std::uint8_t>(*at));
    return small;
}
const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
#endif

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
#if defined(__x86_64__)
    if (bytes.size() < short_size && has_instruction) return by_instruction(seed, bytes);
#endif
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
