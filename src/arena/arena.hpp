/// arena/arena: the shared memory of one bus, mapped: control words, ring, page table, heap.
///
/// May include: os, delta, base. Knows bytes, lines and places; nothing of names, records or files.
/// Invariants: (1) the places of live pages do not overlap and lie below heap_end; (2) a bit of the
/// bitmap is set exactly where a live page or a commit under way has its place; (3) what is touched
/// was backed before. rebuild_allocator() makes (2) true again after a death, from the table alone.
/// Threads: reading anything; take_*, release, back_* and line fields only under the writers' lock.
#pragma once

#include "arena/layout.hpp"
#include "os/mapping.hpp"

#include <mmsb/types.hpp>

#include <span>

namespace mmsb::arena {

/// A copy of a line's fields, taken while the line stood still.
struct LineCopy {
    std::uint64_t lsn = 0, id = 0, epoch = 0, sequence = 0, size = 0, offset = 0;
    std::uint32_t location = 0;
};

class Arena {
public:
    /// Makes a new arena in the empty file: backs control, locks and ring, writes the stamps.
    Arena(os::File file, const Stamps& stamps);
    /// Maps one that is there. REQUIRES that its stamps were read and found to agree.
    Arena(os::File file, const Stamps& stamps, bool writable);

    [[nodiscard]] const os::File& file() const noexcept { return file_; }
    [[nodiscard]] bool writable() const noexcept { return writable_; }
    [[nodiscard]] Control& control() const noexcept { return *control_; }
    [[nodiscard]] std::uint64_t ring_size() const noexcept { return ring_size_; }
    /// Where the byte at `lsn` is, followed by as many as the ring holds, without a wrap.
    [[nodiscard]] std::byte* ring(std::uint64_t lsn) const noexcept {
        return ring_.data() + (lsn & (ring_size_ - 1));
    }

    // ---- lines
    /// The line, or nullptr where the table is not backed that far.
    [[nodiscard]] PageLine* line(std::uint32_t number) const noexcept;
    /// Copies a line that stands still: false where it is busy or moved meanwhile.
    [[nodiscard]] static bool copy(const PageLine& line, LineCopy& out) noexcept;
    /// Copies whatever is there, without a promise: for slow reads, which redo over it.
    static void copy_fuzzy(const PageLine& line, LineCopy& out) noexcept;
    /// A free line, marked by nobody yet: the caller fills it or leaves it. Throws OutOfSpace.
    [[nodiscard]] std::uint32_t take_line();
    /// This line can be touched. Throws OutOfSpace.
    void back_line(std::uint32_t number);

    // ---- heap
    /// `size` bytes at `offset`, or nothing where that is not backed. size 0: an empty span.
    [[nodiscard]] std::optional<std::span<std::byte>> bytes(std::uint64_t offset,
                                                            std::uint64_t size) const noexcept;
    /// A place for `size` bytes: 64-aligned, 4096-aligned from 4 KiB on; backed. Throws OutOfSpace.
    [[nodiscard]] std::uint64_t take(std::uint64_t size);
    void release(std::uint64_t offset, std::uint64_t size) noexcept;
    /// The bytes that a page of `size` occupies.
    [[nodiscard]] static std::uint64_t place_size(std::uint64_t size) noexcept;
    /// Sets bitmap and counters from the table. False where the table contradicts itself (someone
    /// scribbled over it): overlapping places or one out of range.
    [[nodiscard]] bool rebuild_allocator() noexcept;

private:
    void map(const Stamps& stamps);
    void back(const os::Mapping& region, std::uint64_t at, Word& backed, std::uint64_t upto,
              std::uint64_t step, const char* what);
    [[nodiscard]] std::uint64_t* used() const noexcept {
        return reinterpret_cast<std::uint64_t*>(used_.data());
    }
    void mark(std::uint64_t first, std::uint64_t count, bool used) noexcept;
    [[nodiscard]] std::optional<std::uint64_t> find_hole(std::uint64_t granules,
                                                         std::uint64_t alignment) noexcept;

    os::File file_;
    bool writable_ = true;
    os::Mapping control_map_{}, ring_{}, used_{}, table_{}, heap_{};
    Control* control_ = nullptr;
    std::uint64_t ring_size_ = 0;
};

/// Stamps of the arena in `file`, or nothing where it is none of ours at all. A copy: check it.
[[nodiscard]] std::optional<Stamps> read_stamps(const os::File& file);

}  // namespace mmsb::arena
