/// tests/support/reboot: what a reboot of the system leaves of a bus.
#pragma once

#include "log/format.hpp"
#include "os/process.hpp"
#include "support/temp_bus.hpp"

namespace mmsb::test {

/// As if the log had been written before the system was booted, for this process and its children.
/// Where there is no bus: nothing. REQUIRES that this process has none open: its clock is set
/// ahead.
inline void date_log_before_boot(const fs::path& folder) {
    const auto text = read_file(folder / "bus");
    auto header = log::decode_bus(std::as_bytes(std::span(text))).value;
    if (!header) return;
    constexpr std::int64_t second = 1'000'000'000;
    static std::int64_t ahead = 0;
    ahead += os::boot_clock_ns() + second;
    os::shift_clock(ahead);
    header->log_boot = ~header->log_boot;
    const auto slot = log::encode_bus(*header);
    const std::string_view bytes(reinterpret_cast<const char*>(slot.data()), slot.size());
    // Into the same file: another one would be a copy.
    std::ofstream out(folder / "bus", std::ios::binary | std::ios::in);
    out << bytes << bytes;
}

/// And its shared memory is gone.
inline void reboot(const fs::path& folder) {
    remove_arena(folder);
    date_log_before_boot(folder);
}

}  // namespace mmsb::test
