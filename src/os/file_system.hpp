/// os/file_system: what a file really takes, and what kind of file system it lies on.
#pragma once

#include "os/file.hpp"

#include <string_view>

namespace mmsb::os {

/// As of now.
struct Extent {
    bool known = false;      ///< Else zeros: the kernel does not tell (it does, of an open file).
    std::uint64_t size = 0;  ///< Where the file ends.
    std::uint64_t allocated = 0;  ///< Bytes of disk or memory behind it.
};
[[nodiscard]] Extent extent_of(const File& file) noexcept;

/// The name of a network file system, by the number that statfs(2) gives a file system; empty: none
/// of those that are known. (FUSE says nothing of what is behind it: it is none.)
[[nodiscard]] std::string_view network_name(std::uint64_t type) noexcept;
/// Of the one that this folder lies on; empty: local, or not told.
[[nodiscard]] std::string_view network_file_system(const std::string& folder) noexcept;

/// tmpfs or a memfd: `allocated` is exact there, and what is not allocated is taken when touched.
[[nodiscard]] bool is_in_memory(const File& file) noexcept;

}  // namespace mmsb::os
