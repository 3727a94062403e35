#include "command.hpp"
#include "exit_code.hpp"
#include "parse.hpp"
#include "progress.hpp"

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

int run(const Options& options, Context& context) {
    const State bus = open_to_read(options.bus);
    Progress progress("exporting");
    const View view = view_at(bus, options.at);
    std::vector<PageId> chosen;
    chosen.reserve(options.pages.size());
    for (const std::string& page : options.pages) chosen.push_back(page_in(view, page).id);
    ExportOptions how{.pages = std::move(chosen)};
    Json files = Json::array();
    std::string lines;  // told when nothing is written over them any more
    how.on_file = [&](const PageInfo& page, const std::string& file, double done) {
        progress.set(done);
        if (context.json)
            files.push_back({{"page", page_json(page)}, {"file", file}});
        else
            lines += fmt::format("{}/{}  {}\n", printable(options.folder), printable(file),
                                 counted(page.size, "byte"));
    };
    const auto tell = [&] {
        progress.end();
        context.out.write(lines);
    };
    try {
        view.export_to(options.folder, how);
    } catch (const InvalidArgument& error) {
        if (error.page() == PageId::none) throw;
        throw InvalidArgument(error.code(), fmt::format("{}: choose by --page", error.what()),
                              {.page = error.page()});
    } catch (const Error&) {
        tell();  // they are there all the same
        throw;
    }
    tell();
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
