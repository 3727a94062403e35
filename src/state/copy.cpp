#include "state/copy.hpp"

#include "log/scan.hpp"
#include "log/segments_new_file.hpp"
#include "state/checkpoints.hpp"
#include "state/cursor.hpp"
#include "state/header.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

constexpr std::size_t copied_at_once = limits::mib;
constexpr auto unfinished_copy = "bus.copying";

[[noreturn]] void throw_taken(const std::string& path, const std::string& found) {
    throw InvalidArgument(
        ErrorCode::invalid_argument, fmt::format("{} is there already: {}", path, found),
        {.path = path, .expected = "nothing, or an empty folder", .found = found});
}

// The folder that the copy is made in; emptied again, and removed where it was made here, unless
// the copy is whole.
class Place {
public:
    explicit Place(const CopyOptions& options) : made_(!os::open_folder(options.folder, false, 0)) {
        folder_ = os::open_folder(options.folder, true, options.permissions);
    }
    ~Place() {
        if (done_) return;
        try {
            if (file_.is_open()) {
                folder_->remove("bus");  // named, and the name could not be synced
                empty();
                folder_->remove(unfinished_copy);
            }
            if (made_) os::remove_folder(folder_->path());
        } catch (const std::exception&) {
            // What stays is no bus.
        }
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    void claim() {
        if (const auto names = folder_->list(); !names.empty())
            throw_taken(folder_->path(), "a folder that holds " + names.front());
        for (const auto* inner : {"log", "checkpoints"})
            if (folder_->folder(inner, false))
                throw_taken(folder_->path(), fmt::format("a folder that holds {}/", inner));
        // Two who copy to one place: one of them fails here, and leaves the other's alone.
        file_ = std::move(*folder_->open(unfinished_copy, os::Create::always, true));
    }

    /// Empty folders for log and checkpoints.
    void begin() {
        empty();
        log = folder_->folder("log", true);
        checkpoints = folder_->folder("checkpoints", true);
    }
    /// All else is on the disk: it is a bus.
    void finish(log::BusHeader header) {
        header.inode = file_.inode();
        write_bus_file(file_, header);
        folder_->sync();
        folder_->rename(unfinished_copy, "bus");
        folder_->sync();
        done_ = true;
    }

    std::unique_ptr<os::Folder> log{}, checkpoints{};

private:
    void empty() {
        for (const auto* name : {"log", "checkpoints"}) {
            const auto inner = folder_->folder(name, false);
            if (!inner) continue;
            for (const auto& file : inner->list()) inner->remove(file);
            os::remove_folder(inner->path());
        }
    }

    bool made_ = false, done_ = false;
    std::unique_ptr<os::Folder> folder_{};
    os::File file_{};
};

// The log's bytes [from, to), wherever they are; fewer where they were never written.
void copy_bytes(Attachment& bus, Lsn from, Lsn to, const os::File& file, std::uint64_t offset) {
    std::vector<std::byte> bytes(std::min<std::uint64_t>(copied_at_once, to - from));
    while (from < to) {
        const auto part = std::span(bytes).first(
            static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), to - from)));
        const auto got = read_log(bus, from, part);
        if (got == 0) return;
        file.write(offset, part.first(got));
        from += got;
        offset += got;
    }
}

class Copier {
public:
    Copier(Attachment& bus, Place& place) : bus_(bus), place_(place) {
        const auto base = base_of(bus);
        header_ = bus.header;
        header_.base_lsn = base.lsn;
        header_.base_sequence = number(base.sequence);
        header_.page_id_ceiling = bus.changing.page_id_ceiling.load();
        header_.keep_bytes = bus.changing.keep_bytes.load();
        header_.keep_records = bus.changing.keep_records.load();
        header_.keep_seconds = bus.changing.keep_seconds.load();
        header_.age_suspended = bus.changing.age_suspended.load();
        header_.generation = 1;
        header_.created_ns = os::clock_ns();
        header_.log_boot = os::boot_number();
        os::random_bytes(header_.uuid);
        if (header_.base_lsn == first_lsn) header_.base_lsn = 0;
        end_ = newest(bus);
        if (base.lsn > end_.lsn)  // only of a viewer without shared memory: it sees no commits
            throw HistoryDropped(
                ErrorCode::history_dropped,
                fmt::format("{}: what was seen when it was opened, up to sequence {}, is no longer "
                            "kept: open it again",
                            bus.path, number(end_.sequence)),
                {.path = bus.path, .sequence = base.sequence});
        last_ = base.sequence;
        at_ = base.lsn;
    }

    Sequence run() {
        place_.begin();
        copy_checkpoints();
        for (const auto& segment : bus_.segments->all()) copy_segment(*segment);
        end_log();
        place_.log->sync();
        place_.checkpoints->sync();
        return end_.sequence;
    }
    [[nodiscard]] const log::BusHeader& header() const noexcept { return header_; }

private:
    void copy_checkpoints() {
        if (!bus_.checkpoints) return;
        for (const auto& file : checkpoint_files(bus_)) {
            if (file.lsn < header_.base_lsn || file.lsn > end_.lsn) continue;
            const bool needed = file.lsn == header_.base_lsn;
            try {
                copy_checkpoint(file);
            } catch (const Corrupt& e) {
                place_.checkpoints->remove(file.name);
                if (needed) throw;
                bus_.notice(Notice::Level::warning,
                            fmt::format("{}: a damaged checkpoint is not in the copy: {}",
                                        bus_.path, e.what()));
            }
        }
    }

    void copy_checkpoint(const CheckpointFile& which) {
        const auto from = bus_.checkpoints->open(which.name, os::Create::never, false);
        if (!from) return;  // removed meanwhile: no base, or the base has moved
        auto to = place_.checkpoints->open(which.name, os::Create::always, true);
        std::uint64_t read = 0, written = 0;
        const auto refusal = replay::readdress_checkpoint(
            [&](std::span<std::byte> out) {
                const auto got = from->read(read, out);
                read += got;
                return got;
            },
            header_.uuid,
            [&](std::span<const std::byte> bytes) {
                to->write(written, bytes);
                written += bytes.size();
            });
        if (refusal) log::refuse(from->path(), *refusal);
        to->sync_data();
        // Read back: what is in the blocks is looked at, too.
        to->set_path(from->path());
        static_cast<void>(read_own_checkpoint(*to, {.which = replay::Keep::Which::none}));
        has_base_ = has_base_ || which.lsn == header_.base_lsn;
    }

    // Of its range what is in [base, end). The copy's segments are numbered anew: of the original's
    // some may have been superseded, and a hole would be one too many.
    void copy_segment(const log::Segment& segment) {
        const auto& from = segment.header;
        const auto begin = std::max(from.start, at_);
        const auto limit = std::min(bus_.segments->end_of(segment), end_.lsn);
        if (begin >= limit) return;
        if (begin > at_)
            damaged(segment, begin, fmt::format("a segment that holds position {}", at_),
                    "a later one");
        auto header = from;
        header.bus = header_.uuid;
        header.id = ++segments_;
        auto file = place_.log->open(log::segment_name(header.id), os::Create::always, true);
        file->write(0, log::encode_segment(header));
        const auto offset = log::segment_header_size + (begin - from.start);
        copy_bytes(bus_, begin, limit, *file, offset);
        file->sync_data();
        check(segment, *file, begin, limit);
        at_ = limit;
    }

    // What was written is read back: so damage of the original is found, and of the copy.
    void check(const log::Segment& segment, const os::File& file, Lsn begin, Lsn limit) {
        bytes_.assign(static_cast<std::size_t>(limit - begin), std::byte{0});
        bytes_.resize(file.read(log::segment_header_size + (begin - segment.header.start), bytes_));
        const auto scanned =
            log::scan_segment(bytes_, segment.header, limit, begin, [&](const log::Record& record) {
                take(segment, record);
                return true;
            });
        if (scanned.end != log::ScanEnd::complete)
            damaged(segment, scanned.good_until, scanned.expected, "something else");
    }

    void take(const log::Segment& segment, const log::Record& record) {
        if (record.kind != log::RecordKind::commit) return;
        if (record.sequence != last_ + 1)
            damaged(segment, record.start, fmt::format("sequence {}", number(last_) + 1),
                    fmt::format("{}", number(record.sequence)));
        if (record.blob) copy_blob(*record.blob, record.start);
        last_ = record.sequence;
    }

    void copy_blob(const log::BlobReference& blob, Lsn log_end) {
        const auto bytes = bus_.segments->read_blob(blob);
        auto file = place_.log->open(log::blob_name(blob.id), os::Create::always, true);
        file->write(0, log::encode_blob({.bus = header_.uuid,
                                         .id = blob.id,
                                         .size = blob.size,
                                         .checksum = blob.checksum,
                                         .log_end = log_end}));
        file->write(log::blob_header_size, bytes);
        file->sync_data();
    }

    // A new segment, with a close record: the copy is whole, and was left by nobody in a hurry.
    void end_log() {
        if (header_.base_lsn != 0 && !has_base_)
            throw Corrupt(
                ErrorCode::corrupt,
                fmt::format("{}: the checkpoint that its log begins with is gone", bus_.path),
                {.path = bus_.path + "/checkpoints",
                 .expected = checkpoint_name(Sequence{header_.base_sequence}, header_.base_lsn),
                 .found = "none"});
        if (last_ != end_.sequence || at_ != end_.lsn)
            throw Corrupt(ErrorCode::corrupt,
                          fmt::format("{}: the log ends at sequence {} of {}", bus_.path,
                                      number(last_), number(end_.sequence)),
                          {.path = bus_.path + "/log",
                           .expected = fmt::format("sequence {}", number(end_.sequence)),
                           .found = fmt::format("{}", number(last_)),
                           .sequence = last_});
        const auto time =
            std::max(os::clock_ns(), static_cast<std::int64_t>(bus_.words().time.load()));
        log::SegmentHeader header{.bus = header_.uuid,
                                  .id = segments_ + 1,
                                  .start = end_.lsn,
                                  .capacity = header_.geometry.segment_size,
                                  .base_time_ns = time};
        os::random_bytes(std::as_writable_bytes(std::span(&header.salt, 1)));
        std::vector<std::byte> close;
        log::write_record({.kind = log::RecordKind::close,
                           .sequence = end_.sequence,
                           .time_ns = time,
                           .process = os::process_id()},
                          {}, end_.lsn, {header.salt, header.base_time_ns}, close);
        auto file = place_.log->open(log::segment_name(header.id), os::Create::always, true);
        file->write(0, log::encode_segment(header));
        file->write(log::segment_header_size, close);
        file->sync_data();
    }

    [[noreturn]] void damaged(const log::Segment& segment, Lsn at, const std::string& expected,
                              const std::string& found) const {
        const auto offset = log::segment_header_size + at - segment.header.start;
        const auto& path = segment.file.path();
        throw Corrupt(
            ErrorCode::corrupt,
            fmt::format("{} is damaged at {}: expected {}, found {}; good up to sequence {}", path,
                        offset, expected, found, number(last_)),
            {.path = path,
             .expected = expected,
             .found = found,
             .offset = offset,
             .sequence = last_});
    }

    Attachment& bus_;
    Place& place_;
    log::BusHeader header_{};
    Position end_{};
    Sequence last_ = Sequence::zero;  // Of the commits that were copied.
    Lsn at_ = 0;                      // Up to here the log was copied.
    std::uint64_t segments_ = 0;
    bool has_base_ = false;
    std::vector<std::byte> bytes_{};
};

}  // namespace

Sequence copy_bus(Attachment& bus, const CopyOptions& options) {
    if (bus.is_private)
        throw InvalidArgument(ErrorCode::invalid_argument,
                              "a bus without a path has no files to copy: write a checkpoint, and "
                              "make a bus from it",
                              {.expected = "a path", .found = "none"});
    Place place(options);
    place.claim();
    // Who may write keeps others from letting go of what is copied. Who may not looks afterwards.
    std::optional<os::FileLock> lock;
    if (!bus.read_only) lock.emplace(lock_checkpoints(bus, options.lock_timeout));
    constexpr int tries = 10;
    for (int i = 1;; ++i) {
        refresh_header(bus);
        const auto base = bus.changing.base_lsn.load();
        const auto has_moved = [&] {
            refresh_header(bus);
            return bus.changing.base_lsn.load() != base;
        };
        Copier copier(bus, place);
        try {
            const auto sequence = copier.run();
            if (!has_moved()) {
                place.finish(copier.header());
                return sequence;
            }
        } catch (const Corrupt&) {
            if (!has_moved()) throw;
        } catch (const HistoryDropped&) {
            if (!has_moved()) throw;
        }
        if (i == tries)
            throw Busy(ErrorCode::busy,
                       bus.path + ": its past is let go of faster than it can be copied",
                       {.path = bus.path});
    }
}

}  // namespace mmsb::state
