/// base/checksum: CRC32C (Castagnoli, reflected 0x82F63B78), by ISA-L where it is built in, by a
/// table elsewhere (WebAssembly, and as the twin in the tests).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace mmsb::base {

/// Continues `seed` (0 to begin) over `bytes`: crc32c(crc32c(s, a), b) is that of a followed by b.
/// No pre- or post-inversion of ours: `crc32c(~0, "123456789") == ~0xE3069283`.
[[nodiscard]] std::uint32_t crc32c(std::uint32_t seed, std::span<const std::byte> bytes) noexcept;
[[nodiscard]] std::uint32_t crc32c_by_table(std::uint32_t seed,
                                            std::span<const std::byte> bytes) noexcept;

}  // namespace mmsb::base
