/// os/file: files and folders. Everything inside a bus folder is reached relative to one open
/// folder handle, with O_NOFOLLOW | O_CLOEXEC: a renamed or replaced folder, or a symbolic link put
/// into it, cannot lead elsewhere. A private bus has the same interface over memfds.
///
/// Threads: `const` functions of File and all of Folder from any thread.
/// Errors: Io and OutOfSpace with the path; see os/error.hpp. EINTR is retried, short transfers go
/// on.
#pragma once

#include "os/error.hpp"
#include "os/fork.hpp"

#include <mmsb/types.hpp>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace mmsb::os {

/// An open file; move-only; closes itself. `path` is for messages only.
class File {
public:
    File() = default;
    /// Owns fd from here on, also where there is no memory for the path.
    File(int fd, std::string_view path);
    File(File&& o) noexcept;
    File& operator=(File&& o) noexcept;
    ~File();
    [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// For messages: the name that it is about to get.
    void set_path(std::string path) noexcept { path_ = std::move(path); }

    [[nodiscard]] std::uint64_t size() const;
    /// Which file it is: its inode's number and, where the file system keeps that, its time of
    /// birth. The number alone is given again as soon as its file is gone, often to the next one.
    [[nodiscard]] std::uint64_t inode() const;
    [[nodiscard]] std::uint64_t allocated() const;  ///< Bytes of disk or memory behind it.
    [[nodiscard]] unsigned owner() const;           ///< User id.
    /// Fills `out` from `offset`; returns how many bytes there were before the end of the file.
    std::size_t read(std::uint64_t offset, std::span<std::byte> out) const;
    /// All of `bytes`, or throws.
    void write(std::uint64_t offset, std::span<const std::byte> bytes) const;
    void truncate(std::uint64_t size) const;
    /// Reserves room (fallocate, growing the file), so that no later write or touch fails for
    /// space.
    void allocate(std::uint64_t offset, std::uint64_t size) const;
    /// Gives back the room of whole blocks in there; they read as zeros. Where the file system
    /// cannot, nothing happens.
    void punch(std::uint64_t offset, std::uint64_t size) const;
    void sync_data() const;  ///< fdatasync. What it throws must never be retried.

private:
    int fd_ = -1;
    std::string path_{};
};

enum class Create : std::uint8_t {
    never,   ///< Must be there.
    always,  ///< Must not be there (O_EXCL).
    if_need,
};

/// The folder of a bus, or its stand-in in memory.
class Folder {
public:
    virtual ~Folder() = default;
    /// nullopt only where Create::never meets ENOENT.
    [[nodiscard]] virtual std::optional<File> open(const std::string& name, Create create,
                                                   bool writable) = 0;
    virtual void remove(const std::string& name) = 0;  ///< Absent is fine.
    virtual void rename(const std::string& from, const std::string& to) = 0;
    /// As rename, but false, with nothing changed, where `to` is there already.
    [[nodiscard]] virtual bool rename_new(const std::string& from, const std::string& to) = 0;
    [[nodiscard]] virtual std::vector<std::string> list() = 0;  ///< Regular files, sorted.
    virtual void sync() = 0;  ///< Names made, removed and renamed so far survive power loss.
    /// A folder inside, made if need be (only where `create`); nullptr where it is not there.
    [[nodiscard]] virtual std::unique_ptr<Folder> folder(const std::string& name, bool create) = 0;
    [[nodiscard]] virtual const std::string& path() const noexcept = 0;
    [[nodiscard]] virtual bool in_memory() const noexcept = 0;
    [[nodiscard]] virtual std::uint64_t inode() = 0;
    [[nodiscard]] virtual std::uint64_t device() = 0;
};

/// A folder on disk; made where `create`, with `permissions` and x wherever they have r, and synced
/// into its parent. nullptr where it is not there and not to be made. Files in it are made with
/// exactly `permissions`, whatever the umask.
[[nodiscard]] std::unique_ptr<Folder> open_folder(const std::string& path, bool create,
                                                  unsigned permissions);
/// Removes an empty folder; false, with nothing changed, where it is not empty. Absent is fine.
bool remove_folder(const std::string& path);
/// Files are memfds with these names; folders likewise. Gone with the object.
[[nodiscard]] std::unique_ptr<Folder> memory_folder();

/// An unnamed file in memory, growing on demand.
[[nodiscard]] File memory_file(const std::string& name);

/// For files outside a bus: a checkpoint, an export. Writes beside, syncs, renames, syncs the
/// folder; nothing is left of it where commit() was not reached.
class ReplacingFile {
public:
    ReplacingFile(const std::string& path, unsigned permissions);
    ~ReplacingFile();
    void write(std::span<const std::byte> bytes);  ///< Appends.
    void commit();
    /// What has been written so far. Errors of it name the file that it is to be.
    [[nodiscard]] const File& file() const noexcept { return file_; }

private:
    std::string path_, temporary_;
    File file_{};
    std::uint64_t size_ = 0;
};
[[nodiscard]] std::optional<File> open_for_reading(const std::string& path);
/// Bytes free for us on the file system of `path`.
[[nodiscard]] std::uint64_t free_space(const std::string& path);

/// flock(2) on a file of a folder; released when destroyed. Between open files, so also between two
/// openings in one process. A forked child shares it, and does not release it.
class FileLock {
public:
    FileLock() = default;
    explicit FileLock(File file) : file_(std::move(file)) {}
    FileLock(FileLock&& o) noexcept;
    FileLock& operator=(FileLock&& o) noexcept;
    ~FileLock();
    [[nodiscard]] bool try_exclusive();
    [[nodiscard]] bool try_shared();
    /// Waits; false after `timeout`.
    [[nodiscard]] bool exclusive(std::chrono::milliseconds timeout);
    /// From exclusive to shared. flock may let the lock go in between: only where another lock
    /// (lock.open) keeps others out.
    void to_shared();
    void release() noexcept;
    [[nodiscard]] const File& file() const noexcept { return file_; }

private:
    bool try_lock(int operation);

    File file_{};
    bool held_ = false;
    ForkToken token_{};  ///< Of who may let it go.
};

}  // namespace mmsb::os
