#include "parse.hpp"

#include <fmt/format.h>
#include <CLI/Error.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

namespace mmsb::tool {
namespace {

// Takes a number off the front of `text`.
template <class T>
std::optional<T> take(std::string_view& text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
    const auto value = take<std::uint64_t>(text);
    return text.empty() ? value : std::nullopt;
}

bool take(std::string_view& text, char c) {
    if (!text.starts_with(c)) return false;
    text.remove_prefix(1);
    return true;
}

std::optional<unsigned> take_digits(std::string_view& text, std::size_t count) {
    if (text.size() < count) return std::nullopt;
    unsigned value = 0;
    for (const char c : text.substr(0, count)) {
        if (c < '0' || c > '9') return std::nullopt;
        value = value * 10 + static_cast<unsigned>(c - '0');
    }
    text.remove_prefix(count);
    return value;
}

std::optional<std::chrono::nanoseconds> duration(std::string_view text) {
    const auto value = take<double>(text);
    if (!value || !std::isfinite(*value) || *value < 0) return std::nullopt;
    struct Unit {
        std::string_view name;
        double seconds;
    };
    static constexpr std::array units{Unit{"", 1},   Unit{"ms", 1e-3}, Unit{"s", 1},
                                      Unit{"m", 60}, Unit{"h", 3600},  Unit{"d", 86400}};
    for (const auto& [name, seconds] : units) {
        if (text != name) continue;
        const double nanoseconds = *value * seconds * 1e9;
        if (nanoseconds > 9e18) return std::nullopt;
        return std::chrono::nanoseconds(static_cast<std::int64_t>(nanoseconds));
    }
    return std::nullopt;
}

// ".5" as nanoseconds; zero where there is none.
std::optional<std::chrono::nanoseconds> take_fraction(std::string_view& text) {
    if (!take(text, '.')) return std::chrono::nanoseconds(0);
    std::int64_t value = 0;
    std::int64_t unit = 1'000'000'000;
    bool any = false;
    while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
        unit /= 10;
        value += (text[0] - '0') * unit;
        text.remove_prefix(1);
        any = true;
    }
    return any ? std::optional(std::chrono::nanoseconds(value)) : std::nullopt;
}

// "Z", "+01:00", "-0130" or nothing.
std::optional<std::chrono::minutes> take_zone(std::string_view& text) {
    if (text.empty() || take(text, 'Z')) return std::chrono::minutes(0);
    const bool west = text.starts_with('-');
    if (!west && !text.starts_with('+')) return std::nullopt;
    text.remove_prefix(1);
    const auto hours = take_digits(text, 2);
    take(text, ':');
    const auto minutes = text.empty() ? std::optional(0U) : take_digits(text, 2);
    if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
    const auto offset = std::chrono::minutes(*hours * 60 + *minutes);
    return west ? -offset : offset;
}

std::optional<std::chrono::nanoseconds> take_clock(std::string_view& text) {
    if (text.empty()) return std::chrono::nanoseconds(0);
    if (!take(text, 'T') && !take(text, ' ')) return std::nullopt;
    const auto hour = take_digits(text, 2);
    if (!hour || !take(text, ':')) return std::nullopt;
    const auto minute = take_digits(text, 2);
    const auto second = take(text, ':') ? take_digits(text, 2) : std::optional(0U);
    const auto fraction = take_fraction(text);
    const auto zone = take_zone(text);
    if (!minute || !second || !fraction || !zone) return std::nullopt;
    if (*hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
    return std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
           std::chrono::seconds(*second) + *fraction - *zone;
}

std::optional<Time> moment(std::string_view text) {
    const auto year = take_digits(text, 4);
    if (!year || !take(text, '-')) return std::nullopt;
    const auto month = take_digits(text, 2);
    if (!month || !take(text, '-')) return std::nullopt;
    const auto day = take_digits(text, 2);
    if (!day) return std::nullopt;
    // Nanoseconds in 64 bits hold the years 1678 to 2261.
    if (*year < 1700 || *year > 2200) return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)),
                                           std::chrono::month(*month), std::chrono::day(*day)};
    const auto clock = take_clock(text);
    if (!date.ok() || !clock || !text.empty()) return std::nullopt;
    return Time(std::chrono::sys_days(date)) + *clock;
}

}  // namespace

std::chrono::nanoseconds parse_duration(const std::string& text) {
    if (const auto value = duration(text)) return *value;
    throw CLI::ValidationError(fmt::format("'{}' is no duration, such as 500ms, 2s or 1h", text));
}

Time parse_time(const std::string& text) {
    if (text.starts_with('@')) {
        if (const auto since = duration(std::string_view(text).substr(1))) return Time(*since);
    } else if (const auto ago = duration(text)) {
        return now() - *ago;
    } else if (const auto time = moment(text)) {
        return *time;
    }
    throw CLI::ValidationError(
        fmt::format("'{}' is no time, such as 2026-01-31T12:30:00Z, @1700000000 or 10m", text));
}

Retention parse_retention(const std::string& text) {
    struct Unit {
        std::string_view name;
        double bytes;
    };
    static constexpr std::array units{
        Unit{"B", 1},        Unit{"kB", 1e3},        Unit{"MB", 1e6},          Unit{"GB", 1e9},
        Unit{"KiB", 1024.0}, Unit{"MiB", 1048576.0}, Unit{"GiB", 1073741824.0}};
    constexpr double most = 1e18;
    if (text == "all") return {};
    std::string_view rest = text;
    if (const auto records = take<std::uint64_t>(rest);
        records && *records != 0 && (rest.empty() || rest == "commits"))
        return {.records = *records};
    rest = text;
    const auto value = take<double>(rest);
    for (const auto& [name, bytes] : units)
        if (value && rest == name && *value * bytes >= 1 && *value * bytes <= most)
            return {.bytes = static_cast<std::uint64_t>(*value * bytes)};
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(
        duration(text).value_or(std::chrono::nanoseconds(0)));
    if (age.count() > 0 && !rest.empty()) return {.age = age};
    throw CLI::ValidationError(
        fmt::format("'{}' is no amount of the past, such as all, 64MiB, 1000commits or 7d", text));
}

Sequence parse_sequence(const std::string& text) {
    if (text == "newest") return Sequence::newest;
    if (const auto value = whole_number(text)) return Sequence{*value};
    throw CLI::ValidationError(
        fmt::format("'{}' is no sequence: a number from 0, or newest", text));
}

std::uint64_t parse_number(const std::string& text) {
    if (const auto value = whole_number(text)) return *value;
    throw CLI::ValidationError(
        fmt::format("'{}' is no number from 0 to 18446744073709551615", text));
}

std::string parse_path(const std::string& text) {
    if (text.empty()) throw CLI::ValidationError("a path is empty; is a variable not set?");
    return text;
}

}  // namespace mmsb::tool
