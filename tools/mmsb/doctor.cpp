// doctor: what the files of a bus look like, what is safe, and how to go on.
#include "command.hpp"
#include "exit_code.hpp"
#include "os_files.hpp"
#include "parse.hpp"
#include "progress.hpp"

namespace mmsb::tool {
namespace {

constexpr CommandText text{
    .name = "doctor",
    .summary = "Find damage in the files of a bus; write what is good as a new bus.",
    .usage = "[OPTIONS] BUS",
    .description =
        "Reads every file of the bus from end to end and says of each whether it is\n"
        "good, torn or damaged, and where; then what is safe, what is lost, and what to\n"
        "do next. It changes nothing, and others may go on using the bus. Where the bus\n"
        "is in shared memory, it is compared with its log as `mmsb verify` does.\n"
        "\n"
        "good: read, and every checksum is right. torn: the log ends there with a piece\n"
        "that a crash or a power loss cut off. Nobody was told that it is on the disk,\n"
        "and the next who opens the bus drops it: harmless. damaged: bytes that were on\n"
        "the disk are not what they were. The bus refuses to open for that, and the log\n"
        "counts up to there. cut off: behind damage; nothing leads there. unused: left\n"
        "by a process that died, or let go of.\n"
        "\n"
        "--write makes a new bus of all that is good, with its past, and opens it: says\n"
        "that it is well only once its log was replayed, and each page compared with\n"
        "what the good part of BUS gives. Killed before, it leaves no bus. Exits with 1\n"
        "where BUS is damaged, whether or not the good part was written.",
    .example =
        "$ mmsb doctor demo.bus\n"
        "good     bus  the header, both copies\n"
        "damaged  log/0000000000000001.seg  at 7680: expected a record with its checksum,\n"
        "         found something else; commits 1 to 7 can be read\n"
        "safe       every moment from sequence 0 to 7, of 2026-11-25T15:18:03Z\n"
        "lost       what was committed behind 7: 2497 bytes of log\n"
        "next       mmsb doctor demo.bus --write NEWBUS   writes what is safe as a new bus",
    .json =
        "  path, good, opens, refused (null: it opens), oldest, sequence, time (null: nothing\n"
        "  is committed), kept_from, torn_bytes, damage (null, or {file, offset, expected,\n"
        "  found, good_until, bytes, segments}), files: [{file, kind, health, bytes,\n"
        "  torn_bytes, offset, expected, found, commits, first, last, note}], shared_memory\n"
        "  (null, or {good, sequence, problem}), written (null, or {path, oldest, sequence,\n"
        "  pages, records})",
};

// Of the shared memory that is there, beside the log.
struct Live {
    bool good = false;
    bool differs = false;  // It was read to its end; else nobody can tell.
    Sequence sequence = Sequence::zero;
    std::string problem{};
};
struct Written {
    std::string path{};
    Sequence oldest = Sequence::zero, sequence = Sequence::zero;
    std::size_t pages = 0;
    std::uint64_t records = 0;
};

Live look_at_live(const std::string& path) {
    Live live;
    try {
        Config config{.path = path, .open = Open::read_only, .survive_lost_memory = true};
        config.on_notice = [](const Notice&) {};
        const State bus = start(config);
        live.sequence = bus.sequence();
        const VerifyReport report = verify_beside_others(bus, {});
        live.good = report.good;
        live.differs = !report.good;
        if (!report.good) live.problem = what_differs(report);
    } catch (const Error& error) {
        live.problem = error.what();
    }
    return live;
}

// ---- writing what is good

[[noreturn]] void not_well(const std::string& path, const std::string& what) {
    throw Corrupt(ErrorCode::corrupt, path + ": what was written is not what is good: " + what,
                  {.path = path, .expected = "what the good part gives", .found = what});
}

std::uint64_t verified(const State& bus, const std::string& path) {
    const VerifyReport report = bus.verify();
    if (!report.good) not_well(path, what_differs(report));
    return report.records;
}

bool same(const PageInfo& a, const PageInfo& b) {
    return a.id == b.id && a.name == b.name && a.size == b.size && a.location == b.location &&
           a.epoch == b.epoch && a.metadata == b.metadata;
}

void compare(const State& good, const State& written, const std::string& path) {
    if (written.sequence() != good.sequence() || written.oldest() != good.oldest())
        not_well(path, fmt::format("it is kept from {} to {}", number(written.oldest()),
                                   number(written.sequence())));
    const auto all = good.pages();
    if (written.pages().size() != all.size())
        not_well(path, counted(written.pages().size(), "page"));
    for (const Page& page : all) {
        const auto other = written.find_page(page.id());
        if (!other || !same(page.info(), other->info()) || page.read() != other->read())
            not_well(path, fmt::format("page {} is another one", number(page.id())));
    }
}

Written write_good(const std::string& path, const std::string& to) {
    const Progress progress("writing");
    Config config{.path = path, .open = Open::good_prefix};
    config.on_notice = [](const Notice&) {};
    const State good = start(config);
    verified(good, path);
    good.copy_to(to);
    try {
        const State written = open_to_read(to);
        compare(good, written, to);
        return {to, written.oldest(), written.sequence(), written.pages().size(),
                verified(written, to)};
    } catch (const Error&) {
        remove_bus(to);  // nobody takes it for what it should have been
        throw;
    }
}

// ---- saying it

std::string short_name(const std::string& file, const std::string& path) {
    return printable(file.starts_with(path + '/') ? file.substr(path.size() + 1) : file);
}

std::string place(std::uint64_t offset, const std::string& expected, const std::string& found) {
    return fmt::format("at {}: expected {}, found {}", offset, printable(expected),
                       printable(found));
}

std::string commits_text(const FileFinding& file) {
    if (file.kind == FileKind::checkpoint) return fmt::format("of sequence {}", number(file.last));
    if (file.kind == FileKind::blob) return fmt::format("of commit {}", number(file.last));
    if (file.commits == 0) return {};
    return file.first == file.last
               ? fmt::format("commit {}", number(file.first))
               : fmt::format("commits {} to {}", number(file.first), number(file.last));
}

std::string what_of(const FileFinding& file) {
    std::vector<std::string> parts;
    const std::string commits = commits_text(file);
    if (file.health == FileHealth::damaged || file.health == FileHealth::missing) {
        parts.push_back(place(file.offset, file.expected, file.found));
        if (file.kind == FileKind::segment && !commits.empty())
            parts.push_back(commits + " can be read");
        else if (!commits.empty())
            parts.push_back(commits);
    } else if (!commits.empty()) {
        parts.push_back(commits);
    }
    if (file.health == FileHealth::torn)
        parts.push_back(size_text(file.torn_bytes) +
                        " of a torn end, which nobody was told is on the disk: harmless");
    if (!file.note.empty()) parts.push_back(file.note);
    return fmt::format("{}", fmt::join(parts, "; "));
}

Style style_of(FileHealth health) {
    if (health == FileHealth::good) return Style::added;
    if (health == FileHealth::torn || health == FileHealth::unused) return Style::faint;
    return Style::removed;
}

void print_files(const Diagnosis& found, const std::string& path, Output& out) {
    for (const FileFinding& file : found.files)
        out.write(fmt::format(
            "{}  {}  {}\n",
            out.paint(style_of(file.health), fmt::format("{:<7}", to_string(file.health))),
            short_name(file.file, path), what_of(file)));
}

void print_safe(const Diagnosis& found, Output& out) {
    if (!found.opens) {
        out.print("safe       nothing: {}\n", printable(found.refused));
        return;
    }
    out.print("safe       every moment from sequence {} to {}{}\n", number(found.oldest),
              number(found.sequence),
              found.sequence == Sequence::zero ? "" : ", of " + time_text(found.time));
    if (found.oldest > found.kept_from)
        out.print("unreadable the past from {} to {}; the present does not need it\n",
                  number(found.kept_from), number(found.oldest));
    if (found.damage)
        out.print("lost       what was committed behind {}: {} of log{}\n", number(found.sequence),
                  size_text(found.damage->bytes),
                  found.damage->segments == 0
                      ? ""
                      : fmt::format(", with {}", counted(found.damage->segments, "whole segment")));
}

void print_live(const Live& live, const Diagnosis& found, Output& out) {
    if (live.good)
        out.print("in memory  sequence {}, and the log gives exactly that\n",
                  number(live.sequence));
    else
        out.print("in memory  sequence {}, not as the log: {}\n", number(live.sequence),
                  printable(live.problem));
    if (live.sequence > found.sequence && found.damage)
        out.write("           it still has what the files have lost: see below\n");
}

// The files are good, and the log is the truth; nothing that is said here destroys the other.
void print_next_of_memory(const Live& live, const std::string& bus, Output& out) {
    if (live.differs)
        out.print("next       mmsb checkpoint {} FILE   keeps the pages as they are in memory\n",
                  bus);
    out.print("{} mmsb doctor {} --write NEWBUS   writes what the log says as a new bus\n",
              live.differs ? "          " : "next      ", bus);
}

void print_next(const Diagnosis& found, const std::optional<Live>& live, const std::string& path,
                Output& out) {
    const std::string bus = printable(path);
    if (found.good() && (!live || live->good)) return out.write("all is well\n");
    if (found.good()) return print_next_of_memory(*live, bus, out);
    if (live && live->sequence > found.sequence)
        out.print(
            "next       mmsb checkpoint {} FILE   keeps all pages as they are in memory now:\n"
            "           before a reboot, and before anything else\n",
            bus);
    if (!found.opens)
        return out.write("next       a backup: a copy of the folder, or a checkpoint file\n");
    if (found.damage || found.oldest > found.kept_from)
        return out.print(
            "next       mmsb doctor {} --write NEWBUS   writes what is safe as a new bus\n", bus);
    // Nothing is lost: only what is there twice is damaged.
    for (const FileFinding& file : found.files) {
        if (file.health != FileHealth::damaged) continue;
        if (file.kind == FileKind::header)
            out.write("next       nothing: whoever opens it for writing mends the header\n");
        if (file.kind == FileKind::checkpoint)
            return out.print("next       mmsb checkpoint {}   makes another one\n", bus);
    }
}

// ---- JSON

Json file_json(const FileFinding& file) {
    return {{"file", file.file},
            {"kind", to_string(file.kind)},
            {"health", to_string(file.health)},
            {"bytes", file.bytes},
            {"torn_bytes", file.torn_bytes},
            {"offset", file.offset},
            {"expected", file.expected},
            {"found", file.found},
            {"commits", file.commits},
            {"first", number(file.first)},
            {"last", number(file.last)},
            {"note", file.note}};
}

Json damage_json(const std::optional<Damage>& damage) {
    if (!damage) return nullptr;
    return {{"file", damage->file},
            {"offset", damage->offset},
            {"expected", damage->expected},
            {"found", damage->found},
            {"good_until", number(damage->good_until)},
            {"bytes", damage->bytes},
            {"segments", damage->segments}};
}

Json diagnosis_json(const Diagnosis& found, const std::string& path) {
    Json files = Json::array();
    for (const FileFinding& file : found.files) files.push_back(file_json(file));
    return {
        {"path", path},
        {"good", found.good()},
        {"opens", found.opens},
        {"refused", found.refused.empty() ? Json(nullptr) : Json(found.refused)},
        {"oldest", number(found.oldest)},
        {"sequence", number(found.sequence)},
        {"time", found.sequence == Sequence::zero ? Json(nullptr) : Json(to_string(found.time))},
        {"kept_from", number(found.kept_from)},
        {"torn_bytes", found.torn_bytes},
        {"damage", damage_json(found.damage)},
        {"files", std::move(files)}};
}

void print_json(Json object, const std::optional<Live>& live, const std::optional<Written>& written,
                Output& out) {
    object["shared_memory"] = nullptr;
    if (live)
        object["shared_memory"] = {
            {"good", live->good}, {"sequence", number(live->sequence)}, {"problem", live->problem}};
    object["written"] = nullptr;
    if (written)
        object["written"] = {{"path", written->path},
                             {"oldest", number(written->oldest)},
                             {"sequence", number(written->sequence)},
                             {"pages", written->pages},
                             {"records", written->records}};
    out.json(object);
}

int doctor(const std::string& path, const std::string& to, Context& context) {
    if (!to.empty() && signature_of(to))
        throw InvalidArgument(ErrorCode::invalid_argument,
                              to + " is there already; the new bus needs a name that is free",
                              {.path = to});
    Diagnosis found;
    std::optional<Live> live;
    {
        const Progress progress("examining");
        found = examine(path);
        if (found.shared_memory) live = look_at_live(path);
    }
    auto& out = context.out;
    if (!context.json) {
        print_files(found, path, out);
        print_safe(found, out);
        if (live) print_live(*live, found, out);
        if (to.empty()) print_next(found, live, path, out);
        out.flush();
    }
    std::optional<Written> written;
    if (!to.empty()) {
        if (!found.opens)
            throw Corrupt(ErrorCode::corrupt,
                          path + ": nothing of it can be written: " + found.refused,
                          {.path = path});
        written = write_good(path, to);
    }
    if (context.json)
        print_json(diagnosis_json(found, path), live, written, out);
    else if (written)
        out.print(
            "written    {}: {} as of sequence {}, and the past from {} on; verified: its {}\n"
            "           replayed, each page compared: all is well with it\n",
            printable(written->path), counted(written->pages, "page"), number(written->sequence),
            number(written->oldest), counted(written->records, "record"));
    return found.good() && (!live || live->good) ? exit_ok : exit_difference;
}

}  // namespace

void add_doctor(Program& program) {
    auto path = std::make_shared<std::string>();
    auto to = std::make_shared<std::string>();
    Command command =
        program.add(text, [path, to](Context& context) { return doctor(*path, *to, context); });
    command.bus(*path);
    command.option(
        "--write", "NEWBUS", [to](const std::string& t) { *to = parse_path(t); },
        "Write what is good as a new bus, and verify it.");
}

}  // namespace mmsb::tool
