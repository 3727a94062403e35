/// log/segments: the segment files of one bus, and its blob files. Uses os.
///
/// A segment maps the LSNs [start, start + capacity), cut short where a later one (larger id)
/// starts before that: after a torn tail nothing is ever appended to the same file again. One whose
/// start is not below a later one's is superseded whole: its file stays, its bytes are never looked
/// at. File bytes are ring bytes. Room is prepared (fallocate) ahead of the log in steps, so that
/// small buses stay small; appending happens only below what prepare() returned.
///
/// Invariants: (1) ids in the folder follow one another without a hole: a missing file is Corrupt;
/// (2) between the segments that are not superseded there is no gap; (3) a file has its name only
/// once its header and first room are synced: what a crash leaves under another name is swept by
/// the next who opens for writing.
///
/// Threads: everything from any thread; who writes (write, prepare, sync, start_segment, trim,
/// drop_before) holds the bus's files' lock, except prepare() by a committer with the writers'
/// lock, who takes it too. Blobs are written with or without it. Errors: Io, OutOfSpace, Corrupt
/// (file, offset, expected, found; also a foreign file, or another bus's), NewerFormat. Where the
/// disk is in doubt, InDoubt: of write() and sync(), and of prepare() and start_segment() where
/// the new file's name could not be synced.
#pragma once

#include "log/kept_range.hpp"
#include "log/record.hpp"
#include "log/segment_index.hpp"
#include "os/file.hpp"

#include <mmsb/error.hpp>

#include <memory>
#include <mutex>
#include <shared_mutex>

namespace mmsb::log {

/// What the disk has is in doubt: a write into a segment failed, or a sync of one or of its name.
/// No later answer of that disk is to be believed before all of it was written again. (A call that
/// fails before anything was written is another error, and harms nobody but its caller.)
class InDoubt : public Io {
    using Io::Io;
};

struct Segment {
    SegmentHeader header{};
    os::File file{};
    [[nodiscard]] Context context() const noexcept { return {header.salt, header.base_time_ns}; }
};

class Segments {
public:
    /// As much room as is reserved at first.
    static constexpr std::uint64_t smallest_step = 256 * limits::kib;

    /// Opens all segments in `folder` (log/), headers checked, none is fine. Read-only where not
    /// writable. `folder` outlives this.
    Segments(os::Folder& folder, const Uuid& bus, const limits::Geometry& geometry, bool writable);

    /// A segment of which there is nothing to read.
    struct Problem {
        std::uint64_t id = 0;
        std::string path{};
        Refusal why{};
    };
    /// Read-only, of a log that may be damaged: a segment that is missing, or whose header is not
    /// good, is left out and told (invariants 1 and 2 do not hold then). What others make later is
    /// not seen, and what they remove stays readable. Throws NewerFormat.
    Segments(os::Folder& folder, const Uuid& bus, std::vector<Problem>& problems);

    /// The one whose range holds `lsn`; looks for files made by other processes, which may have
    /// dropped some of them again since; nullptr: none.
    [[nodiscard]] std::shared_ptr<const Segment> find(Lsn lsn);
    /// Its range, for who reads records; nothing: none. The newest one that was asked for is kept
    /// and costs neither a lock nor a system call. Others cannot make it wrong: a segment is cut
    /// short only by who begins a new arena, with a log of its own from there on.
    [[nodiscard]] std::optional<Range> range(Lsn lsn);
    /// Where the range of `segment` ends: its capacity, or where the next one starts.
    [[nodiscard]] Lsn end_of(const Segment& segment);
    [[nodiscard]] std::vector<std::shared_ptr<const Segment>> all();  ///< By id.
    [[nodiscard]] std::vector<Range> ranges();                        ///< Of all of them.
    [[nodiscard]] Lsn oldest();  ///< The first segment's start; no_lsn where there is none.

    /// Makes the next segment (id + 1, random salt) starting at `start`, header synced with its
    /// folder before this returns. Cuts short the one before.
    std::shared_ptr<const Segment> start_segment(Lsn start, std::int64_t base_time_ns,
                                                 std::uint64_t room = smallest_step);
    /// Room for the bytes below the returned LSN (>= `upto`) is reserved, following segments made
    /// as needed. Steps grow from 256 KiB to 16 MiB. Throws OutOfSpace: nothing is lost, and
    /// nothing more is taken than before. REQUIRES a segment.
    /// Bytes below `used` were written already, or are never: room that is not there stays so.
    Lsn prepare(Lsn upto, std::int64_t base_time_ns, Lsn used = 0);
    /// Following segments are made until one holds what is before `upto`, without room in them;
    /// returns where it ends. For a log of which most is never written out. REQUIRES a segment.
    Lsn extend(Lsn upto, std::int64_t base_time_ns);

    void write(Lsn lsn, std::span<const std::byte> bytes);  ///< pwrite where the LSN says.
    /// Fills `out` from `lsn` on, over segments' ends, and returns how many bytes the files have.
    /// Never gives what lies in a file behind the end of its range.
    std::size_t read(Lsn lsn, std::span<std::byte> out);
    /// fdatasync of the segments that hold [from, to), oldest first, and of their names.
    void sync(Lsn from, Lsn to);
    /// The last one left: gives back what was prepared behind `end`.
    void trim(Lsn end);
    /// Removes segments that end at or before `lsn`: a past that is not kept.
    void drop_before(Lsn lsn);
    /// Gives back the room of what lies before `lsn` in the first segment.
    void punch_before(Lsn lsn);
    [[nodiscard]] std::uint64_t file_bytes();  ///< Of all of these files, as allocated.

    // -- the index of the segment that starts at `start`: REQUIRES that the log has left it
    /// What it says: where the page's records start. Nothing: it is not there, or not good.
    [[nodiscard]] std::optional<std::vector<Lsn>> find_in_index(Lsn start, PageId page);
    [[nodiscard]] bool has_index(Lsn start);
    /// Throws Corrupt where it is not the index of a segment with these mentions, in the log's
    /// order.
    void check_index(Lsn start, std::vector<Mention> mentions);
    /// Makes it, in place of one that is not good. Where that cannot be done, it is not there.
    void write_index(Lsn start, std::vector<Mention> mentions) noexcept;

    /// A blob file with a new id: written and, where `durable`, synced with its folder. REQUIRES
    /// the writers' lock, held until its record is logged: at `log_end` or behind.
    BlobReference write_blob(std::span<const std::byte> bytes, Lsn log_end, bool durable);
    /// Its bytes, header and checksum checked. Corrupt, Io.
    [[nodiscard]] std::vector<std::byte> read_blob(const BlobReference& blob);
    void sync_blob(const BlobReference& blob);
    void remove_blob(std::uint64_t id) noexcept;
    /// Removes the blobs of records before `lsn`, where the kept log begins. `next`: that of the
    /// first commit there or behind, 0 if it has none; not given where there is no commit yet: then
    /// one that may come to be its stays.
    void remove_blobs_before(Lsn lsn, std::optional<std::uint64_t> next) noexcept;
    /// Removes the blobs whose writer died before he logged their record: those written when the
    /// log ended at or behind `last_commit_end`. REQUIRES the writers' lock, or to be alone.
    void remove_orphans(Lsn last_commit_end) noexcept;
    [[nodiscard]] std::vector<std::uint64_t> blobs();  ///< Their ids, in order.

private:
    using Known = std::shared_ptr<const Segment>;
    /// A segment and where its range ends.
    struct Place {
        Known segment{};
        Lsn end = 0;
    };
    class Growth;

    // These REQUIRE mutex_, exclusively where they change something.
    [[nodiscard]] Place place_of(Lsn lsn) const;
    void add(Known segment);
    void refresh();
    Known open_behind(std::uint64_t last);

    // Both look for files of others only where what is known does not reach. Who may write can rely
    // on that: the last segment is cut short only by who begins a new arena, alone. A reader of
    // files may have been left behind, and looks where it is the last one that he knows.
    Place locate(Lsn lsn);
    std::vector<Place> places(Lsn upto = no_lsn);
    Known open_segment(std::uint64_t id);
    Known make_segment(Lsn start, std::int64_t base_time_ns, std::uint64_t room);
    std::uint64_t next_blob(Lsn log_end);
    /// What its header says, if it is a good one of this bus.
    [[nodiscard]] std::optional<Lsn> log_end_of(std::uint64_t id) const;
    /// Corrupt where it is none of this bus.
    [[nodiscard]] BlobHeader blob_header(const os::File& file) const;
    class Index;

    os::Folder& folder_;
    Uuid bus_;
    limits::Geometry geometry_;
    bool writable_;
    bool frozen_ = false;  ///< No segment is looked for any more.
    std::shared_mutex mutex_;
    std::vector<Known> segments_{};   ///< By id, none superseded: starts go up.
    KeptRange kept_{};                ///< Of one of them, as it is with all of them.
    Lsn prepared_ = 0;                ///< As far as this object knows.
    std::uint64_t names_synced_ = 0;  ///< Ids up to here: their names were synced by this object.
    std::uint64_t last_blob_ = 0;     ///< Highest id seen.
};

}  // namespace mmsb::log
