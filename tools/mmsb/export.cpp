#include "command.hpp"
#include "exit_code.hpp"
#include "os_files.hpp"
#include "parse.hpp"
#include "progress.hpp"

#include <algorithm>
#include <map>

namespace mmsb::tool {
namespace {

constexpr CommandText text{
    .name = "export",
    .summary = "Write pages as files, as of any sequence.",
    .usage = "[OPTIONS] BUS DIR",
    .description =
        "Writes each page as of --at (by default now) as a file below DIR, which is made if there\n"
        "is none; a file that is there is replaced. The file has the page's name, but never lands\n"
        "outside of DIR: /etc/passwd becomes DIR/etc/passwd, ../x becomes DIR/__/x, a page "
        "without\n"
        "a name page-ID, and symbolic links below DIR are not followed. Where two pages would\n"
        "become one file nothing is written, and that is an error.",
    .example =
        "$ mmsb export demo.bus --at 12 before --page app.db\n"
        "before/app.db  8192 bytes",
    .json = "  sequence, folder, files: [{page: {id, name, size, epoch}, file (below folder)}]",
};

struct Options {
    std::string bus{}, folder{};
    std::vector<std::string> pages{};
    Sequence at = Sequence::newest;
};

using Plan = std::map<std::string, PageInfo>;

[[noreturn]] void refuse(const PageInfo& one, const PageInfo& other, const std::string& path) {
    throw InvalidArgument(ErrorCode::invalid_argument,
                          fmt::format("pages {} and {} would both become {}: choose by --page",
                                      title(one), title(other), printable(path)),
                          {.page = other.id, .path = path});
}

Plan plan_for(const std::vector<PageInfo>& pages) {
    Plan plan;
    for (const PageInfo& page : pages) {
        const std::string path = safe_path(page.name, page.id);
        const auto [other, fresh] = plan.try_emplace(path, page);
        if (!fresh && other->second.id != page.id) refuse(other->second, page, path);
    }
    // A file cannot be the folder of another.
    for (const auto& [path, page] : plan) {
        for (std::size_t i = path.find('/'); i != std::string::npos; i = path.find('/', i + 1)) {
            const auto other = plan.find(path.substr(0, i));
            if (other != plan.end()) refuse(other->second, page, other->first);
        }
    }
    return plan;
}

int run(const Options& options, Context& context) {
    const State bus = open_to_read(options.bus);
    Progress progress("exporting");
    const View view = view_at(bus, options.at);
    std::vector<PageInfo> pages;
    pages.reserve(options.pages.size());
    for (const std::string& page : options.pages) pages.push_back(page_in(view, page));
    if (options.pages.empty()) pages = view.pages();
    const Plan plan = plan_for(pages);
    const SafeFolder folder(options.folder);
    Json files = Json::array();
    for (const auto& [path, page] : plan) {
        folder.write(path, view.bytes(page.id));
        progress.set(static_cast<double>(files.size()) / static_cast<double>(plan.size()));
        files.push_back({{"page", page_json(page)}, {"file", path}});
        if (!context.json)
            context.out.print("{}/{}  {}\n", printable(options.folder), printable(path),
                              counted(page.size, "byte"));
    }
    if (context.json)
        context.out.json({{"sequence", number(view.sequence())},
                          {"folder", options.folder},
                          {"files", std::move(files)}});
    return exit_ok;
}

}  // namespace

void add_export(Program& program) {
    auto options = std::make_shared<Options>();
    Command command =
        program.add(text, [options](Context& context) { return run(*options, context); });
    command.bus(options->bus);
    command.argument("DIR", options->folder, "Where to write.");
    command.option(
        "--at", "SEQUENCE", [options](const std::string& t) { options->at = parse_sequence(t); },
        "As of this sequence.");
    command.option("--page", "PAGE", options->pages,
                   "Only this page; may be given more than once.");
}

}  // namespace mmsb::tool
