/// log/format: the fixed layouts: bus header file, and the headers of segments, blobs and indexes.
///
/// docs/FORMAT.md gives each as a table with offsets; a golden test reads a file by that page.
/// Pure. Nothing read from a file is believed: decode_* check everything (magic, version, checksum,
/// ranges), say in words what they expected and found, and throw nothing of their own.
/// Every unused byte of a header is zero and under its checksum: any flipped bit is found.
#pragma once

#include "base/limits.hpp"

#include <mmsb/types.hpp>

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mmsb::log {

/// A byte position in the one endless log. Records begin 8-aligned.
using Lsn = std::uint64_t;
using Uuid = std::array<std::byte, 16>;

inline constexpr std::uint16_t format_major = 1;  ///< Another one is refused: NewerFormat.
inline constexpr std::uint16_t format_minor = 0;
inline constexpr std::size_t segment_header_size = 4096;
inline constexpr std::size_t bus_header_size = 512;  ///< A slot; the file has two, see encode_bus.
inline constexpr std::size_t blob_header_size = 64;
inline constexpr std::size_t index_header_size = 128;

/// Why a header was not accepted.
struct Refusal {
    enum class Kind : std::uint8_t { foreign, newer, damaged };
    Kind kind = Kind::foreign;
    std::uint64_t offset = 0;
    std::string expected{}, found{};
};
/// A header or why not.
template <class T>
struct Decoded {
    std::optional<T> value{};
    Refusal refusal{};
};

/// The small fixed file `bus`. Two slots of bus_header_size, which say the same at rest; they are
/// written one after the other, so that a torn write leaves one. The valid one with the larger
/// generation counts.
struct BusHeader {
    Uuid uuid{};
    std::uint64_t inode = 0;       ///< Of this file; another one: the folder is a copy.
    std::uint64_t generation = 0;  ///< +1 with each write.
    limits::Geometry geometry{};
    std::uint64_t page_id_ceiling = 0;  ///< No page has had an id above it.
    std::int64_t created_ns = 0;
    /// Where the kept past begins: the state as of `base_sequence` is in a checkpoint, and the log
    /// is kept from `base_lsn` on. Both 0: from the very start.
    std::uint64_t base_sequence = 0;
    Lsn base_lsn = 0;
    /// How much of the past is kept, 0: no limit. Bytes of log, commits, seconds.
    std::uint64_t keep_bytes = 0, keep_records = 0, keep_seconds = 0;
    /// The clock jumped since these were set: until they are set anew `keep_seconds` drops nothing.
    bool age_suspended = false;
    /// The boot of the system in which we wrote the log last (os::boot_number()), 0: not known. On
    /// the disk before the log is written or synced.
    std::uint64_t log_boot = 0;
    friend bool operator==(const BusHeader&, const BusHeader&) = default;
};
[[nodiscard]] std::array<std::byte, bus_header_size> encode_bus(const BusHeader& header);
/// The slot that counts, or why there is none; and what is to be said of the other one.
struct DecodedBus : Decoded<BusHeader> {
    std::size_t slot = 0;            ///< Which one counts: 0 or 1.
    bool both = false;               ///< The other one says the same.
    std::optional<Refusal> other{};  ///< Why the other one is not good, where it is not.
};
inline constexpr std::size_t magic_size = 8;
/// Of the first bytes of a file: is it the header of a bus? Not whether it is a good one.
[[nodiscard]] bool begins_a_bus(std::span<const std::byte, magic_size> bytes) noexcept;
/// Takes both slots (up to 2 * bus_header_size bytes). A slot of a newer format is refused even
/// where the other one is good: that one is older.
[[nodiscard]] DecodedBus decode_bus(std::span<const std::byte> file);

/// The first 4096 bytes of a segment. File offset of an LSN: segment_header_size + lsn - start.
struct SegmentHeader {
    Uuid bus{};
    std::uint64_t id = 0;        ///< From 1, never used again; the file is log/<16 hex digits>.seg.
    std::uint64_t salt = 0;      ///< Random: seeds the checksums, so that old bytes never pass.
    Lsn start = 0;               ///< Multiple of 8.
    std::uint64_t capacity = 0;  ///< Multiple of 8, 16 to 2^40. Maps [start, start + capacity); a
                                 ///< later segment may cut it short.
    std::int64_t base_time_ns = 0;  ///< Times in its records count from here.
};
[[nodiscard]] std::array<std::byte, segment_header_size> encode_segment(
    const SegmentHeader& header);
[[nodiscard]] Decoded<SegmentHeader> decode_segment(std::span<const std::byte> header);
/// The file's name in log/, and back; nothing for any other name.
[[nodiscard]] std::string segment_name(std::uint64_t id);
[[nodiscard]] std::optional<std::uint64_t> segment_id(std::string_view name);

/// The entries of a record that is too large for the ring, in a file of its own: this header, then
/// the bytes.
struct BlobHeader {
    Uuid bus{};
    std::uint64_t id = 0;        ///< Not 0. Never used again.
    std::uint64_t size = 0;      ///< Bytes behind the header.
    std::uint32_t checksum = 0;  ///< CRC32C of them, seeded with ~0.
    Lsn log_end = 0;             ///< When it was written: the next commit behind is its own.
};
[[nodiscard]] std::array<std::byte, blob_header_size> encode_blob(const BlobHeader& header);
[[nodiscard]] Decoded<BlobHeader> decode_blob(std::span<const std::byte> header);
/// As segment_name and segment_id, `<16 hex digits>.blob`.
[[nodiscard]] std::string blob_name(std::uint64_t id);
[[nodiscard]] std::optional<std::uint64_t> blob_id(std::string_view name);

/// Of the index of a segment (log/segment_index): the segment, as far as it is of that.
struct IndexHeader {
    Uuid bus{};
    std::uint64_t segment = 0;  ///< Its id.
    std::uint64_t salt = 0;     ///< The segment's.
    Lsn start = 0, end = 0;     ///< All of its range.
    std::uint64_t pages = 0;    ///< That its records say something of.
    friend bool operator==(const IndexHeader&, const IndexHeader&) = default;
};
[[nodiscard]] std::array<std::byte, index_header_size> encode_index_header(
    const IndexHeader& header);
[[nodiscard]] Decoded<IndexHeader> decode_index_header(std::span<const std::byte> header);
/// As segment_name and segment_id, `<16 hex digits>.idx`.
[[nodiscard]] std::string index_name(std::uint64_t segment);
[[nodiscard]] std::optional<std::uint64_t> index_id(std::string_view name);

}  // namespace mmsb::log
