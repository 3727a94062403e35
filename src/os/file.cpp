#include "os/file.hpp"

#include "os/call.hpp"
#include "os/process.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

namespace mmsb::os {

// Delegating: were there no memory for the path, the destructor would close the file all the same.
File::File(int fd, std::string_view path) : File() {
    fd_ = fd;
    path_ = path;
}

File::File(File&& o) noexcept : fd_(std::exchange(o.fd_, -1)), path_(std::move(o.path_)) {}

File& File::operator=(File&& o) noexcept {
    std::swap(fd_, o.fd_);
    std::swap(path_, o.path_);
    return *this;
}

File::~File() {
    if (fd_ >= 0) ::close(fd_);
}

namespace {

struct stat status_of(const File& file) {
    struct stat s{};
    if (call(Call::stat, file.path(), [&] { return ::fstat(file.fd(), &s); }) < 0) {
        fail(errno, "fstat", file.path());
    }
    return s;
}

/// Where the file system has no fallocate: zeros behind the end are written. Before the end there
/// may be bytes of somebody's, which are let be.
void write_zeros(const File& file, std::uint64_t from, std::uint64_t to) {
    static constexpr std::array<std::byte, 64 * 1024> zeros{};
    for (auto at = std::max(from, file.size()); at < to;) {
        const auto n = std::min<std::uint64_t>(to - at, zeros.size());
        file.write(at, std::span(zeros).first(static_cast<std::size_t>(n)));
        at += n;
    }
}

/// What a test leaves of a transfer.
std::size_t part_of(const Operation& what) {
    auto* const seen = tap();
    const auto size = seen == nullptr ? what.size : std::min(what.size, seen->transfer(what));
    return static_cast<std::size_t>(size);
}

/// While it lives no signal is delivered to this thread. tmpfs gives back all that an interrupted
/// fallocate had reserved: where signals come often (a profiler's), a large one would never end.
class NoSignals {
public:
    NoSignals() noexcept {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~NoSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    NoSignals(const NoSignals&) = delete;
    NoSignals& operator=(const NoSignals&) = delete;

private:
    sigset_t before_{};
};

std::string folder_of(const std::string& path) {
    const auto slash = path.find_last_of('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

std::uint64_t File::size() const { return static_cast<std::uint64_t>(status_of(*this).st_size); }
std::uint64_t File::inode() const {
    struct statx s{};
    const auto got = call(Call::stat, path_, [&] {
        return ::statx(fd_, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &s);
    });
    if (got < 0 && errno != ENOSYS && errno != EPERM) fail(errno, "statx", path_);
    if (got < 0) return status_of(*this).st_ino;  // refused by a sandbox that does not know it
    if ((s.stx_mask & STATX_BTIME) == 0) return s.stx_ino;
    constexpr std::uint64_t second = 1'000'000'000, spread = 0x9e3779b97f4a7c15;
    const auto born = static_cast<std::uint64_t>(s.stx_btime.tv_sec) * second + s.stx_btime.tv_nsec;
    return s.stx_ino ^ (born * spread);
}
std::uint64_t File::allocated() const {
    return static_cast<std::uint64_t>(status_of(*this).st_blocks) * 512;
}
unsigned File::owner() const { return status_of(*this).st_uid; }

std::size_t File::read(std::uint64_t offset, std::span<std::byte> out) const {
    std::size_t done = 0;
    while (done < out.size()) {
        const Operation what{.call = Call::pread,
                             .path = path_.c_str(),
                             .fd = fd_,
                             .offset = offset + done,
                             .size = out.size() - done};
        const auto n = call(what, [&] {
            return ::pread(fd_, out.data() + done, part_of(what), static_cast<off_t>(what.offset));
        });
        if (n < 0) fail(errno, "pread", path_);
        if (n == 0) break;
        done += static_cast<std::size_t>(n);
    }
    return done;
}

void File::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
    for (std::size_t done = 0; done < bytes.size();) {
        const Operation what{.call = Call::pwrite,
                             .path = path_.c_str(),
                             .fd = fd_,
                             .offset = offset + done,
                             .size = bytes.size() - done,
                             .data = bytes.data() + done};
        const auto n = call(what, [&] {
            return ::pwrite(fd_, what.data, part_of(what), static_cast<off_t>(what.offset));
        });
        if (n <= 0) fail(n == 0 ? EIO : errno, "pwrite", path_, bytes.size() - done);
        done += static_cast<std::size_t>(n);
    }
}

void File::truncate(std::uint64_t size) const {
    const Operation what{.call = Call::truncate, .path = path_.c_str(), .fd = fd_, .size = size};
    const auto made = call(what, [&] { return ::ftruncate(fd_, static_cast<off_t>(size)); });
    if (made < 0) fail(errno, "ftruncate", path_);
}

void File::allocate(std::uint64_t offset, std::uint64_t size) const {
    const Operation what{
        .call = Call::allocate, .path = path_.c_str(), .fd = fd_, .offset = offset, .size = size};
    const auto made = call(what, [&] {
        const NoSignals undisturbed;
        return ::fallocate(fd_, 0, static_cast<off_t>(offset), static_cast<off_t>(size));
    });
    if (made == 0) return;
    if (errno != EOPNOTSUPP && errno != ENOSYS) fail(errno, "fallocate", path_, size);
    write_zeros(*this, offset, offset + size);
}

void File::punch(std::uint64_t offset, std::uint64_t size) const {
    const Operation what{
        .call = Call::punch, .path = path_.c_str(), .fd = fd_, .offset = offset, .size = size};
    const auto made = call(what, [&] {
        return ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           static_cast<off_t>(offset), static_cast<off_t>(size));
    });
    if (made < 0 && errno != EOPNOTSUPP && errno != ENOSYS) fail(errno, "fallocate", path_);
}

void File::sync_data() const {
    // Not repeated on EINTR: what it says of this file's bytes, it may say only once.
    if (const int refused = fault(Call::sync, path_.c_str()); refused != 0) {
        fail(refused, "fdatasync", path_);
    }
    const Operation what{.call = Call::sync, .path = path_.c_str(), .fd = fd_};
    if (auto* const seen = tap()) seen->before(what);
    const int result = ::fdatasync(fd_);
    const int reason = errno;
    if (auto* const seen = tap()) seen->after(what, result);
    if (result < 0) fail(reason, "fdatasync", path_);
}

File memory_file(const std::string& name) {
    const auto path = "memory:" + name;
    const int fd =
        call(Call::memory_file, name, [&] { return ::memfd_create(name.c_str(), MFD_CLOEXEC); });
    if (fd < 0) fail(errno, "memfd_create", name);
    return {fd, path};
}

ReplacingFile::ReplacingFile(const std::string& path, unsigned permissions)
    : path_(path), temporary_(path + ".tmp-" + random_name()) {
    const Operation what{.call = Call::open,
                         .path = temporary_.c_str(),
                         .fd = AT_FDCWD,
                         .name = temporary_.c_str(),
                         .creates = true};
    const int fd = call(what, [&] {
        return ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                      permissions);
    });
    if (fd < 0) fail(errno, "open", temporary_);
    try {
        file_ = File(fd, path_);  // the name that whoever asked for it knows
    } catch (...) {
        ::unlink(temporary_.c_str());
        throw;
    }
}

ReplacingFile::~ReplacingFile() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void ReplacingFile::write(std::span<const std::byte> bytes) {
    file_.write(size_, bytes);
    size_ += bytes.size();
}

void ReplacingFile::commit() {
    file_.sync_data();
    const Operation what{.call = Call::rename,
                         .path = path_.c_str(),
                         .fd = AT_FDCWD,
                         .name = temporary_.c_str(),
                         .to = path_.c_str()};
    const auto renamed = call(what, [&] { return ::rename(temporary_.c_str(), path_.c_str()); });
    if (renamed < 0) fail(errno, "rename", path_);
    temporary_.clear();
    const auto parent = folder_of(path_);
    const int fd = call(Call::open, parent,
                        [&] { return ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd < 0) fail(errno, "open", parent);
    sync_folder(File(fd, parent));
}

std::optional<File> open_for_reading(const std::string& path) {
    const int fd = call(Call::open, path,
                        [&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); });
    if (fd < 0 && errno == ENOENT) return std::nullopt;
    if (fd < 0) fail(errno, "open", path);
    return File(fd, path);
}

std::uint64_t free_space(const std::string& path) {
    struct statvfs s{};
    if (call(Call::stat, path, [&] { return ::statvfs(path.c_str(), &s); }) < 0) {
        fail(errno, "statvfs", path);
    }
    return std::uint64_t{s.f_bavail} * s.f_frsize;
}

}  // namespace mmsb::os
