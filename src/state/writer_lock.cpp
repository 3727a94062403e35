#include "base/steps.hpp"
#include "state/redo.hpp"

#include <fmt/format.h>

namespace mmsb::state {

namespace {

// Has nobody written anything since this process did? Then what it left is right, whatever the
// words beside these say now.
bool is_as_left(const Attachment& bus) noexcept {
    const auto& words = bus.words();
    const auto logged = bus.tail.applied;
    return words.applied.load(relaxed) == logged && words.logged.load(relaxed) == logged &&
           words.reserve.load(relaxed) == logged && words.allocating.load(relaxed) == 0 &&
           words.structure.load(relaxed) == bus.tail.structure;
}

// Is nothing half done, and are the words those that the last writer left?
bool at_rest(const Attachment& bus, const arena::Tail& tail) noexcept {
    const auto& words = bus.words();
    const auto logged = words.logged.load(relaxed);
    return tail.applied == logged && words.reserve.load(relaxed) == logged && logged % 8 == 0 &&
           (words.structure.load(relaxed) & arena::busy) == 0 &&
           words.allocating.load(relaxed) == 0 && logged >= bus.tail.applied &&
           tail.structure % 8 == 0 && tail.structure < logged &&
           words.seal.load(relaxed) == arena::seal_of(tail);
}

// A death leaves the words in some order; any other order was written by somebody who should not.
// What would be recovered from them, or logged behind them, would be damage.
LogEnd examine(const Attachment& bus, const arena::Tail& tail) {
    const auto& words = bus.words();
    const auto ring = bus.arena->ring_size(), seen = bus.tail.applied;
    const auto reserve = words.reserve.load(relaxed), logged = words.logged.load(relaxed);
    // Whoever flushes moves these meanwhile, `flushed` first: so it is read last.
    const auto durable = words.durable.load(std::memory_order_acquire),
               flushed = words.flushed.load(std::memory_order_acquire);
    const auto require = [&](bool good, const arena::Word& word, const char* what, Lsn limit) {
        if (!good) bus.arena->contradiction(word, fmt::format("{} {}", what, limit));
    };
    require(logged % 8 == 0 && logged >= seen, words.logged, "a multiple of 8, at least", seen);
    require(logged <= reserve, words.logged, "at most `reserve`,", reserve);
    require(flushed <= logged, words.flushed, "at most `logged`,", logged);
    require(reserve - flushed <= ring, words.reserve, "at most a ring behind `flushed`,", flushed);
    require(durable <= flushed, words.durable, "at most `flushed`,", flushed);
    require(tail.applied <= logged && logged - tail.applied <= ring, words.applied,
            "up to a ring before `logged`,", logged);
    require(tail.structure % 8 == 0 && tail.structure < logged, words.structure,
            "a multiple of 8, below `logged`,", logged);
    const auto seal = arena::seal_of(tail);
    require(tail.applied != logged || words.seal.load(relaxed) == seal, words.seal,
            "of the words beside it", seal);
    return {logged, reserve};
}

// Only who died with the lock leaves his number. Another one's, and alive: he is inside.
bool is_another_inside(std::uint64_t pid_word, std::int32_t ours) {
    const auto pid = static_cast<std::int32_t>(pid_word);
    return pid != ours && os::process_is_alive(pid);
}

}  // namespace

std::int32_t holder_of(std::int32_t thread, std::uint64_t pid_word) noexcept {
    return thread != 0 ? os::process_of_thread(thread) : static_cast<std::int32_t>(pid_word);
}

void throw_busy(const Attachment& bus, const char* which, std::uint64_t pid_word,
                std::int32_t thread, std::chrono::nanoseconds waited) {
    const auto pid = holder_of(thread, pid_word);
    throw Busy(
        ErrorCode::busy,
        fmt::format("{}: {} has been held for {} ms by process {} ({}); nothing was committed",
                    bus.path.empty() ? "private bus" : bus.path, which,
                    std::chrono::duration_cast<std::chrono::milliseconds>(waited).count(), pid,
                    os::process_name(pid)),
        {.name = os::process_name(pid), .path = bus.path, .process = pid});
}

void throw_two_holders(const Attachment& bus, const char* which, std::uint64_t lock_at) {
    throw Corrupt(ErrorCode::corrupt,
                  fmt::format("{}: {} was given twice: somebody wrote over its word",
                              bus.path.empty() ? "private bus" : bus.path, which),
                  {.path = bus.arena->file().path(),
                   .expected = "one holder",
                   .found = "two",
                   .offset = lock_at + arena::lock_in_page});
}

WriterLock::WriterLock(Attachment& bus, std::chrono::nanoseconds timeout) : bus_(bus) {
    using Outcome = os::RobustLock::Outcome;
    bus.require_memory();
    auto& words = bus.words();
    const auto outcome = bus.writers.lock(timeout);
    if (outcome == Outcome::timed_out)
        throw_busy(bus, "the writers' lock", words.writer_pid.load(relaxed), bus.writers.holder(),
                   timeout);
    MMSB_STEP("lock.taken");
    const auto inside = words.writer_pid.load(relaxed);
    if (outcome == Outcome::twice ||
        (outcome == Outcome::locked && inside != 0 && is_another_inside(inside, bus.process))) {
        bus.writers.unlock();
        throw_two_holders(bus, "the writers' lock", arena::writers_lock_at);
    }
    words.writer_pid.store(static_cast<std::uint64_t>(bus.process), relaxed);
    MMSB_STEP("lock.signed");
    if (outcome == Outcome::locked && is_as_left(bus)) return;
    const auto tail = arena::tail_of(words);
    if (outcome == Outcome::locked && at_rest(bus, tail)) {
        bus.tail = tail;
        return;
    }
    const auto own = bus.tail;
    try {
        const auto end = examine(bus, tail);
        bus.tail = tail;
        recover(bus, end);  // what it redoes it knows from the log, and puts into bus.tail
        if (end.logged != bus.tail.applied || words.logged.load(relaxed) != end.logged)
            bus.arena->contradiction(words.logged, fmt::format("{}", bus.tail.applied));
        // Not before: what the dead one had not logged yet may be needed to undo it.
        bus.segments->remove_orphans(bus.tail.applied);
    } catch (...) {
        // The next one is not told of the death: this makes him recover, all of it, all the same.
        words.allocating.store(1, relaxed);
        bus.tail = own;
        release();
        throw;
    }
}

WriterLock::~WriterLock() { release(); }

void WriterLock::release() noexcept {
    bus_.words().writer_pid.store(0, relaxed);
    MMSB_STEP("lock.unsigned");
    bus_.writers.unlock();
    MMSB_STEP("lock.released");
}

}  // namespace mmsb::state
