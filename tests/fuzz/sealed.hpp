/// Puts a record's checksums right, so that the fuzzer gets past them.
#pragma once

#include "base/bytes.hpp"
#include "base/checksum.hpp"
#include "log/head.hpp"

#include <span>
#include <vector>

namespace mmsb::fuzz {

/// Appends a record of this kind and flags whose fields and body are `payload`, whatever that is.
inline void append_sealed(std::uint8_t kind, std::uint8_t flags, std::span<const std::byte> payload,
                          log::Lsn start, const log::Context& context,
                          std::vector<std::byte>& out) {
    log::Head head{.checksum = 0,
                   .check = 0,
                   .kind = kind,
                   .flags = flags,
                   .size = static_cast<std::uint32_t>(log::head_size + payload.size())};
    const auto seed = log::record_seed(context.salt, start);
    head.check = log::head_check(seed, head);
    const auto at = out.size();
    out.resize(at + log::head_size);
    out.insert(out.end(), payload.begin(), payload.end());
    out.resize(at + base::round_up(head.size, 8));
    const auto record = std::span(out).subspan(at);
    std::memcpy(record.data(), &head, sizeof head);
    head.checksum = base::crc32c(seed, record.subspan(sizeof head.checksum));
    std::memcpy(record.data(), &head, sizeof head);
}

}  // namespace mmsb::fuzz
