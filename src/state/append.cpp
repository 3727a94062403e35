#include "state/append.hpp"

#include "arena/shared_bytes.hpp"
#include "base/bytes.hpp"
#include "base/steps.hpp"
#include "state/flush.hpp"
#include "state/redo.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

// A private bus has no thread that writes meanwhile: a little at a time is no pause, and still in
// the processor's cache.
constexpr std::uint64_t private_unwritten = 128 * limits::kib;
constexpr std::uint64_t latest_time = std::uint64_t{1} << 62U;  // No clock comes so far.

// How far the log may be ahead of its files.
std::uint64_t unwritten_room(const Attachment& bus) noexcept {
    const auto ring = bus.arena->ring_size();
    return bus.is_private && !bus.past.in_ring ? std::min(ring, private_unwritten) : ring;
}

// What was seen last of the files is good still where it gives room, so nothing is lost where the
// words are being moved and agree with no seal.
bool is_ring_free(Attachment& bus, Lsn upto) noexcept {
    const auto& words = bus.words();
    const auto room = unwritten_room(bus);
    if (words.durable.load(relaxed) != bus.files_seen.durable ||
        upto > bus.files_seen.flushed + room)
        if (const auto files = arena::sealed_files_tail(words)) bus.files_seen = *files;
    return upto <= bus.files_seen.flushed + room;
}

}  // namespace

bool is_room(Attachment& bus, Lsn end) noexcept {
    return end <= bus.words().prepared.load(std::memory_order_acquire) && is_ring_free(bus, end);
}

log::RecordFields record_fields(const Attachment& bus, log::RecordKind kind,
                                std::int64_t behind) noexcept {
    log::RecordFields fields;
    fields.kind = kind;
    fields.sequence = Sequence{bus.tail.sequence};
    const auto last = static_cast<std::int64_t>(std::min(bus.tail.time, latest_time));
    fields.time_ns = std::max(os::clock_ns(), std::max(last, behind) + 1);
    fields.process = bus.process;
    fields.durable = bus.files_seen.durable;
    return fields;
}

// (docs/model/commit.pml, Writer: wto = n; rA, rB; busy(my); logged = n.)
void log_records(Attachment& bus, Lsn start, std::span<const std::byte> first,
                 std::span<const std::byte> second, std::span<const std::uint32_t> lines) noexcept {
    auto& words = bus.words();
    const auto end = start + first.size() + second.size();
    words.reserve.store(std::max(words.reserve.load(relaxed), end), relaxed);
    arena::write_fence();
    MMSB_STEP("commit.reserved");
    arena::copy_to_shared(bus.arena->ring(start), first.data(), first.size());
    arena::copy_to_shared(bus.arena->ring(start + first.size()), second.data(), second.size());
    MMSB_STEP("commit.bytes");
    mark_busy(bus, lines);
    words.logged.store(end, std::memory_order_release);
    arena::write_fence();
    MMSB_STEP("commit.logged");
}

void Appender::make_room(std::uint64_t size) {
    const auto logged = bus_.tail.applied;  // the same, and checked
    find_segment(logged);
    // A filler may come before each of them; where a segment ends, the next one must be there.
    const auto left = bus_.scratch.segment_end - logged;
    const auto upto = logged + size + (size > left ? left : 0) + 16;
    if (upto > words_.prepared.load(std::memory_order_acquire)) prepare(bus_, upto, timeout_);
    if (!is_ring_free(bus_, upto)) flush(bus_, Flush::write, upto - unwritten_room(bus_), timeout_);
}

void Appender::begin() {
    bus_.scratch.batch.clear();
    wrapped_ = {};
    batch_.start = batch_.end = bus_.tail.applied;
    batch_.source.kind = batch_.record.kind = log::RecordKind::filler;
    find_segment(batch_.end);
}

log::RecordFields Appender::fields(log::RecordKind kind) {
    const auto made = record_fields(bus_, kind, time_ns_);
    time_ns_ = made.time_ns;
    return made;
}

void Appender::add(log::RecordFields fields, std::span<const std::byte> body, log::Record& as) {
    end_segment_before(base::round_up(body.size() + log::record_overhead(fields.label.size()), 8));
    if (fields.kind == log::RecordKind::close) fields.durable.reset();
    take(fields, log::write_record(fields, body, batch_.end, context(), bus_.scratch.batch), as);
    as.body = body;
}

void Appender::wrap(const log::RecordFields& fields) {
    auto& bytes = bus_.scratch.body;
    end_segment_before(base::round_up(bytes.size(), 8));
    const auto at = log::wrap_record(fields, bus_.scratch.body_at, batch_.end, context(), bytes);
    wrapped_ = std::span(bytes).subspan(at);
    take(fields, wrapped_.size(), batch_.record);
}

void Appender::take(const log::RecordFields& fields, std::size_t size, log::Record& as) {
    static_cast<log::RecordFields&>(as) = fields;
    as.start = batch_.end;
    as.end = batch_.end += size;
}

void Appender::log_batch(std::span<const std::uint32_t> lines) noexcept {
    log_records(bus_, batch_.start, bus_.scratch.batch, wrapped_, lines);
}

void Appender::find_segment(Lsn lsn) {
    auto& scratch = bus_.scratch;
    if (scratch.segment && lsn >= scratch.segment->header.start && lsn < scratch.segment_end)
        return;
    scratch.segment = bus_.segments->find(lsn);
    if (!scratch.segment) {
        prepare(bus_, lsn + 1, timeout_);
        scratch.segment = bus_.segments->find(lsn);
    }
    if (!scratch.segment)
        throw Corrupt(ErrorCode::corrupt,
                      fmt::format("{}: no segment holds position {}", bus_.path, lsn),
                      {.path = bus_.path, .expected = "a segment", .found = "none", .offset = lsn});
    scratch.segment_end = bus_.segments->end_of(*scratch.segment);
}

// No record crosses a segment's end, nor begins in its last 8 bytes.
void Appender::end_segment_before(std::uint64_t size) {
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

}  // namespace mmsb::state
