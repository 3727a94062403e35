/// delta/codec: the encoded form of a change of one page: find it, write it the shortest way, check
/// it, apply it. Pure; no allocation but the output's. docs/FORMAT.md, "Delta", is the layout.
///
/// An encoded delta does not hold its own length or the page's size: whoever stores it does.
/// Invariants: (1) what encode writes, check accepts and apply turns `before` into `after`;
/// (2) applying twice is applying once; (3) check touches no byte outside its input, takes time
/// linear in it and allocates nothing, whatever the bytes are; (4) apply is only for what passed.
/// Threads: all functions are pure; from any thread.
///
/// Layout. Little-endian. n is the number of changed bytes, at least 1; their values are always the
/// last n bytes of the encoded delta, in the page's order. A *position* has 2 bytes in pages of up
/// to 64 KiB, 4 up to 4 GiB, 8 beyond.
///
///     byte 0     low 4 bits: encoding; high 4 bits: width code of positions
///                (1: 2 bytes, 2: 4 bytes, 3: 8 bytes; 0: none, or one byte in a bucket)
///
///     encoding   width   then
///     0 offsets  1-3     n positions, ascending; n values. n is (length - 1) / (width + 1)
///     0 offsets  0       pages of up to 64 KiB, cut in buckets of 256 bytes: for each bucket one
///                        byte, how many of its bytes change (never all 256); for each changed
///                        byte its offset in its bucket (1 byte), ascending within it; n values
///     1 runs     1-3     varint: number of runs; for each its offset (position) and its length
///                        (position), ascending, not touching each other; n values
///     2 masks    1-3     varint: number of windows; for each its offset (position) and a u64 mask:
///                        bit i stands for the byte at offset + i. Offsets ascend, no mask is 0,
///                        and each window's first changed byte lies behind the last one of the
///                        window before (the 64 bytes may overlap, the changed ones do not);
///                        n values
///     3 whole    0       all bytes of the page; every one of them changes
///
/// Everything else is refused: another code, another width than the page's, a position outside the
/// page, a varint longer than need be, a length that does not agree.
#pragma once

#include <mmsb/delta.hpp>

#include <optional>
#include <span>
#include <vector>

namespace mmsb::delta {

/// The kinds of encoding; the shortest one is taken, the first of equals.
enum class Encoding : std::uint8_t {
    offsets,  ///< Position and value of each changed byte: for a few scattered ones.
    runs,     ///< Offset, length, bytes: for stretches.
    masks,    ///< Window, 64-bit mask, bytes: for many in few places.
    whole,    ///< All bytes of the page, where all of them change.
};

/// A stretch of the page, before and after. `offset` in the page.
struct Part {
    std::size_t offset = 0;
    std::span<const std::byte> before{};
    std::span<const std::byte> after{};  ///< Of the same size.
};

/// Up to so many windows are found by one reading of `before`, and kept.
inline constexpr std::size_t windows_compared_once = 1024;

/// Appends to `out` what turns `before` into `after` in all the parts. Returns the number of bytes
/// that differ; with 0 nothing is appended.
/// REQUIRES parts in ascending order, disjoint, within page_size; that stand still, where they have
/// more than `windows_compared_once` windows of 64 bytes (each part begins one): then `before` is
/// read twice.
std::uint64_t encode(std::span<const Part> parts, std::size_t page_size,
                     std::vector<std::byte>& out);
/// The same for who stores what stands around it first: where something differs, `room` is asked
/// once, with the encoded size, for the place to write to.
std::uint64_t encode_to(std::span<const Part> parts, std::size_t page_size,
                        FunctionRef<std::byte*(std::size_t)> room);

/// encode_to(); and `ranges` become stretches that hold all bytes which differ, ascending, with a
/// whole window of 64 between two of them. REQUIRES at most `windows_compared_once` windows.
std::uint64_t encode_to(std::span<const Part> parts, std::size_t page_size,
                        FunctionRef<std::byte*(std::size_t)> room, std::vector<ByteRange>& ranges);

/// Appends to `out` what writes just these runs, whether or not the page has those bytes already.
/// Returns the number of bytes; with 0 nothing is appended.
/// REQUIRES runs in ascending order, disjoint (they may touch), within page_size.
std::uint64_t encode_runs(std::span<const Delta::Run> runs, std::size_t page_size,
                          std::vector<std::byte>& out);

/// What a checked delta holds.
struct Summary {
    Encoding encoding = Encoding::whole;
    std::uint64_t changed_bytes = 0;
};
/// Is this an encoded delta of a page of `page_size` bytes: every offset inside, in ascending
/// order, without overlap, every count in agreement with the length? Empty: no.
[[nodiscard]] std::optional<Summary> check(std::span<const std::byte> encoded,
                                           std::size_t page_size) noexcept;

/// Writes the changed bytes into `page`, with plain stores. REQUIRES check(encoded, page.size()).
void apply(std::span<const std::byte> encoded, std::span<std::byte> page) noexcept;
/// The same into memory that other processes and threads read meanwhile under a sequence lock: the
/// stores are made where the program says and, under the thread sanitizer, are relaxed atomics.
void apply_shared(std::span<const std::byte> encoded, std::span<std::byte> page) noexcept;
/// Asks for what apply() will write. A hint. REQUIRES what apply() does.
void prefetch(std::span<const std::byte> encoded, std::span<const std::byte> page) noexcept;
/// Only what falls into [offset, offset + part.size()) of the page: for reads in chunks.
void apply_part(std::span<const std::byte> encoded, std::size_t page_size, std::size_t offset,
                std::span<std::byte> part) noexcept;

/// Calls `fn(offset, bytes)` for each maximal run of changed bytes, ascending. The span is into
/// `encoded`: values are stored in the page's order, so a run's bytes lie together there.
/// REQUIRES check(encoded, page_size).
void for_each_run(std::span<const std::byte> encoded, std::size_t page_size,
                  FunctionRef<void(std::size_t, std::span<const std::byte>)> fn);

/// Makes the facade's value from parts of a record: an empty one where `encoded` is empty.
/// REQUIRES check(encoded, page_size), which counts `changed_bytes`; or empty, and 0.
[[nodiscard]] Delta make_delta(PageId page, Epoch epoch, std::size_t page_size,
                               std::span<const std::byte> encoded, std::uint64_t changed_bytes);
/// The encoded form inside a Delta (empty for an empty one).
[[nodiscard]] std::span<const std::byte> encoded_of(const Delta& delta) noexcept;

}  // namespace mmsb::delta
