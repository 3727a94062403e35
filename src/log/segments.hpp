/// log/segments: the segment files of one bus, and its blob files. Uses os.
///
/// A segment maps the LSNs [start, start + capacity), cut short where a later one (larger id) starts
/// before that: after a torn tail nothing is ever appended to the same file again. File bytes are ring
/// bytes. Room is prepared (fallocate) ahead of the log in steps, so that small buses stay small;
/// appending happens only below prepared().
///
/// Threads: everything from any thread; who writes (write, prepare, sync, start_segment, cut, blobs)
/// holds the bus's files' lock, except prepare() by a committer with the writers' lock, who takes it too.
/// Errors: Io, OutOfSpace, Corrupt (file, offset, expected, found), NewerFormat.
#pragma once

#include "log/record.hpp"
#include "os/file.hpp"

#include <memory>
#include <shared_mutex>

namespace mmsb::log {

struct Segment {
    SegmentHeader header{};
    os::File file{};
    [[nodiscard]] Context context() const noexcept { return {header.salt, header.base_time_ns}; }
};

class Segments {
public:
    /// Opens all segments in `folder` (log/), headers checked, none is fine. Read-only where not
    /// writable. `folder` outlives this.
    Segments(os::Folder& folder, const Uuid& bus, const limits::Geometry& geometry, bool writable);

    /// The one whose range holds `lsn`; looks for files made by other processes; nullptr: none.
    [[nodiscard]] std::shared_ptr<const Segment> find(Lsn lsn);
    /// Where the range of `segment` ends: its capacity, or where the next one starts.
    [[nodiscard]] Lsn end_of(const Segment& segment);
    [[nodiscard]] std::vector<std::shared_ptr<const Segment>> all();  ///< By id.
    [[nodiscard]] Lsn oldest();  ///< The first segment's start; no_lsn where there is none.

    /// Makes the next segment (id + 1, random salt) starting at `start`, header synced with its folder
    /// before this returns. Cuts short the one before.
    std::shared_ptr<const Segment> start_segment(Lsn start, std::int64_t base_time_ns);
    /// Room for the bytes below the returned LSN (>= `upto`) is reserved, following segments made
    /// as needed. Steps grow from 256 KiB to 16 MiB. Throws OutOfSpace: nothing is lost.
    Lsn prepare(Lsn upto, std::int64_t base_time_ns);

    void write(Lsn lsn, std::span<const std::byte> bytes);  ///< pwrite where the LSN says.
    /// Fills `out` from `lsn` on, over segments' ends, and returns how many bytes the files have.
    std::size_t read(Lsn lsn, std::span<std::byte> out);
    /// fdatasync of the segments that hold [from, to), oldest first.
    void sync(Lsn from, Lsn to);
    /// The last one left: gives back what was prepared behind `end`.
    void trim(Lsn end);
    /// Removes segments that end at or before `lsn` (a private bus's folded past).
    void drop_before(Lsn lsn);
    [[nodiscard]] std::uint64_t file_bytes();  ///< Of all segments and blobs, as allocated.

    /// A blob file with a new id: written and, where `durable`, synced with its folder.
    BlobReference write_blob(std::span<const std::byte> bytes, bool durable);
    /// Its bytes, header and checksum checked. Corrupt, Io.
    [[nodiscard]] std::vector<std::byte> read_blob(const BlobReference& blob);
    void sync_blob(const BlobReference& blob);
    void remove_blob(std::uint64_t id) noexcept;
    [[nodiscard]] std::vector<std::uint64_t> blobs();

private:
    void refresh();
    std::shared_ptr<const Segment> open_segment(std::uint64_t id);

    os::Folder& folder_;
    Uuid bus_;
    limits::Geometry geometry_;
    bool writable_;
    std::shared_mutex mutex_;
    std::vector<std::shared_ptr<const Segment>> segments_{};  ///< By id; starts never go down.
    Lsn prepared_ = 0;
};

}  // namespace mmsb::log
