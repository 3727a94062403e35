/// tests/support/in_memory: temporary folders in memory, for tests that make thousands of states of
/// a bus and mean no disk. A TMPDIR that is set stays; so does the default where /dev/shm is small.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace mmsb::test {

inline const bool temporary_folders_in_memory = [] {
    constexpr std::uintmax_t least = std::uintmax_t{512} << 20U;
    std::error_code error;
    const auto space = std::filesystem::space("/dev/shm", error);
    if (error || space.available < least) return false;
    return ::setenv("TMPDIR", "/dev/shm", 0) == 0;
}();

}  // namespace mmsb::test
