/// state/redo: the writers' lock, what a dead writer left, and putting a record onto the pages.
///
/// Invariants (PROTOCOL, rules 1 and 2): redo runs because of the words, not because of what the
/// mutex said; it assigns and never counts; it skips a page whose line has the record already; a
/// recovery that throws leaves the words as they are, and the next owner tries again.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

/// Holds the writers' lock; whoever gets it has mended what the one before left.
class WriterLock {
public:
    /// Throws Busy with the holder after `timeout`; Corrupt where the words contradict each other,
    /// so that no record is made from them; what a redo throws (then it is not held).
    WriterLock(Attachment& bus, std::chrono::nanoseconds timeout);
    ~WriterLock();
    WriterLock(const WriterLock&) = delete;
    WriterLock& operator=(const WriterLock&) = delete;

private:
    void release() noexcept;
    Attachment& bus_;
};

/// The process that holds a lock, 0 where nobody does. The thread in the lock's word is told by the
/// kernel; the word beside it is that of whoever signed last, who may have died since.
[[nodiscard]] std::int32_t holder_of(std::int32_t thread, std::uint64_t pid_word) noexcept;

/// Where the log ended, as the words said when they were examined.
struct LogEnd {
    Lsn logged = 0, reserve = 0;
};

/// Applies what is logged and not applied, and mends what a dead writer left. REQUIRES the writers'
/// lock. Throws what reading the log throws; the words stay as they are then.
void recover(Attachment& bus, const LogEnd& found);

/// Throws Corrupt: the lock's word, in the page at `lock_at`, did not keep a second one out.
[[noreturn]] void throw_two_holders(const Attachment& bus, const char* which,
                                    std::uint64_t lock_at);

/// Throws Busy, naming who holds the lock.
[[noreturn]] void throw_busy(const Attachment& bus, const char* which, std::uint64_t pid_word,
                             std::int32_t thread, std::chrono::nanoseconds waited);

/// The lines of the record's entries, in order; those of created pages are in the entries. Throws
/// Corrupt where a page is not known. Appends nothing for entries of other kinds.
void lines_of(Attachment& bus, std::span<const std::byte> body, std::vector<std::uint32_t>& lines);

/// Puts the record that ends at `end` onto its pages; all their lines are busy. Idempotent.
/// REQUIRES checked entries, lines that are backed, places in next_offset for created and resized
/// ones.
void apply(Attachment& bus, std::span<const std::byte> body, std::span<const std::uint32_t> lines,
           Lsn end, Sequence sequence) noexcept;
/// The same for who has just made the record, and need not read it again.
void apply(Attachment& bus, std::span<Change> changes, std::span<const std::byte> deltas, Lsn end,
           Sequence sequence) noexcept;

/// Sets or clears the busy bit of every line.
void mark_busy(Attachment& bus, std::span<const std::uint32_t> lines) noexcept;
void mark_idle(Attachment& bus, std::span<const std::uint32_t> lines) noexcept;

/// Places for what the record creates or resizes, in their lines' next_offset; lines are taken and
/// backed. For replay into a new arena; a commit does the same as it stages. Throws OutOfSpace,
/// Corrupt.
void place(Attachment& bus, std::span<const std::byte> body, std::span<const std::uint32_t> lines);

/// What to do with the words when a record is on all its pages.
void publish(Attachment& bus, const log::Record& record) noexcept;
/// Of that, what every commit has.
void publish_time(Attachment& bus, std::int64_t time_ns) noexcept;
void publish_sequence(Attachment& bus, Sequence sequence) noexcept;
/// Of a word that only who holds the writers' lock changes.
inline void add_to(arena::Word& word, std::uint64_t n) noexcept {
    word.store(word.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}
/// One more delta was applied.
inline void count_delta(arena::Control& words, std::uint64_t changed_bytes) noexcept {
    add_to(words.deltas, 1);
    add_to(words.applies, 1);
    add_to(words.delta_bytes, changed_bytes);
}
/// Everything up to `end` is on the pages: the words are sealed, then `applied` moves.
void publish_applied(Attachment& bus, Lsn end) noexcept;

}  // namespace mmsb::state
