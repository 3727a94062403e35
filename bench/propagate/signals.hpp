/// propagate/signals: libraries of JavaScript that keep values up to date, each turn in a process
/// of node. Their nodes are numbers, not pages: nothing is copied, compared or logged.
#pragma once

#include "propagate/shapes.hpp"

#include <array>

namespace bench {

/// As npm names them.
inline constexpr std::array signals_libraries{"alien-signals", "@preact/signals-core"};

/// Where turn.mjs is, and what npm has installed for it; how long a turn lasts.
struct Signals {
    std::string folder{};
    int turn_ms = 200;
};
/// What is missing here of what it takes; empty: nothing.
[[nodiscard]] std::string missing(const Signals& signals);
/// ns an update. Throws std::runtime_error where node fails, or a value is wrong.
[[nodiscard]] double turn(const Signals& signals, const std::string& library, const Shape& shape);

}  // namespace bench
