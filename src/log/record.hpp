/// log/record: one record: built, checked, taken apart. Pure.
///
///     head (12 bytes)                          varints                        entries
///     checksum u32 | check u16 | kind u8 |     sequence, time, source,        one a page or edge,
///     flags u8 | size u32                      process, durable, ...          or a blob's id
///
/// checksum: CRC32C over [4, padded size), seeded with the segment's salt and the record's LSN: a
/// record that was written elsewhere, or in an earlier life of the place, does not pass. check: 16
/// bits over kind, flags and size with the same seed, so that looking for a good record behind a
/// bad one is cheap. Padding to 8 bytes is zero and under the checksum.
///
/// Invariants: (1) a record names a page at most once (who applies it checks that); (2) parse
/// accepts nothing whose checksum, head, varints or entries disagree, takes time linear in the
/// record and allocates nothing; (3) everything in a Record is a view into the bytes it was parsed
/// from.
#pragma once

#include "base/bytes.hpp"
#include "log/format.hpp"

#include <mmsb/types.hpp>

#include <span>
#include <string_view>
#include <vector>

namespace mmsb::log {

inline constexpr std::size_t head_size = 12;
inline constexpr std::size_t most_padding = 7;

enum class RecordKind : std::uint8_t {
    commit = 1,  ///< Takes a sequence. Entries.
    filler = 2,  ///< Head and zeros up to the end of a segment; at least 16 bytes. Where just 8
                 ///< are left there is no record: those 8 bytes are zero.
    source = 3,  ///< Gives a number to a source's name: varint number, text.
    incarnation = 4,  ///< A new arena was made: 16 random bytes.
    close = 5,        ///< The last one left cleanly; `durable` is its own end.
    retention = 6,    ///< How much of the past is kept from here on.
    clock = 7,        ///< The system clock was found to have jumped: i64, ns ahead; not 0.
};

/// What is needed to read or write bytes of one segment's range.
struct Context {
    std::uint64_t salt = 0;
    std::int64_t base_time_ns = 0;
    friend bool operator==(const Context&, const Context&) = default;
};

/// Of a record whose entries are in a blob file.
struct BlobReference {
    std::uint64_t id = 0, size = 0;
    std::uint32_t checksum = 0;
};

/// All but the entries. Every kind but the filler has all of it; kinds other than commit carry the
/// newest sequence, and take none.
struct RecordFields {
    RecordKind kind = RecordKind::commit;
    Sequence sequence = Sequence::zero;
    std::int64_t time_ns = 0;
    std::uint32_t source = 0;  ///< Its number; 0: the unnamed one.
    std::int32_t process = 0;
    std::uint64_t tag = 0;
    std::string_view label{};
    /// Up to where the log was durable when this was written: a multiple of 8, at most `start`.
    /// Nothing: unknown. 16 MiB or more behind `start` is left out. Of a close record it is always
    /// its end, whatever is given here.
    std::optional<Lsn> durable{};
    /// Names, sizes, metadata, edges or sources change: this record is in the structure chain.
    bool structural = false;
    Lsn previous_structure = 0;  ///< Start of the chain's record before; ~0: none. Structural only.
    std::optional<BlobReference> blob{};
};
inline constexpr Lsn no_lsn = ~Lsn{0};

/// A parsed record; views into its bytes.
struct Record : RecordFields {
    Lsn start = 0, end = 0;             ///< end: start + padded size. A record is named by its end.
    std::span<const std::byte> body{};  ///< Entries, or the kind's own bytes. Empty with a blob.
    /// Of one that was parsed with its pages: it says nothing but that bytes of pages change which
    /// are there.
    bool only_bytes = false;
};

/// Of a Record what is needed of one that says nothing but that bytes of pages change: a third of
/// it, for who keeps many, or hands them to another thread.
struct RecordBrief {
    Lsn start = 0, end = 0;
    Sequence sequence = Sequence::zero;
    std::int64_t time_ns = 0;
    Lsn durable = 0;  ///< 0: unknown.
    std::uint32_t source = 0;
    RecordKind kind = RecordKind::commit;
    bool only_bytes = false;
};
[[nodiscard]] inline RecordBrief brief_of(const Record& record) noexcept {
    return {.start = record.start,
            .end = record.end,
            .sequence = record.sequence,
            .time_ns = record.time_ns,
            .durable = record.durable.value_or(0),
            .source = record.source,
            .kind = record.kind,
            .only_bytes = record.only_bytes};
}

/// Appends head, fields, body and padding to `out` for LSN `start`, checksums included.
/// REQUIRES start % 8 == 0, not a filler, a label of at most limits::label_size, a body under 2 GiB
/// that is the kind's own (none with a blob). Returns the padded size.
std::size_t write_record(const RecordFields& fields, std::span<const std::byte> body, Lsn start,
                         const Context& context, std::vector<std::byte>& out);
/// The same around a commit's body that is there already: bytes[body_at..] is the body, and in
/// front of it is room for what write_record adds (record_overhead(), padding apart). Returns where
/// in `bytes` the record begins; it ends where `bytes` does.
std::size_t wrap_record(const RecordFields& fields, std::size_t body_at, Lsn start,
                        const Context& context, std::vector<std::byte>& bytes);
/// A filler of exactly `size` bytes (a multiple of 8, at least 16).
void write_filler(std::size_t size, Lsn start, const Context& context, std::vector<std::byte>& out);
/// The most that write_record adds to a body: head, fields with this label, padding.
[[nodiscard]] constexpr std::size_t record_overhead(std::size_t label_size) noexcept {
    // Sequence, time, the structural record before, tag; source, process, durable of 32 bits.
    constexpr std::size_t numbers = 4 * base::varint_max + 3 * 5;
    constexpr std::size_t blob = 2 * base::varint_max + sizeof(std::uint32_t);
    return head_size + numbers + blob + base::varint_size(label_size) + label_size + most_padding;
}

enum class ParseStatus : std::uint8_t {
    good,
    empty,    ///< The first 8 bytes (or all, of fewer) are zero: nothing was written here.
    partial,  ///< The head is right and says more bytes than there are.
    bad,
};
struct Checked {
    ParseStatus status = ParseStatus::bad;
    std::size_t size = 0;       ///< Padded; from the head, also where partial.
    const char* expected = "";  ///< For messages; a literal.
};
struct Parsed : Checked {
    Record record{};
};
/// Is it a record that begins at bytes[0], LSN `start`: its head and its checksum? Gives its size;
/// its fields and entries are not looked at.
[[nodiscard]] Checked check_record(std::span<const std::byte> bytes, Lsn start,
                                   const Context& context) noexcept;
/// The record that begins at bytes[0], which is LSN `start`. Checks entries too (not a blob's).
[[nodiscard]] Parsed parse_record(std::span<const std::byte> bytes, Lsn start,
                                  const Context& context) noexcept;

// ---- entries ------------------------------------------------------------------------------------

/// What a record says of one page. Fields that do not apply are empty.
struct PageEntry {
    PageId page = PageId::none;
    Epoch epoch = Epoch::zero;  ///< The page's after this record.
    std::uint64_t size = 0;     ///< Likewise, bytes.
    bool created = false;       ///< With line, location, perhaps a name, metadata and a delta.
    bool deleted = false;
    bool resized = false;  ///< New bytes are zero; then the delta is applied.
    bool renamed = false;  ///< Or created with a name.
    bool stale = false;    ///< The page's after this record: what it depends on has changed since.
    std::uint32_t line = 0;             ///< Created only: its place in the page table.
    Location location = Location::cpu;  ///< Created only.
    std::string_view name{};
    std::span<const std::byte> metadata{};  ///< MetadataReader's; empty: none set.
    std::span<const std::byte> delta{};     ///< Encoded (delta/codec.hpp); empty: bytes unchanged.
    std::uint64_t changed_bytes = 0;        ///< By the delta. Not stored: EntryReader counts it.
};
/// Of a PageEntry what is needed of one that says nothing but that bytes change: likewise.
struct PageDelta {
    PageId page = PageId::none;
    Epoch epoch = Epoch::zero;
    std::uint64_t size = 0;
    std::span<const std::byte> delta{};
    std::uint64_t changed_bytes = 0;
    bool stale = false;
};
[[nodiscard]] inline PageDelta delta_of(const PageEntry& entry) noexcept {
    return {entry.page, entry.epoch, entry.size, entry.delta, entry.changed_bytes, entry.stale};
}
[[nodiscard]] inline PageEntry entry_of(const PageDelta& change) noexcept {
    return {.page = change.page,
            .epoch = change.epoch,
            .size = change.size,
            .stale = change.stale,
            .delta = change.delta,
            .changed_bytes = change.changed_bytes};
}
struct EdgeEntry {
    PageId parent = PageId::none, child = PageId::none;
    EdgeType type = EdgeType::data;
    bool added = true;
};
/// By what a page is computed.
struct FormulaEntry {
    PageId child = PageId::none;
    bool added = true;
    std::string_view function{};  ///< Added only, as what follows.
    std::span<const std::byte> arguments{};
    std::span<const std::byte> parents{};  ///< Varints: page_ids(), write_page_ids().
};
enum class EntryKind : std::uint8_t { page, edge, formula };
struct Entry {
    EntryKind kind = EntryKind::page;
    PageEntry page{};
    EdgeEntry edge{};
    FormulaEntry formula{};
};

/// parse_record, into `record`. Where `pages` is not nullptr, what a commit says of pages is
/// appended as it is checked. Where it is not good, both mean nothing.
[[nodiscard]] Checked parse_record(std::span<const std::byte> bytes, Lsn start,
                                   const Context& context, Record& record,
                                   std::vector<PageEntry>* pages);
/// The same for who needs of pages no more than that.
[[nodiscard]] Checked parse_record(std::span<const std::byte> bytes, Lsn start,
                                   const Context& context, Record& record,
                                   std::vector<PageDelta>& pages);

/// REQUIRES what the reader checks: a page; deleted alone and with size 0; not both created and
/// resized; sizes within limits.hpp; a delta that delta::check accepts.
void write_entry(const PageEntry& entry, std::vector<std::byte>& out);
/// The same, with room for an encoded delta of `delta_size` bytes (not 0) instead of the entry's:
/// returns where in `out` it has to be written.
std::size_t write_entry_around(const PageEntry& entry, std::size_t delta_size,
                               std::vector<std::byte>& out);
/// Of an entry that says nothing but that bytes of its page change.
struct DeltaEntry {
    PageId page = PageId::none;
    Epoch epoch = Epoch::zero;  ///< The page's after this record.
    std::uint64_t size = 0;     ///< The page's.
};
/// Writes what stands in front of its delta there, and returns where that begins. REQUIRES room for
/// delta_entry_front bytes.
std::byte* write_entry_front(const DeltaEntry& entry, std::span<std::byte> delta) noexcept;
/// As write_entry_around, for such an entry.
std::size_t write_entry_around(const DeltaEntry& entry, std::size_t delta_size,
                               std::vector<std::byte>& out);
inline constexpr std::size_t delta_entry_front = 1 + 4 * base::varint_max;
/// The record of a commit that says nothing but that bytes of one page change (empty: nothing at
/// all), made around the page's delta where that lies. REQUIRES in front of it room for
/// record_overhead() and delta_entry_front, and `most_padding` bytes behind it; as for
/// write_record.
std::span<const std::byte> wrap_delta(const RecordFields& fields, const DeltaEntry& entry,
                                      std::span<std::byte> delta, Lsn start,
                                      const Context& context) noexcept;
void write_entry(const EdgeEntry& entry, std::vector<std::byte>& out);
void write_entry(const FormulaEntry& entry, std::vector<std::byte>& out);
/// Of a formula: its parents, in order.
void write_page_ids(std::span<const PageId> pages, std::vector<std::byte>& out);
/// What an EntryReader has passed.
[[nodiscard]] std::vector<PageId> page_ids(std::span<const std::byte> varints);
/// Appends one key and value; an empty value erases the key. For PageEntry::metadata.
void write_metadata(std::string_view key, std::string_view value, std::vector<std::byte>& out);

/// Walks a commit's body. noexcept, checked; `failed` after next() returned false: the bytes are
/// not entries. Deltas are checked against the entry's size.
class EntryReader {
public:
    explicit EntryReader(std::span<const std::byte> body) noexcept : in_(body) {}
    bool next(Entry& entry) noexcept;
    [[nodiscard]] bool failed() const noexcept { return failed_; }

private:
    std::span<const std::byte> in_;
    bool failed_ = false;
};
/// The whole body at once: what it says of pages is appended. False: the bytes are no entries.
/// `only_bytes`: there are no other entries, and all pages are there and keep name, size and
/// metadata.
[[nodiscard]] bool read_pages(std::span<const std::byte> body, std::vector<PageEntry>& pages,
                              bool& only_bytes);
[[nodiscard]] bool read_pages(std::span<const std::byte> body, std::vector<PageDelta>& pages,
                              bool& only_bytes);

class MetadataReader {
public:
    explicit MetadataReader(std::span<const std::byte> in) noexcept : in_(in) {}
    bool next(std::string_view& key, std::string_view& value) noexcept;
    [[nodiscard]] bool failed() const noexcept { return failed_; }

private:
    std::span<const std::byte> in_;
    bool failed_ = false;
};
/// Of a `source` record's body; nothing where it is no such body.
struct SourceName {
    std::uint32_t number = 0;
    std::string_view name{};
};
[[nodiscard]] std::optional<SourceName> read_source(std::span<const std::byte> body) noexcept;
void write_source(const SourceName& source, std::vector<std::byte>& out);

/// A `retention` record's body: the limits of the bus header; 0: none.
struct KeptPast {
    std::uint64_t bytes = 0, records = 0, seconds = 0;
};
[[nodiscard]] std::optional<KeptPast> read_kept_past(std::span<const std::byte> body) noexcept;
void write_kept_past(const KeptPast& kept, std::vector<std::byte>& out);

/// A `clock` record's body: by how many ns the system clock was ahead of where it should have been.
[[nodiscard]] std::optional<std::int64_t> read_clock_jump(std::span<const std::byte> body) noexcept;
void write_clock_jump(std::int64_t ns, std::vector<std::byte>& out);

}  // namespace mmsb::log
