// Durable commits a second by 1, 2 and 8 writers: each writer, a thread with pages of its own,
// changes ten bytes of one of them and waits until the disk has it; as many commits as a turn's
// time allows. Every engine in turn, round by round, each turn as long as the others. Afterwards
// each store is closed and opened again, and must hold the last acknowledged bytes of every page.
#include "durable/floors.hpp"
#include "figures.hpp"
#include "options.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <thread>

namespace {

constexpr std::size_t pages_a_writer = 128;

struct Options {
    int rounds = 5, turn_ms = 1000;
    std::vector<std::size_t> writers{1, 2, 8};
    std::string json{},
        folder = std::filesystem::temp_directory_path() / fmt::format("mmsb-durable-{}", getpid());
};

// Of one turn: commits a second, and what one of them took.
struct Turn {
    double per_second = 0, median_us = 0, p99_us = 0;
};
struct Row {
    std::string name{};
    std::map<std::size_t, std::vector<Turn>> turns{};  ///< By number of writers.
};

double median(const std::vector<Turn>& turns, double Turn::* field) {
    std::vector<double> v;
    v.reserve(turns.size());
    for (const auto& turn : turns) v.push_back(turn.*field);
    return bench::median(v);
}

// One writer: commits to its own pages, and to `bytes` of them here, until told to stop.
std::vector<double> write(bench::Store& store, std::size_t number, std::span<std::byte> bytes,
                          const std::atomic<int>& stage) {
    const auto writer = store.writer();
    std::mt19937 random(static_cast<unsigned>(number) + 1);
    std::vector<double> took;
    while (stage.load() == 0) std::this_thread::yield();
    while (stage.load() == 1) {
        const auto n = random() % pages_a_writer;
        const auto page = bytes.subspan(n * bench::page_size, bench::page_size);
        for (int i = 0; i < 10; ++i)
            page[random() % page.size()] ^= static_cast<std::byte>(1 + random() % 255);
        const auto began = std::chrono::steady_clock::now();
        writer->commit(number * pages_a_writer + n, page);
        took.push_back(
            std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began)
                .count());
    }
    return took;
}

Turn run(const bench::Way& way, const std::string& folder, std::size_t writers, int turn_ms) {
    std::vector<std::byte> model(writers * pages_a_writer * bench::page_size);
    std::mt19937 random(7);
    for (auto& b : model) b = static_cast<std::byte>(random());
    const auto store = way.open(folder);
    store->load(model);
    std::atomic<int> stage{0};
    std::vector<std::vector<double>> took(writers);
    std::vector<std::exception_ptr> failed(writers);
    std::vector<std::thread> threads;
    threads.reserve(writers);
    const auto mine = pages_a_writer * bench::page_size;
    for (std::size_t i = 0; i < writers; ++i)
        threads.emplace_back([&, i] {
            try {
                took[i] = write(*store, i, std::span(model).subspan(i * mine, mine), stage);
            } catch (...) {
                failed[i] = std::current_exception();
            }
        });
    const auto began = std::chrono::steady_clock::now();
    stage.store(1);
    std::this_thread::sleep_for(std::chrono::milliseconds(turn_ms));
    stage.store(2);
    for (auto& thread : threads) thread.join();
    const std::chrono::duration<double> all = std::chrono::steady_clock::now() - began;
    for (const auto& failure : failed)
        if (failure) std::rethrow_exception(failure);
    store->reopen();
    if (store->read_all() != model)
        throw std::runtime_error(fmt::format("{}: an acknowledged commit is missing", way.name));
    std::vector<double> each;
    for (const auto& one : took) each.insert(each.end(), one.begin(), one.end());
    return {static_cast<double>(each.size()) / all.count(), bench::median(each),
            bench::quantile(each, 0.99)};
}

void print(const std::vector<Row>& rows, const Options& options) {
    fmt::print("Durable commits, ten bytes of a page of 1 KiB each: {} rounds of {} ms, medians\n",
               options.rounds, options.turn_ms);
    auto json = nlohmann::json::array();
    for (const auto writers : options.writers) {
        const auto ours =
            std::ranges::find_if(rows, [](const Row& row) { return row.name.starts_with("MMSB"); });
        const auto mine = median(ours->turns.at(writers), &Turn::per_second);
        fmt::print("\n{:30} {:>12} {:>12} {:>10} {:>14}\n",
                   fmt::format("{} writer{}", writers, writers == 1 ? "" : "s"), "commits/s",
                   "median us", "p99 us", "MMSB is times");
        for (const auto& row : rows) {
            const auto& turns = row.turns.at(writers);
            const auto per_second = median(turns, &Turn::per_second);
            fmt::print("{:30} {:12.0f} {:12.0f} {:10.0f} {:14.2f}\n", row.name, per_second,
                       median(turns, &Turn::median_us), median(turns, &Turn::p99_us),
                       mine / per_second);
            auto rounds = nlohmann::json::array();
            for (const auto& turn : turns) rounds.push_back(turn.per_second);
            json.push_back({{"engine", row.name},
                            {"writers", writers},
                            {"commits_per_second", rounds},
                            {"median_commits_per_second", per_second},
                            {"median_us", median(turns, &Turn::median_us)},
                            {"p99_us", median(turns, &Turn::p99_us)},
                            {"mmsb_is_times", mine / per_second}});
        }
    }
    if (!options.json.empty()) std::ofstream(options.json) << json.dump(2) << '\n';
}

Options parse(int argc, char** argv) {
    Options options;
    bench::CommandLine("Commits that wait for the disk")
        .list("--writers", options.writers, "how many at once")
        .option("--turn-ms", options.turn_ms, "how long each engine commits")
        .option("--rounds", options.rounds, "of each engine")
        .option("--folder", options.folder, "where the stores are made")
        .option("--json", options.json, "file for the figures")
        .read(argc, argv);
    return options;
}

}  // namespace

int main(int argc, char** argv) try {
    const auto options = parse(argc, argv);
    const std::vector<bench::Way> ways = {bench::bare_sync(),
                                          bench::shared_sync(),
                                          bench::mmsb_store(bench::Survives::power_cut),
                                          bench::lmdb_store(bench::Survives::power_cut),
                                          bench::sqlite_store(bench::Survives::power_cut),
                                          bench::rocksdb_store(bench::Survives::power_cut),
                                          bench::redis_store(bench::Survives::power_cut)};
    std::vector<Row> rows(ways.size());
    std::filesystem::create_directories(options.folder);
    for (int round = 0; round < options.rounds; ++round)
        for (const auto writers : options.writers)
            for (std::size_t i = 0; i < ways.size(); ++i) {
                rows[i].name = ways[i].name;
                const auto folder = options.folder + "/store";
                rows[i].turns[writers].push_back(run(ways[i], folder, writers, options.turn_ms));
                bench::remove_store(folder);
            }
    std::filesystem::remove_all(options.folder);
    print(rows, options);
    return 0;
} catch (const std::exception& e) {
    std::cerr << "bench_durable: " << e.what() << '\n';
    return 1;
}
