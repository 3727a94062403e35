/// os_files: reading files that others write, and writing files below one folder and nowhere else.
#pragma once

#include <mmsb/error.hpp>
#include <mmsb/types.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mmsb::tool {

inline constexpr std::uint64_t largest_file = std::uint64_t{1} << 30U;

/// What tells one state of a file from another without reading it.
struct FileSignature {
    std::uint64_t device = 0, inode = 0, size = 0;
    std::int64_t modified_ns = 0;
    friend bool operator==(const FileSignature&, const FileSignature&) = default;
};
/// Nothing where there is no such file. Throws Io for other errors.
[[nodiscard]] std::optional<FileSignature> signature_of(const std::string& path);

enum class ReadStatus : std::uint8_t { read, gone, unstable, unreadable };
struct FileContents {
    ReadStatus status = ReadStatus::gone;
    FileSignature signature{};
    Bytes bytes{};
};
/// All of a file, as it was at one moment: where its size or time of change moves meanwhile it is
/// read again, some ten times within about a second, then it is `unstable`.
/// Throws Io, and InvalidArgument for what is no regular file or is over largest_file (nothing is
/// `unreadable` here).
[[nodiscard]] FileContents read_stable(const std::string& path);

/// Where a page's file goes, below the export's folder: neither absolute nor upwards. An empty
/// part or "." is left out, ".." becomes "__"; a page without a usable name is "page-ID".
[[nodiscard]] std::string safe_path(std::string_view name, PageId id);

/// A folder to write into. It never follows a symbolic link below itself.
class SafeFolder {
public:
    /// Makes the folder and its parents if need be. Throws Io.
    explicit SafeFolder(const std::string& path);
    ~SafeFolder();
    SafeFolder(const SafeFolder&) = delete;
    SafeFolder& operator=(const SafeFolder&) = delete;
    /// Writes the file under another name and renames it, so that it is there whole or not at all.
    /// REQUIRES a path from safe_path(). Throws Io.
    void write(const std::string& path, std::span<const std::byte> bytes) const;

private:
    std::string path_;
    int folder_ = -1;
};

/// Bytes on disk of all files below a folder; 0 where there is none.
[[nodiscard]] std::uint64_t folder_size(const std::string& path);
/// Throws Io that says which call failed on which file.
[[noreturn]] void throw_io(const std::string& what, const std::string& path, int error);

}  // namespace mmsb::tool
