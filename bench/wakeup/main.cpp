// From a commit to the return of the process that waits for it, beside what the kernel offers bare:
// each way in turn, round by round, between two processes. Checks each number that arrives.
//
// Both processes on one core, and each on its own: a wake-up across cores costs several times as
// much, and where the scheduler puts them is chance.
//
// back and forth   the two answer each other at once: half of a round trip
// asleep           the receiver has slept for a while when the sender begins to send; until its
//                  receive() returns
#include "cores.hpp"
#include "figures.hpp"
#include "options.hpp"
#include "wakeup/channel.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr std::uint64_t most_wakes = 100'000;

struct Options {
    std::uint64_t trips = 20'000, wakes = 2'000;
    int rounds = 5, pause_us = 200;
    std::string json{},
        folder = std::filesystem::temp_directory_path() / fmt::format("mmsb-wakeup-{}", getpid());
};

struct Times {
    std::vector<double> back_and_forth{}, asleep{}, asleep_p99{};
};
struct Row {
    std::string name{};
    Times one_core{}, two_cores{};
};

// Between the two processes, beside the channel.
struct Clocks {
    std::atomic<std::int64_t> sent_ns{0};
    std::atomic<std::int64_t> took_ns[most_wakes]{};
};

// One clock for all processes of the machine.
std::int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

void receive(bench::Channel& channel, std::uint64_t number) {
    channel.receive(number);
    if (const auto arrived = channel.arrived(); arrived != number)
        throw std::runtime_error(fmt::format("{} arrived, not {}", arrived, number));
}

// Side 1 answers everything; the number of an answer is one higher, since the first says "here".
void answer(const bench::Way& way, const Options& options, Clocks& clocks) {
    const auto channel = way.open(1);
    channel->send(1);
    std::uint64_t n = 0;
    while (n < options.trips) {
        receive(*channel, ++n);
        channel->send(n + 1);
    }
    for (std::uint64_t i = 0; i < options.wakes; ++i) {
        channel->receive(++n);
        clocks.took_ns[i] = now_ns() - clocks.sent_ns;
        if (channel->arrived() != n) throw std::runtime_error("another number arrived");
        channel->send(n + 1);
    }
}

void ask(const bench::Way& way, const Options& options, Clocks& clocks, Times& times) {
    const auto channel = way.open(0);
    receive(*channel, 1);
    std::uint64_t n = 0;
    // Medians, because on a machine with other work a few trips in a thousand wait for a time
    // slice.
    std::vector<double> took;
    while (n < options.trips) {
        const auto began = now_ns();
        channel->send(++n);
        receive(*channel, n + 1);
        took.push_back(static_cast<double>(now_ns() - began) / 2);
    }
    times.back_and_forth.push_back(bench::median(took));
    took.clear();
    for (std::uint64_t i = 0; i < options.wakes; ++i) {
        std::this_thread::sleep_for(std::chrono::microseconds(options.pause_us));
        clocks.sent_ns = now_ns();
        channel->send(++n);
        receive(*channel, n + 1);
        took.push_back(static_cast<double>(clocks.took_ns[i]));
    }
    times.asleep.push_back(bench::median(took));
    times.asleep_p99.push_back(bench::quantile(took, 0.99));
}

// The two sides on these cores; ours from now on.
void run(const bench::Way& way, const Options& options, int ours, int theirs, Clocks& clocks,
         Times& times) {
    std::fflush(nullptr);
    bench::stay_on(ours);
    const auto child = ::fork();
    if (child < 0) throw std::runtime_error("fork failed");
    if (child == 0) {
        try {
            bench::stay_on(theirs);
            answer(way, options, clocks);
        } catch (const std::exception& e) {
            std::cerr << "bench_wakeup: " << way.name << ": " << e.what() << '\n';
            std::_Exit(1);
        }
        std::_Exit(0);
    }
    try {
        ask(way, options, clocks, times);
    } catch (...) {
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        throw;
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child || status != 0)
        throw std::runtime_error(way.name + ": the other side failed");
}

nlohmann::json to_json(const Times& times, const Times& bare) {
    const auto trip = bench::median(times.back_and_forth), wake = bench::median(times.asleep);
    return {{"back_and_forth_ns", times.back_and_forth},
            {"asleep_ns", times.asleep},
            {"asleep_p99_ns", times.asleep_p99},
            {"back_and_forth_median_ns", trip},
            {"asleep_median_ns", wake},
            {"futex_ratio_back_and_forth", trip / bench::median(bare.back_and_forth)},
            {"futex_ratio_asleep", wake / bench::median(bare.asleep)}};
}

void print(const char* where, const std::vector<Row>& rows, Times Row::* times) {
    fmt::print("\n{:22} {:>17} {:>8} {:>10} {:>8} {:>10}\n", where, "back and forth us", "x futex",
               "asleep us", "x futex", "p99 us");
    const auto& bare = rows.front().*times;
    for (const auto& row : rows) {
        const auto& t = row.*times;
        const auto trip = bench::median(t.back_and_forth), wake = bench::median(t.asleep);
        fmt::print("{:22} {:17.2f} {:8.2f} {:10.2f} {:8.2f} {:10.2f}\n", row.name, trip / 1000,
                   trip / bench::median(bare.back_and_forth), wake / 1000,
                   wake / bench::median(bare.asleep), bench::median(t.asleep_p99) / 1000);
    }
}

void print(const std::vector<Row>& rows, const Options& options) {
    fmt::print(
        "From sending to the return of who waits, two processes: {} round trips, {} wakes after "
        "{} us, {} rounds, medians\n",
        options.trips, options.wakes, options.pause_us, options.rounds);
    print("both on one core", rows, &Row::one_core);
    const bool two = !rows.front().two_cores.asleep.empty();
    if (two) print("each on its own core", rows, &Row::two_cores);
    if (options.json.empty()) return;
    auto json = nlohmann::json::array();
    for (const auto& row : rows) {
        json.push_back(
            {{"way", row.name}, {"one_core", to_json(row.one_core, rows.front().one_core)}});
        if (two) json.back()["two_cores"] = to_json(row.two_cores, rows.front().two_cores);
    }
    std::ofstream(options.json) << json.dump(2) << '\n';
}

Options parse(int argc, char** argv) {
    Options options;
    bench::CommandLine("From a commit to whoever waits for it")
        .option("--trips", options.trips, "back and forth")
        .option("--wakes", options.wakes, "of one that sleeps")
        .option("--pause-us", options.pause_us, "before each of these")
        .option("--rounds", options.rounds, "of each channel")
        .option("--json", options.json, "file for the figures")
        .read(argc, argv);
    options.wakes = std::min(options.wakes, most_wakes);
    return options;
}

// The arena stays after a clean leave; a benchmark cleans up behind itself.
void remove_bus(const std::filesystem::path& folder) {
    std::string arena;
    std::getline(std::ifstream(folder / "arena"), arena);
    if (!arena.empty()) std::filesystem::remove(arena);
    std::filesystem::remove_all(folder);
}

}  // namespace

int main(int argc, char** argv) try {
    const auto options = parse(argc, argv);
    void* const shared =
        ::mmap(nullptr, sizeof(Clocks), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) throw std::runtime_error("mmap failed");
    auto& clocks = *new (shared) Clocks;
    const std::vector<std::function<bench::Way()>> ways = {
        bench::bare_futex,
        bench::eventfds,
        bench::pipes,
        [&] { return bench::mmsb_page(options.folder); },
        [&] { return bench::mmsb_watch(options.folder); },
    };
    std::vector<Row> rows(ways.size());
    const auto all = bench::cores();
    for (int round = 0; round < options.rounds; ++round)
        for (std::size_t i = 0; i < ways.size(); ++i)
            for (const bool two : {false, true}) {
                if (two && all.size() < 2) continue;
                const auto way = ways[i]();
                rows[i].name = way.name;
                run(way, options, all.front(), two ? all.back() : all.front(), clocks,
                    two ? rows[i].two_cores : rows[i].one_core);
                remove_bus(options.folder);
            }
    print(rows, options);
    return 0;
} catch (const std::exception& e) {
    std::cerr << "bench_wakeup: " << e.what() << '\n';
    return 1;
}
