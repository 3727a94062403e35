// Runs every engine in turn, round by round, on the same updates; checks each one's final state
// against the model; prints medians, ratios, and a JSON file.
#include "figures.hpp"
#include "options.hpp"
#include "update/workload.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

namespace {

struct Options {
    std::size_t pages = 10'000, updates = 1'000'000;
    int rounds = 5;
    std::string only{};     ///< Just the engine of this name, as for a profile: without ratios.
    std::string pattern{};  ///< Likewise: "sparse" or "dense".
    std::string json{},
        folder = std::filesystem::temp_directory_path() / fmt::format("mmsb-bench-{}", getpid());
};

struct Row {
    std::string name{}, survives{};
    std::vector<double> sparse{}, dense{};
    std::uint64_t log_bytes = 0;
};

double run(bench::Engine& engine, const Options& options, bench::Pattern pattern, Row& row) {
    bench::Model model(options.pages);
    engine.load(model);
    const auto began = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < options.updates; ++i) {
        const auto n = model.step(pattern);
        engine.update(n, model.page(n));
    }
    engine.finish();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - began;
    for (std::size_t n = 0; n < model.pages(); ++n)
        if (!std::ranges::equal(engine.read(n), model.page(n)))
            throw std::runtime_error(
                fmt::format("{}: page {} is wrong at the end", engine.name(), n));
    row.name = engine.name();
    row.survives = engine.survives();
    if (pattern == bench::Pattern::sparse) row.log_bytes = engine.log_bytes();
    return took.count() / static_cast<double>(options.updates);
}

void print(const std::vector<Row>& rows, const Options& options) {
    const auto find = [&](std::string_view name) {
        const auto row = std::ranges::find(rows, name, &Row::name);
        return row == rows.end() ? Row{} : *row;
    };
    const auto lmdb = find("LMDB NOSYNC+WRITEMAP"), floor = find("floor: diff, copy, append");
    fmt::print("Workload W: {} pages of 1 KiB, {} updates, {} rounds, medians\n\n", options.pages,
               options.updates, options.rounds);
    fmt::print("{:33} {:>9} {:>9} {:>12} {:>13} {:>10}  {}\n", "engine", "sparse ns", "dense ns",
               "x LMDB speed", "x floor's time", "log B/upd.", "survives");
    auto json = nlohmann::json::array();
    for (const auto& row : rows) {
        if (row.name.empty()) continue;
        const auto s = bench::median(row.sparse), d = bench::median(row.dense);
        fmt::print("{:33} {:9.0f} {:9.0f} {:5.2f} / {:4.2f} {:6.2f} / {:4.2f} {:>10}  {}\n",
                   row.name, s, d, bench::median(lmdb.sparse) / s, bench::median(lmdb.dense) / d,
                   s / bench::median(floor.sparse), d / bench::median(floor.dense),
                   row.log_bytes == 0 ? "-" : fmt::format("{}", row.log_bytes), row.survives);
        json.push_back({{"engine", row.name},
                        {"survives", row.survives},
                        {"sparse_ns", row.sparse},
                        {"dense_ns", row.dense},
                        {"sparse_median_ns", s},
                        {"dense_median_ns", d},
                        {"times_lmdb_sparse", bench::median(lmdb.sparse) / s},
                        {"times_lmdb_dense", bench::median(lmdb.dense) / d},
                        {"floor_ratio_sparse", s / bench::median(floor.sparse)},
                        {"floor_ratio_dense", d / bench::median(floor.dense)},
                        {"log_bytes_per_update", row.log_bytes}});
    }
    if (!options.json.empty()) std::ofstream(options.json) << json.dump(2) << '\n';
}

Options parse(int argc, char** argv) {
    Options options;
    bench::CommandLine("A million changes of a page of 1 KiB, kept")
        .option("--pages", options.pages, "how many there are")
        .option("--updates", options.updates, "a round")
        .option("--rounds", options.rounds, "of each engine")
        .option("--only", options.only, "just the engine of this name")
        .option("--pattern", options.pattern, "just this one: sparse or dense")
        .option("--json", options.json, "file for the figures")
        .read(argc, argv);
    return options;
}

// On a virtual machine memory that has not been used for a while costs several times as much when
// it is used again, and whoever writes a gigabyte of log after one who wrote none would pay for it.
// So each finds as much that was just used: a file of that size, gone again.
void use_memory(const std::string& folder, std::size_t bytes) {
    const std::vector<char> chunk(std::size_t{4} << 20U, '\1');
    const auto path = folder + "/used";
    std::ofstream file(path, std::ios::binary);
    for (std::size_t written = 0; written < bytes; written += chunk.size())
        file.write(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    file.close();
    std::filesystem::remove(path);
}

}  // namespace

int main(int argc, char** argv) try {
    const auto options = parse(argc, argv);
    int count = 0;
    const auto folder = [&] { return fmt::format("{}/{}", options.folder, ++count); };
    const std::vector<std::function<std::unique_ptr<bench::Engine>()>> engines = {
        [] { return bench::copy_floor(); },
        [] { return bench::append_floor(); },
        [&] { return bench::lmdb_engine(folder(), 1); },
        [&] { return bench::lmdb_engine(folder(), 1000); },
        [&] { return bench::rocksdb_engine(folder()); },
        [&] { return bench::sqlite_engine(folder()); },
        [&] { return bench::redis_engine(folder()); },
        [] { return bench::mmsb_without_log(); },
        [] { return bench::mmsb_private(); },
        [&] { return bench::mmsb_with_path(folder()); },
        [&] { return bench::mmsb_timed(folder()); },
        [&] { return bench::mmsb_transactions(folder(), 100); },
    };
    std::vector<Row> rows(engines.size());
    std::filesystem::create_directories(options.folder);
    std::vector<std::size_t> order(engines.size());
    std::iota(order.begin(), order.end(), 0U);
    std::mt19937 random(1);
    for (int round = 0; round < options.rounds; ++round)
        for (const auto pattern : {bench::Pattern::sparse, bench::Pattern::dense}) {
            const auto* const name = pattern == bench::Pattern::sparse ? "sparse" : "dense";
            if (!options.pattern.empty() && options.pattern != name) continue;
            std::ranges::shuffle(order, random);  // nobody has always the same one before him
            for (const auto e : order) {
                const auto engine = engines[e]();
                if (!options.only.empty() && engine->name() != options.only) continue;
                if (pattern == bench::Pattern::dense)
                    use_memory(options.folder, options.updates * bench::page_size * 5 / 4);
                const auto ns = run(*engine, options, pattern, rows[e]);
                (pattern == bench::Pattern::sparse ? rows[e].sparse : rows[e].dense).push_back(ns);
            }
        }
    std::filesystem::remove_all(options.folder);
    print(rows, options);
    return 0;
} catch (const std::exception& e) {
    std::cerr << "bench_update: " << e.what() << '\n';
    return 1;
}
