#include <mmsb/types.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

namespace mmsb {

std::ostream& operator<<(std::ostream& out, PageId id) { return out << number(id); }
std::ostream& operator<<(std::ostream& out, Epoch epoch) { return out << number(epoch); }
std::ostream& operator<<(std::ostream& out, Sequence sequence) { return out << number(sequence); }

Time now() noexcept {
    return std::chrono::time_point_cast<Time::duration>(std::chrono::system_clock::now());
}

std::string to_string(Time time) {
    // Rounded down, also before 1970, so that the rest is never negative. Times of 64 bits lie in
    // the years 1677 to 2262; the first day of them would begin before the first time, so the days
    // are counted in seconds.
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time.time_since_epoch());
    const auto days = std::chrono::floor<std::chrono::days>(seconds);
    const std::chrono::year_month_day date{std::chrono::sys_days{days}};
    const std::chrono::hh_mm_ss clock{seconds - std::chrono::seconds{days}};
    const auto parts = time.time_since_epoch().count() % 1'000'000'000;
    const auto nanoseconds = parts < 0 ? parts + 1'000'000'000 : parts;
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                       nanoseconds);
}

std::string text_of(std::span<const std::byte> bytes) {
    const auto end = std::find(bytes.begin(), bytes.end(), std::byte{0});
    const auto size = static_cast<std::size_t>(end - bytes.begin());
    return {reinterpret_cast<const char*>(bytes.data()), size};
}

std::string_view to_string(Location location) noexcept {
    switch (location) {
        case Location::cpu:
            return "cpu";
        case Location::gpu:
            return "gpu";
        case Location::unified:
            return "unified";
    }
    return "unknown";
}

std::string_view to_string(EdgeType type) noexcept {
    switch (type) {
        case EdgeType::data:
            return "data";
        case EdgeType::control:
            return "control";
        case EdgeType::gpu_sync:
            return "gpu_sync";
        case EdgeType::compiler:
            return "compiler";
    }
    return "unknown";
}

}  // namespace mmsb
