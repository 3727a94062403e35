/// measure: what bench does to buses of its own, and how long that takes. What a bus holds at the
/// end is compared with a plain model before its time counts.
#pragma once

#include "os_watch.hpp"

#include <mmsb/mmsb.hpp>

#include <cstdint>
#include <string>

namespace mmsb::tool {

/// A signal asked for the end.
struct Interrupted {
    int signal = 0;
};

/// What is measured.
enum class Subject : std::uint8_t {
    update,   ///< Ten bytes of a random page change; a commit each, or several.
    read,     ///< A copy of a random page.
    replay,   ///< The log, from its start, beside the pages that it gives: State::verify.
    reopen,   ///< From a clean close to the first page read; the shared memory is there.
    rebuild,  ///< The same where it is not, as after a reboot: checkpoint and log are read.
};
[[nodiscard]] std::string_view to_string(Subject subject) noexcept;  ///< As it is written above.

/// How it is measured.
struct Measurement {
    Subject subject = Subject::update;
    Durability durability = Durability::process;  ///< Of updates.
    unsigned writers = 1;                         ///< Threads, each with pages of its own.
    std::uint64_t updates_a_commit = 1;
    double share = 0.1;  ///< Of all the time there is.
};

/// What came out. Of what takes less than a microsecond, a thousand are timed together.
struct Figure {
    std::uint64_t count = 0;    ///< Updates, reads, records, openings.
    std::uint64_t records = 0;  ///< In the log that is read: of replay and rebuild.
    double per_second = 0;      ///< Of all of them.
    double median_ns = 0;       ///< Of one.
    double p99_ns = 0;          ///< 0: they were not timed one by one.
};

struct BenchOptions {
    std::string folder = ".";  ///< Where buses are made.
    std::uint64_t seconds = 60;
};

inline constexpr std::size_t bench_pages = 10'000, bench_page_size = 1024;

/// A folder of its own, which is gone afterwards with all that is in it.
class Bench {
public:
    /// Throws Io where the folder cannot be made.
    Bench(BenchOptions options, Signals& signals);
    ~Bench();
    Bench(const Bench&) = delete;
    Bench& operator=(const Bench&) = delete;
    [[nodiscard]] const std::string& folder() const noexcept { return folder_; }
    /// Throws Interrupted, what the bus throws, and Corrupt where it does not hold what was
    /// committed.
    [[nodiscard]] Figure measure(const Measurement& what);

private:
    struct Pages;
    struct History;
    Figure updates(const Measurement& what, double seconds);
    Figure waiting_updates(const Measurement& what, double seconds);
    Figure reads(double seconds);
    Figure of_history(Subject subject);
    void check_signals();
    [[nodiscard]] std::string next_bus();

    BenchOptions options_;
    Signals& signals_;
    std::string folder_;
    int buses_ = 0;
};

}  // namespace mmsb::tool
