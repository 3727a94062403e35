/// os_files: reading files that others write.
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
/// Throws where it is there, and read_stable() would not begin to read it.
void require_regular(const std::string& path);
/// All of a file, as it was at one moment: where its size or time of change moves meanwhile it is
/// read again, some ten times within about a second, then it is `unstable`.
/// Throws Io, and InvalidArgument for what is no regular file or is over largest_file (nothing is
/// `unreadable` here).
[[nodiscard]] FileContents read_stable(const std::string& path);

/// The file system that has it keeps nothing on a disk. Throws Io.
[[nodiscard]] bool in_memory(const std::string& path);
/// Bytes on disk of all files below a folder; 0 where there is none.
[[nodiscard]] std::uint64_t folder_size(const std::string& path);
/// Absolute and without links; the path as it is where that cannot be said.
[[nodiscard]] std::string whole_path(const std::string& path);
/// Throws Io that says which call failed on which file.
[[noreturn]] void throw_io(const std::string& what, const std::string& path, int error);

}  // namespace mmsb::tool
