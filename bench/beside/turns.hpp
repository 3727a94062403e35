/// bench/beside/turns: one round of one engine. Each runs in a process of its own, which starts the
/// writing process, and throws where something that was read is not what the model says.
#pragma once

#include "beside/sides.hpp"

#include <cstddef>
#include <string>

namespace bench {

struct TurnOptions {
    std::string folder{};
    std::size_t pages = 10'000, reads = 1'000'000;
    std::size_t large_pages = 65'536, large_reads = 7;  ///< The large page, in pages of 1 KiB.
    int stops = 10;                                     ///< Of a writer in the middle of a commit.
    int alone_ms = 200;  ///< How long the writer is looked at without a reader.
    int reading_core = 0, writing_core = 0;
};

/// Nanoseconds: a read of a random page; eight of them as of one moment; a commit of the writer.
struct PageTimes {
    double quiet = 0, busy = 0, many_quiet = 0, many_busy = 0, alone = 0, beside = 0;
};
/// `torn`: it may be, and is only read while nothing is written.
PageTimes page_turn(const Sides& sides, const TurnOptions& options, bool torn);

/// Nanoseconds a read of one page: nothing happens; its writer was stopped in the middle of a
/// commit to it; and was killed there. Stops at random instants until it was in the middle.
struct StoppedTimes {
    double quiet = 0, stopped = 0, dead = 0;
};
StoppedTimes stopped_turn(const TurnOptions& options);

/// Nanoseconds a read of the whole large page.
struct LargeTimes {
    double copy = 0, quiet = 0, busy = 0, alone = 0, beside = 0;
};
LargeTimes large_turn(const TurnOptions& options);

}  // namespace bench
