/// state/start_thread: a thread of an attachment.
#pragma once

#include "state/attachment.hpp"

#include <system_error>
#include <thread>

namespace mmsb::state {

/// Runs `work(bus)` in a thread of its own; who joins it sees to it that `bus` lives on. Throws Io
/// where the system gives none.
[[nodiscard]] inline std::thread start_thread(Attachment& bus, void (*work)(Attachment&)) {
    if (const int refused = os::fault(os::Call::thread, bus.path.c_str()); refused != 0)
        os::fail(refused, "pthread_create", bus.path);
    try {
        return std::thread([&bus, work] { work(bus); });
    } catch (const std::system_error& e) {
        os::fail(e.code().value(), "pthread_create", bus.path);
    }
}

}  // namespace mmsb::state
