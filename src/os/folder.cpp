#include "os/call.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace mmsb::os {

void sync_folder(const File& folder) {
    const auto synced = [&] { return ::fsync(folder.fd()); };
    // EINVAL: a file system whose folders have nothing to sync.
    const Operation what{
        .call = Call::sync_folder, .path = folder.path().c_str(), .fd = folder.fd()};
    if (call(what, synced) < 0 && errno != EINVAL) {
        fail(errno, "fsync", folder.path());
    }
}

bool remove_folder(const std::string& path) {
    const Operation what{.call = Call::remove, .path = path.c_str()};
    if (call(what, [&] { return ::rmdir(path.c_str()); }) == 0 || errno == ENOENT) return true;
    if (errno != ENOTEMPTY && errno != EEXIST) fail(errno, "rmdir", path);
    return false;
}

namespace {

/// Read permission for a file is permission to pass through its folder.
unsigned folder_mode(unsigned permissions) {
    return 0700U | permissions | (permissions & 0444U) >> 2U;
}

void set_mode(const File& file, unsigned mode) {
    struct stat s{};
    if (call(Call::stat, file.path(), [&] { return ::fstat(file.fd(), &s); }) < 0) {
        fail(errno, "fstat", file.path());
    }
    if ((s.st_mode & 0777U) == mode) return;
    if (call(Call::set_mode, file.path(), [&] { return ::fchmod(file.fd(), mode); }) < 0) {
        fail(errno, "fchmod", file.path());
    }
}

void require_regular(const File& file) {
    struct stat s{};
    if (call(Call::stat, file.path(), [&] { return ::fstat(file.fd(), &s); }) < 0) {
        fail(errno, "fstat", file.path());
    }
    if (!S_ISREG(s.st_mode)) fail(S_ISDIR(s.st_mode) ? EISDIR : EINVAL, "open", file.path());
}

class DiskFolder final : public Folder {
public:
    DiskFolder(File folder, unsigned permissions)
        : folder_(std::move(folder)), permissions_(permissions) {}

    std::optional<File> open(const std::string& name, Create create, bool writable) override;
    void remove(const std::string& name) override;
    void rename(const std::string& from, const std::string& to) override;
    bool rename_new(const std::string& from, const std::string& to) override;
    std::vector<std::string> list() override;
    void sync() override { sync_folder(folder_); }
    std::unique_ptr<Folder> folder(const std::string& name, bool create) override;
    const std::string& path() const noexcept override { return folder_.path(); }
    bool in_memory() const noexcept override { return false; }
    std::uint64_t inode() override { return folder_.inode(); }
    std::uint64_t device() override;

private:
    std::string path_of(const std::string& name) const { return folder_.path() + '/' + name; }
    /// As the system call.
    int unlink(const std::string& name) const;
    /// nullopt with errno set.
    std::optional<File> try_open(const std::string& name, int flags) const;
    bool is_regular(const dirent& entry) const;

    File folder_;
    unsigned permissions_;
};

std::optional<File> DiskFolder::try_open(const std::string& name, int flags) const {
    auto path = path_of(name);
    if (name.find('/') != std::string::npos) fail(EINVAL, "open", path);
    // O_NONBLOCK: a FIFO that somebody put there must not make us wait.
    const Operation what{.call = Call::open,
                         .path = path.c_str(),
                         .fd = folder_.fd(),
                         .name = name.c_str(),
                         .creates = (flags & O_CREAT) != 0};
    const int fd = call(what, [&] {
        return ::openat(folder_.fd(), name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
                        permissions_);
    });
    if (fd < 0) return std::nullopt;
    return File(fd, path);
}

std::optional<File> DiskFolder::open(const std::string& name, Create create, bool writable) {
    const int access = writable ? O_RDWR : O_RDONLY;
    for (;;) {
        if (create != Create::always) {
            if (auto file = try_open(name, access)) {
                require_regular(*file);
                return file;
            }
            if (errno != ENOENT) fail(errno, "open", path_of(name));
            if (create == Create::never) return std::nullopt;
        }
        if (auto file = try_open(name, access | O_CREAT | O_EXCL)) {
            set_mode(*file, permissions_);
            return file;
        }
        // Somebody else was first; it may even be gone again.
        if (errno != EEXIST || create == Create::always) fail(errno, "open", path_of(name));
    }
}

void DiskFolder::remove(const std::string& name) {
    if (unlink(name) < 0 && errno != ENOENT) fail(errno, "unlink", path_of(name));
}

int DiskFolder::unlink(const std::string& name) const {
    const auto path = path_of(name);
    const Operation what{
        .call = Call::remove, .path = path.c_str(), .fd = folder_.fd(), .name = name.c_str()};
    return call(what, [&] { return ::unlinkat(folder_.fd(), name.c_str(), 0); });
}

void DiskFolder::rename(const std::string& from, const std::string& to) {
    const auto path = path_of(from);
    const Operation what{.call = Call::rename,
                         .path = path.c_str(),
                         .fd = folder_.fd(),
                         .name = from.c_str(),
                         .to = to.c_str()};
    const auto renamed = call(
        what, [&] { return ::renameat(folder_.fd(), from.c_str(), folder_.fd(), to.c_str()); });
    if (renamed < 0) fail(errno, "rename", path);
}

bool DiskFolder::rename_new(const std::string& from, const std::string& to) {
    // link, then unlink: unlike RENAME_NOREPLACE, every file system has it.
    const auto path = path_of(to);
    const Operation what{.call = Call::link,
                         .path = path.c_str(),
                         .fd = folder_.fd(),
                         .name = from.c_str(),
                         .to = to.c_str()};
    const auto linked = call(
        what, [&] { return ::linkat(folder_.fd(), from.c_str(), folder_.fd(), to.c_str(), 0); });
    if (linked < 0 && errno == EEXIST) return false;
    if (linked < 0) fail(errno, "link", path);
    // What is left of the old name on failure is a second name, for whoever sweeps.
    static_cast<void>(unlink(from));
    return true;
}

bool DiskFolder::is_regular(const dirent& entry) const {
    if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_REG;
    struct stat s{};
    return ::fstatat(folder_.fd(), entry.d_name, &s, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(s.st_mode);
}

std::vector<std::string> DiskFolder::list() {
    const int fd = call(Call::list, path(), [&] {
        return ::openat(folder_.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    });
    if (fd < 0) fail(errno, "open", path());
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(fd), ::closedir);
    if (entries == nullptr) {
        ::close(fd);
        fail(errno, "fdopendir", path());
    }
    std::vector<std::string> names;
    if (const int refused = fault(Call::list, path().c_str()); refused != 0) {
        fail(refused, "readdir", path());
    }
    errno = 0;
    while (const auto* entry = ::readdir(entries.get())) {
        if (is_regular(*entry)) names.emplace_back(entry->d_name);
        errno = 0;
    }
    if (errno != 0) fail(errno, "readdir", path());
    std::sort(names.begin(), names.end());
    return names;
}

std::uint64_t DiskFolder::device() {
    struct stat s{};
    if (call(Call::stat, path(), [&] { return ::fstat(folder_.fd(), &s); }) < 0) {
        fail(errno, "fstat", path());
    }
    return s.st_dev;
}

/// Opens `name` of the folder `at`, making it first where `create`; nullptr: not there. `made` says
/// whether it is new.
std::optional<File> open_or_make(int at, const std::string& name, const std::string& path,
                                 int flags, std::optional<unsigned> create, bool& made) {
    made = false;
    if (create) {
        const Operation what{
            .call = Call::make_folder, .path = path.c_str(), .fd = at, .name = name.c_str()};
        const auto outcome = call(what, [&] { return ::mkdirat(at, name.c_str(), *create); });
        if (outcome < 0 && errno != EEXIST) fail(errno, "mkdir", path);
        made = outcome == 0;
    }
    const int fd = call(Call::open, path, [&] {
        return ::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
    });
    if (fd < 0 && errno == ENOENT && !create) return std::nullopt;
    if (fd < 0) fail(errno, "open", path);
    File folder(fd, path);
    if (made) set_mode(folder, *create);
    return folder;
}

std::unique_ptr<Folder> DiskFolder::folder(const std::string& name, bool create) {
    if (name.find('/') != std::string::npos) fail(EINVAL, "open", path_of(name));
    bool made = false;
    auto inner =
        open_or_make(folder_.fd(), name, path_of(name), O_NOFOLLOW,
                     create ? std::optional(folder_mode(permissions_)) : std::nullopt, made);
    if (!inner) return nullptr;
    if (made) sync();
    return std::make_unique<DiskFolder>(std::move(*inner), permissions_);
}

}  // namespace

std::unique_ptr<Folder> open_folder(const std::string& path, bool create, unsigned permissions) {
    bool made = false;
    auto folder =
        open_or_make(AT_FDCWD, path, path, 0,
                     create ? std::optional(folder_mode(permissions)) : std::nullopt, made);
    if (!folder) return nullptr;
    if (made) {
        const auto parent = path + "/..";
        const int fd = call(Call::open, parent, [&] {
            return ::openat(folder->fd(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        });
        if (fd < 0) fail(errno, "open", parent);
        sync_folder(File(fd, parent));
    }
    return std::make_unique<DiskFolder>(std::move(*folder), permissions);
}

}  // namespace mmsb::os
