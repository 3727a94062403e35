#include "command.hpp"
#include "exit_code.hpp"
#include "parse.hpp"
#include "progress.hpp"

#include <algorithm>
#include <map>

namespace mmsb::tool {
namespace {

constexpr CommandText text{
    .name = "diff",
    .summary = "What differs between two sequences.",
    .usage = "[OPTIONS] BUS SEQ1 SEQ2",
    .description =
        "Compares the bus as of two sequences, in either order, 0 being the empty bus and newest\n"
        "the newest: pages added (+), removed (-) and changed (~), and of these the runs of "
        "changed\n"
        "bytes. Exits with 1 where they differ.",
    .example =
        "$ mmsb diff demo.bus 11 newest\n"
        "+ todo.txt  480 bytes\n"
        "~ app.db  35 bytes in 2 runs\n"
        "    0x00000018..0x0000001c  4 bytes\n"
        "    0x00001000..0x0000101f  31 bytes",
    .json =
        "  from, to (sequences), added: [page], removed: [page], changed: [page with\n"
        "  size_before, name_before, changed_bytes, runs: [{offset, size}]];\n"
        "  page: {id, name, size, epoch}. Of a page whose size changed the runs are those of\n"
        "  the part that both have.",
};

struct Options {
    std::string bus{};
    Sequence from{}, to{};
    bool all = false;
};

struct ChangedPage {
    PageInfo before{}, after{};
    Delta delta{};
};
struct Difference {
    std::vector<PageInfo> added{}, removed{};
    std::vector<ChangedPage> changed{};
    [[nodiscard]] bool empty() const { return added.empty() && removed.empty() && changed.empty(); }
};

// A page that is in both with another size, name or metadata is one page that changed.
Difference compare(const View& from, const View& to) {
    std::map<PageId, PageInfo> before;
    for (const PageInfo& page : from.pages()) before.emplace(page.id, page);
    ViewDiff differs = diff(from, to);
    std::map<PageId, Delta> deltas;
    for (Delta& delta : differs.changed) deltas.emplace(delta.page(), std::move(delta));
    Difference difference;
    for (const PageInfo& page : to.pages()) {
        const auto old = before.find(page.id);
        if (old == before.end()) {
            difference.added.push_back(page);
            continue;
        }
        ChangedPage changed{.before = old->second, .after = page};
        before.erase(old);
        const auto delta = deltas.find(page.id);
        const bool resized = changed.before.size != page.size;
        if (resized) {
            const std::size_t both = std::min(changed.before.size, page.size);
            changed.delta =
                mmsb::diff(from.bytes(page.id).first(both), to.bytes(page.id).first(both));
        } else if (delta != deltas.end()) {
            changed.delta = std::move(delta->second);
        }
        if (resized || !changed.delta.empty() || changed.before.name != page.name ||
            changed.before.metadata != page.metadata) {
            difference.changed.push_back(std::move(changed));
        }
    }
    for (auto& [id, page] : before) difference.removed.push_back(std::move(page));
    return difference;
}

Json to_json(const Difference& difference, const View& from, const View& to) {
    Json object{{"from", number(from.sequence())},
                {"to", number(to.sequence())},
                {"added", Json::array()},
                {"removed", Json::array()},
                {"changed", Json::array()}};
    for (const PageInfo& page : difference.added) object["added"].push_back(page_json(page));
    for (const PageInfo& page : difference.removed) object["removed"].push_back(page_json(page));
    for (const ChangedPage& page : difference.changed) {
        Json one = page_json(page.after);
        const std::string& name = page.before.name;
        one["size_before"] = page.before.size;
        one["name_before"] = name.empty() ? Json(nullptr) : Json(name);
        one["changed_bytes"] = page.delta.changed_bytes();
        one["runs"] = runs_json(page.delta.runs());
        object["changed"].push_back(std::move(one));
    }
    return object;
}

void print_changed(const ChangedPage& page, bool all, Output& out) {
    constexpr std::size_t shown = 8;
    const std::vector<Delta::Run> runs = page.delta.runs();
    std::string line = "~ " + title(page.after);
    if (!runs.empty())
        line += fmt::format("  {} in {}", counted(page.delta.changed_bytes(), "byte"),
                            counted(runs.size(), "run"));
    if (page.before.size != page.after.size)
        line += fmt::format("  size {} -> {}", page.before.size, page.after.size);
    if (page.before.name != page.after.name) line += "  was " + title(page.before);
    if (page.before.metadata != page.after.metadata) line += "  metadata";
    out.write(out.paint(Style::changed, line) + '\n');
    const std::size_t count = all ? runs.size() : std::min(runs.size(), shown);
    for (const Delta::Run& run : std::span(runs).first(count))
        out.print("    0x{:08x}..0x{:08x}  {}\n", run.offset, run.offset + run.bytes.size(),
                  counted(run.bytes.size(), "byte"));
    if (count < runs.size()) out.print("    and {} more (--all shows them)\n", runs.size() - count);
}

void print(const Difference& difference, bool all, Output& out) {
    for (const PageInfo& page : difference.added)
        out.write(out.paint(Style::added,
                            fmt::format("+ {}  {}", title(page), counted(page.size, "byte"))) +
                  '\n');
    for (const PageInfo& page : difference.removed)
        out.write(out.paint(Style::removed,
                            fmt::format("- {}  {}", title(page), counted(page.size, "byte"))) +
                  '\n');
    for (const ChangedPage& page : difference.changed) print_changed(page, all, out);
}

int run(const Options& options, Context& context) {
    const State bus = open_to_read(options.bus);
    auto progress = std::make_unique<Progress>("comparing");
    const View from = view_at(bus, options.from);
    const View to = view_at(bus, options.to);
    const Difference difference = compare(from, to);
    progress.reset();
    if (context.json) {
        context.out.json(to_json(difference, from, to));
    } else {
        print(difference, options.all, context.out);
    }
    return difference.empty() ? exit_ok : exit_difference;
}

}  // namespace

void add_diff(Program& program) {
    auto options = std::make_shared<Options>();
    Command command =
        program.add(text, [options](Context& context) { return run(*options, context); });
    command.bus(options->bus);
    command.argument(
        "SEQ1", [options](const std::string& t) { options->from = parse_sequence(t); }, "The one.");
    command.argument(
        "SEQ2", [options](const std::string& t) { options->to = parse_sequence(t); }, "The other.");
    command.flag("--all", options->all, "All runs of each page, not only the first.");
}

}  // namespace mmsb::tool
