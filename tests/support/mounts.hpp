/// tests/support/mounts: file systems that only this process and its children see.
#pragma once

#include "support/temp_bus.hpp"

#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

namespace mmsb::test {

inline void write_text(const char* path, const std::string& text) {
    const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    static_cast<void>(!::write(fd, text.data(), text.size()));
    ::close(fd);
}

/// A mount namespace of our own; whoever is not root becomes it in a user namespace. Before there
/// are threads. False: not allowed here, errno says why.
inline bool be_alone_with_mounts() {
    const auto user = ::geteuid(), group = ::getegid();
    if (user == 0) {
        if (::unshare(CLONE_NEWNS) != 0) return false;
    } else {
        if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
        write_text("/proc/self/setgroups", "deny");
        write_text("/proc/self/uid_map", "0 " + std::to_string(user) + " 1");
        write_text("/proc/self/gid_map", "0 " + std::to_string(group) + " 1");
    }
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

/// A tmpfs in a folder of its own, gone at the end; and the arena of a bus in it that is named so.
class SmallFileSystem {
public:
    explicit SmallFileSystem(const std::string& options) {
        fs::create_directories(path_.path());
        mounted_ = ::mount("mmsb", path_.path().c_str(), "tmpfs", 0, options.c_str()) == 0;
        if (!mounted_) reason_ = errno;
    }
    ~SmallFileSystem() {
        if (!mounted_) return;
        remove_arena(path_ / "bus");
        ::umount2(path_.path().c_str(), MNT_DETACH);
    }
    SmallFileSystem(const SmallFileSystem&) = delete;
    SmallFileSystem& operator=(const SmallFileSystem&) = delete;
    [[nodiscard]] bool mounted() const noexcept { return mounted_; }
    [[nodiscard]] int reason() const noexcept { return reason_; }
    [[nodiscard]] std::string path() const { return path_.path(); }
    [[nodiscard]] bool remount(const std::string& options) const {
        return ::mount("mmsb", path().c_str(), "tmpfs", MS_REMOUNT, options.c_str()) == 0;
    }

private:
    TempFolder path_{};
    bool mounted_ = false;
    int reason_ = 0;
};

}  // namespace mmsb::test
