#include "state/cursor.hpp"

#include "arena/shared_bytes.hpp"
#include "base/steps.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {
constexpr std::size_t largest_chunk = 256 * 1024;
}

std::size_t read_log(Attachment& bus, Lsn lsn, std::span<std::byte> out) {
    const auto& words = bus.words();
    constexpr int most_rounds = 8;  // one, and one more for each lap of the ring: more are no laps
    for (int round = 0; round < most_rounds; ++round) {
        const auto logged = words.logged.load(std::memory_order_acquire);
        if (lsn >= logged) return 0;
        // What is not applied went through this ring, and mostly lies there still, also when it is
        // in the file by now. Of what is, the ring may know nothing: the log is older than it.
        const auto in_files = std::min(words.flushed.load(std::memory_order_acquire),
                                       words.applied.load(std::memory_order_acquire));
        if (lsn < in_files) {
            const auto size = std::min<std::uint64_t>(out.size(), in_files - lsn);
            return bus.segments->read(lsn, out.first(static_cast<std::size_t>(size)));
        }
        const auto ring = bus.arena->ring_size();
        const auto size = static_cast<std::size_t>(
            std::min({static_cast<std::uint64_t>(out.size()), logged - lsn, ring}));
        arena::copy_from_shared(out.data(), bus.arena->ring(lsn), size);
        arena::read_fence();
        MMSB_STEP("read.ring");
        // The ring is written up to `reserve`: what lies a lap before it may be gone. Then it was
        // flushed before.
        if (words.reserve.load(std::memory_order_acquire) <= lsn + ring) return size;
    }
    bus.arena->contradiction(words.flushed, "what the ring no longer holds to be flushed");
}

Cursor::Cursor(Attachment& bus, Lsn from, std::optional<Lsn> to)
    : bus_(bus), at_(from), to_(to ? *to : bus.words().logged.load(std::memory_order_acquire)) {}

bool Cursor::fill(std::size_t least) {
    if (is_at_hand(at_)) {
        if (at_ + least <= buffer_end_) return true;
        const auto kept = buffer_.begin() + static_cast<std::ptrdiff_t>(at_ - buffer_start_);
        std::copy_n(kept, buffer_end_ - at_, buffer_.begin());
    } else {
        buffer_end_ = at_;
    }
    buffer_start_ = at_;
    const auto end = std::min(to_, range_.end);
    const auto want = std::min<std::uint64_t>(end - at_, std::max(least, chunk_));
    chunk_ = std::min(chunk_ * 8, largest_chunk);
    // (Never made smaller: what becomes larger is set to zero first.)
    if (buffer_.size() < want) buffer_.resize(static_cast<std::size_t>(want));
    while (buffer_end_ - at_ < want) {
        const auto had = static_cast<std::size_t>(buffer_end_ - at_);
        const auto room = std::span(buffer_).first(static_cast<std::size_t>(want)).subspan(had);
        const auto got = read_log(bus_, buffer_end_, room);
        buffer_end_ += got;
        if (got == 0) break;
    }
    return at_ + least <= buffer_end_;
}

void Cursor::seek(Lsn lsn) noexcept {
    if (!is_at_hand(lsn)) chunk_ = smallest_chunk;  // little is wanted where it leads
    at_ = lsn;
}

void Cursor::damaged(const char* expected) {
    if (at_ < oldest()) throw_folded();  // dropped under our hands
    const auto segment = bus_.segments->find(at_);
    const auto file = segment ? segment->file.path() : bus_.path + "/log";
    const auto offset = segment ? log::segment_header_size + at_ - segment->header.start : at_;
    throw Corrupt(ErrorCode::corrupt,
                  fmt::format("{} at {}: expected {}; good up to sequence {}", file, offset,
                              expected, number(last_)),
                  {.path = file,
                   .expected = expected,
                   .found = "other bytes",
                   .offset = offset,
                   .sequence = last_});
}

Lsn Cursor::oldest() const noexcept {
    return bus_.words().history_lsn.load(std::memory_order_acquire);
}

void Cursor::throw_folded() const {
    throw HistoryDropped(ErrorCode::history_dropped,
                         "that part of the past was folded away while it was read",
                         {.sequence = last_ + 1});
}

// Into `parsed_`.
log::Checked Cursor::parse() {
    const auto bytes = std::span(buffer_)
                           .first(static_cast<std::size_t>(buffer_end_ - buffer_start_))
                           .subspan(static_cast<std::size_t>(at_ - buffer_start_));
    if (pages_ != nullptr) pages_->clear();
    return log::parse_record(bytes, at_, range_.context, parsed_, pages_);
}

bool Cursor::next() {
    for (;;) {
        if (at_ >= to_) return false;
        if (!range_.holds(at_)) {
            const auto range = bus_.segments->range(at_);
            if (!range) damaged("a segment that holds this position");
            range_ = *range;
        }
        if (range_.end - at_ <= 8) {  // no record begins there
            at_ = range_.end;
            continue;
        }
        if (!fill(log::head_size)) damaged("a record's head");
        auto parsed = parse();
        if (parsed.status == log::ParseStatus::partial) {
            if (!fill(parsed.size)) damaged("a whole record");
            parsed = parse();
        }
        if (parsed.status != log::ParseStatus::good) damaged(parsed.expected);
        if (take(parsed.size)) return true;
    }
}

bool Cursor::next_at_hand() {
    for (;;) {
        if (at_ >= to_ || !range_.holds(at_) || range_.end - at_ <= 8) return false;
        if (at_ + log::head_size > buffer_end_) return false;
        const auto parsed = parse();
        if (parsed.status != log::ParseStatus::good) return false;  // next() says why
        if (take(parsed.size)) return true;
    }
}

// False: it is none that counts.
bool Cursor::take(std::size_t size) noexcept {
    at_ += size;
    if (parsed_.kind == log::RecordKind::filler) return false;
    record_ = parsed_;
    last_ = record_.sequence;
    blob_read_ = false;
    return true;
}

std::span<const std::byte> Cursor::body() {
    if (!record_.blob) return record_.body;
    try {
        if (!blob_read_) blob_ = bus_.segments->read_blob(*record_.blob);
    } catch (const Corrupt&) {
        if (at_ > oldest()) throw;
        throw_folded();
    }
    blob_read_ = true;
    return blob_;
}

Lsn kept_from(const Attachment& bus) noexcept {
    return std::max(bus.words().history_lsn.load(std::memory_order_acquire), first_lsn);
}

std::vector<log::Range> segments_of(Attachment& bus, Lsn from, Lsn to) {
    auto all = bus.segments->ranges();
    for (auto& segment : all) {
        segment.start = std::max(segment.start, from);
        segment.end = std::min(segment.end, to);
    }
    std::erase_if(all, [](const log::Range& segment) { return segment.start >= segment.end; });
    return all;
}

Cursor record_at(Attachment& bus, Lsn lsn) {
    Cursor cursor(bus, lsn);
    if (!cursor.next())
        throw Corrupt(
            ErrorCode::corrupt,
            fmt::format("{}: the structure chain leads to {}, behind the log", bus.path, lsn),
            {.path = bus.path, .expected = "a committed record", .found = "none", .offset = lsn});
    return cursor;
}

}  // namespace mmsb::state
