// How long until a store that nobody closed can be used again: a process makes the pages and a
// checkpoint, then so many updates, each of which survives its death, and is killed right behind
// the last one. Timed: another process opens the store and reads one page. Then all pages must be
// as in the plain model. Every engine in turn, round by round.
//
// after kill -9   what was shared memory is still there
// after a reboot  it is not, and the bus says that its log is of another boot; all files are on the
//                 disk, and in the kernel's page cache, for everybody
//
// And for MMSB: how long a process that goes on is held up by the death of another.
#include "reopen/survivors.hpp"

#include "crash/shared.hpp"
#include "figures.hpp"
#include "options.hpp"
#include "stores/store.hpp"
#include "support/child.hpp"
#include "support/reboot.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace {

struct Options {
    std::size_t pages = 10'000, updates = 1'000'000;
    int rounds = 3, kills = 200;
    std::string only{};  ///< Just the engine of this name, beside MMSB: as for a profile.
    std::string json{},
        folder = std::filesystem::temp_directory_path() / fmt::format("mmsb-reopen-{}", getpid());
};

enum class After : std::uint8_t { kill, reboot };

struct Times {
    std::vector<double> ms{};
    double mib = 0;  ///< Of the folder's files when it was opened.
};
struct Row {
    std::string name{};
    Times after_kill{}, after_reboot{};
    Times& times(After after) { return after == After::kill ? after_kill : after_reboot; }
    const Times& times(After after) const {
        return after == After::kill ? after_kill : after_reboot;
    }
};

/// What the process that opens the store tells.
struct Found {
    double ms = 0;
    bool right = false;
};

[[noreturn]] void write_and_die(const bench::Way& way, const Options& options, After after) {
    bench::Model model(options.pages);
    const auto store = way.open(options.folder);
    store->load(model.bytes());
    store->checkpoint();
    const auto writer = store->writer();
    for (std::size_t i = 0; i < options.updates; ++i) {
        const auto n = model.step(bench::Pattern::sparse);
        writer->commit(n, model.page(n));
    }
    writer->finish();
    if (after == After::reboot) store->flush();
    std::raise(SIGKILL);
    std::abort();
}

Found open_and_look(const bench::Way& way, const std::string& folder, bench::Model& expected) {
    const auto page = expected.pages() / 2;
    std::vector<std::byte> bytes(bench::page_size);
    const auto began = std::chrono::steady_clock::now();
    const auto store = way.open(folder);
    store->read(page, bytes);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
    return {.ms = took.count(),
            .right = std::ranges::equal(bytes, expected.page(page)) &&
                     store->read_all() == expected.bytes()};
}

double mib_in(const std::string& folder) {
    std::uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
        if (entry.is_regular_file()) bytes += entry.file_size();
    return static_cast<double>(bytes) / (1U << 20U);
}

// Each part in a process of its own, as it would be; none inherits threads or memory of an engine.
void run(const bench::Way& way, const Options& options, After after, bench::Model& expected,
         Times& times) {
    mmsb::test::Child writer([&]() -> int { write_and_die(way, options, after); });
    if (writer.wait() != -SIGKILL) throw std::runtime_error(way.name + ": the writer failed");
    if (after == After::reboot) {
        mmsb::test::reboot(options.folder);
        ::sync();  // no machine comes up with something that waits to be written
    }
    times.mib = mib_in(options.folder);
    const mmsb::test::Shared<Found> found;
    mmsb::test::Child reader([&] {
        *found = open_and_look(way, options.folder, expected);
        return 0;
    });
    if (reader.wait() != 0) throw std::runtime_error(way.name + ": it cannot be opened");
    if (!found->right) throw std::runtime_error(way.name + ": its pages are wrong");
    times.ms.push_back(found->ms);
    bench::remove_store(options.folder);
    ::sync();  // what one engine left to the disk is no other one's burden
}

nlohmann::json print(const char* title, const std::vector<Row>& rows, After after) {
    fmt::print("\n{:34} {:>12} {:>10} {:>10} {:>10} {:>11}\n", title, "median ms", "min", "max",
               "x MMSB", "files MiB");
    auto json = nlohmann::json::array();
    const auto ours = bench::median(rows.front().times(after).ms);
    for (const auto& row : rows) {
        const auto& times = row.times(after);
        const auto ms = bench::median(times.ms);
        fmt::print("{:34} {:12.2f} {:10.2f} {:10.2f} {:10.3g} {:11.0f}\n", row.name, ms,
                   bench::quantile(times.ms, 0), bench::quantile(times.ms, 1), ms / ours,
                   times.mib);
        json.push_back({{"engine", row.name},
                        {"ms", times.ms},
                        {"median_ms", ms},
                        {"times_mmsb", ms / ours},
                        {"files_mib", times.mib}});
    }
    return json;
}

nlohmann::json print(const char* since, const std::vector<double>& us) {
    fmt::print("{:34} {:12.3f} {:10.3f} {:10.3f}\n", since, bench::median(us) / 1000,
               bench::quantile(us, 0.99) / 1000, bench::quantile(us, 1) / 1000);
    return {{"us", us},
            {"median_us", bench::median(us)},
            {"p99_us", bench::quantile(us, 0.99)},
            {"max_us", bench::quantile(us, 1)}};
}

void print(const std::vector<Row>& rows, const bench::Survivors& survivors,
           const Options& options) {
    fmt::print(
        "Open and read a page of a store that nobody closed: {} pages of 1 KiB, {} updates of ten "
        "bytes since the checkpoint, {} rounds\n",
        options.pages, options.updates, options.rounds);
    nlohmann::json json;
    json["after_kill"] = print("after kill -9", rows, After::kill);
    json["after_reboot"] = print("after a reboot", rows, After::reboot);
    fmt::print("\n{:34} {:>12} {:>10} {:>10}\n",
               fmt::format("survivors go on, {} kills", survivors.since_kill.size()), "median ms",
               "p99", "max");
    json["survivors"]["since_kill"] = print("MMSB, since kill()", survivors.since_kill);
    json["survivors"]["since_death"] =
        print("MMSB, since waitpid() returned", survivors.since_death);
    if (!options.json.empty()) std::ofstream(options.json) << json.dump(2) << '\n';
}

Options parse(int argc, char** argv) {
    Options options;
    bench::CommandLine("Until a store that nobody closed can be used again")
        .option("--pages", options.pages, "how many there are")
        .option("--updates", options.updates, "since the last checkpoint")
        .option("--rounds", options.rounds, "of each engine")
        .option("--kills", options.kills, "that a process survives beside another")
        .option("--only", options.only, "just the engine of this name, beside MMSB")
        .option("--folder", options.folder, "where the stores are made")
        .option("--json", options.json, "file for the figures")
        .read(argc, argv);
    return options;
}

}  // namespace

int main(int argc, char** argv) try {
    using bench::Checkpoints;
    using bench::Survives;
    const auto options = parse(argc, argv);
    std::vector<bench::Way> ways = {
        bench::mmsb_store(Survives::kill),
        bench::lmdb_store(Survives::kill),
        bench::sqlite_store(Survives::kill),
        bench::sqlite_store(Survives::kill, Checkpoints::on_demand),
        bench::rocksdb_store(Survives::kill),
        bench::rocksdb_store(Survives::kill, Checkpoints::on_demand),
        bench::redis_store(Survives::kill),
        bench::redis_store(Survives::kill, Checkpoints::on_demand),
    };
    if (!options.only.empty())
        std::erase_if(ways, [&](const bench::Way& way) {
            return way.name != ways.front().name && way.name != options.only;
        });
    bench::Model expected(options.pages);
    for (std::size_t i = 0; i < options.updates; ++i) expected.step(bench::Pattern::sparse);
    std::vector<Row> rows(ways.size());
    for (int round = 0; round < options.rounds; ++round)
        for (const auto after : {After::kill, After::reboot})
            for (std::size_t i = 0; i < ways.size(); ++i) {
                rows[i].name = ways[i].name;
                run(ways[i], options, after, expected, rows[i].times(after));
            }
    const auto survivors = bench::kill_beside(options.folder, options.kills);
    bench::remove_store(options.folder);
    print(rows, survivors, options);
    return 0;
} catch (const std::exception& e) {
    std::cerr << "bench_reopen: " << e.what() << '\n';
    return 1;
}
