#include "os_files.hpp"

#include "output.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <thread>

namespace mmsb::tool {
namespace {

// A descriptor that closes itself.
class Descriptor {
public:
    explicit Descriptor(int file) : file_(file) {}
    ~Descriptor() {
        if (file_ >= 0) ::close(file_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int get() const noexcept { return file_; }
    [[nodiscard]] bool open() const noexcept { return file_ >= 0; }

private:
    int file_;
};

FileSignature signature(const struct stat& status) {
    return {.device = status.st_dev,
            .inode = status.st_ino,
            .size = static_cast<std::uint64_t>(status.st_size),
            .modified_ns = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
    throw InvalidArgument(ErrorCode::invalid_argument, fmt::format("{} {}", printable(path), why),
                          {.path = path});
}

[[noreturn]] void refuse_large(const std::string& path, std::uint64_t size) {
    refuse(path, fmt::format("has {}: files over 1 GiB are not captured", size_text(size)));
}

FileSignature checked(const std::string& path, int file) {
    struct stat status{};
    if (::fstat(file, &status) != 0) throw_io("cannot look at", path, errno);
    if (S_ISDIR(status.st_mode)) refuse(path, "is a folder, not a file");
    if (!S_ISREG(status.st_mode)) refuse(path, "is no regular file");
    if (static_cast<std::uint64_t>(status.st_size) > largest_file)
        refuse_large(path, static_cast<std::uint64_t>(status.st_size));
    return signature(status);
}

Bytes read_all(const std::string& path, int file, std::uint64_t expected) {
    Bytes bytes(expected + 1);  // One more, so that the end of a file that stands still is seen.
    std::size_t size = 0;
    for (;;) {
        const ssize_t got = ::read(file, bytes.data() + size, bytes.size() - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw_io("cannot read", path, errno);
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
        if (expected != 0 && size > expected) break;  // It grows, and will be read again.
        if (size > largest_file) refuse_large(path, size);
        if (size == bytes.size()) bytes.resize(size * 2);
    }
    bytes.resize(size);
    return bytes;
}

// Times of change step with the kernel's tick: what is written twice within one has the same time.
// So a file is only read a tick after its change; a later change then has another time.
void wait_until_told_apart(const FileSignature& file) {
    timespec tick{};
    ::clock_getres(CLOCK_REALTIME_COARSE, &tick);
    const std::int64_t age = now().time_since_epoch().count() - file.modified_ns;
    if (age >= 0 && age < tick.tv_nsec)
        std::this_thread::sleep_for(std::chrono::nanoseconds(tick.tv_nsec - age));
}

// A file system like /proc says size 0 for files that have contents.
bool whole(const FileSignature& file, std::uint64_t read) {
    return read == file.size || file.size == 0;
}

}  // namespace

void throw_io(const std::string& what, const std::string& path, int error) {
    throw Io(ErrorCode::io, fmt::format("{} {}: {}", what, printable(path), std::strerror(error)),
             {.path = path, .system = error});
}

std::optional<FileSignature> signature_of(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0) return signature(status);
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw_io("cannot look at", path, errno);
}

void require_regular(const std::string& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (file.open())
        static_cast<void>(checked(path, file.get()));
    else if (errno != ENOENT && errno != ENOTDIR)
        throw_io("cannot open", path, errno);
}

FileContents read_stable(const std::string& path) {
    constexpr int tries = 10;
    auto pause = std::chrono::milliseconds(5);
    for (int i = 0; i < tries; ++i) {
        // Without O_NONBLOCK the open of a pipe would wait for its writer.
        const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        if (!file.open() && (errno == ENOENT || errno == ENOTDIR)) return {};
        if (!file.open()) throw_io("cannot open", path, errno);
        const FileSignature before = checked(path, file.get());
        wait_until_told_apart(before);
        Bytes bytes = read_all(path, file.get(), before.size);
        if (before == checked(path, file.get()) && whole(before, bytes.size()))
            return {ReadStatus::read, before, std::move(bytes)};
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 2, std::chrono::milliseconds(200));
    }
    return {.status = ReadStatus::unstable};
}

bool in_memory(const std::string& path) {
    struct statfs status{};
    if (::statfs(path.c_str(), &status) != 0) throw_io("cannot look at", path, errno);
    return status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC;
}

std::uint64_t folder_size(const std::string& path) {
    namespace fs = std::filesystem;
    std::uint64_t total = 0;
    std::error_code error;
    for (auto i = fs::recursive_directory_iterator(path, error);
         !error && i != fs::recursive_directory_iterator(); i.increment(error)) {
        struct stat status{};
        // Segments are allocated in advance and may have holes: what the disk gives counts.
        if (::lstat(i->path().c_str(), &status) == 0 && S_ISREG(status.st_mode))
            total += static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
    return total;
}

std::string whole_path(const std::string& path) {
    std::error_code error;
    auto whole = std::filesystem::canonical(path, error).string();
    return error ? path : whole;
}

}  // namespace mmsb::tool
