#include "state/examine.hpp"

#include "log/scan.hpp"
#include "state/checkpoints.hpp"
#include "state/cursor.hpp"
#include "state/past.hpp"
#include "state/salvage.hpp"
#include "state/seek.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <map>
#include <set>

namespace mmsb::state {

namespace {

void set_damage(FileFinding& file, std::uint64_t offset, const std::string& expected,
                const std::string& found) {
    file.health = FileHealth::damaged;
    file.offset = offset;
    file.expected = expected;
    file.found = found;
}

// What a blob's record says of it.
struct NamedBlob {
    log::BlobReference blob{};
    Sequence sequence = Sequence::zero;
};

class Examiner {
public:
    Examiner(Attachment& bus, const Config& config) : bus_(bus), config_(config) {}

    Diagnosis run() {
        examine_header();
        find_what_is_safe();
        examine_segments();
        examine_blobs();
        examine_checkpoints();
        examine_rest();
        return std::move(result_);
    }

private:
    FileFinding& add(FileKind kind, const std::string& path, const os::File* file = nullptr) {
        auto& finding = result_.files.emplace_back();
        finding.kind = kind;
        finding.file = path;
        if (file != nullptr) finding.bytes = file->size();
        return finding;
    }

    void examine_header() {
        const auto file = bus_.folder->open("bus", os::Create::never, false);
        if (!file) return;  // removed a moment ago
        std::array<std::byte, 2 * log::bus_header_size> bytes{};
        const auto size = file->read(0, bytes);
        auto decoded = log::decode_bus(std::span(bytes).first(size));
        auto& finding = add(FileKind::header, file->path(), &*file);
        finding.note = "the header, both copies";
        if (!decoded.other) return;
        set_damage(finding, decoded.other->offset, decoded.other->expected, decoded.other->found);
        finding.note =
            "the other one of its two copies is good; who opens the bus for writing mends it";
    }

    void find_what_is_safe() {
        result_.kept_from = Sequence{bus_.changing.base_sequence.load()};
        written_ = written_upto(bus_, config_);
        result_.shared_memory = written_.has_value();
        try {
            problems_ = rebuild_good_prefix(bus_, config_);
        } catch (const Corrupt& e) {
            result_.refused = e.what();
            return;
        }
        result_.opens = true;
        const auto& words = bus_.words();
        end_ = words.logged.load();
        result_.oldest = Sequence{words.history_sequence.load()};
        result_.sequence = bus_.recovery.sequence;
        if (result_.sequence != Sequence::zero) result_.time = time_of_last_commit();
        result_.damage = bus_.recovery.damage;
        result_.torn_bytes = bus_.recovery.dropped_bytes;
    }

    // The newest record may be a later one: of a stop().
    Time time_of_last_commit() {
        auto ns = static_cast<std::int64_t>(bus_.words().time.load());
        try {
            ns = result_.sequence > oldest_view(bus_)
                     ? record_at(bus_, start_of(bus_, result_.sequence)).record().time_ns
                     : image_at(bus_, result_.sequence, {replay::Keep::Which::none, {}}).time_ns();
        } catch (const Error&) {  // what is damaged is told of elsewhere
        }
        return Time(std::chrono::nanoseconds(ns));
    }

    // ---- segments

    void examine_segments() {
        if (!bus_.segments) return;
        std::map<std::uint64_t, std::shared_ptr<const log::Segment>> known;
        for (auto& segment : bus_.segments->all()) known.emplace(segment->header.id, segment);
        const auto begin = std::max(bus_.changing.base_lsn.load(), first_lsn);
        if (!known.empty() && known.begin()->second->header.start > begin)
            add_missing(known.begin()->first - 1, begin);
        auto problem = problems_.begin();
        const auto tell_problems = [&](std::uint64_t before) {
            for (; problem != problems_.end() && problem->id < before; ++problem)
                add_problem(*problem);
        };
        for (const auto& name : bus_.log_folder->list()) {
            const auto id = log::segment_id(name);
            if (!id) continue;
            tell_problems(*id);
            if (problem != problems_.end() && problem->id == *id) {
                add_problem(*problem++);
                continue;
            }
            const auto file = bus_.log_folder->open(name, os::Create::never, false);
            if (!file) continue;
            if (const auto segment = known.find(*id); segment != known.end())
                examine_segment(*segment->second);
            else
                add_unused(FileKind::segment, *file, "a later segment begins before it");
        }
        tell_problems(~std::uint64_t{0});
        if (known.empty() && problems_.empty()) {  // whatever its number was
            auto& finding = add(FileKind::segment, bus_.log_folder->path());
            set_damage(finding, 0, fmt::format("a segment that holds position {}", begin), "none");
            finding.health = FileHealth::missing;
        }
        // A checkpoint is made only of a log that is on the disk.
        if (result_.opens && !known.empty())
            if (const auto last = bus_.segments->end_of(*known.rbegin()->second); last < end_)
                add_missing(known.rbegin()->first + 1, last);
    }

    void add_missing(std::uint64_t id, Lsn at) {
        if (std::ranges::any_of(problems_, [&](const auto& p) { return p.id == id; })) return;
        auto& finding =
            add(FileKind::segment, bus_.log_folder->path() + '/' + log::segment_name(id));
        set_damage(finding, 0, fmt::format("a segment that holds position {}", at), "no file");
        finding.health = FileHealth::missing;
    }

    void add_problem(const log::Segments::Problem& problem) {
        const auto file =
            bus_.log_folder->open(log::segment_name(problem.id), os::Create::never, false);
        auto& finding = add(FileKind::segment, problem.path, file ? &*file : nullptr);
        set_damage(finding, problem.why.offset, problem.why.expected, problem.why.found);
        if (!file)
            finding.health = FileHealth::missing;
        else
            finding.note = "nothing of it can be read";
    }

    void add_unused(FileKind kind, const os::File& file, const std::string& why) {
        auto& finding = add(kind, file.path(), &file);
        finding.health = FileHealth::unused;
        finding.note = why;
    }

    void examine_segment(const log::Segment& segment) {
        auto& finding = add(FileKind::segment, segment.file.path(), &segment.file);
        const auto start = segment.header.start;
        const auto range_end = bus_.segments->end_of(segment);
        const auto limit = std::min(range_end, written_.value_or(log::no_lsn));
        const auto from = std::max({start, bus_.changing.base_lsn.load(), first_lsn});
        if (result_.damage && start > end_) {
            finding.health = FileHealth::cut_off;
            finding.note = "nothing leads there any more";
        }
        if (limit <= from) {
            if (range_end <= from) finding.note = "let go of";
            return;
        }
        bytes_.resize(static_cast<std::size_t>(std::min(limit - from, finding.bytes)));
        bytes_.resize(segment.file.read(log::segment_header_size + (from - start), bytes_));
        const auto scanned = scan(segment, from, limit, finding);
        const auto& damage = result_.damage;
        if (damage && damage->file == finding.file)  // also where the records contradict each other
            return set_damage(finding, damage->offset, damage->expected, damage->found);
        if (scanned.end == log::ScanEnd::complete) return;
        const bool is_last = bus_.segments->all().back().get() == &segment;
        if (!damage && (scanned.good_until == end_ || (!result_.opens && is_last))) {
            finding.torn_bytes = result_.torn_bytes;
            if (finding.torn_bytes != 0) finding.health = FileHealth::torn;
            return;
        }
        const auto offset = log::segment_header_size + scanned.good_until - start;
        if (finding.health != FileHealth::cut_off)
            set_damage(finding, offset, *scanned.expected == '\0' ? "a record" : scanned.expected,
                       scanned.end == log::ScanEnd::empty ? "zeros" : "something else");
    }

    log::ScanResult scan(const log::Segment& segment, Lsn from, Lsn limit, FileFinding& finding) {
        return log::scan_segment(bytes_, segment.header, limit, from,
                                 [&](const log::Record& record) {
                                     if (record.kind != log::RecordKind::commit) return true;
                                     if (finding.commits++ == 0) finding.first = record.sequence;
                                     finding.last = record.sequence;
                                     if (record.blob)
                                         blobs_.push_back({*record.blob, record.sequence});
                                     return true;
                                 });
    }

    // ---- what else there is

    void examine_blobs() {
        if (!bus_.segments) return;
        std::set<std::uint64_t> seen;
        for (const auto& [blob, sequence] : blobs_) {
            if (!seen.insert(blob.id).second) continue;
            const auto name = log::blob_name(blob.id);
            const auto file = bus_.log_folder->open(name, os::Create::never, false);
            auto& finding =
                add(FileKind::blob, bus_.log_folder->path() + '/' + name, file ? &*file : nullptr);
            finding.commits = 1;
            finding.first = finding.last = sequence;
            try {
                static_cast<void>(bus_.segments->read_blob(blob));
            } catch (const Corrupt& e) {
                set_damage(finding, e.offset(), e.expected(), e.found());
            }
            if (!file) finding.health = FileHealth::missing;
        }
        for (const auto id : bus_.segments->blobs()) {
            if (seen.contains(id)) continue;
            const auto file = bus_.log_folder->open(log::blob_name(id), os::Create::never, false);
            if (file) add_unused(FileKind::blob, *file, "no commit that can be read names it");
        }
    }

    void examine_checkpoints() {
        for (const auto& which : checkpoint_files(bus_)) {
            const auto file = bus_.checkpoints->open(which.name, os::Create::never, false);
            if (!file) continue;  // a newer one made it needless
            auto& finding = add(FileKind::checkpoint, file->path(), &*file);
            finding.first = finding.last = which.sequence;
            try {
                const auto read = read_own_checkpoint(*file, {.which = replay::Keep::Which::none});
                if (read.bus != bus_.header.uuid)
                    set_damage(finding, 16, "a checkpoint of this bus", "one of another");
                else if (read.image.sequence() != which.sequence)
                    set_damage(finding, 0, fmt::format("sequence {}", number(which.sequence)),
                               fmt::format("{}", number(read.image.sequence())));
            } catch (const Corrupt& e) {
                set_damage(finding, e.offset(), e.expected(), e.found());
            }
        }
    }

    void examine_rest() {
        for (auto* folder : {bus_.folder.get(), bus_.log_folder.get(), bus_.checkpoints.get()}) {
            if (folder == nullptr) continue;
            for (const auto& name : folder->list()) {
                if (!name.ends_with(".new")) continue;
                const auto file = folder->open(name, os::Create::never, false);
                if (file)
                    add_unused(FileKind::other, *file,
                               "being made, or left by a process that died before it was whole");
            }
        }
    }

    Attachment& bus_;
    const Config& config_;
    Diagnosis result_{};
    std::optional<Lsn> written_{};
    Lsn end_ = log::no_lsn;
    std::vector<log::Segments::Problem> problems_{};
    std::vector<NamedBlob> blobs_{};
    std::vector<std::byte> bytes_{};
};

}  // namespace

Diagnosis examine(const std::string& path) {
    OpenOptions options;
    options.config.path = path;
    options.config.on_notice = [](const Notice&) {};  // all of it is in the diagnosis
    std::shared_ptr<Attachment> bus;
    try {
        bus = open_files(options);
    } catch (const Corrupt& e) {  // both copies of the header
        Diagnosis result;
        result.refused = e.what();
        auto& header = result.files.emplace_back();
        header.file = e.file();
        header.kind = FileKind::header;
        set_damage(header, e.offset(), e.expected(), e.found());
        header.note = "neither of its two copies is good";
        return result;
    }
    return Examiner(*bus, options.config).run();
}

}  // namespace mmsb::state
