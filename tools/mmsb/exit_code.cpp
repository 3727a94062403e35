#include "exit_code.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace mmsb::tool {
namespace {

using enum ErrorCode;

constexpr std::array wrong_use{invalid_argument, wrong_context, type_mismatch,
                               invalid_delta,    graph_cycle,   recompute_failed};
constexpr std::array not_there{page_not_found, history_dropped};
constexpr std::array no_bus{not_a_bus, newer_format, arena_elsewhere};
constexpr std::array damage{corrupt};
constexpr std::array try_again{busy, conflict};
constexpr std::array no_room{out_of_space};
constexpr std::array input_output{io, not_durable, poisoned};
constexpr std::array not_allowed{read_only, closed};

constexpr std::array rows{
    ExitRow{exit_ok, "done; diff: no difference; verify, doctor: no damage", {}},
    ExitRow{
        exit_difference, "diff: the two differ; verify: pages and log differ; doctor: damage", {}},
    ExitRow{exit_usage, "wrong use: an option, an argument or a value", wrong_use},
    ExitRow{3, "no such page, or that past is no longer kept", not_there},
    ExitRow{4, "no bus there, or one of another format or place", no_bus},
    ExitRow{5, "damage in a file of the bus", damage},
    ExitRow{6, "try again: a lock was held, or a file never stood still", try_again},
    ExitRow{7, "no room: disk, shared memory or memory", no_room},
    ExitRow{8, "a file could not be read or written", input_output},
    ExitRow{9, "the bus is read-only or closed", not_allowed},
    ExitRow{exit_internal, "an error that should not happen: please report it", {}},
    ExitRow{exit_reader_gone, "the reader of the output went away, as by `| head`", {}},
};

}  // namespace

std::span<const ExitRow> exit_rows() noexcept { return rows; }

int exit_code(ErrorCode code) noexcept {
    for (const ExitRow& row : rows) {
        if (std::ranges::find(row.errors, code) != row.errors.end()) return row.code;
    }
    return exit_internal;
}

std::string exit_summary() {
    std::string text = "Exit codes:\n";
    for (const ExitRow& row : rows) text += fmt::format("  {:>3}  {}\n", row.code, row.meaning);
    return text;
}

}  // namespace mmsb::tool
