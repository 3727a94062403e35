/// parse: durations, times and sequences as people write them. Each throws CLI::ValidationError,
/// which ends as wrong use.
#pragma once

#include <mmsb/types.hpp>

#include <chrono>
#include <cstdint>
#include <string>

namespace mmsb::tool {

/// "500ms", "2s", "1.5m", "1h", "1d", or a number of seconds. Not negative.
[[nodiscard]] std::chrono::nanoseconds parse_duration(const std::string& text);
/// "2026-01-31", "2026-01-31T12:30:00", with ".5" and "Z" or "+01:00" if you like (UTC otherwise),
/// "@SECONDS" since 1970, or a duration: so long ago.
[[nodiscard]] Time parse_time(const std::string& text);
/// A number, or "newest".
[[nodiscard]] Sequence parse_sequence(const std::string& text);

/// Digits, and no more than 64 bits hold.
[[nodiscard]] std::uint64_t parse_number(const std::string& text);
/// Any text but an empty one.
[[nodiscard]] std::string parse_path(const std::string& text);

/// "all", "64MiB" (KiB, MiB, GiB, kB, MB, GB, B), "1000" or "1000commits", or a duration of a
/// second and more with its unit.
[[nodiscard]] Retention parse_retention(const std::string& text);

}  // namespace mmsb::tool
