// log, watch: the commits that were, and those that come.
#include "command.hpp"
#include "exit_code.hpp"
#include "page_names.hpp"
#include "parse.hpp"

#include <algorithm>
#include <deque>
#include <limits>

namespace mmsb::tool {
namespace {

constexpr CommandText text{
    .name = "log",
    .summary = "Who changed what, and when.",
    .usage = "[OPTIONS] BUS",
    .description =
        "Lists the commits, the oldest first. Each filter narrows; --page may be given more than\n"
        "once. --page with a name means every page that ever had it; with a number, that page, "
        "also\n"
        "where it is gone by now.\n"
        "\n"
        "A time is 2026-01-31, 2026-01-31T12:30:00 (UTC, or with +01:00 behind it), @SECONDS "
        "since\n"
        "1970, or so long ago: 90s, 10m, 2h, 3d.",
    .example =
        "$ mmsb log demo.bus --page app.db --since 10m --reverse --limit 2\n"
        "12  2026-01-31T12:30:05Z  mmsb[4711]  app.db +35 bytes  (tag 7) second\n"
        "11  2026-01-31T12:30:01Z  mmsb[4709]  app.db +8192 bytes",
    .json =
        "  One object a commit: sequence, time (ISO 8601, UTC, nanoseconds), source, process,\n"
        "  label, tag, types: [commit, page_created, page_deleted, page_resized, page_renamed,\n"
        "  metadata_set, page_derived, page_underived, edge_added, edge_removed, page_stale,\n"
        "  page_fresh], changed_bytes, deltas: [{page (id), name (null: none), epoch,\n"
        "  changed_bytes}], pages (all but bytes changed, stale or fresh): [{id, name, size,\n"
        "  epoch}], edges_added and edges_removed: [{parent, child, type}] (ids; a formula's are\n"
        "  added with it, and go with it unsaid), derived and underived (got or lost a\n"
        "  formula): [id]",
};

constexpr CommandText watch_text{
    .name = "watch",
    .summary = "What changes, as it happens.",
    .usage = "[OPTIONS] BUS",
    .description =
        "Prints a line for each commit from now on, as `mmsb log` would, until it is ended by\n"
        "Ctrl-C, --count or --for. It opens the bus read-only and disturbs nobody.",
    .example =
        "$ mmsb watch demo.bus --count 1\n"
        "13  2026-01-31T12:31:07Z  mmsb[4713]  app.db +12 bytes",
    .json = "  One object a commit, as `mmsb log` prints it.",
};

struct Options {
    std::string bus{};
    LogFilter filter{};
    std::vector<std::string> pages{};
    std::string label{};
    bool reverse = false;
    std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
    Timeout longest = forever;  ///< Of watch.
};

std::string_view name_of(RecordType type) {
    switch (type) {
        case RecordType::commit:
            return "commit";
        case RecordType::page_created:
            return "page_created";
        case RecordType::page_deleted:
            return "page_deleted";
        case RecordType::page_resized:
            return "page_resized";
        case RecordType::page_renamed:
            return "page_renamed";
        case RecordType::page_derived:
            return "page_derived";
        case RecordType::page_underived:
            return "page_underived";
        case RecordType::edge_added:
            return "edge_added";
        case RecordType::edge_removed:
            return "edge_removed";
        case RecordType::page_stale:
            return "page_stale";
        case RecordType::page_fresh:
            return "page_fresh";
        case RecordType::metadata_set:
            return "metadata_set";
    }
    return "unknown";
}

std::uint64_t changed_bytes(const Record& record) {
    std::uint64_t total = 0;
    for (const Delta& delta : record.deltas) total += delta.changed_bytes();
    return total;
}

Json to_json(const Record& record, const PageNames& names) {
    Json object{{"sequence", number(record.sequence)},
                {"time", to_string(record.time)},
                {"source", record.source},
                {"process", record.process},
                {"label", record.label},
                {"tag", record.tag},
                {"types", Json::array()},
                {"changed_bytes", changed_bytes(record)},
                {"deltas", Json::array()},
                {"pages", Json::array()}};
    for (const RecordType type : record.types) object["types"].push_back(name_of(type));
    for (const Delta& delta : record.deltas) {
        const std::string name = names.name(delta.page());
        object["deltas"].push_back({{"page", number(delta.page())},
                                    {"name", name.empty() ? Json(nullptr) : Json(name)},
                                    {"epoch", number(delta.epoch())},
                                    {"changed_bytes", delta.changed_bytes()}});
    }
    for (const PageInfo& page : record.pages)
        object["pages"].push_back(page_json(names.named(page)));
    for (const auto& [key, edges] : {std::pair("edges_added", &record.edges_added),
                                     std::pair("edges_removed", &record.edges_removed)}) {
        object[key] = Json::array();
        for (const Edge& edge : *edges)
            object[key].push_back({{"parent", number(edge.parent)},
                                   {"child", number(edge.child)},
                                   {"type", to_string(edge.type)}});
    }
    for (const auto& [key, pages] :
         {std::pair("derived", &record.derived), std::pair("underived", &record.underived)}) {
        object[key] = Json::array();
        for (const PageId page : *pages) object[key].push_back(number(page));
    }
    return object;
}

// "sum from a.txt, b.txt", "a.txt -> b.txt control", "a.txt -> b.txt control removed".
void add_graph(const Record& record, const PageNames& names, std::vector<std::string>& parts) {
    const auto is_derived = [&](const Edge& edge) {
        return edge.type == EdgeType::data &&
               std::ranges::find(record.derived, edge.child) != record.derived.end();
    };
    for (const PageId child : record.derived) {
        std::string line = names.title(child) + " from";
        for (const Edge& edge : record.edges_added)
            if (edge.child == child && is_derived(edge)) line += ' ' + names.title(edge.parent);
        parts.push_back(line);
    }
    for (const PageId child : record.underived) parts.push_back(names.title(child));
    const auto add_edge = [&](const Edge& edge, std::string_view what) {
        parts.push_back(fmt::format("{} -> {} {}{}", names.title(edge.parent),
                                    names.title(edge.child), to_string(edge.type), what));
    };
    for (const Edge& edge : record.edges_added)
        if (!is_derived(edge)) add_edge(edge, "");
    for (const Edge& edge : record.edges_removed) add_edge(edge, " removed");
}

// "made a.txt, b.txt +35 bytes", at most some of it.
std::string what_changed(const Record& record, const PageNames& names) {
    constexpr std::size_t shown = 3;
    std::vector<std::string> parts;
    parts.reserve(record.deltas.size());
    const auto has = [&](RecordType type) {
        return std::ranges::find(record.types, type) != record.types.end();
    };
    for (const Delta& delta : record.deltas)
        parts.push_back(fmt::format("{} +{}", names.title(delta.page()),
                                    counted(delta.changed_bytes(), "byte")));
    for (const PageInfo& page : record.pages) {
        const auto same = [&](const Delta& delta) { return delta.page() == page.id; };
        if (std::ranges::none_of(record.deltas, same)) parts.push_back(title(names.named(page)));
    }
    add_graph(record, names, parts);
    std::string line;
    for (const RecordType type :
         {RecordType::page_created, RecordType::page_deleted, RecordType::page_resized,
          RecordType::page_renamed, RecordType::metadata_set, RecordType::page_derived,
          RecordType::page_underived, RecordType::edge_added, RecordType::edge_removed,
          RecordType::page_stale, RecordType::page_fresh}) {
        if (has(type)) line += fmt::format("[{}] ", name_of(type));
    }
    for (std::size_t i = 0; i < std::min(parts.size(), shown); ++i)
        line += (i == 0 ? "" : ", ") + parts[i];
    if (parts.size() > shown) line += fmt::format(" and {} more", parts.size() - shown);
    return line;
}

std::string to_line(const Record& record, const PageNames& names, const Output& out) {
    std::string line = fmt::format(
        "{}  {}  {}[{}]  {}", out.paint(Style::changed, std::to_string(number(record.sequence))),
        out.paint(Style::faint, time_text(record.time)), printable(record.source), record.process,
        what_changed(record, names));
    if (record.tag != 0) line += fmt::format("  (tag {})", record.tag);
    if (!record.label.empty()) line += "  " + out.paint(Style::strong, printable(record.label));
    return line + '\n';
}

std::string shown(const Record& record, const PageNames& names, const Context& context) {
    if (!context.json) return to_line(record, names, context.out);
    return to_json(record, names).dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

int watch(Options& options, Context& context) {
    using Clock = std::chrono::steady_clock;
    const auto began = Clock::now();
    const State bus = open_to_read(options.bus);
    options.filter.from = bus.sequence() + 1;
    if (!options.pages.empty()) options.filter.pages = pages_named(bus, options.pages);
    PageNames names(bus, options.filter);
    TLog log = bus.tlog(options.filter);
    for (std::uint64_t count = 0; count < options.limit;) {
        const auto left =
            options.longest == forever ? forever : options.longest - Timeout(Clock::now() - began);
        const auto record = log.next(std::max(left, Timeout::zero()));
        if (!record) break;
        names.follow(*record);
        if (record->label.find(options.label) == std::string::npos) continue;
        context.out.write(shown(*record, names, context));
        context.out.flush();
        ++count;
    }
    return exit_ok;
}

// The last so many, where nothing else is asked for: each sequence has one commit, and what lies
// before need not be read.
void pass_over_older(const State& bus, Options& options) {
    auto& filter = options.filter;
    if (!options.reverse || !options.label.empty() || !filter.pages.empty() ||
        !filter.source.empty() || filter.tag || filter.since || filter.until || filter.structure)
        return;
    if (filter.from != Sequence::zero && filter.from <= bus.oldest()) return;  // is refused
    const Sequence last = std::min(filter.to, bus.sequence());
    if (number(last) < options.limit) return;
    const Sequence first{number(last) - options.limit + 1};
    if (first > filter.from && first > bus.oldest()) filter.from = first;
}

int run(Options& options, Context& context) {
    const State bus = open_to_read(options.bus);
    if (options.limit == 0) return exit_ok;
    if (!options.pages.empty()) options.filter.pages = pages_named(bus, options.pages);
    pass_over_older(bus, options);
    // First: it says where the kept past begins. NOLINTNEXTLINE(misc-const-correctness): begin()
    TLog log = bus.tlog(options.filter);
    PageNames names(bus, options.filter);
    std::deque<std::string> kept;  // The log only reads forwards.
    std::uint64_t count = 0;
    for (const Record& record : log) {
        names.follow(record);
        if (record.label.find(options.label) == std::string::npos) continue;
        std::string line = shown(record, names, context);
        if (options.reverse) {
            kept.push_front(std::move(line));
            if (kept.size() > options.limit) kept.pop_back();
        } else {
            context.out.write(line);
            if (++count == options.limit) break;
        }
    }
    for (const std::string& line : kept) context.out.write(line);
    return exit_ok;
}

}  // namespace

namespace {

void add_filters(Command command, Options& options) {
    command.bus(options.bus);
    command.option("--page", "PAGE", options.pages, "Only commits that touch this page.");
    command.option("--source", "NAME", options.filter.source, "Only of this source.");
    command.option("--label", "TEXT", options.label, "Only where the label contains this.");
    command.option("--tag", "N", options.filter.tag, "Only with this tag.");
    command.flag("--structure", options.filter.structure,
                 "Only what does more than change bytes: pages made, renamed, resized and so on.");
}

void add_watch(Program& program) {
    auto options = std::make_shared<Options>();
    Command command =
        program.add(watch_text, [options](Context& context) { return watch(*options, context); });
    add_filters(command, *options);
    command.option("--count", "N", options->limit, "End after so many.");
    command.option(
        "--for", "DURATION",
        [options](const std::string& t) { options->longest = parse_duration(t); },
        "End after this time.");
}

}  // namespace

void add_log(Program& program) {
    auto options = std::make_shared<Options>();
    Command command =
        program.add(text, [options](Context& context) { return run(*options, context); });
    add_filters(command, *options);
    LogFilter& filter = options->filter;
    command.option(
        "--from", "SEQUENCE", [&filter](const std::string& t) { filter.from = parse_sequence(t); },
        "From this sequence on.");
    command.option(
        "--to", "SEQUENCE", [&filter](const std::string& t) { filter.to = parse_sequence(t); },
        "Up to this sequence.");
    command.option(
        "--since", "TIME", [&filter](const std::string& t) { filter.since = parse_time(t); },
        "From this time on.");
    command.option(
        "--until", "TIME", [&filter](const std::string& t) { filter.until = parse_time(t); },
        "Up to this time.");
    command.flag("--reverse", options->reverse, "The newest first.");
    command.option("--limit", "N", options->limit, "At most so many.");
    add_watch(program);
}

}  // namespace mmsb::tool
