/// tests/crash/saved_bus: all of a bus, files and shared memory, as it was at a moment when nobody
/// had it open; put back in place as often as needed.
#pragma once

#include "support/temp_bus.hpp"

#include <cerrno>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>

namespace mmsb::test {

/// The bytes of a sparse file, by extent.
class SavedFile {
public:
    explicit SavedFile(const fs::path& path) {
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0) std::abort();
        struct stat s{};
        if (::fstat(fd, &s) != 0) std::abort();
        size_ = s.st_size;
        for (off_t at = 0; at < size_;) {
            const off_t from = ::lseek(fd, at, SEEK_DATA);
            if (from < 0) break;  // ENXIO: a hole up to the end
            const off_t to = ::lseek(fd, from, SEEK_HOLE);
            std::string bytes(static_cast<std::size_t>(to - from), '\0');
            if (::pread(fd, bytes.data(), bytes.size(), from) != to - from) std::abort();
            extents_.emplace_back(from, std::move(bytes));
            at = to;
        }
        ::close(fd);
    }
    /// Into the same inode, if there is one.
    void restore(const fs::path& path) const {
        const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || ::ftruncate(fd, 0) != 0 || ::ftruncate(fd, size_) != 0) std::abort();
        for (const auto& [at, bytes] : extents_)
            if (::pwrite(fd, bytes.data(), bytes.size(), at) != static_cast<ssize_t>(bytes.size()))
                std::abort();
        ::close(fd);
    }
    [[nodiscard]] std::vector<std::pair<off_t, std::string>>& extents() noexcept {
        return extents_;
    }

private:
    off_t size_ = 0;
    std::vector<std::pair<off_t, std::string>> extents_{};
};

/// Memory where there is enough of it: nothing here loses power, and syncs cost nothing.
inline fs::path quick_folder() {
    std::error_code error;
    const auto space = fs::space("/dev/shm", error);
    constexpr std::uintmax_t enough = std::uintmax_t{256} << 20U;
    return !error && space.available >= enough ? fs::path("/dev/shm") : fs::temp_directory_path();
}

/// A bus and its arena in one folder, so that both are saved, and removed, together.
class BusPlace {
public:
    explicit BusPlace(const limits::Geometry& geometry = small,
                      const fs::path& parent = quick_folder())
        : root_(parent), geometry_(geometry) {
        fs::create_directories(root_ / "shm");
    }
    [[nodiscard]] fs::path root() const { return root_.path(); }
    /// No notice is printed: dying is the test's business.
    [[nodiscard]] Config config(Open open = Open::create_or_open) const {
        Config config;
        config.path = (root() / "bus").string();
        config.arena_folder = (root() / "shm").string();
        config.open = open;
        config.on_notice = [](const Notice&) {};
        return config;
    }
    [[nodiscard]] State open(Open open = Open::create_or_open) const {
        return start_with(config(open), geometry_);
    }
    [[nodiscard]] State open(const Config& config) const { return start_with(config, geometry_); }
    /// As a reboot does.
    void lose_arena() const {
        for (const auto& entry : fs::directory_iterator(root() / "shm")) fs::remove(entry.path());
    }
    [[nodiscard]] fs::path arena() const {
        for (const auto& entry : fs::directory_iterator(root() / "shm"))
            if (entry.path().extension() == ".arena") return entry.path();
        return {};
    }

private:
    TempFolder root_;
    limits::Geometry geometry_;
};

/// REQUIRES that no living process has the bus open, here and in restore().
class SavedBus {
public:
    explicit SavedBus(const BusPlace& place) : root_(place.root()) {
        for (const auto& path : files_in(root_)) files_.emplace(path, path);
    }
    void restore() const {
        for (const auto& path : files_in(root_))
            if (!files_.contains(path)) fs::remove(path);
        for (const auto& [path, file] : files_) file.restore(path);
    }

private:
    static std::set<fs::path> files_in(const fs::path& root) {
        std::set<fs::path> files;
        for (const auto& entry : fs::recursive_directory_iterator(root))
            if (entry.is_regular_file()) files.insert(entry.path());
        return files;
    }
    fs::path root_;
    std::map<fs::path, SavedFile> files_{};
};

}  // namespace mmsb::test
