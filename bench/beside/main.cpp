// Reading pages from another process: while nothing is written, beside a process that changes
// random ones without pause, past one that was stopped or killed in the middle of a commit; several
// as of one moment; a large one that never rests. And what the writer pays for it. Each engine in
// turn, round by round, the two processes each on a core of its own where there are two.
//
// What is timed is not looked at. In a pass of its own, beside the same writer, each read says as
// of which commit it is, and must be exactly what the plain model is then.
#include "beside/turns.hpp"
#include "cores.hpp"
#include "crash/shared.hpp"
#include "figures.hpp"
#include "options.hpp"
#include "support/child.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

namespace {

using bench::LargeTimes;
using bench::PageTimes;
using bench::StoppedTimes;

struct Options {
    int rounds = 5;
    std::string json{};
    bench::TurnOptions turn{};
};

struct Row {
    bench::Sides sides{};
    bool torn = false;
    std::vector<PageTimes> times{};
};

template <class T>
double median(const std::vector<T>& times, double T::* field) {
    std::vector<double> v;
    v.reserve(times.size());
    for (const auto& one : times) v.push_back(one.*field);
    return bench::median(v);
}

// In a process of its own, so that nothing is inherited by the next one.
template <class T, class F>
void run(std::vector<T>& times, const std::string& folder, F&& turn) {
    const mmsb::test::Shared<T> result;
    mmsb::test::Child reader([&] {
        *result = turn();
        return 0;
    });
    if (reader.wait() != 0) throw std::runtime_error("a turn failed");
    times.push_back(*result);
    bench::remove_store(folder);
}

nlohmann::json print_pages(const std::vector<Row>& rows) {
    fmt::print("\n{:22} {:>9} {:>8} {:>9} {:>8} {:>10} {:>10} {:>12} {:>10} {:>8}\n",
               "a random page, ns", "quiet", "x memcpy", "busy", "x memcpy", "8 at once", "busy",
               "writer alone", "beside", "slower");
    const auto floor = median(rows.front().times, &PageTimes::quiet);
    auto json = nlohmann::json::array();
    for (const auto& [sides, torn, times] : rows) {
        const auto quiet = median(times, &PageTimes::quiet), busy = median(times, &PageTimes::busy);
        const auto many = median(times, &PageTimes::many_quiet);
        const auto alone = median(times, &PageTimes::alone);
        json.push_back({{"engine", sides.name},
                        {"quiet_ns", quiet},
                        {"quiet_times_memcpy", quiet / floor},
                        {"eight_quiet_ns", many}});
        if (torn) {
            fmt::print("{:22} {:9.1f} {:8.2f} {:>9} {:>8} {:10.0f}\n", sides.name, quiet,
                       quiet / floor, "-", "-", many);
            continue;
        }
        const auto beside = median(times, &PageTimes::beside);
        const auto many_busy = median(times, &PageTimes::many_busy);
        fmt::print(
            "{:22} {:9.1f} {:8.2f} {:9.1f} {:8.2f} {:10.0f} {:10.0f} {:12.0f} {:10.0f} {:7.1f}%\n",
            sides.name, quiet, quiet / floor, busy, busy / floor, many, many_busy, alone, beside,
            100 * (beside / alone - 1));
        json.back().update({{"busy_ns", busy},
                            {"busy_times_memcpy", busy / floor},
                            {"eight_busy_ns", many_busy},
                            {"writer_alone_ns", alone},
                            {"writer_beside_ns", beside}});
    }
    return json;
}

nlohmann::json print_stopped(const std::vector<StoppedTimes>& times, int stops) {
    const auto quiet = median(times, &StoppedTimes::quiet);
    const auto stopped = median(times, &StoppedTimes::stopped);
    const auto dead = median(times, &StoppedTimes::dead);
    fmt::print("\n{:22} {:>9} {:>16} {:>13}\n", fmt::format("one page, ns, {} stops", stops),
               "quiet", "writer stopped", "and killed");
    fmt::print("{:22} {:9.1f} {:16.1f} {:13.1f}\n", "MMSB", quiet, stopped, dead);
    return {{"quiet_ns", quiet}, {"stopped_ns", stopped}, {"dead_ns", dead}};
}

nlohmann::json print_large(const std::vector<LargeTimes>& times, double mib) {
    const auto copy = median(times, &LargeTimes::copy), quiet = median(times, &LargeTimes::quiet);
    const auto busy = median(times, &LargeTimes::busy);
    const auto alone = median(times, &LargeTimes::alone);
    const auto beside = median(times, &LargeTimes::beside);
    constexpr double ms = 1e6;
    fmt::print("\n{:22} {:>9} {:>9} {:>8} {:>9} {:>8} {:>15} {:>10}\n",
               fmt::format("a page of {:g} MiB, ms", mib), "memcpy", "quiet", "x memcpy", "busy",
               "x memcpy", "writer alone ns", "beside");
    fmt::print("{:22} {:9.2f} {:9.2f} {:8.2f} {:9.2f} {:8.2f} {:15.0f} {:10.0f}\n", "MMSB",
               copy / ms, quiet / ms, quiet / copy, busy / ms, busy / copy, alone, beside);
    return {{"mib", mib},
            {"memcpy_ns", copy},
            {"quiet_ns", quiet},
            {"busy_ns", busy},
            {"busy_times_memcpy", busy / copy},
            {"writer_alone_ns", alone},
            {"writer_beside_ns", beside}};
}

Options parse(int argc, char** argv) {
    Options options;
    auto& turn = options.turn;
    turn.folder = std::filesystem::temp_directory_path() / fmt::format("mmsb-beside-{}", getpid());
    bench::CommandLine("Reads in another process than the writer's")
        .option("--pages", turn.pages, "how many there are")
        .option("--reads", turn.reads, "a turn")
        .option("--large-kib", turn.large_pages, "size of the large page")
        .option("--stops", turn.stops, "of the writer, in the middle of a commit")
        .option("--alone-ms", turn.alone_ms, "how long the writer runs alone")
        .option("--rounds", options.rounds, "of each")
        .option("--folder", turn.folder, "where the stores are made")
        .option("--json", options.json, "file for the figures")
        .read(argc, argv);
    const auto cores = bench::cores();
    turn.writing_core = cores.front();
    turn.reading_core = cores.back();
    return options;
}

}  // namespace

int main(int argc, char** argv) try {
    const auto options = parse(argc, argv);
    const auto& turn = options.turn;
    std::vector<Row> rows;
    rows.push_back({bench::memcpy_sides(turn.pages * bench::page_size), true});
    rows.push_back({bench::mmsb_sides()});
    rows.push_back({bench::lmdb_sides(false)});
    rows.push_back({bench::lmdb_sides(true)});
    std::vector<StoppedTimes> stopped;
    std::vector<LargeTimes> large;
    for (int round = 0; round < options.rounds; ++round) {
        for (auto& row : rows)
            run(row.times, turn.folder,
                [&] { return bench::page_turn(row.sides, turn, row.torn); });
        run(stopped, turn.folder, [&] { return bench::stopped_turn(turn); });
        run(large, turn.folder, [&] { return bench::large_turn(turn); });
    }
    fmt::print(
        "Reads in another process than the writer's: {} pages of 1 KiB, {} reads, {} rounds, "
        "medians\n",
        turn.pages, turn.reads, options.rounds);
    nlohmann::json json;
    json["pages"] = print_pages(rows);
    json["stopped"] = print_stopped(stopped, turn.stops);
    json["large"] = print_large(large, static_cast<double>(turn.large_pages) / 1024);
    if (!options.json.empty()) std::ofstream(options.json) << json.dump(2) << '\n';
    return 0;
} catch (const std::exception& e) {
    std::cerr << "bench_beside: " << e.what() << '\n';
    return 1;
}
