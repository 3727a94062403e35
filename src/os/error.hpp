/// os/error: a failed system call as a typed error, and the seam where tests make calls fail.
///
/// The only room that calls the operating system. Every call goes through `fault()` first: a test
/// installs a hook that answers with an errno for the n-th call, and the call is not made.
#pragma once

#include <mmsb/error.hpp>

#include <string>

namespace mmsb::os {

/// What a hook is asked about.
enum class Call : std::uint8_t {
    open,
    pread,
    pwrite,
    truncate,
    allocate,
    sync,
    sync_folder,
    rename,
    remove,
    link,
    map,
    lock,
    stat,
    make_folder,
    memory_file,
    list,
};
/// Returns the errno to fail with, or 0. Called from any thread.
using FaultHook = int (*)(Call call, const char* path);
/// nullptr: none. For tests; the cost without one is a relaxed load.
void set_fault_hook(FaultHook hook) noexcept;
[[nodiscard]] int fault(Call call, const char* path) noexcept;

/// Throws OutOfSpace for ENOSPC, EDQUOT and ENOMEM (where: path), else Io. `call` is the call's
/// name.
[[noreturn]] void fail(int system_error, std::string_view call, const std::string& path,
                       std::uint64_t needed = 0);

}  // namespace mmsb::os
