/// Helpers of the tests of os and of what stands on it: temporary folders, failing calls, children.
#pragma once

#include "os/file.hpp"
#include "os/process.hpp"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace mmsb::test {

/// A fresh folder in the system's temporary one; removed with all that is in it.
class TemporaryFolder {
public:
    TemporaryFolder()
        : path_(std::filesystem::temp_directory_path() / ("mmsb-test-" + os::random_name())) {
        std::filesystem::create_directory(path_);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::string path() const { return path_.string(); }
    [[nodiscard]] std::string operator/(const std::string& name) const {
        return (path_ / name).string();
    }

private:
    std::filesystem::path path_;
};

/// A tmpfs of `size` bytes over a temporary folder. Not mounted() where that is not allowed.
class SmallDisk {
public:
    explicit SmallDisk(const char* size) {
        const auto options = std::string("size=") + size;
        mounted_ = ::mount("mmsb-test", folder_.path().c_str(), "tmpfs", 0, options.c_str()) == 0;
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;
    ~SmallDisk() {
        if (mounted_) ::umount2(folder_.path().c_str(), MNT_DETACH);
    }
    [[nodiscard]] bool mounted() const { return mounted_; }
    [[nodiscard]] std::string operator/(const std::string& name) const { return folder_ / name; }

private:
    TemporaryFolder folder_{};
    bool mounted_ = false;
};

/// While it lives, system calls of os fail: the one numbered `at` (from 0) of those of kind `only`
/// (or of any kind), for `times` calls.
class Failing {
public:
    explicit Failing(int error, int at = 0, int times = 1) : Failing(error, {}, at, times) {}
    Failing(int error, std::optional<os::Call> only, int at = 0, int times = 1) {
        error_ = error;
        only_ = only ? static_cast<int>(*only) : -1;
        at_ = at;
        end_ = at + times;
        seen_ = 0;
        hit_ = 0;
        os::set_fault_hook([](os::Call call, const char*) -> int {
            if (only_ >= 0 && only_ != static_cast<int>(call)) return 0;
            const int n = seen_++;
            if (n < at_ || n >= end_) return 0;
            ++hit_;
            return error_;
        });
    }
    Failing(const Failing&) = delete;
    Failing& operator=(const Failing&) = delete;
    ~Failing() { os::set_fault_hook(nullptr); }
    [[nodiscard]] int hit() const { return hit_; }
    [[nodiscard]] int seen() const { return seen_; }

private:
    static inline std::atomic<int> error_{0}, only_{-1}, at_{0}, end_{0}, seen_{0}, hit_{0};
};

/// Runs `child` in a forked process and returns its wait status. An exception there is exit
/// code 99.
template <class F>
int in_child(F child) {
    const auto pid = ::fork();
    if (pid == 0) {
        int code = 99;
        try {
            code = child();
        } catch (...) {
        }
        ::_exit(code);
    }
    int status = -1;
    ::waitpid(pid, &status, 0);
    return status;
}

inline std::vector<std::byte> bytes(const std::string& text) {
    const auto b = bytes_of(text);
    return {b.begin(), b.end()};
}
inline std::string text(std::span<const std::byte> b) {
    return {reinterpret_cast<const char*>(b.data()), b.size()};
}
/// `size` bytes of a file as text.
inline std::string read_text(const os::File& file, std::uint64_t offset, std::size_t size) {
    std::vector<std::byte> out(size);
    out.resize(file.read(offset, out));
    return text(out);
}

}  // namespace mmsb::test
