/// Helpers of the tests of segment and blob files.
#pragma once

#include "log/segments.hpp"
#include "os/helpers.hpp"

#include <mmsb/error.hpp>

namespace mmsb::log {

inline constexpr Uuid test_bus{std::byte{1}, std::byte{2}, std::byte{3}};
/// Small, so that segments end often.
inline constexpr limits::Geometry small{64 * limits::kib, 64 * limits::kib};
/// Of several steps each.
inline constexpr limits::Geometry stepped{64 * limits::kib, 4 * limits::mib};

/// Log bytes: each depends on its position, wherever it is read.
inline std::vector<std::byte> log_bytes(Lsn from, Lsn to) {
    static const auto pattern = [] {
        std::vector<std::byte> all(6 * limits::mib);
        for (Lsn lsn = 0; lsn < all.size(); ++lsn) {
            all[lsn] = static_cast<std::byte>((lsn * 0x9E3779B97F4A7C15ULL) >> 56U);
        }
        return all;
    }();
    const auto begin = pattern.begin() + static_cast<std::ptrdiff_t>(from);
    return {begin, begin + static_cast<std::ptrdiff_t>(to - from)};
}
inline std::vector<std::byte> read_bytes(Segments& segments, Lsn from, Lsn to) {
    std::vector<std::byte> out(static_cast<std::size_t>(to - from));
    out.resize(segments.read(from, out));
    return out;
}
inline void write_log(Segments& segments, Lsn from, Lsn to) {
    segments.prepare(to, 0);
    segments.write(from, log_bytes(from, to));
}

/// What `action` throws as an E; another outcome fails the test.
template <class E, class F>
std::optional<E> thrown(F action) {
    try {
        action();
    } catch (const E& e) {
        return e;
    } catch (const std::exception& e) {
        ADD_FAILURE() << "threw something else: " << e.what();
        return {};
    }
    ADD_FAILURE() << "did not throw";
    return {};
}

}  // namespace mmsb::log
