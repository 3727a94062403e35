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

constexpr auto relaxed = std::memory_order_relaxed;
// A private bus has no thread that writes meanwhile: a little at a time is no pause, and still in
// the processor's cache.
constexpr std::uint64_t private_unwritten = 128 * limits::kib;
constexpr std::uint64_t latest_time = std::uint64_t{1} << 62U;  // No clock comes so far.

}  // namespace

void Appender::make_room(std::uint64_t size) {
    const auto logged = bus_.tail.applied;  // the same, and checked
    find_segment(logged);
    // A filler may come before each of them; where a segment ends, the next one must be there.
    const auto left = bus_.scratch.segment_end - logged;
    const auto upto = logged + size + (size > left ? left : 0) + 16;
    if (upto > words_.prepared.load(std::memory_order_acquire)) prepare(bus_, upto, timeout_);
    const auto ring = bus_.arena->ring_size();
    const auto room =
        bus_.is_private && !bus_.past.in_ring ? std::min(ring, private_unwritten) : ring;
    // What was seen last is good still where it gives room, so nothing is lost where the words are
    // being moved and agree with no seal.
    if (words_.durable.load(relaxed) != bus_.files_seen.durable ||
        upto > bus_.files_seen.flushed + room)
        if (const auto files = arena::sealed_files_tail(words_)) bus_.files_seen = *files;
    if (upto > bus_.files_seen.flushed + room) flush(bus_, Flush::write, upto - room, timeout_);
}

void Appender::begin() {
    bus_.scratch.batch.clear();
    wrapped_ = {};
    batch_.start = batch_.end = bus_.tail.applied;
    batch_.source.kind = batch_.record.kind = log::RecordKind::filler;
    find_segment(batch_.end);
}

log::RecordFields Appender::fields(log::RecordKind kind) {
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

// (docs/model/commit.pml, Writer: wto = n; rA, rB; busy(my); logged = n.)
void Appender::log_batch(std::span<const std::uint32_t> lines) noexcept {
    words_.reserve.store(std::max(words_.reserve.load(relaxed), batch_.end), relaxed);
    arena::write_fence();
    MMSB_STEP("commit.reserved");
    const auto& front = bus_.scratch.batch;
    arena::copy_to_shared(bus_.arena->ring(batch_.start), front.data(), front.size());
    arena::copy_to_shared(bus_.arena->ring(batch_.start + front.size()), wrapped_.data(),
                          wrapped_.size());
    MMSB_STEP("commit.bytes");
    mark_busy(bus_, lines);
    words_.logged.store(batch_.end, std::memory_order_release);
    arena::write_fence();
    MMSB_STEP("commit.logged");
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
