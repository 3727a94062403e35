#include "state/commit.hpp"

#include "base/bytes.hpp"
#include "base/steps.hpp"
#include "delta/codec.hpp"
#include "state/append.hpp"
#include "state/apply_timer.hpp"
#include "state/bytes_change.hpp"
#include "state/derivation.hpp"
#include "state/flush.hpp"
#include "state/lost.hpp"
#include "state/past.hpp"
#include "state/redo.hpp"
#include "state/turn.hpp"
#include "state/wait.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

thread_local const InsideFunction* inside_function = nullptr;

void check_options(const CommitOptions& options, std::string_view source) {
    const auto refuse = [](const char* what, std::size_t limit, std::size_t size) {
        throw InvalidArgument(
            ErrorCode::invalid_argument, fmt::format("the {} is too long", what),
            {.expected = fmt::format("{} bytes at most", limit), .found = fmt::format("{}", size)});
    };
    if (options.label.size() > limits::label_size)
        refuse("label", limits::label_size, options.label.size());
    if (source.size() > limits::name_size) refuse("source", limits::name_size, source.size());
    if (options.propagation > Propagation::deferred)
        throw InvalidArgument(
            ErrorCode::invalid_argument, "there is no such way to propagate",
            {.expected = "immediate or deferred",
             .found = fmt::format("{}", static_cast<unsigned>(options.propagation))});
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
    auto& body = scratch.source_body;  // until it is published
    body.clear();
    log::write_source({static_cast<std::uint32_t>(number), name}, body);
    auto fields = appender.fields(log::RecordKind::source);
    fields.structural = true;
    fields.previous_structure = appender.structure_head();
    appender.add(fields, body, appender.batch().source);
    return static_cast<std::uint32_t>(number);
}

// Under the lock, below the last thing that may throw. (The model's apply, up to applied = n.)
void apply_and_publish(Attachment& bus, const HandleOptions& handle, const Batch& batch) noexcept {
    auto& words = bus.words();
    auto& scratch = bus.scratch;
    {
        const ApplyTimer timer(words, batch.record.sequence, handle.instrumentation);
        const std::span<const std::byte> deltas = bus.logging ? scratch.body : scratch.unlogged;
        const auto end = batch.record.end;
        const auto sequence = batch.record.sequence;
        apply(bus, scratch.changes, deltas, end, sequence);
        for (const auto& change : scratch.bytes_changes)
            apply_bytes(bus, change, end, sequence, [&](std::span<std::byte> page) {
                delta::apply_shared(deltas.subspan(change.delta_at, change.delta_size), page);
            });
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

/// How one call commits.
struct Call {
    const HandleOptions& handle;
    const CommitOptions& options;
    std::string_view source;
};

struct Outcome {
    CommitResult result{};
    Lsn end = 0;
    WakeBits wakes = 0;
    std::optional<NotDurable> late{};  ///< Of a commit that waits for the disk.
    bool again = false;                ///< A large write must be compared anew.
    bool moved = false;                ///< Derived pages must be computed anew.
};

// REQUIRES the writers' lock and what encode() made. Committed when it returns. `late` gets what a
// wait for the disk throws in the end: made here, where it may still fail.
void append_and_apply(Attachment& bus, const Call& call, const Encoded& encoded, Outcome& outcome) {
    const auto& [handle, options, source] = call;
    auto& scratch = bus.scratch;
    auto& words = bus.words();
    Appender appender(bus, handle.lock_timeout);
    std::optional<log::BlobReference> blob;
    const auto overhead = scratch.body_at;
    const auto body = std::span<const std::byte>(scratch.body).subspan(scratch.body_at);
    const auto source_size = base::round_up(log::record_overhead(0) + source.size() + 16, 8);
    if (body.size() + overhead > bus.header.geometry.largest_record())
        blob = bus.segments->write_blob(body, bus.tail.applied, !bus.is_private);
    try {
        appender.make_room((blob ? 64 : body.size()) + overhead + source_size + 16);
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
        if (blob)
            appender.add(fields, {}, appender.batch().record);
        else
            appender.wrap(fields);
        if (options.durability.value_or(handle.durability) == Durability::sync)
            outcome.late.emplace(not_durable(bus, fields.sequence, handle.lock_timeout));
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
    apply_and_publish(bus, handle, appender.batch());
    outcome.result.status = CommitStatus::committed;
    outcome.result.committed = {Sequence{bus.tail.sequence}, encoded.changed_bytes, true};
    outcome.end = appender.batch().end;
}

void count_propagation(arena::Control& words, const Made& made) noexcept {
    if (made.computed == 0) return;
    words.propagations.store(words.propagations.load(relaxed) + 1, relaxed);
    words.propagation_ns.store(
        words.propagation_ns.load(relaxed) + static_cast<std::uint64_t>(made.ns), relaxed);
}

void set_conflict(Attachment& bus, PageId page, CommitResult& result) noexcept {
    bus.words().conflicts.fetch_add(1, relaxed);
    result.status = CommitStatus::conflict;
    result.conflict = page;
}

void commit_once(Attachment& bus, const Call& call, Staged& staged, bool under_lock,
                 Outcome& outcome) {
    outcome.again = outcome.moved = false;
    const WriterLock lock(bus, call.handle.lock_timeout);
    auto& words = bus.words();
    if (words.poison.load(relaxed) != 0) throw_poisoned(bus);
    bus.catalog.follow(bus, bus.tail.structure);
    if (const auto conflict = validate(bus, staged)) {
        set_conflict(bus, conflict->page, outcome.result);
        return;
    }
    if (!still_derived(bus, staged)) {
        outcome.moved = true;
        return;
    }
    MMSB_STEP("commit.validated");
    try {
        const auto encoded =
            encode(bus, staged, under_lock, log::record_overhead(call.options.label.size()));
        MMSB_STEP("commit.encoded");
        if (encoded.stale_ahead) {
            outcome.again = true;
            release_places(bus);
            return;
        }
        if (bus.scratch.lines.empty() && staged.made.graph.empty()) {
            bus.require_memory();
            outcome.result.committed.sequence = Sequence{bus.tail.sequence};
            outcome.end = bus.tail.applied;
            return;
        }
        append_and_apply(bus, call, encoded, outcome);
        count_propagation(words, staged.made);
        outcome.wakes = wake_bits(bus.scratch.lines);
    } catch (...) {
        release_places(bus);
        throw;
    }
}

void forget_made(Staged& staged) noexcept {
    staged.made.clear();
    for (auto& page : staged.pages) {
        page.computed.reset();
        page.stale.reset();
    }
}

}  // namespace

Durability durability_of(const Attachment& bus, const HandleOptions& handle,
                         const CommitOptions& options) {
    const auto asked = options.durability.value_or(handle.durability);
    if (asked < handle.durability || asked > Durability::sync)
        throw InvalidArgument(ErrorCode::invalid_argument,
                              "a commit may ask for more durability than its State, not for less",
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
    const Call call{handle, options, source};
    prefetch_end(bus);
    let_turn_pass(bus);
    constexpr int rounds_without_lock = 3;  // then the comparing is done under it, so that it ends
    Outcome outcome;
    std::optional<Derivation> derivation;
    bool folded = false;
    staged.clear_made();
    for (int round = 0;;) {
        if (needs_derive(bus, staged)) [[unlikely]] {
            if (!derivation) derivation.emplace(bus, staged, handle, options);
            const auto derived = derivation->run();
            if (derived == Derivation::Result::moved) continue;
            if (derived == Derivation::Result::conflict) {
                set_conflict(bus, derivation->conflict(), outcome.result);
                return outcome.result;
            }
        } else if (derivation) {  // the edges are gone
            forget_made(staged);
        }
        encode_ahead(bus, staged.pages);
        try {
            commit_once(bus, call, staged, round >= rounds_without_lock, outcome);
        } catch (const OutOfSpace&) {
            // Room for the log may be had by folding, which only commits do.
            if (!bus.past.in_ring || std::exchange(folded, true)) throw;
            fold_past(bus, false);
            continue;
        }
        if (outcome.moved && derivation) derivation->moved();
        if (!outcome.again && !outcome.moved) break;
        round += outcome.again ? 1 : 0;
    }
    if (outcome.result.status == CommitStatus::conflict) return outcome.result;
    if (bus.is_lost()) throw_lost_committed(bus, outcome.result.committed.sequence);
    wake(bus, outcome.wakes);
    if (durability == Durability::interval) sync_once(bus, handle.interval);
    wake_timer(bus);
    if (bus.is_private) fold_past(bus, false);
    if (durability == Durability::sync) {
        if (!outcome.late)
            outcome.late.emplace(
                not_durable(bus, outcome.result.committed.sequence, handle.lock_timeout));
        std::exception_ptr why;
        if (!wait_until_durable(bus, outcome.end, handle.lock_timeout, handle.lock_timeout, why,
                                [] {})) {
            if (why) throw_not_durable(bus, outcome.result.committed.sequence, why);
            throw NotDurable(*outcome.late);
        }
    }
    return outcome.result;
}

Lsn append_note(Attachment& bus, log::RecordKind kind, std::span<const std::byte> body,
                std::chrono::nanoseconds timeout) {
    Appender appender(bus, timeout);
    appender.make_room(body.size() + log::record_overhead(0) + 16);
    appender.begin();
    appender.add(appender.fields(kind), body, appender.batch().record);
    appender.log_batch({});
    publish(bus, appender.batch().record);
    publish_applied(bus, appender.batch().end);
    return appender.batch().end;
}

bool is_inside_function() noexcept { return inside_function != nullptr; }

void refuse_inside_function(const Attachment& bus) {
    for (const auto* at = inside_function; at != nullptr; at = at->outer())
        if (&at->bus() == &bus)
            throw WrongContext(
                ErrorCode::wrong_context,
                "a commit inside an edit or a transaction's function: stage it in the "
                "transaction, or commit afterwards",
                {.expected = "no user's function running for this bus", .found = "one"});
}

InsideFunction::InsideFunction(const Attachment& bus) noexcept
    : bus_(bus), outer_(std::exchange(inside_function, this)) {}
InsideFunction::~InsideFunction() { inside_function = outer_; }

}  // namespace mmsb::state
