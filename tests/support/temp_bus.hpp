/// tests/support/temp_bus: a bus in a folder of its own, gone at the end, and small geometries, so
/// that rings lap and segments end often.
#pragma once

#include "api/bus.hpp"
#include "base/bytes.hpp"

#include <mmsb/mmsb.hpp>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace mmsb::test {

namespace fs = std::filesystem;

/// The whole file; empty where it is not there.
inline std::string read_file(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// Over what is there: a file that is made empty first, ext4 writes to the disk when it is closed.
inline void write_file(const fs::path& path, std::string_view text) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) std::abort();
    for (auto left = text; !left.empty();) {
        const auto n = ::write(fd, left.data(), left.size());
        if (n <= 0) std::abort();
        left.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::ftruncate(fd, static_cast<off_t>(text.size())) != 0 || ::close(fd) != 0) std::abort();
}

/// The shared memory of the bus in `folder`; empty where it has none.
inline fs::path arena_of(const fs::path& folder) { return {read_file(folder / "arena")}; }

inline void remove_arena(const fs::path& folder) {
    if (const auto arena = arena_of(folder); !arena.empty()) fs::remove(arena);
}

/// A path that is free at first. Removes what was made there, and the arenas of all buses in it.
class TempFolder {
public:
    explicit TempFolder(const fs::path& parent = fs::temp_directory_path()) {
        static std::atomic<int> next{0};
        path_ = parent / ("mmsb-test-" + std::to_string(::getpid()) + "-" + std::to_string(next++));
        fs::remove_all(path_);
    }
    ~TempFolder() {
        std::error_code ignored;
        for (auto at = fs::recursive_directory_iterator(path_, ignored); at != end(at);
             at.increment(ignored))
            if (at->path().filename() == "arena" && at->is_regular_file(ignored))
                forget(at->path());
        fs::remove_all(path_, ignored);
    }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;

    [[nodiscard]] std::string path() const { return path_.string(); }
    [[nodiscard]] fs::path operator/(std::string_view name) const { return path_ / name; }

private:
    // Whatever a test has written there: nothing else goes.
    static void forget(const fs::path& named) noexcept {
        std::error_code ignored;
        const fs::path arena(read_file(named));
        if (arena.filename().string().starts_with("mmsb-")) fs::remove(arena, ignored);
    }

    fs::path path_;
};

inline constexpr limits::Geometry small{.ring_size = 64 * limits::kib,
                                        .segment_size = 256 * limits::kib};

/// As start(), of another geometry.
inline State start_with(const Config& config, const limits::Geometry& geometry = small) {
    return detail::Bus::state(detail::Bus::open({.config = config, .geometry = geometry}));
}

inline Config at(const TempFolder& folder) {
    Config config;
    config.path = folder.path();
    return config;
}

/// Where in a segment's file its first record ends: the u32 behind checksum, check, kind and flags
/// is its size. (Of a bus's first segment that is the record of its first opening.)
inline std::size_t first_record_end(std::string_view segment) {
    std::uint32_t size = 0;
    std::memcpy(&size, segment.data() + log::segment_header_size + 8, sizeof size);
    return log::segment_header_size + static_cast<std::size_t>(base::round_up(size, 8));
}

/// `size` bytes that tell their place and `seed`.
inline Bytes pattern(std::size_t size, unsigned seed = 1) {
    Bytes bytes(size);
    std::uint32_t x = seed * 2654435761U + 1;
    for (auto& b : bytes) {
        x = x * 1664525U + 1013904223U;
        b = static_cast<std::byte>(x >> 24U);
    }
    return bytes;
}

inline Bytes to_bytes(std::string_view text) {
    const auto bytes = bytes_of(text);
    return {bytes.begin(), bytes.end()};
}

inline Bytes filled(std::size_t size, int value) {
    return Bytes(size, static_cast<std::byte>(value));
}

}  // namespace mmsb::test
