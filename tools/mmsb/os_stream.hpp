/// os_stream: file descriptors that a program is born with.
#pragma once

#include <string_view>

namespace mmsb::tool {

inline constexpr int standard_output = 1;
inline constexpr int standard_error = 2;

[[nodiscard]] bool is_terminal(int file) noexcept;
/// Writes all of it. Returns 0, or what errno says.
[[nodiscard]] int write_to(int file, std::string_view text) noexcept;
/// Where one of the three is closed its number is taken, so that reading or writing there still
/// fails: else a file that is opened would have it, and get what is written there.
void reserve_standard_files() noexcept;
/// From now on a write to a reader that is gone fails instead of ending the program.
void survive_broken_pipes() noexcept;

}  // namespace mmsb::tool
