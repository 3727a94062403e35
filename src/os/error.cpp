#include "os/error.hpp"

#include <sys/statvfs.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace mmsb::os {
namespace {

std::atomic<FaultHook> fault_hook{nullptr};
std::atomic<Tap*> the_tap{nullptr};

/// What is left where `path` is, for the message of an OutOfSpace; 0 where that is not told.
std::uint64_t available_at(const std::string& path) noexcept {
    struct statvfs s{};
    return ::statvfs(path.c_str(), &s) == 0 ? std::uint64_t{s.f_bavail} * s.f_frsize : 0;
}

}  // namespace

void set_fault_hook(FaultHook hook) noexcept { fault_hook.store(hook, std::memory_order_release); }

int fault(Call call, const char* path) noexcept {
    const auto hook = fault_hook.load(std::memory_order_acquire);
    return hook == nullptr ? 0 : hook(call, path);
}

void set_tap(Tap* tap) noexcept { the_tap.store(tap, std::memory_order_release); }
Tap* tap() noexcept { return the_tap.load(std::memory_order_acquire); }

void fail(int system_error, std::string_view call, const std::string& path, std::uint64_t needed) {
    auto what = std::string(call) + ' ' + path + ": ";
    ErrorDetails details;
    details.path = path;
    details.needed = needed;
    details.system = system_error;
    char text[128];
    what += ::strerror_r(system_error, text, sizeof text);
    if (system_error == ELOOP) what += " (symbolic links are not followed here)";
    if (system_error != ENOSPC && system_error != EDQUOT && system_error != ENOMEM) {
        throw Io(ErrorCode::io, what, std::move(details));
    }
    if (system_error == ENOSPC) details.available = available_at(path);
    if (needed != 0) {
        what += " (needed " + std::to_string(needed) + " bytes, available " +
                std::to_string(details.available) + ")";
    }
    throw OutOfSpace(ErrorCode::out_of_space, what, std::move(details));
}

}  // namespace mmsb::os
