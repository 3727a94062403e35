// checkpoint, copy, compact, remove: what is kept of a bus, and of its past.
#include "command.hpp"
#include "exit_code.hpp"
#include "os_files.hpp"
#include "parse.hpp"
#include "progress.hpp"

namespace mmsb::tool {
namespace {

constexpr CommandText checkpoint_text{
    .name = "checkpoint",
    .summary = "Write all pages as of now into one file.",
    .usage = "[OPTIONS] BUS [FILE]",
    .description =
        "Without FILE the checkpoint goes into the bus, which is rebuilt from it after a\n"
        "reboot; views of later moments begin there. With FILE it is a file of its own,\n"
        "from which a program makes a new bus (Config::from_checkpoint). Writers are not\n"
        "stopped.",
    .example =
        "$ mmsb checkpoint demo.bus\n"
        "checkpoint of sequence 200",
    .json = "  sequence, file (null: into the bus)",
};

constexpr CommandText copy_text{
    .name = "copy",
    .summary = "Copy a bus as of now, with its past, while others use it.",
    .usage = "[OPTIONS] BUS NEWBUS",
    .description =
        "NEWBUS is a bus of its own, in a folder that is not there yet or is empty. Each\n"
        "record is read back and checked; damage of BUS is an error (`mmsb doctor` writes\n"
        "what is good of it). Writers are not stopped. Killed, it leaves no bus.",
    .example =
        "$ mmsb copy demo.bus backup.bus\n"
        "copied as of sequence 200",
    .json = "  path (of the copy), sequence",
};

constexpr CommandText compact_text{
    .name = "compact",
    .summary = "Let go of an old part of the past.",
    .usage = "[OPTIONS] BUS",
    .description =
        "Folds what is older than asked for into a checkpoint and removes it from the\n"
        "log. Without options: what the bus's retention does not keep. --keep sets the\n"
        "retention of the bus first, for all who use it, from now on: an amount of log\n"
        "(64MiB), a number of commits (1000 or 1000commits), a duration (7d), or all.\n"
        "It may be killed at any moment; what is kept is never touched.",
    .example =
        "$ mmsb compact demo.bus --keep 1000commits\n"
        "the past is kept from sequence 4200 on",
    .json =
        "  oldest (the oldest sequence that can be gone back to), sequence, retention: {bytes,\n"
        "  records, age_seconds, age_suspended} (0: no limit; suspended: as in mmsb info)",
};

constexpr CommandText remove_text{
    .name = "remove",
    .summary = "Remove a bus: its files and its shared memory.",
    .usage = "[OPTIONS] BUS",
    .description =
        "Nothing of the bus is left, and nobody is asked. A bus that a program has open\n"
        "for writing is not touched. A folder that holds other things, too, stays with\n"
        "them.",
    .example =
        "$ mmsb remove demo.bus\n"
        "removed demo.bus, 3.5 MiB",
    .json = "  path, disk_bytes (what its files took), folder_left (it holds other things)",
};

int remove(const std::string& path, Context& context) {
    Progress progress("removing");
    const std::string whole = whole_path(path);  // from within, "." is there also when it is gone
    const std::uint64_t size = folder_size(whole);
    remove_bus(path);
    const bool left = signature_of(whole).has_value();
    const std::uint64_t removed = size - (left ? std::min(size, folder_size(whole)) : 0);
    progress.end();
    if (context.json)
        context.out.json({{"path", path}, {"disk_bytes", removed}, {"folder_left", left}});
    else
        context.out.print("removed {}, {}{}\n", printable(path), size_text(removed),
                          left ? "; the folder holds other things and stays" : "");
    return exit_ok;
}

int checkpoint(const std::string& path, const std::string& file, Context& context) {
    Progress progress("writing");
    const State bus = file.empty() ? open_existing(path) : open_to_read(path);
    const Sequence sequence = bus.checkpoint(file);
    progress.end();
    if (context.json)
        context.out.json(
            {{"sequence", number(sequence)}, {"file", file.empty() ? Json(nullptr) : Json(file)}});
    else
        context.out.print("checkpoint of sequence {}\n", number(sequence));
    return exit_ok;
}

int copy(const std::string& path, const std::string& to, Context& context) {
    Progress progress("copying");
    const Sequence sequence = open_to_read(path).copy_to(to);
    progress.end();
    if (context.json)
        context.out.json({{"path", to}, {"sequence", number(sequence)}});
    else
        context.out.print("copied as of sequence {}\n", number(sequence));
    return exit_ok;
}

struct Compact {
    std::string bus{};
    std::optional<Retention> keep{};
    std::optional<Sequence> before{};
};

int compact(const Compact& options, Context& context) {
    Progress progress("compacting");
    const State bus = open_existing(options.bus);
    auto before = options.before;
    if (before == Sequence::newest) before = bus.sequence();
    if (before) static_cast<void>(bus.at(*before));  // else nothing is set
    if (options.keep) bus.set_retention(*options.keep);
    bus.compact(before);
    progress.end();
    const Retention kept = bus.retention();
    if (context.json)
        context.out.json({{"oldest", number(bus.oldest())},
                          {"sequence", number(bus.sequence())},
                          {"retention", retention_json(kept)}});
    else
        context.out.print("the past is kept from sequence {} on\n", number(bus.oldest()));
    return exit_ok;
}

}  // namespace

void add_keep(Program& program) {
    auto path = std::make_shared<std::string>();
    auto file = std::make_shared<std::string>();
    Command checkpoints = program.add(checkpoint_text, [path, file](Context& context) {
        return checkpoint(*path, *file, context);
    });
    checkpoints.bus(*path);
    checkpoints.argument("FILE", *file, "A file outside the bus.", Command::Need::optional);

    auto to = std::make_shared<std::string>();
    Command copies =
        program.add(copy_text, [path, to](Context& context) { return copy(*path, *to, context); });
    copies.bus(*path);
    copies.argument("NEWBUS", *to, "The folder of the copy.");

    auto removed = std::make_shared<std::string>();
    program.add(remove_text, [removed](Context& context) { return remove(*removed, context); })
        .bus(*removed);

    auto options = std::make_shared<Compact>();
    Command compacts = program.add(
        compact_text, [options](Context& context) { return compact(*options, context); });
    compacts.bus(options->bus);
    compacts.option(
        "--keep", "AMOUNT", [options](const std::string& t) { options->keep = parse_retention(t); },
        "Set how much of the past the bus keeps from now on.");
    compacts.option(
        "--before", "SEQUENCE",
        [options](const std::string& t) { options->before = parse_sequence(t); },
        "Let go of what is older than this sequence, this once.");
}

}  // namespace mmsb::tool
