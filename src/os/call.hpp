/// os/call: how this room makes a system call: the fault hook first, EINTR again. Internal to os.
#pragma once

#include "os/file.hpp"

#include <cerrno>
#include <string>

namespace mmsb::os {

/// What `system_call` returns; -1 and errno where the hook refuses it. Interrupted calls are
/// repeated.
template <class F>
auto call(Call which, const std::string& path, F system_call) -> decltype(system_call()) {
    for (;;) {
        const int refused = fault(which, path.c_str());
        if (refused == 0) {
            const auto result = system_call();
            if (result >= 0 || errno != EINTR) return result;
        } else if (refused != EINTR) {
            errno = refused;
            return -1;
        }
    }
}

/// fsync of an open folder.
void sync_folder(const File& folder);

}  // namespace mmsb::os
