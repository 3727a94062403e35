/// exit_code: what the command line returns, in one table: its code, its help and its manual pages
/// are made from it.
#pragma once

#include <mmsb/error.hpp>

#include <span>
#include <string>
#include <string_view>

namespace mmsb::tool {

inline constexpr int exit_ok = 0;
inline constexpr int exit_difference = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_internal = 70;
inline constexpr int exit_reader_gone = 141;

struct ExitRow {
    int code;
    std::string_view meaning;
    std::span<const ErrorCode> errors;  ///< The library's errors that end in it.
};

/// In ascending order of code. The codes are stable.
[[nodiscard]] std::span<const ExitRow> exit_rows() noexcept;
[[nodiscard]] int exit_code(ErrorCode code) noexcept;
/// "0 done; 1 ...", for the end of each --help.
[[nodiscard]] std::string exit_summary();

}  // namespace mmsb::tool
