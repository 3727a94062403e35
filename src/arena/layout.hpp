/// arena/layout: what lies where in the shared memory, and who may write it.
///
///     file offset      region   content
///     0                control  one page: stamps, then the words of the commit protocol
///     4096, 8192       locks    the last 16 bytes of each: the writers' and the files' lock
///     1 MiB            ring     the log's live tail; mapped twice in a row
///     1 GiB            used     bitmap of the heap, a bit for 64 bytes
///     4 GiB            table    a 64-byte line a page
///     64 GiB           heap     the pages' bytes
///
/// The file is sparse: a region is backed (fallocate) as far as its `..._backed` word says, before
/// anybody touches it. Offsets, never pointers. Nothing here is trusted: a reader copies a field,
/// checks it, then uses the copy.
#pragma once

#include <mmsb/types.hpp>

#include "base/limits.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

namespace mmsb::arena {

using Word = std::atomic<std::uint64_t>;
inline constexpr auto relaxed = std::memory_order_relaxed;
static_assert(Word::is_always_lock_free && sizeof(Word) == 8);

inline constexpr std::uint64_t control_size = 4096;
inline constexpr std::uint64_t writers_lock_at = 4096, files_lock_at = 8192;
inline constexpr std::uint64_t lock_in_page = 4096 - 16;
inline constexpr std::uint64_t ring_at = limits::mib;
inline constexpr std::uint64_t used_at = limits::gib;
static_assert(ring_at + limits::largest_ring <= used_at);
inline constexpr std::uint64_t table_at = 4 * limits::gib;
inline constexpr std::uint64_t heap_at = 64 * limits::gib;
inline constexpr std::uint64_t granule = 64;  ///< Bytes that one bit of the bitmap stands for.
inline constexpr std::uint64_t busy = 1;      ///< The low bit of a line's lsn and of `structure`.

/// What must agree before the rest of an arena is looked at. Written once, before it is linked.
struct Stamps {
    std::array<char, 8> magic{};
    std::uint64_t layout =
        0;  ///< Fingerprint of this header; two builds that differ refuse each other.
    std::array<std::byte, 16> bus{};
    std::array<std::byte, 16> incarnation{};  ///< Random: another one, another arena.
    std::uint64_t bus_inode = 0;              ///< Of the bus's header file.
    std::uint64_t pid_namespace = 0;
    std::uint64_t mount_namespace = 0;  ///< Where `folder` leads to the bus.
    limits::Geometry geometry{};
    std::array<char, 40> boot{};
    std::array<char, 64> platform{};
    std::array<char, 512> folder{};  ///< Path of the bus; for sweeping and messages.
};
static_assert(std::is_trivially_copyable_v<Stamps> && sizeof(Stamps) <= 1024);

// clang-format off
/// | field                     | written by                     | order                                 |
/// |---------------------------|--------------------------------|---------------------------------------|
/// | reserve                   | writers' lock                  | before ring bytes (release fence)     |
/// | logged                    | writers' lock                  | after ring bytes and busy lines       |
/// | applied, sequence         | writers' lock                  | after page bytes, sequence first      |
/// | structure                 | writers' lock                  | busy before logged                    |
/// | seal                      | writers' lock                  | before applied                        |
/// | next_page                 | anybody, fetch_add             | -                                     |
/// | lines.., heap.., counters | writers' lock                  | with the record that needs them       |
/// | sleepers                  | who sleeps sets his bits, who wakes clears those he wakes | a full fence between it and the look at the words, on both sides |
/// | bell                      | who wakes, fetch_add           | after sleepers, before the futex call |
/// | flushed, durable, unsure  | files' lock                    | after the system call answered        |
/// | files_next, files_seal    | files' lock                    | before and after each of the three   |
/// | prepared                  | files' lock                    | after fallocate answered              |
/// | poison                    | files' lock; cleared by who is alone | -                               |
/// | history_lsn, .._sequence  | lock on checkpoints            | after the bus header, before files go |
/// | checkpoint_..             | lock on checkpoints; hints     | -                                     |
/// | writer_pid, files_pid     | the holder; hints for Busy     | -                                     |
// clang-format on
struct Control {
    Stamps stamps{};
    alignas(64) Word reserve{};
    alignas(64) Word logged{};
    alignas(64) Word applied{};
    Word sequence{};
    Word time{};       ///< ns of the last record.
    Word structure{};  ///< Start of the newest structural record, 0 for none; low bit: busy.
    Word next_page{};
    Word sources{};                         ///< Numbers given so far.
    std::atomic<std::uint32_t> bell{};      ///< futex: changes when sleepers are woken.
    std::atomic<std::uint32_t> sleepers{};  ///< Commits that somebody sleeps for; see state/wait.
    Word seal{};  ///< seal_of(): stored before `applied`, so that it is right where nothing is
                  ///< half done.
    alignas(64) Word flushed{};
    Word durable{};
    Word durable_sequence{};  ///< Of the newest record that `durable` covers.
    Word prepared{};
    Word unsure{};
    Word poison{};      ///< errno
    Word files_seal{};  ///< seal_of() the first three, or
    Word files_next{};  ///< what it is about to be: one of both is right at every moment.
    /// The past is kept from here on: the first kept record begins there or behind, and the oldest
    /// View is that of `history_sequence`. Stored before what they give up is deleted; they go down
    /// only where somebody had written over them.
    alignas(64) Word history_lsn{};
    Word history_sequence{};
    Word checkpoint_sequence{};  ///< Of the newest checkpoint in the bus, 0: none known.
    Word checkpoint_lsn{};
    Word checkpoint_time{};  ///< ns since boot, when it was finished.
    Word clock_offset{};     ///< System clock - time since boot, ns, as last looked at; 0: never.
    Word clean{};            ///< 1: the last one left with a close record.
    alignas(64) Word writer_pid{};
    Word files_pid{};
    Word turn_of{};  ///< Whose turn it is, where somebody reserved one; see state/turn.
    std::atomic<std::uint32_t> durable_bell{};  ///< futex: changes when `durable` or `poison` does.
    std::atomic<std::uint32_t> durable_sleepers{};
    alignas(64) Word allocating{};  ///< Not 0: the bitmap may say more than the table (a commit
                                    ///< under way, or dead).
    Word lines_used{};              ///< All behind these are free.
    Word lines_free{};              ///< Of these: free now.
    Word line_cursor{};
    Word heap_end{};   ///< Bytes of the heap that were ever given out.
    Word heap_free{};  ///< Of these: free now.
    Word heap_cursor{};
    Word table_backed{}, used_backed{}, heap_backed{};
    alignas(64) std::array<Word, 3> pages_at{};  ///< By Location.
    Word page_bytes{};
    Word deltas{}, delta_bytes{};
    Word applies{}, apply_ns{};
    Word propagations{}, propagation_ns{};
    Word conflicts{}, abandoned{};
};
static_assert(std::is_standard_layout_v<Control> && sizeof(Control) <= control_size);

/// A page's line: one cache line. All fields are written under the writers' lock while `lsn` is
/// busy, but for next_offset, which belongs to whoever holds that lock.
struct PageLine {
    Word lsn{};  ///< End of the page's last record; low bit: busy. Never reset.
    Word id{};   ///< 0: free.
    Word epoch{};
    Word sequence{};
    Word size{};
    Word offset{};       ///< In the heap.
    Word next_offset{};  ///< Where the record being committed puts it: redo finds it here.
    std::atomic<std::uint32_t> location{};  ///< And whether it is stale: location_word().
    std::atomic<std::uint32_t> check{};     ///< check_of() of all but next_offset.
};
static_assert(sizeof(PageLine) == 64 && std::is_standard_layout_v<PageLine>);

/// The Location, and a bit for whether the page is stale.
inline constexpr std::uint32_t stale_bit = 1U << 8U;
[[nodiscard]] constexpr std::uint32_t location_word(Location location, bool stale) noexcept {
    return static_cast<std::uint32_t>(location) | (stale ? stale_bit : 0);
}
[[nodiscard]] constexpr std::uint32_t location_of(std::uint32_t word) noexcept {
    return word & ~stale_bit;
}

/// A copy of a line's fields.
struct LineCopy {
    std::uint64_t lsn = 0, id = 0, epoch = 0, sequence = 0, size = 0, offset = 0;
    std::uint32_t location = 0, check = 0;
    [[nodiscard]] bool stale() const noexcept { return (location & stale_bit) != 0; }
};

/// Both halves of a product: each bit of it is from many of both.
[[nodiscard]] constexpr std::uint64_t folded_product(std::uint64_t a, std::uint64_t b) noexcept {
    __extension__ using Wide = unsigned __int128;
    const auto product = Wide{a} * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

/// Of some words a sum that does not stay right where one of them changes, or two, or one and the
/// sum, also where it is by single bits. Nothing more: it tells chance, not intent. (Each commit
/// makes it twice: products of pairs, as in wyhash, have no wait in between.)
template <class... Words>
[[nodiscard]] constexpr std::uint64_t check_sum(Words... words) noexcept {
    constexpr std::array<std::uint64_t, 6> secret{0x9e3779b97f4a7c15U, 0xd1b54a32d192ed03U,
                                                  0xa0761d6478bd642fU, 0xe7037ed1a0b428dbU,
                                                  0x8ebc6af09c88c6e3U, 0x589965cc75374cc3U};
    static_assert(sizeof...(words) <= secret.size());
    std::array<std::uint64_t, secret.size()> mixed = secret;
    std::size_t n = 0;
    ((mixed[n++] ^= std::uint64_t{words}), ...);
    return folded_product(mixed[0], mixed[1]) ^ folded_product(mixed[2], mixed[3]) ^
           folded_product(mixed[4], mixed[5]);
}

/// What an idle line's `check` has to be. It tells a line that somebody scribbled over from one
/// that is right; against somebody who means it, nothing in shared memory helps. Each read pays for
/// it: so it is this short. A change of one field is seen but for a chance in 2^32, and so are
/// single bits in two but for their highest ones.
[[nodiscard]] constexpr std::uint32_t check_of(const LineCopy& line) noexcept {
    const auto sum = line.lsn + line.epoch * 3 + line.size * 5 + line.id * 7 + line.sequence * 9 +
                     line.offset * 11 + std::uint64_t{line.location} * 13;
    return static_cast<std::uint32_t>((sum ^ 0x9e3779b97f4a7c15U) * 0xd1b54a32d192ed03U >> 32U);
}

/// What the next record is made from: a copy of these words, for who holds the writers' lock.
struct Tail {
    std::uint64_t applied = 0, sequence = 0, time = 0, structure = 0, sources = 0;
};
[[nodiscard]] inline Tail tail_of(const Control& words) noexcept {
    constexpr auto acquire = std::memory_order_acquire;
    return {words.applied.load(acquire), words.sequence.load(acquire), words.time.load(acquire),
            words.structure.load(acquire) & ~busy, words.sources.load(acquire)};
}
/// What `seal` has to be where nothing is half done.
[[nodiscard]] constexpr std::uint64_t seal_of(const Tail& tail) noexcept {
    return check_sum(tail.applied, tail.sequence, tail.time, tail.structure, tail.sources);
}

/// What is in the files and on the disk, as one: a copy of those words.
struct FilesTail {
    std::uint64_t flushed = 0, durable = 0, durable_sequence = 0;
};
[[nodiscard]] inline FilesTail files_tail_of(const Control& words) noexcept {
    constexpr auto acquire = std::memory_order_acquire;
    return {words.flushed.load(acquire), words.durable.load(acquire),
            words.durable_sequence.load(acquire)};
}
[[nodiscard]] constexpr std::uint64_t seal_of(const FilesTail& tail) noexcept {
    return check_sum(tail.flushed, tail.durable, tail.durable_sequence);
}
/// The same where it agrees with a seal: always, but for who reads while they change, and where
/// they were written over.
[[nodiscard]] inline std::optional<FilesTail> sealed_files_tail(const Control& words) noexcept {
    constexpr auto acquire = std::memory_order_acquire;
    const auto tail = files_tail_of(words);
    const auto seal = seal_of(tail);
    if (words.files_seal.load(acquire) != seal && words.files_next.load(acquire) != seal)
        return std::nullopt;
    return tail;
}
/// Changes with every field above that moves.
inline constexpr std::uint64_t layout_fingerprint =
    5 | sizeof(Stamps) << 8U | sizeof(Control) << 20U | offsetof(Control, lines_used) << 36U;

}  // namespace mmsb::arena
