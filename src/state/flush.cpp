#include "state/flush.hpp"

#include "base/steps.hpp"
#include "state/carry.hpp"
#include "state/redo.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <limits>

namespace mmsb::state {

namespace {

// `unsure`: what the batch that is under way, or died, was about.
constexpr std::uint64_t unsure_write = 1, unsure_sync = 2;

class FilesLock {
public:
    /// Adopts a lock that was got by try_lock.
    FilesLock(Attachment& bus, os::RobustLock::Outcome outcome) : bus_(bus) { adopt(outcome); }
    FilesLock(Attachment& bus, std::chrono::nanoseconds timeout) : bus_(bus) {
        bus.require_memory();
        const auto outcome = bus.files.lock(timeout);
        if (outcome == os::RobustLock::Outcome::timed_out)
            throw_busy(bus, "the files' lock", bus.words().files_pid.load(relaxed),
                       bus.files.holder(), timeout);
        adopt(outcome);
    }
    ~FilesLock() {
        bus_.words().files_pid.store(0, relaxed);
        MMSB_STEP("files.unsigned");
        bus_.files.unlock();
        MMSB_STEP("files.released");
    }
    FilesLock(const FilesLock&) = delete;
    FilesLock& operator=(const FilesLock&) = delete;

private:
    void adopt(os::RobustLock::Outcome outcome) {
        if (outcome == os::RobustLock::Outcome::twice) {
            bus_.files.unlock();
            throw_two_holders(bus_, "the files' lock", arena::files_lock_at);
        }
        MMSB_STEP("files.taken");
        bus_.words().files_pid.store(static_cast<std::uint64_t>(bus_.process), relaxed);
    }
    Attachment& bus_;
};

void ring_bell(arena::Control& words) noexcept {
    words.durable_bell.fetch_add(1);
    if (words.durable_sleepers.exchange(0) != 0) os::futex_wake(words.durable_bell);
}

void poison(Attachment& bus, int system_error) noexcept {
    auto& words = bus.words();
    words.poison.store(static_cast<std::uint64_t>(system_error == 0 ? EIO : system_error));
    ring_bell(words);
    try {
        bus.notice(Notice::Level::warning,
                   fmt::format("{}: a write or sync failed ({}); the bus takes no more commits",
                               bus.path, std::strerror(system_error)));
    } catch (const std::exception&) {  // no memory for the text; whoever commits is told
    }
}

// The sync before died, or threw, inside: it may have failed, and nobody has seen that. (A write
// that nobody saw ending needs no mending: `flushed` has not moved past it, and it is made again.)
// Everything that is flushed and not known to be durable is written again. What the ring no longer
// has must be in the files as it was, or the bus is poisoned: once the kernel has forgotten what it
// could not write, reading gives what the disk had before.
void mend_unsure(Attachment& bus, const arena::FilesTail& tail) {
    carry(bus, tail.durable, tail.flushed);
}

// What a neighbour wrote over would be written over the log, or pass for written. So what is found
// good here is what the batch goes by: the words may be written over while it runs.
arena::FilesTail examined(const Attachment& bus, Lsn target) {
    const auto& words = bus.words();
    const auto tail = arena::sealed_files_tail(words);
    if (!tail)
        bus.arena->contradiction(
            words.files_seal,
            fmt::format("of the words beside it, {}", seal_of(arena::files_tail_of(words))));
    const auto flushed = tail->flushed, durable = tail->durable;
    if (flushed > target || target - flushed > bus.arena->ring_size())
        bus.arena->contradiction(words.flushed, fmt::format("up to a ring before {}", target));
    if (durable > flushed)
        bus.arena->contradiction(words.durable, fmt::format("at most {}", flushed));
    // What is to be written is in the ring still: else it would be looked for in the files.
    if (const auto reserve = words.reserve.load();
        reserve < target || reserve - flushed > bus.arena->ring_size())
        bus.arena->contradiction(words.reserve,
                                 fmt::format("{} to a ring behind {}", target, flushed));
    return *tail;
}

// One word at a time, each between two seals: `files_seal` is right before it, `files_next` behind
// it. Whoever finds neither right has not found what a death left.
void move_on(arena::Control& words, arena::Word& word, const arena::FilesTail& to,
             std::uint64_t value) noexcept {
    const auto seal = arena::seal_of(to);
    words.files_next.store(seal, std::memory_order_release);
    MMSB_STEP("flush.moving");
    word.store(value, std::memory_order_release);
    MMSB_STEP("flush.moved");
    words.files_seal.store(seal, std::memory_order_release);
}

}  // namespace

Sequence durable_sequence(const Attachment& bus) {
    const auto& words = bus.words();
    constexpr int most_rounds = 1000;  // each, but for a few, with a flush in it
    for (int round = 0; round < most_rounds; ++round)
        if (const auto tail = arena::sealed_files_tail(words))
            return Sequence{tail->durable_sequence};
    bus.arena->contradiction(words.files_seal, "that of the words beside it");
}

void throw_poisoned(const Attachment& bus) {
    const auto& words = bus.words();
    const auto error = static_cast<int>(words.poison.load());
    const Sequence durable{words.durable_sequence.load()};
    throw Poisoned(
        ErrorCode::poisoned,
        fmt::format("{}: a write or sync failed earlier ({}); durable up to sequence {}; reopen "
                    "to recover",
                    bus.path, std::strerror(error), number(durable)),
        {.path = bus.path, .sequence = durable, .system = error});
}

namespace {

bool is_done(const Attachment& bus, Flush how, Lsn upto) {
    // What a neighbour wrote over must not pass for a promise.
    const auto tail = arena::sealed_files_tail(bus.words());
    return tail && (how == Flush::sync ? tail->durable : tail->flushed) >= upto;
}

// Of a private bus whose ring has room for its past: what is folded need not be written, and what
// was written of it need not be there. Where the folding fell behind, a little is, of the oldest.
// Returns up to where, which may be inside a record: `carry` goes by records only where there are
// neighbours.
Position private_target(Attachment& bus, arena::FilesTail& tail, Lsn upto, Position newest) {
    auto& words = bus.words();
    const auto folded = std::min(words.history_lsn.load(), newest.lsn);
    if (folded > tail.flushed) {
        tail.flushed = folded;
        move_on(words, words.flushed, tail, tail.flushed);
    }
    if (const auto written = bus.past.written_upto.load(); written != 0) {
        bus.segments->punch_before(folded);
        if (written <= folded) {
            bus.segments->trim(tail.flushed);
            bus.past.written_upto.store(0);
        }
    }
    newest.lsn = std::clamp(upto + limits::mib, tail.flushed, newest.lsn);
    if (upto > tail.flushed) {
        bus.segments->prepare(newest.lsn, static_cast<std::int64_t>(words.time.load()),
                              tail.flushed);
        bus.past.written_upto.store(newest.lsn);
    }
    return newest;
}

// REQUIRES the files' lock. (docs/model/commit.pml, flush_locked, in the same order.)
void flush_locked(Attachment& bus, Flush how, Lsn upto) {
    auto& words = bus.words();
    if (words.poison.load() != 0) throw_poisoned(bus);  // looked at again, with the lock
    if (is_done(bus, how, upto)) return;
    auto target = newest(bus);
    auto tail = examined(bus, target.lsn);
    // Who died behind a store has left only the next seal right, and that is overwritten first.
    words.files_seal.store(arena::seal_of(tail), std::memory_order_release);
    if (bus.past.in_ring) {
        target = private_target(bus, tail, upto, target);
        if (upto <= tail.flushed) return;
    }
    try {
        if (words.unsure.load() > unsure_write) {
            mend_unsure(bus, tail);
            MMSB_STEP("flush.mended");
        }
        words.unsure.store(unsure_write);
        carry(bus, tail.flushed, target.lsn);
        MMSB_STEP("flush.written");
        tail.flushed = target.lsn;
        move_on(words, words.flushed, tail, tail.flushed);
        MMSB_STEP("flush.flushed");
        if (how == Flush::sync) {
            words.unsure.store(unsure_sync);
            MMSB_STEP("flush.unsure");
            bus.segments->sync(tail.durable, target.lsn);
            MMSB_STEP("flush.synced");
            tail.durable_sequence = number(target.sequence);
            move_on(words, words.durable_sequence, tail, tail.durable_sequence);
            MMSB_STEP("flush.durable_sequence");
            tail.durable = target.lsn;
            move_on(words, words.durable, tail, tail.durable);
            MMSB_STEP("flush.durable");
        }
        words.unsure.store(0);
        MMSB_STEP("flush.sure");
    } catch (const log::InDoubt& e) {
        poison(bus, e.system_error());
        throw_poisoned(bus);
    } catch (const Corrupt&) {
        bus.require_memory();  // nothing was wrong with the files
        poison(bus, EBADMSG);  // no commit behind it could be kept
        throw_poisoned(bus);
    }
    if (how == Flush::sync) ring_bell(words);
    MMSB_STEP("flush.bell");
}

}  // namespace

bool flush(Attachment& bus, Flush how, Lsn upto, std::chrono::nanoseconds timeout) {
    if (is_done(bus, how, upto)) return true;
    const FilesLock lock(bus, timeout);
    flush_locked(bus, how, upto);
    return is_done(bus, how, upto);  // nobody else moves the words now
}

void sync_upto(Attachment& bus, Lsn upto, std::chrono::nanoseconds timeout) {
    if (!flush(bus, Flush::sync, upto, timeout))
        bus.arena->contradiction(bus.words().durable, fmt::format("{} or more", upto));
}

void flush_again(Attachment& bus, std::chrono::nanoseconds timeout) {
    const FilesLock lock(bus, timeout);
    flush_locked(bus, Flush::sync, ~Lsn{0});
}

// The ring's part of the log is good record by record or refused, and what is before it is in the
// files, or what is read there is refused, too.
void mend_files_words(Attachment& bus, std::chrono::nanoseconds timeout) {
    auto& words = bus.words();
    if (arena::sealed_files_tail(words)) return;
    const FilesLock lock(bus, timeout);
    const auto target = newest(bus);
    const auto ring = bus.arena->ring_size();
    const auto in_ring = target.lsn > ring ? target.lsn - ring : 0;
    const auto all = bus.segments->all();
    const auto first = all.empty() ? first_lsn : all.front()->header.start;
    const auto segment = bus.segments->find(std::max(in_ring, first));
    const bool failed = words.unsure.load() > unsure_write;  // perhaps: see mend_unsure
    carry(bus, segment && !failed ? segment->header.start : first, target.lsn);
    bus.segments->sync(first, target.lsn);
    const arena::FilesTail tail{target.lsn, target.lsn, number(target.sequence)};
    words.flushed.store(tail.flushed);
    words.durable.store(tail.durable);
    words.durable_sequence.store(tail.durable_sequence);
    words.files_seal.store(arena::seal_of(tail));
    words.unsure.store(0);
    bus.notice(Notice::Level::warning,
               bus.path +
                   ": the words that say what is in the log's files were written over; all "
                   "that the ring has was written again");
}

void prepare(Attachment& bus, Lsn upto, std::chrono::nanoseconds timeout) {
    auto& words = bus.words();
    const FilesLock lock(bus, timeout);
    if (upto <= words.prepared.load(relaxed) && bus.segments->find(upto - 1)) return;
    // What is appended next begins in a segment that is there. A word must not fill the disk.
    if (const auto all = bus.segments->all(); !all.empty()) {
        const auto& last = all.back()->header;
        if (upto > last.start + last.capacity + bus.header.geometry.segment_size)
            bus.arena->contradiction(
                words.logged,
                fmt::format("at most {}, where the log's files end", last.start + last.capacity));
    }
    const auto time = std::max<std::int64_t>(static_cast<std::int64_t>(bus.tail.time), 0);
    // Where nothing is prepared, the file may end with a close record, which says that nobody was
    // there since. Before anything is appended, the disk has a longer file.
    const auto logged = bus.tail.applied;
    const bool first = !bus.is_private && words.prepared.load(relaxed) <= logged;
    if (bus.past.in_ring) {
        const auto end = bus.segments->extend(upto, time);
        words.prepared.store(std::min(bus.arena->back_ring(upto), end));
        return;
    }
    try {
        const auto prepared = bus.segments->prepare(upto, time, words.flushed.load());
        MMSB_STEP("prepare.grown");
        if (first) bus.segments->sync(logged, prepared);
        words.prepared.store(prepared, std::memory_order_release);
        MMSB_STEP("prepare.prepared");
    } catch (const log::InDoubt& e) {
        poison(bus, e.system_error());
        throw_poisoned(bus);
    }
}

NotDurable not_durable(const Attachment& bus, Sequence sequence, std::chrono::nanoseconds timeout) {
    const auto pid = holder_of(bus.files.holder(), bus.words().files_pid.load(relaxed));
    const auto name = os::process_name(pid);
    return {ErrorCode::not_durable,
            fmt::format("{}: sequence {} is committed, but not known to be on the disk after {} "
                        "ms; the files' lock is held by process {} ({})",
                        bus.path, number(sequence),
                        std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count(), pid,
                        name),
            {.name = name, .path = bus.path, .sequence = sequence, .process = pid}};
}

void throw_not_durable(const Attachment& bus, Sequence sequence, const std::exception_ptr& why) {
    std::optional<NotDurable> error;
    try {
        std::rethrow_exception(why);
    } catch (const std::bad_alloc&) {
        return;
    } catch (const std::exception& e) {
        try {
            error.emplace(ErrorCode::not_durable,
                          fmt::format("{}: sequence {} is committed, but this process cannot put "
                                      "it on the disk: {}",
                                      bus.path, number(sequence), e.what()),
                          ErrorDetails{.path = bus.path, .sequence = sequence});
        } catch (const std::bad_alloc&) {
            return;
        }
    }
    throw NotDurable(*error);
}

bool wait_until_durable(Attachment& bus, Lsn lsn, std::chrono::nanoseconds timeout,
                        std::chrono::nanoseconds patience, std::exception_ptr& why,
                        FunctionRef<void()> each_round) {
    auto& words = bus.words();
    const auto began = os::steady_ns();
    const auto end = timeout.count() < std::numeric_limits<std::int64_t>::max() - began
                         ? began + timeout.count()
                         : std::numeric_limits<std::int64_t>::max();
    std::int64_t failing_since = 0;
    for (;;) {
        each_round();
        if (is_done(bus, Flush::sync, lsn)) return true;
        os::RobustLock::Outcome outcome{};
        why = nullptr;
        bus.require_memory();
        try {
            if (words.poison.load() != 0) throw_poisoned(bus);
            if (bus.files.try_lock(outcome)) {
                const FilesLock lock(bus, outcome);
                flush_locked(bus, Flush::sync, lsn);
                if (is_done(bus, Flush::sync, lsn)) return true;
                bus.arena->contradiction(words.durable, fmt::format("{} or more", lsn));
            }
        } catch (const Poisoned&) {
            throw;
        } catch (const std::exception&) {
            bus.require_memory();
            // This process cannot write now. Another one may, or this one a moment later.
            why = std::current_exception();
        }
        const auto now = os::steady_ns();
        if (!why || failing_since == 0) failing_since = why ? now : 0;
        if (now > end || (why && now - failing_since > patience.count())) return false;
        const auto bell = words.durable_bell.load();
        words.durable_sleepers.store(1);
        if (words.durable.load(std::memory_order_acquire) < lsn)
            os::futex_wait(words.durable_bell, bell, std::chrono::milliseconds(10));
    }
}

}  // namespace mmsb::state
