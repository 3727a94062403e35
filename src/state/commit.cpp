#include "state/commit.hpp"

#include "arena/shared_bytes.hpp"
#include "base/bytes.hpp"
#include "base/steps.hpp"
#include "state/flush.hpp"
#include "state/lost.hpp"
#include "state/past.hpp"
#include "state/redo.hpp"
#include "state/wait.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr std::uint64_t latest_time = std::uint64_t{1} << 62U;  // No clock comes so far.
thread_local const Attachment* inside_function = nullptr;

// What one commit appends, built in scratch.batch: perhaps a filler, perhaps a source's name, the
// record. They become valid together, by one store of `logged`.
struct Batch {
    Lsn start = 0, end = 0;          ///< Of the whole batch.
    log::Record source{}, record{};  ///< For publish(); kind filler: there is none.
    std::optional<std::uint64_t> blob{};
};

class Appender {
public:
    /// `timeout`: for the files' lock, where room must be made.
    Appender(Attachment& bus, std::chrono::nanoseconds timeout)
        : bus_(bus), words_(bus.words()), timeout_(timeout) {}

    /// Room for `size` bytes of records, in the ring and on the disk. Throws OutOfSpace, Poisoned,
    /// Io.
    void make_room(std::uint64_t size) {
        const auto logged = bus_.tail.applied;  // the same, and checked
        find_segment(logged);
        // A filler may come before each of them; where a segment ends, the next one must be there.
        const auto left = bus_.scratch.segment_end - logged;
        const auto upto = logged + size + (size > left ? left : 0) + 16;
        if (upto > words_.prepared.load(std::memory_order_acquire)) prepare(bus_, upto, timeout_);
        // What was seen last is good still where it gives room. Not sealed: whoever flushes is
        // between two stores.
        if (words_.durable.load(relaxed) != bus_.files_seen.durable ||
            upto > bus_.files_seen.flushed + bus_.arena->ring_size())
            if (const auto files = arena::sealed_files_tail(words_)) bus_.files_seen = *files;
        if (upto > bus_.files_seen.flushed + bus_.arena->ring_size())
            flush(bus_, Flush::write, upto - bus_.arena->ring_size(), timeout_);
    }

    void begin() {
        bus_.scratch.batch.clear();
        batch_.start = batch_.end = bus_.tail.applied;
        batch_.source.kind = batch_.record.kind = log::RecordKind::filler;
        find_segment(batch_.end);
    }

    /// Builds one record behind what is there.
    void add(log::RecordFields fields, std::span<const std::byte> body, log::Record& as) {
        auto& out = bus_.scratch.batch;
        auto size = base::round_up(body.size() + log::record_overhead(fields.label.size()), 8);
        end_segment_before(size);
        const auto start = batch_.end;
        if (fields.kind == log::RecordKind::close) fields.durable.reset();
        size = log::write_record(fields, body, start, context(), out);
        batch_.end += size;
        as = log::Record{};
        static_cast<log::RecordFields&>(as) = fields;
        as.start = start;
        as.end = batch_.end;
        as.body = body;
    }

    /// Ring bytes, busy lines, `logged`: from here on it is committed. (docs/model/commit.pml,
    /// Writer: wto = n; rA, rB; busy(my); logged = n.)
    void log_batch(std::span<const std::uint32_t> lines) noexcept {
        words_.reserve.store(std::max(words_.reserve.load(relaxed), batch_.end), relaxed);
        arena::write_fence();
        MMSB_STEP("commit.reserved");
        arena::copy_to_shared(bus_.arena->ring(batch_.start), bus_.scratch.batch.data(),
                              bus_.scratch.batch.size());
        MMSB_STEP("commit.bytes");
        mark_busy(bus_, lines);
        words_.logged.store(batch_.end, std::memory_order_release);
        arena::write_fence();
        MMSB_STEP("commit.logged");
    }

    [[nodiscard]] Batch& batch() noexcept { return batch_; }

    /// Fields that every record has. Time never goes back.
    [[nodiscard]] log::RecordFields fields(log::RecordKind kind) {
        log::RecordFields f;
        f.kind = kind;
        f.sequence = Sequence{bus_.tail.sequence};
        const auto last = static_cast<std::int64_t>(std::min(bus_.tail.time, latest_time));
        time_ns_ = std::max({os::clock_ns(), last + 1, time_ns_ + 1});
        f.time_ns = time_ns_;
        f.process = bus_.process;
        f.durable = bus_.files_seen.durable;
        return f;
    }

    [[nodiscard]] Lsn structure_head() const noexcept {
        return bus_.tail.structure == 0 ? log::no_lsn : bus_.tail.structure;
    }

private:
    [[nodiscard]] log::Context context() const noexcept { return bus_.scratch.segment->context(); }

    void find_segment(Lsn lsn) {
        auto& scratch = bus_.scratch;
        if (scratch.segment && lsn >= scratch.segment->header.start && lsn < scratch.segment_end)
            return;
        scratch.segment = bus_.segments->find(lsn);
        if (!scratch.segment) {
            prepare(bus_, lsn + 1, timeout_);
            scratch.segment = bus_.segments->find(lsn);
        }
        if (!scratch.segment)
            throw Corrupt(
                ErrorCode::corrupt, fmt::format("{}: no segment holds position {}", bus_.path, lsn),
                {.path = bus_.path, .expected = "a segment", .found = "none", .offset = lsn});
        scratch.segment_end = bus_.segments->end_of(*scratch.segment);
    }

    // No record crosses a segment's end, nor begins in its last 8 bytes.
    void end_segment_before(std::uint64_t size) {
        const auto left = bus_.scratch.segment_end - batch_.end;
        if (size <= left && left > 8) return;
        if (left > 8)
            log::write_filler(static_cast<std::size_t>(left), batch_.end, context(),
                              bus_.scratch.batch);
        else
            bus_.scratch.batch.resize(bus_.scratch.batch.size() + static_cast<std::size_t>(left));
        batch_.end += left;
        find_segment(batch_.end);
    }

    Attachment& bus_;
    arena::Control& words_;
    std::chrono::nanoseconds timeout_;
    Batch batch_{};
    std::int64_t time_ns_ = 0;
};

void check_options(const CommitOptions& options, std::string_view source) {
    const auto refuse = [](const char* what, std::size_t limit, std::size_t size) {
        throw InvalidArgument(
            ErrorCode::invalid_argument, fmt::format("the {} is too long", what),
            {.expected = fmt::format("{} bytes at most", limit), .found = fmt::format("{}", size)});
    };
    if (options.label.size() > limits::label_size)
        refuse("label", limits::label_size, options.label.size());
    if (source.size() > limits::name_size) refuse("source", limits::name_size, source.size());
}

// The source's number, known already or named in this batch.
std::uint32_t name_source(Attachment& bus, Appender& appender, std::string_view name) {
    auto& scratch = bus.scratch;
    if (scratch.source_number != 0 && scratch.source == name) return scratch.source_number;
    if (const auto known = bus.catalog.source_number(name)) {
        scratch.source = name;
        return scratch.source_number = *known;
    }
    const auto number = bus.tail.sources + 1;
    if (number > limits::source_names)
        throw OutOfSpace(
            ErrorCode::out_of_space, "too many different sources on this bus",
            {.path = "source names", .needed = number, .available = limits::source_names});
    static thread_local std::vector<std::byte> body;
    body.clear();
    log::write_source({static_cast<std::uint32_t>(number), name}, body);
    auto fields = appender.fields(log::RecordKind::source);
    fields.structural = true;
    fields.previous_structure = appender.structure_head();
    appender.add(fields, body, appender.batch().source);
    return static_cast<std::uint32_t>(number);
}

// Without a log only the structure is kept, for those who follow it.
void strip_deltas(std::vector<std::byte>& body) {
    std::vector<std::byte> stripped;
    log::EntryReader reader(body);
    for (log::Entry entry; reader.next(entry);) {
        if (entry.kind != log::EntryKind::page) continue;
        entry.page.delta = {};
        if (entry.page.created || entry.page.deleted || entry.page.renamed || entry.page.resized ||
            !entry.page.metadata.empty())
            log::write_entry(entry.page, stripped);
    }
    body = std::move(stripped);
}

// Under the lock, below the last thing that may throw. (The model's apply, up to applied = n.)
void apply_and_publish(Attachment& bus, const HandleOptions& handle, const Batch& batch,
                       std::span<const std::byte> body) noexcept {
    auto& words = bus.words();
    const auto began = handle.instrumentation ? os::steady_ns() : 0;
    apply(bus, body, bus.scratch.lines, batch.record.end, batch.record.sequence);
    if (handle.instrumentation) {
        words.apply_ns.store(
            words.apply_ns.load(relaxed) + static_cast<std::uint64_t>(os::steady_ns() - began),
            relaxed);
    }
    if (batch.source.kind != log::RecordKind::filler) publish(bus, batch.source);
    publish(bus, batch.record);
    words.allocating.store(0, relaxed);
    MMSB_STEP("commit.allocated");
    words.structure.store(bus.tail.structure, std::memory_order_release);
    MMSB_STEP("commit.structure_idle");
    publish_applied(bus, batch.end);
    MMSB_STEP("commit.applied");
}

// REQUIRES the writers' lock and scratch.body. Committed when it returns. `late` gets what a wait
// for the disk throws in the end: made here, where it may still fail.
Batch append_and_apply(Attachment& bus, const HandleOptions& handle, const Encoded& encoded,
                       const CommitOptions& options, std::string_view source,
                       std::optional<NotDurable>& late) {
    auto& scratch = bus.scratch;
    auto& words = bus.words();
    Appender appender(bus, handle.lock_timeout);
    std::vector<std::byte> full;
    if (!bus.logging) {
        full = scratch.body;
        strip_deltas(scratch.body);
    }
    std::optional<log::BlobReference> blob;
    const auto overhead = log::record_overhead(options.label.size());
    const auto source_size = base::round_up(log::record_overhead(0) + source.size() + 16, 8);
    if (scratch.body.size() + overhead > bus.header.geometry.largest_record())
        blob = bus.segments->write_blob(scratch.body, words.logged.load(relaxed), !bus.is_private);
    try {
        appender.make_room((blob ? 64 : scratch.body.size()) + overhead + source_size + 16);
        MMSB_STEP("commit.room");
        appender.begin();
        const auto source_number = name_source(bus, appender, source);
        auto fields = appender.fields(log::RecordKind::commit);
        fields.sequence = fields.sequence + 1;
        fields.source = source_number;
        fields.tag = options.tag;
        fields.label = options.label;
        fields.blob = blob;
        fields.structural = encoded.structural;
        const auto& named = appender.batch().source;
        fields.previous_structure = !encoded.structural ? 0
                                    : named.kind != log::RecordKind::filler
                                        ? named.start
                                        : appender.structure_head();
        appender.add(fields, blob ? std::span<const std::byte>{} : scratch.body,
                     appender.batch().record);
        if (options.durability.value_or(handle.durability) == Durability::sync)
            late.emplace(not_durable(bus, fields.sequence, handle.lock_timeout));
        MMSB_STEP("commit.built");
        bus.require_memory();
        if (words.writer_pid.load(relaxed) != static_cast<std::uint64_t>(bus.process))
            throw_two_holders(bus, "the writers' lock", arena::writers_lock_at);
        if (encoded.structural || named.kind != log::RecordKind::filler)
            words.structure.store(words.structure.load(relaxed) | arena::busy,
                                  std::memory_order_release);
        MMSB_STEP("commit.structure_busy");
    } catch (...) {
        if (blob) bus.segments->remove_blob(blob->id);
        throw;
    }
    if (blob && bus.is_private) bus.past.blob_bytes += blob->size;
    appender.log_batch(scratch.lines);
    // ---- committed: everything from here on is noexcept ----
    apply_and_publish(bus, handle, appender.batch(), bus.logging ? scratch.body : full);
    return appender.batch();
}

struct Outcome {
    CommitResult result{};
    Lsn end = 0;
    WakeBits wakes = 0;
    std::optional<NotDurable> late{};  ///< Of a commit that waits for the disk.
    bool again = false;                ///< A large write must be compared anew.
};

Outcome commit_once(Attachment& bus, const HandleOptions& handle, Staged& staged,
                    const CommitOptions& options, std::string_view source, bool under_lock) {
    Outcome outcome;
    const WriterLock lock(bus, handle.lock_timeout);
    auto& words = bus.words();
    if (words.poison.load(relaxed) != 0) throw_poisoned(bus);
    bus.catalog.follow(bus);
    if (const auto conflict = validate(bus, staged)) {
        words.conflicts.store(words.conflicts.load(relaxed) + 1, relaxed);
        outcome.result.status = CommitStatus::conflict;
        outcome.result.conflict = conflict->page;
        return outcome;
    }
    MMSB_STEP("commit.validated");
    try {
        const auto encoded = encode(bus, staged, under_lock);
        MMSB_STEP("commit.encoded");
        if (encoded.stale_ahead) {
            outcome.again = true;
            release_places(bus);
            return outcome;
        }
        if (bus.scratch.lines.empty()) {
            bus.require_memory();
            outcome.result.committed.sequence = Sequence{bus.tail.sequence};
            outcome.end = bus.tail.applied;
            return outcome;
        }
        const auto batch = append_and_apply(bus, handle, encoded, options, source, outcome.late);
        outcome.result.status = CommitStatus::committed;
        outcome.result.committed = {batch.record.sequence, encoded.changed_bytes, true};
        outcome.end = batch.end;
        outcome.wakes = wake_bits(bus.scratch.lines);
    } catch (...) {
        release_places(bus);
        throw;
    }
    return outcome;
}

}  // namespace

Durability durability_of(const Attachment& bus, const HandleOptions& handle,
                         const CommitOptions& options) {
    const auto asked = options.durability.value_or(handle.durability);
    if (asked < handle.durability || asked > Durability::sync)
        throw InvalidArgument(ErrorCode::invalid_argument, "no commit of this bus is that durable",
                              {.expected = "Config::durability or more",
                               .found = std::to_string(static_cast<int>(asked))});
    if (bus.is_private && asked != Durability::process)
        throw InvalidArgument(ErrorCode::invalid_argument,
                              "a bus without a path is private memory and survives no power loss",
                              {.expected = "Durability::process", .found = "more"});
    return asked;
}

CommitResult commit(Attachment& bus, const HandleOptions& handle, Staged& staged,
                    const CommitOptions& options) {
    if (bus.read_only)
        throw ReadOnly(ErrorCode::read_only, bus.path + " is open read-only", {.path = bus.path});
    refuse_inside_function(bus);
    const auto durability = durability_of(bus, handle, options);
    const std::string_view source =
        options.source.empty() ? std::string_view(handle.source) : options.source;
    check_options(options, source);
    constexpr int rounds_without_lock = 3;  // then the comparing is done under it, so that it ends
    Outcome outcome;
    for (int round = 0;; ++round) {
        encode_ahead(bus, staged);
        outcome = commit_once(bus, handle, staged, options, source, round >= rounds_without_lock);
        if (!outcome.again) break;
    }
    if (outcome.result.status == CommitStatus::conflict) return outcome.result;
    if (bus.is_lost()) throw_lost_committed(bus, outcome.result.committed.sequence);
    wake(bus, outcome.wakes);
    wake_timer(bus);
    if (bus.is_private) fold_past(bus);
    if (durability == Durability::sync) {
        if (!outcome.late)
            outcome.late.emplace(
                not_durable(bus, outcome.result.committed.sequence, handle.lock_timeout));
        std::exception_ptr why;
        if (!wait_until_durable(bus, outcome.end, handle.lock_timeout, handle.lock_timeout, why))
            throw NotDurable(*outcome.late);
    }
    return outcome.result;
}

void append_note(Attachment& bus, log::RecordKind kind, std::span<const std::byte> body,
                 std::chrono::nanoseconds timeout) {
    Appender appender(bus, timeout);
    appender.make_room(body.size() + log::record_overhead(0) + 16);
    appender.begin();
    appender.add(appender.fields(kind), body, appender.batch().record);
    appender.log_batch({});
    publish(bus, appender.batch().record);
    publish_applied(bus, appender.batch().end);
}

void refuse_inside_function(const Attachment& bus) {
    if (inside_function == &bus)
        throw WrongContext(ErrorCode::wrong_context,
                           "a commit inside an edit or a transaction's function: stage it in the "
                           "transaction, or commit afterwards",
                           {.expected = "no user's function running for this bus", .found = "one"});
}

InsideFunction::InsideFunction(const Attachment& bus) noexcept
    : outer_(std::exchange(inside_function, &bus)) {}
InsideFunction::~InsideFunction() { inside_function = outer_; }

}  // namespace mmsb::state
