/// os/error: a failed system call as a typed error, and the seam where tests make calls fail.
///
/// The only room that calls the operating system. Every call goes through `fault()` first: a test
/// installs a hook that answers with an errno for the n-th call, and the call is not made. A `Tap`
/// sees what is written and synced, and cuts transfers short.
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
    set_mode,
    random,
    thread,
    advise,
    event,
    punch,
};
/// Returns the errno to fail with, or 0. Called from any thread.
using FaultHook = int (*)(Call call, const char* path);
/// nullptr: none. For tests; the cost without one is a relaxed load.
void set_fault_hook(FaultHook hook) noexcept;
[[nodiscard]] int fault(Call call, const char* path) noexcept;

/// What one call is about. Fields that do not apply are as they are here.
struct Operation {
    Call call{};
    const char* path = "";       ///< For messages; a renamed file may still have its older one.
    int fd = -1;                 ///< Of the file; where there is a `name`, of the folder it is in.
    const char* name = nullptr;  ///< Made, opened, removed, renamed, linked.
    const char* to = nullptr;    ///< Renamed or linked to; in the same folder.
    bool creates = false;        ///< An open that makes the file, or fails.
    std::uint64_t offset = 0, size = 0;
    const std::byte* data = nullptr;  ///< Written.
};
/// Sees the calls that change files, from any thread. For tests.
class Tap {
public:
    virtual ~Tap() = default;
    /// How many of the bytes of a pread or pwrite this one call moves.
    [[nodiscard]] virtual std::uint64_t transfer(const Operation& what) { return what.size; }
    virtual void before(const Operation&) {}
    virtual void after(const Operation&, long /*result*/) {}
};
/// nullptr: none. The cost without one is a relaxed load.
void set_tap(Tap* tap) noexcept;
[[nodiscard]] Tap* tap() noexcept;

/// Throws OutOfSpace for ENOSPC, EDQUOT and ENOMEM (where: path), else Io. `call` is the call's
/// name.
[[noreturn]] void fail(int system_error, std::string_view call, const std::string& path,
                       std::uint64_t needed = 0);

}  // namespace mmsb::os
