// info, pages, stats, verify.
#include "command.hpp"
#include "exit_code.hpp"
#include "os_files.hpp"
#include "parse.hpp"
#include "progress.hpp"

#include <algorithm>

namespace mmsb::tool {
namespace {

constexpr CommandText info_text{
    .name = "info",
    .summary = "What a bus is: its newest sequence, its pages, its size.",
    .usage = "[OPTIONS] BUS",
    .description =
        "Shows what is worth knowing about a bus at first sight, and what opening found.",
    .example = "$ mmsb info demo.bus",
    .json =
        "  path, sequence, durable_sequence, newest_time (null on an empty bus), pages,\n"
        "  page_bytes, disk_bytes, recovery: {needed, checkpoint, replayed, dropped_bytes,\n"
        "  damaged_checkpoint (null: none)}, oldest (the oldest sequence that can be gone back "
        "to),\n"
        "  retention: {bytes, records, age_seconds (0: no limit), age_suspended (the system\n"
        "  clock jumped: nothing is dropped for its age until --keep of mmsb compact)}",
};

constexpr CommandText pages_text{
    .name = "pages",
    .summary = "The pages of a bus.",
    .usage = "[OPTIONS] BUS",
    .description =
        "Lists the pages in the order of their ids, as of now or of --at. An epoch is\n"
        "the number of deltas that were applied to the page.",
    .example =
        "$ mmsb pages demo.bus\n"
        "  ID      SIZE  EPOCH  LOCATION  NAME\n"
        "   1      4096      7  cpu       app.db",
    .json = "  One object a page: id, name (null: none), size, epoch, location, metadata: {...}",
};

constexpr CommandText stats_text{
    .name = "stats",
    .summary = "Counters of a bus.",
    .usage = "[OPTIONS] BUS",
    .description =
        "Shows the counters of a bus. The totals of deltas and applies, conflicts and abandoned\n"
        "transactions are counted in shared memory: since the bus was made, or, once that memory\n"
        "was gone (a reboot), since the checkpoint that it was rebuilt from. The times of applies\n"
        "are 0 unless a program that writes has set Config::enable_instrumentation. Of devices\n"
        "there is nothing in this release: they are 0.",
    .example = "$ mmsb stats demo.bus --json",
    .json =
        "  total_pages, cpu_pages, gpu_pages, unified_pages, total_page_bytes, total_deltas,\n"
        "  total_delta_bytes, avg_delta_bytes, delta_apply_count, delta_apply_total_ns,\n"
        "  delta_apply_avg_ns, graph_nodes, graph_edges, graph_max_depth, propagation_count,\n"
        "  propagation_total_ns, propagation_avg_ns, conflicts, transactions_abandoned,\n"
        "  bytes_to_device, bytes_from_device",
};

constexpr CommandText verify_text{
    .name = "verify",
    .summary = "Replay the log, and prove that it gives the live pages.",
    .usage = "[OPTIONS] BUS",
    .description =
        "Rebuilds each page from the log alone and compares it with the live one, bit\n"
        "for bit. Exits with 1 where a page differs and names the first byte, and with\n"
        "5 where a file of the bus is damaged.\n"
        "\n"
        "With --recompute derived pages are also computed anew from their parents, as of\n"
        "each so many commits, where their function is a built-in one: this program has\n"
        "no others.",
    .example =
        "$ mmsb verify demo.bus\n"
        "good: 200 records give exactly the live pages",
    .json =
        "  good, records, sequence, recomputed (calls), not_recomputed (derived pages that\n"
        "  could not be), and where it is not good: page (id; 0: the dependency graph),\n"
        "  offset, function (of a derived page that is not what it gives; else empty),\n"
        "  error (what it threw; else empty)",
};

Json recovery_json(const Recovery& found) {
    Json object{{"needed", found.needed},
                {"checkpoint", number(found.checkpoint)},
                {"replayed", found.replayed},
                {"dropped_bytes", found.dropped_bytes},
                {"damaged_checkpoint", nullptr}};
    if (!found.damaged_checkpoint.empty()) object["damaged_checkpoint"] = found.damaged_checkpoint;
    return object;
}

int info(const std::string& path, Context& context) {
    Progress progress("opening");
    const State bus = open_to_read(path);
    const View view = bus.snapshot();
    const bool empty = view.sequence() == Sequence::zero;
    const std::vector<PageInfo> pages = view.pages();
    std::uint64_t bytes = 0;
    for (const PageInfo& page : pages) bytes += page.size;
    const std::uint64_t disk = folder_size(path);
    const Recovery& found = bus.recovery();
    const Retention kept = bus.retention();
    progress.end();
    if (context.json) {
        context.out.json({{"path", path},
                          {"sequence", number(view.sequence())},
                          {"durable_sequence", number(bus.durable_sequence())},
                          {"newest_time", empty ? Json(nullptr) : Json(to_string(view.time()))},
                          {"pages", pages.size()},
                          {"page_bytes", bytes},
                          {"disk_bytes", disk},
                          {"recovery", recovery_json(found)},
                          {"oldest", number(bus.oldest())},
                          {"retention", retention_json(kept)}});
        return exit_ok;
    }
    context.out.print("bus        {}\n", printable(path));
    context.out.print("sequence   {}{}\n", number(view.sequence()),
                      empty ? "" : ", of " + time_text(view.time()));
    context.out.print("durable    up to {}\n", number(bus.durable_sequence()));
    context.out.print("pages      {}, {}\n", pages.size(), size_text(bytes));
    context.out.print("on disk    {}\n", size_text(disk));
    context.out.print("past       from sequence {} on\n", number(bus.oldest()));
    if (kept.age_suspended)
        context.out.print(
            "clock      jumped; nothing is dropped for its age until mmsb compact --keep\n");
    if (found.needed)
        context.out.print("recovery   {} replayed after checkpoint {}, {} of a torn end dropped\n",
                          counted(found.replayed, "record"), number(found.checkpoint),
                          size_text(found.dropped_bytes));
    if (!found.damaged_checkpoint.empty())
        context.out.print("damaged    {} was passed over\n", printable(found.damaged_checkpoint));
    return exit_ok;
}

int pages(const std::string& path, Sequence at, Context& context) {
    const State bus = open_to_read(path);
    const std::vector<PageInfo> all = view_at(bus, at).pages();
    if (!context.json)
        context.out.write(
            context.out.paint(Style::strong, fmt::format("{:>6} {:>12} {:>8}  {:<8}  {}", "ID",
                                                         "SIZE", "EPOCH", "LOCATION", "NAME")) +
            '\n');
    for (const PageInfo& page : all) {
        if (context.json) {
            Json object = page_json(page);
            object["location"] = to_string(page.location);
            object["metadata"] = page.metadata;
            context.out.json(object);
        } else {
            context.out.print("{:>6} {:>12} {:>8}  {:<8}  {}\n", number(page.id), page.size,
                              number(page.epoch), to_string(page.location), printable(page.name));
        }
    }
    return exit_ok;
}

int stats(const std::string& path, Context& context) {
    Progress progress("opening");
    const State bus = open_to_read(path);
    const Stats s = bus.get_stats();
    progress.end();
    const Json object{{"total_pages", s.total_pages},
                      {"cpu_pages", s.cpu_pages},
                      {"gpu_pages", s.gpu_pages},
                      {"unified_pages", s.unified_pages},
                      {"total_page_bytes", s.total_page_bytes},
                      {"total_deltas", s.total_deltas},
                      {"total_delta_bytes", s.total_delta_bytes},
                      {"avg_delta_bytes", s.avg_delta_bytes},
                      {"delta_apply_count", s.delta_apply_count},
                      {"delta_apply_total_ns", s.delta_apply_total_ns},
                      {"delta_apply_avg_ns", s.delta_apply_avg_ns},
                      {"graph_nodes", s.graph_nodes},
                      {"graph_edges", s.graph_edges},
                      {"graph_max_depth", s.graph_max_depth},
                      {"propagation_count", s.propagation_count},
                      {"propagation_total_ns", s.propagation_total_ns},
                      {"propagation_avg_ns", s.propagation_avg_ns},
                      {"conflicts", s.conflicts},
                      {"transactions_abandoned", s.transactions_abandoned},
                      {"bytes_to_device", s.bytes_to_device},
                      {"bytes_from_device", s.bytes_from_device}};
    if (context.json) {
        context.out.json(object);
        return exit_ok;
    }
    for (const auto& [name, value] : object.items())
        context.out.print("{:<24} {}\n", name, value.dump());
    return exit_ok;
}

int verify(const std::string& path, std::uint64_t recompute_every, Context& context) {
    Progress progress("verifying");
    const State bus = open_to_read(path);
    const VerifyReport report =
        verify_beside_others(bus, {.recompute_every = recompute_every, .progress = [&](double f) {
                                       progress.set(f);
                                       return true;
                                   }});
    progress.end();
    if (context.json) {
        Json object{{"good", report.good},
                    {"records", report.records},
                    {"sequence", number(report.sequence)},
                    {"recomputed", report.recomputed},
                    {"not_recomputed", report.not_recomputed}};
        if (!report.good) {
            object["page"] = number(report.page);
            object["offset"] = report.offset;
            object["function"] = report.function;
            object["error"] = report.error;
        }
        context.out.json(object);
    } else if (report.good) {
        context.out.print("{}: {} give exactly the live pages\n",
                          context.out.paint(Style::added, "good"),
                          counted(report.records, "record"));
        if (recompute_every != 0)
            context.out.print("{} of derived pages, {} passed over\n",
                              counted(report.recomputed, "recomputation"),
                              counted(report.not_recomputed, "page"));
    } else {
        context.out.print("{}: {}, as of sequence {}\n",
                          context.out.paint(Style::removed, "damage"), what_differs(report),
                          number(report.sequence));
    }
    return report.good ? exit_ok : exit_difference;
}

}  // namespace

void add_inspect(Program& program) {
    auto path = std::make_shared<std::string>();
    auto at = std::make_shared<Sequence>(Sequence::newest);
    const auto add = [&](const CommandText& text, Action action) {
        Command command = program.add(text, std::move(action));
        command.bus(*path);
        return command;
    };
    add(info_text, [path](Context& context) { return info(*path, context); });
    add(pages_text, [path, at](Context& context) { return pages(*path, *at, context); })
        .option(
            "--at", "SEQUENCE", [at](const std::string& t) { *at = parse_sequence(t); },
            "As of this sequence.");
    add(stats_text, [path](Context& context) { return stats(*path, context); });
    auto recompute = std::make_shared<std::uint64_t>(0);
    add(verify_text,
        [path, recompute](Context& context) { return verify(*path, *recompute, context); })
        .option("--recompute", "N", *recompute,
                "Also compute derived pages anew, as of each N-th commit; 1: of each.");
}

}  // namespace mmsb::tool
