// bench: what MMSB does on this machine, and on this disk.
#include "command.hpp"
#include "exit_code.hpp"
#include "measure.hpp"
#include "os_files.hpp"
#include "parse.hpp"
#include "progress.hpp"

#include <array>

namespace mmsb::tool {
namespace {

constexpr CommandText text{
    .name = "bench",
    .summary = "Measure updates, reads, replay and opening on this machine: about a minute.",
    .usage = "[OPTIONS]",
    .description =
        "Makes buses of its own in a new folder below --folder, measures, and removes them,\n"
        "also where a signal ends it (the exit code is then 128 + the signal's number). A\n"
        "bus has 10,000 pages of 1 KiB; an update changes ten bytes of one of them, and\n"
        "making it is part of its time. What a bus holds at the end is compared with what\n"
        "it has to hold before a figure is printed.\n"
        "\n"
        "update: by what a commit survives (process: kill -9; interval: power loss, but for\n"
        "the last 10 ms; sync: power loss, each waits for the disk that has --folder); by\n"
        "one writer or eight; alone or a hundred in a transaction. read: a copy of a page.\n"
        "replay: the log from its start, compared with the pages (as mmsb verify). reopen:\n"
        "a bus that was closed, its shared memory still there. rebuild: one whose memory is\n"
        "gone, as after a reboot, from a checkpoint and the commits since.\n"
        "\n"
        "Figures of one machine differ from hour to hour by a third and more. It takes a\n"
        "few hundred MiB of the disk and of memory.",
    .example =
        "$ mmsb bench --folder .\n"
        "update   process                                     1,608,318 a second  609 ns each\n"
        "update   process, 100 a transaction                  1,692,047 a second  580 ns each\n"
        "update   interval                                    1,581,277 a second  618 ns each\n"
        "update   sync                                            7,661 a second  123.0 us each, "
        "99 % within 253.0 us\n"
        "...",
    .json =
        "  figure (update, read, replay, reopen, rebuild), durability, writers,\n"
        "  updates_a_commit (null: it is no update), count, records (in the log that is read;\n"
        "  null elsewhere), per_second, median_ns, p99_ns (null: they were not timed one by\n"
        "  one); last: {folder, in_memory (a file system without a disk), pages, page_size}",
};

// Their shares of the time leave some for what is made before.
constexpr std::array plan{
    Measurement{.subject = Subject::update, .share = 0.12},
    Measurement{.subject = Subject::update, .updates_a_commit = 100, .share = 0.1},
    Measurement{.subject = Subject::update, .durability = Durability::interval, .share = 0.12},
    Measurement{.subject = Subject::update, .durability = Durability::sync, .share = 0.15},
    Measurement{
        .subject = Subject::update, .durability = Durability::sync, .writers = 8, .share = 0.15},
    Measurement{.subject = Subject::read, .share = 0.1},
    Measurement{.subject = Subject::replay},
    Measurement{.subject = Subject::reopen},
    Measurement{.subject = Subject::rebuild},
};

std::string_view name_of(Durability durability) {
    switch (durability) {
        case Durability::process:
            return "process";
        case Durability::interval:
            return "interval";
        case Durability::sync:
            return "sync";
    }
    return {};
}

std::string grouped(double value) {
    std::string digits = fmt::format("{:.0f}", value);
    for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
    return digits;
}

std::string duration_text(double ns) {
    if (ns < 1000) return fmt::format("{:.0f} ns", ns);
    if (ns < 1e6) return fmt::format("{:.1f} us", ns / 1e3);
    return fmt::format("{:.1f} ms", ns / 1e6);
}

std::string manner(const Measurement& what, const Figure& figure) {
    switch (what.subject) {
        case Subject::update: {
            std::string all(name_of(what.durability));
            if (what.writers > 1) all += fmt::format(", {} writers", what.writers);
            if (what.updates_a_commit > 1)
                all += fmt::format(", {} a transaction", what.updates_a_commit);
            return all;
        }
        case Subject::read:
            return "a page";
        case Subject::replay:
            return fmt::format("{} records", grouped(static_cast<double>(figure.records)));
        case Subject::reopen:
            return "the shared memory is there";
        case Subject::rebuild:
            return fmt::format("a checkpoint and {} records",
                               grouped(static_cast<double>(figure.records)));
    }
    return {};
}

void print(const Measurement& what, const Figure& figure, Output& out) {
    const bool once = what.subject == Subject::reopen || what.subject == Subject::rebuild;
    out.print(
        "{:<8} {:<42} {:>11} {}  {} each{}\n", to_string(what.subject), manner(what, figure),
        once ? "" : grouped(figure.per_second), once ? "        " : "a second",
        duration_text(figure.median_ns),
        figure.p99_ns == 0 ? "" : fmt::format(", 99 % within {}", duration_text(figure.p99_ns)));
}

Json json_of(const Measurement& what, const Figure& figure) {
    const bool update = what.subject == Subject::update;
    const auto where = [](bool there, auto value) { return there ? Json(value) : Json(nullptr); };
    return {{"figure", to_string(what.subject)},
            {"durability", where(update, name_of(what.durability))},
            {"writers", where(update, what.writers)},
            {"updates_a_commit", where(update, what.updates_a_commit)},
            {"count", figure.count},
            {"records", where(figure.records != 0, figure.records)},
            {"per_second", figure.per_second},
            {"median_ns", figure.median_ns},
            {"p99_ns", where(figure.p99_ns != 0, figure.p99_ns)}};
}

int run(const BenchOptions& options, Context& context) {
    Signals signals;  // Before any thread.
    const bool memory = in_memory(options.folder);
    try {
        Bench bench(options, signals);
        for (const Measurement& what : plan) {
            Figure figure;
            {
                const Progress progress("measuring");
                figure = bench.measure(what);
            }
            if (context.json)
                context.out.json(json_of(what, figure));
            else
                print(what, figure, context.out);
            context.out.flush();
        }
    } catch (const Interrupted& interrupted) {
        return 128 + interrupted.signal;
    }
    if (context.json)
        context.out.json({{"folder", options.folder},
                          {"in_memory", memory},
                          {"pages", bench_pages},
                          {"page_size", bench_page_size}});
    else if (memory)
        context.out.print(
            "{} is in memory: nothing waited for a disk. --folder chooses another one.\n",
            printable(options.folder));
    return exit_ok;
}

}  // namespace

void add_bench(Program& program) {
    auto options = std::make_shared<BenchOptions>();
    auto quick = std::make_shared<bool>(false);
    Command command = program.add(text, [options, quick](Context& context) {
        if (*quick) options->seconds = 5;
        return run(*options, context);
    });
    command.option(
        "--seconds", "N", [options](const std::string& t) { options->seconds = parse_number(t); },
        "How long about; 60 if nothing is said. What is short is rough.");
    command.flag("--quick", *quick, "As --seconds 5.");
    command.not_both("--quick", "--seconds");
    command.option(
        "--folder", "DIR", [options](const std::string& t) { options->folder = parse_path(t); },
        "Where the buses are made; the working folder if nothing is said.");
}

}  // namespace mmsb::tool
