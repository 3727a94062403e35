/// arena/arena: the shared memory of one bus, mapped: control words, ring, page table, heap.
///
/// May include: os, delta, base. Knows bytes, lines and places; nothing of names, records or files.
/// Invariants: (1) the places of live pages do not overlap and lie below heap_end; (2) a bit of the
/// bitmap is set exactly where a live page or a commit under way has its place; (3) what is touched
/// was backed before. rebuild_allocator() makes (2) true again after a death, from the table alone.
/// Nothing in the memory is trusted: what is backed is what the file says, not what a word claims;
/// a line has a check; words of the allocator that contradict each other are Corrupt, with their
/// place; and no word, whatever it is, leads to a loop or an allocation beyond the file's own size.
/// Threads: reading anything; take_*, release, back_* and line fields only under the writers' lock.
#pragma once

#include "arena/layout.hpp"
#include "arena/shared_bytes.hpp"
#include "os/mapping.hpp"

#include <mmsb/types.hpp>

#include <new>
#include <optional>
#include <span>

namespace mmsb::arena {

class Arena {
public:
    /// Makes a new arena in the empty file: backs control, locks and ring, writes the stamps.
    Arena(os::File file, const Stamps& stamps);
    /// The same, but the ring is backed as it is needed (back_ring), for log from `log_begins` on.
    Arena(os::File file, const Stamps& stamps, std::uint64_t log_begins);
    /// Maps one that is there. REQUIRES that its stamps were read and found to agree. Throws
    /// Corrupt where the file is too short to hold control words and ring.
    Arena(os::File file, const Stamps& stamps, bool writable);
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    [[nodiscard]] const os::File& file() const noexcept { return file_; }
    [[nodiscard]] bool writable() const noexcept { return writable_; }
    [[nodiscard]] Control& control() const noexcept { return *control_; }
    [[nodiscard]] std::uint64_t ring_size() const noexcept { return ring_size_; }
    /// Where the byte at `lsn` is, followed by as many as the ring holds, without a wrap.
    [[nodiscard]] std::byte* ring(std::uint64_t lsn) const noexcept {
        return ring_.data() + (lsn & (ring_size_ - 1));
    }

    /// Backs the ring for the log before `upto`, and returns up to where it is by then. REQUIRES an
    /// arena that was made with where its log begins. Throws OutOfSpace.
    std::uint64_t back_ring(std::uint64_t upto);

    // ---- lines
    /// The line, or nullptr where the table is not backed that far.
    [[nodiscard]] PageLine* line(std::uint32_t number) const noexcept;
    /// Copies a line that stands still: false where it is busy or moved meanwhile.
    [[nodiscard]] static bool copy(const PageLine& line, LineCopy& out) noexcept;
    /// Copies whatever is there, without a promise: for slow reads, which redo over it.
    static void copy_fuzzy(const PageLine& line, LineCopy& out) noexcept;
    /// Is this copy of an idle line as its last writer left it?
    [[nodiscard]] static bool agrees(const LineCopy& line) noexcept {
        return line.check == check_of(line);
    }
    /// The line is complete but for its lsn, which is about to become `lsn` (idle).
    static void seal(PageLine& line, std::uint64_t lsn) noexcept;
    /// A free line, marked by nobody yet: the caller fills it or leaves it. Throws OutOfSpace,
    /// Corrupt.
    [[nodiscard]] std::uint32_t take_line();
    /// Lines that ever held a page. Throws Corrupt where there is no room for so many.
    [[nodiscard]] std::uint64_t lines_used() const;
    /// This line can be touched. Throws OutOfSpace, Corrupt.
    void back_line(std::uint32_t number);

    // ---- heap
    /// `size` bytes at `offset`, or nothing where that is not backed. size 0: an empty span.
    [[nodiscard]] std::optional<std::span<std::byte>> bytes(std::uint64_t offset,
                                                            std::uint64_t size) const noexcept;
    /// A place for `size` bytes: 64-aligned, 4096-aligned from 4 KiB on; backed. Throws OutOfSpace,
    /// Corrupt.
    [[nodiscard]] std::uint64_t take(std::uint64_t size);
    void release(std::uint64_t offset, std::uint64_t size) noexcept;
    /// The bytes that a page of `size` occupies.
    [[nodiscard]] static std::uint64_t place_size(std::uint64_t size) noexcept;
    /// Sets bitmap and counters from the table. False where the table contradicts itself (someone
    /// scribbled over it): overlapping places or one out of range.
    [[nodiscard]] bool rebuild_allocator() noexcept;

    /// Has somebody made the file shorter than it was? Then once and for all. What was copied
    /// before this says no is what was there, unless it was cut in the very moment in which another
    /// one made it longer. A system call.
    [[nodiscard]] bool is_cut() const noexcept;
    /// All addresses at which the file is mapped.
    [[nodiscard]] std::vector<std::span<std::byte>> mappings() const;

    /// Throws Corrupt: this word of the control page cannot be right. With its place in the file.
    [[noreturn]] void contradiction(const Word& word, const std::string& expected) const;

private:
    /// A part of the file that grows. `known` never shrinks: what was looked at stays there.
    struct Region {
        std::uint64_t at = 0;  ///< In the file.
        Word Control::* word = nullptr;
        const char* name = "";
        os::Mapping map{};
        mutable std::atomic<std::uint64_t> known{0};
    };

    [[noreturn]] void throw_cut() const;
    void make(const Stamps& stamps, std::uint64_t of_ring);
    void map(const Stamps& stamps);
    /// How much of the region is backed, as far as it matters for `upto`.
    [[nodiscard]] std::uint64_t backed(const Region& region, std::uint64_t upto) const noexcept {
        const auto known = region.known.load(std::memory_order_acquire);
        return upto <= known ? known : look(region);
    }
    std::uint64_t look(const Region& region) const noexcept;
    void back(Region& region, std::uint64_t upto, std::uint64_t step);
    [[nodiscard]] std::uint64_t* used() const noexcept {
        return reinterpret_cast<std::uint64_t*>(used_.map.data());
    }
    /// Granules that the bitmap has bits for.
    [[nodiscard]] std::uint64_t granules() const noexcept;
    void mark(std::uint64_t first, std::uint64_t count, bool used) noexcept;
    [[nodiscard]] bool any_used(std::uint64_t first, std::uint64_t count) const noexcept;
    [[nodiscard]] std::optional<std::uint64_t> find_hole(std::uint64_t wanted,
                                                         std::uint64_t alignment) noexcept;

    os::File file_;
    mutable std::atomic<std::uint64_t> size_{0};  ///< Of the file, as last seen: it grows only.
    mutable std::atomic<bool> cut_{false};
    bool writable_ = true;
    bool in_memory_ = false;
    os::Mapping control_map_{}, ring_{};
    Region used_{used_at, &Control::used_backed, "the bitmap"};
    Region table_{table_at, &Control::table_backed, "the page table"};
    Region heap_{heap_at, &Control::heap_backed, "pages"};
    Control* control_ = nullptr;
    std::uint64_t ring_size_ = 0;
    std::uint64_t log_begins_ = 0, ring_backed_ = 0;  // of back_ring()
};

/// Stamps of the arena in `file`, or nothing where it is none of ours at all. A copy: check it.
[[nodiscard]] std::optional<Stamps> read_stamps(const os::File& file);

// ---- what every read goes through: not a call -------------------------------------------------

inline PageLine* Arena::line(std::uint32_t number) const noexcept {
    const std::uint64_t end = (std::uint64_t{number} + 1) * sizeof(PageLine);
    if (end > backed(table_, end)) return nullptr;
    return std::launder(reinterpret_cast<PageLine*>(table_.map.data() + end - sizeof(PageLine)));
}

inline void Arena::copy_fuzzy(const PageLine& line, LineCopy& out) noexcept {
    out.lsn = line.lsn.load(std::memory_order_acquire);
    out.id = line.id.load(std::memory_order_relaxed);
    out.epoch = line.epoch.load(std::memory_order_relaxed);
    out.sequence = line.sequence.load(std::memory_order_relaxed);
    out.size = line.size.load(std::memory_order_relaxed);
    out.offset = line.offset.load(std::memory_order_relaxed);
    out.location = line.location.load(std::memory_order_relaxed);
    out.check = line.check.load(std::memory_order_relaxed);
}

inline bool Arena::copy(const PageLine& line, LineCopy& out) noexcept {
    copy_fuzzy(line, out);
    read_fence();
    return (out.lsn & busy) == 0 && line.lsn.load(std::memory_order_acquire) == out.lsn;
}

inline std::optional<std::span<std::byte>> Arena::bytes(std::uint64_t offset,
                                                        std::uint64_t size) const noexcept {
    if (size == 0) return std::span<std::byte>{};
    const auto end = offset + size;
    if (end < offset || end > backed(heap_, end)) return std::nullopt;
    return std::span(heap_.map.data() + offset, static_cast<std::size_t>(size));
}

}  // namespace mmsb::arena
