/// state/attachment: one bus as this process has it open: files, arena, locks, catalog.
///
/// May include: log, delta, arena, os, replay (for the folded past of a private bus), base.
/// All States of one bus in one process share one Attachment. It has no behaviour of its own: each
/// mechanism is a file of functions over it (open, redo, commit, read, flush, cursor, past).
/// Lock order: writers, then files; never the other way round. `files` is never held beyond a
/// batch.
#pragma once

#include "arena/arena.hpp"
#include "log/segments.hpp"
#include "os/lock.hpp"
#include "os/memory_guard.hpp"
#include "os/process.hpp"
#include "replay/image.hpp"
#include "state/catalog.hpp"
#include "state/functions.hpp"

#include <mmsb/error.hpp>
#include <mmsb/types.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

namespace mmsb::state {

using arena::relaxed;
using log::Lsn;
inline constexpr Lsn first_lsn = 4096;  ///< So that 0 is no record.
inline constexpr std::uint32_t unknown_line = ~std::uint32_t{0};

/// What a record that is being made does to one page: its entry, but for the delta, which lies in
/// WriterScratch.
struct Change {
    std::uint32_t line = unknown_line;
    log::PageEntry entry{};
    std::size_t delta_at = 0, delta_size = 0;
    std::uint64_t place = 0;  ///< Of a page that is created or resized: its new offset.
};

/// The same of a page of which only bytes change, with its line as it was: a copy that was checked.
struct BytesChange {
    std::uint32_t line = unknown_line;
    arena::LineCopy was{};
    std::size_t delta_at = 0, delta_size = 0;
    std::uint64_t changed_bytes = 0;
};

/// Buffers of whoever holds the writers' lock: kept, so that a commit allocates nothing.
struct WriterScratch {
    /// Room for what stands in front of a body, up to `body_at`, then the entries; a record is
    /// built around them where they lie.
    std::vector<std::byte> body{};
    std::size_t body_at = 0;
    std::vector<std::byte> source_body{};  ///< Of the record that names a source.
    std::vector<std::byte> batch{};     ///< What goes in front of that record: fillers, a source.
    std::vector<std::byte> unlogged{};  ///< Deltas of a bus without a log.
    std::vector<std::byte> metadata{};  ///< Of the page at hand.
    std::vector<Change> changes{};      ///< One an entry; their deltas are in `body` or `unlogged`.
    std::vector<BytesChange> bytes_changes{};  ///< Likewise, of other pages.
    std::vector<std::uint32_t> lines{};        ///< Of both.
    std::vector<std::byte> record{};  ///< Of state/commit_bytes, which leaves it as long as it is.
    std::vector<std::uint64_t> masks{};  ///< Likewise: which bytes differ, of a bus without a log.
    std::string source{};  ///< The last one that was looked up, and its number; 0: none.
    std::uint32_t source_number = 0;
    std::shared_ptr<const log::Segment> segment{};  ///< That `logged` lies in.
    Lsn segment_end = 0;
};

/// What a private bus keeps of the time before its oldest record, and how much of the time behind
/// it. (Of a bus with a path that is in files: state/checkpoints.)
struct Past {
    std::shared_mutex mutex{};  ///< Of `base`, and of moving `history_lsn`.
    std::optional<replay::Image> base{};
    std::atomic<std::int64_t> base_time_ns{0};  ///< The base's.
    std::atomic<std::uint64_t> blob_bytes{0};   ///< Of a private bus's blobs: memory like its log.
    std::uint64_t max_bytes = 0, max_records = 0;
    std::chrono::seconds max_age{0};
    /// The ring has room for all that is kept: then nothing is written out, but where folding falls
    /// behind.
    bool in_ring = false;
    std::atomic<Lsn> written_upto{0};  ///< What was written out all the same; 0: nothing is left.
    Lsn first_segment_end = 0;         ///< As far as is known: none ends before it.
    /// Without a log: where the kept records begin the next time that some go.
    std::atomic<Lsn> next_lsn{0};
    std::atomic<std::uint64_t> next_sequence{0};
    std::atomic<std::int64_t> next_time_ns{0};
};

/// What of the newest segment was read for its records' pages (state/mentions).
struct Mentions {
    std::mutex mutex{};
    log::Range segment{};
    Lsn upto = 0;
    std::vector<log::Mention> all{};  ///< As they are in the log.
};

/// The thread that flushes a moment after commits; sleeps while there is nothing to do.
struct Timer {
    std::thread thread{};
    std::atomic<std::uint32_t> awake{0};  ///< futex; 0: asleep.
    std::atomic<bool> stopping{false};
    std::atomic<std::int64_t> sync_every_ns{0};  ///< 0: no handle has Durability::interval.
    /// By commits that have it for themselves: how soon the next sync is to be; 0: none asks.
    std::atomic<std::int64_t> asked_ns{0};
};

/// Who is told of notices: what each State of this bus in this process was given. Threads: any. A
/// function may do what leads to another notice.
class Notices {
public:
    using Function = std::function<void(const Notice&)>;
    using Pointer = std::shared_ptr<const Function>;  ///< The function may be empty.

    void add(Pointer function);
    /// It is not running when this returns, and will not run, unless it is what calls this.
    void remove(const Pointer& function) noexcept;
    /// Where there is none, a warning goes to stderr.
    void tell(Notice::Level level, const std::string& text) noexcept;

private:
    [[nodiscard]] Pointer at(std::size_t i) noexcept;  // nullptr: there are no more

    std::mutex list_{};               // of the functions; nothing is waited for that has it
    std::recursive_mutex telling_{};  // while one runs
    std::vector<Pointer> functions_{};
};

/// The fields of the bus header that processes change, as last read or written here.
struct Changing {
    std::atomic<std::uint64_t> page_id_ceiling{0};
    std::atomic<std::uint64_t> base_sequence{0}, base_lsn{0};
    std::atomic<std::uint64_t> keep_bytes{0}, keep_records{0}, keep_seconds{0};
    std::atomic<bool> age_suspended{false};
    std::atomic<std::uint64_t> log_boot{0};
};

/// The thread that makes checkpoints now and then.
struct Keeper {
    std::thread thread{};
    std::atomic<std::uint32_t> bell{0};  ///< futex: one of these has changed.
    std::atomic<bool> stopping{false};
    std::atomic<std::int64_t> every_ns{0};  ///< 0: no handle wants checkpoints.
};

struct Attachment : std::enable_shared_from_this<Attachment> {
    std::string path{};
    bool is_private = true;
    bool read_only = false;
    bool rebuilt_privately = false;  ///< Read-only, without an arena: a rebuilt copy.
    bool logging = true;
    /// Where rebuilt_privately, and where there is a guard: so that each call has one look for what
    /// is out of the ordinary.
    std::atomic<bool> odd{false};
    mutable std::atomic<bool> lost{false};  ///< Part of the arena was taken away (state/lost).
    os::ForkToken token{};
    std::int32_t process = os::process_id();  ///< Ours: asking each time is a system call.
    log::BusHeader header{};                  ///< As it was when the bus was opened.
    Changing changing{};                      ///< What of it changes.
    std::unique_ptr<os::Folder> folder{}, log_folder{}, checkpoints{};
    os::FileLock presence{};  ///< <bus>/lock, shared, while we may write.
    std::unique_ptr<log::Segments> segments{};
    std::unique_ptr<arena::Arena> arena{};
    os::RobustLock writers{}, files{};
    os::MemoryGuard guard{};  ///< Gone before what it guards.
    Catalog catalog{};
    Functions functions{};
    Past past{};
    Mentions mentions{};
    Recovery recovery{};
    Timer timer{};
    Keeper keeper{};
    WriterScratch scratch{};
    /// The words that the next record is made from, copied and checked: whoever holds the writers'
    /// lock uses these and not the shared ones. Else: as a writer of this process last left them.
    arena::Tail tail{};
    /// Likewise of what is in the files: as it was when it last agreed with its seal.
    arena::FilesTail files_seen{};
    mutable Notices notices{};
    /// Of the handle that opened it, for what is done for all of them: flushing, leaving.
    std::chrono::milliseconds lock_timeout{5000};

    Attachment() = default;
    Attachment(const Attachment&) = delete;
    Attachment& operator=(const Attachment&) = delete;
    ~Attachment();

    [[nodiscard]] arena::Control& words() const noexcept { return arena->control(); }
    [[nodiscard]] bool is_lost() const noexcept {
        return odd.load(std::memory_order_relaxed) && looks_lost();
    }
    [[nodiscard]] bool looks_lost() const noexcept;
    /// Throws Corrupt where part of the arena was taken away.
    void require_memory() const {
        if (is_lost()) [[unlikely]]
            throw_lost();
    }
    [[noreturn]] void throw_lost() const;
    void notice(Notice::Level level, const std::string& text) const noexcept;
};

/// How a State wants its commits: what differs between handles of one bus.
struct HandleOptions {
    std::string source{};
    Durability durability = Durability::process;
    std::chrono::milliseconds lock_timeout{5000};
    bool instrumentation = false;
    std::chrono::milliseconds interval{10};
};

/// A newest committed record: where it ends and its number.
struct Position {
    Lsn lsn = 0;
    Sequence sequence = Sequence::zero;
};
/// As of now; also past a dead or stopped writer (its record is committed once `logged` says so).
[[nodiscard]] Position newest(Attachment& bus);

}  // namespace mmsb::state
