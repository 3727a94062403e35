/// os/call: how this room makes a system call: the fault hook first, EINTR again. Internal to os.
#pragma once

#include "os/file.hpp"

#include <cerrno>
#include <string>

namespace mmsb::os {

/// What `system_call` returns; -1 and errno where the hook refuses it. Interrupted calls are
/// repeated.
template <class F>
auto call(const Operation& what, F system_call) -> decltype(system_call()) {
    for (;;) {
        const int refused = fault(what.call, what.path);
        if (refused == 0) {
            if (auto* const seen = tap()) seen->before(what);
            const auto result = system_call();
            const int reason = errno;
            if (auto* const seen = tap()) seen->after(what, static_cast<long>(result));
            errno = reason;
            if (result >= 0 || errno != EINTR) return result;
        } else if (refused != EINTR) {
            errno = refused;
            return -1;
        }
    }
}
template <class F>
auto call(Call which, const std::string& path, F system_call) -> decltype(system_call()) {
    return call(Operation{.call = which, .path = path.c_str()}, system_call);
}

/// fsync of an open folder.
void sync_folder(const File& folder);

}  // namespace mmsb::os
