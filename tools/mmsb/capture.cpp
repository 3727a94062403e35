#include "command.hpp"
#include "exit_code.hpp"
#include "keeper.hpp"

#include <cerrno>

namespace mmsb::tool {
namespace {

constexpr CommandText text{
    .name = "capture",
    .summary = "Put files' present contents into pages of a bus.",
    .usage = "[OPTIONS] BUS FILE...",
    .description =
        "Puts what each FILE holds now into the page of that name, all in one commit. Only the\n"
        "bytes that changed are stored; where nothing changed nothing is committed. The page's\n"
        "name is the path as given (at most 255 bytes). The bus is made if there is none.\n"
        "\n"
        "A file that changes while it is read is read again; where it never stands still, is gone\n"
        "(without --prune), or is over 1 GiB, that is an error, and nothing at all is committed.\n"
        "So is, with --prune, a FILE that is neither there nor a page.\n"
        "Contents are kept, not permissions or times.",
    .example =
        "$ mmsb capture demo.bus notes.txt todo.txt --label 'before the meeting'\n"
        "sequence 1: 2 files made, 512 bytes",
    .json =
        "  sequence, changed (false: nothing was committed), changed_bytes,\n"
        "  files: [{name, fate (unchanged, changed, made, deleted, gone), id, size}]",
};

struct Options {
    std::string bus{};
    std::vector<std::string> files{};
    KeepOptions keep{};
    bool quiet = false;
};

void refuse_what_cannot_be_kept(const std::vector<ReadFile>& files, bool prune) {
    for (const ReadFile& file : files) {
        if (file.contents.status == ReadStatus::gone && !prune)
            throw_io("cannot open", file.name, ENOENT);
        if (file.problem) std::rethrow_exception(file.problem);
    }
}

// Neither a file nor a page has that name: it is misspelt.
void refuse_what_never_was(const std::string& path, const std::vector<ReadFile>& files) {
    std::optional<State> bus;
    for (const ReadFile& file : files) {
        if (file.contents.status != ReadStatus::gone) continue;
        const std::string what = "there is no page to delete of";
        if (!bus && !signature_of(path)) throw_io(what, file.name, ENOENT);
        if (!bus) bus.emplace(open_to_read(path));
        if (!bus->find_page(file.name)) throw_io(what, file.name, ENOENT);
    }
}

int run(const Options& options, Context& context) {
    // Read first: no bus is made, and nothing committed, for files that cannot be kept.
    const std::vector<ReadFile> files = read_files(options.files);
    refuse_what_cannot_be_kept(files, options.keep.prune);
    refuse_what_never_was(options.bus, files);
    if (!signature_of(options.bus + "/bus"))
        refuse_what_no_commit_takes(options.files, options.keep);
    State bus = open_to_write(options.bus, options.keep.source);
    const Kept kept = Keeper(bus, options.keep).keep(files);
    stop(std::move(bus));
    if (context.json) {
        context.out.json(to_json(kept));
    } else if (!options.quiet) {
        context.out.write(summary(kept) + '\n');
    }
    return exit_ok;
}

}  // namespace

void add_capture(Program& program) {
    auto options = std::make_shared<Options>();
    Command command =
        program.add(text, [options](Context& context) { return run(*options, context); });
    command.bus(options->bus);
    command.argument("FILE", options->files, "The files.");
    command.option("--label", "TEXT", options->keep.label,
                   "Why, in your words; kept with the commit.");
    command.option("--source", "NAME", options->keep.source, "Who; by default mmsb.");
    command.option("--tag", "N", options->keep.tag, "A number of yours, by which to find it.");
    command.flag("--prune", options->keep.prune, "Delete the page of a FILE that is gone.");
    command.flag("--sync", options->keep.sync, "Return when the disk has it.");
    command.flag("-q,--quiet", options->quiet, "Print nothing.");
}

}  // namespace mmsb::tool
