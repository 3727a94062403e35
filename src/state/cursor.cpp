#include "state/cursor.hpp"

#include "arena/shared_bytes.hpp"
#include "base/copy.hpp"
#include "base/limits.hpp"
#include "base/steps.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

constexpr std::size_t largest_chunk = 256 * limits::kib;

// Where the kept log begins.
Lsn oldest(const Attachment& bus) noexcept {
    return bus.words().history_lsn.load(std::memory_order_acquire);
}

// `last`: of the last record that was read.
[[noreturn]] void throw_folded(Sequence last) {
    throw HistoryDropped(ErrorCode::history_dropped,
                         "that part of the past was folded away while it was read",
                         {.sequence = last + 1});
}

}  // namespace

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

void Cursor::jump(Lsn lsn) {
    constexpr Lsn most_back = 64 * limits::kib, near = most_back / 4;
    // (What lies before it in the same segment is kept as long as it is; where it is not, it is
    // not looked at.)
    if (const bool is_back = lsn < at_; is_back && !is_at_hand(lsn)) {
        const auto later = record_.start;  // so it ends before that
        const bool is_near = later > lsn && later - lsn < near;
        back_ = is_near ? std::clamp<Lsn>(back_ * 8, smallest_chunk, most_back) : 0;
        chunk_ = smallest_chunk;
        if (const auto range = bus_.segments->range(lsn); range && lsn < to_) {
            range_ = *range;
            at_ = lsn - std::min(back_, lsn - range_.start);
            buffer_start_ = buffer_end_ = at_;
            const auto upto = is_near ? later : lsn + smallest_chunk;
            static_cast<void>(fill(static_cast<std::size_t>(upto - at_)));
        }
        at_ = lsn;
    } else {
        seek(lsn);
    }
    last_ = Sequence::zero;  // what lies between was not read
}

void Cursor::damaged(const char* expected) {
    if (at_ < oldest(bus_)) throw_folded(last_);  // dropped under our hands
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

// What was read from `at_` on.
std::span<const std::byte> Cursor::at_hand() const noexcept {
    return std::span(buffer_)
        .first(static_cast<std::size_t>(buffer_end_ - buffer_start_))
        .subspan(static_cast<std::size_t>(at_ - buffer_start_));
}

// Into `parsed_`.
log::Checked Cursor::parse() {
    if (parsed_log_ != nullptr) {
        auto& pages = parsed_log_->pages;
        pages.resize(parsed_log_->pages_added());
        return log::parse_record(at_hand(), at_, range_.context, parsed_, pages);
    }
    if (pages_ != nullptr) pages_->clear();
    return log::parse_record(at_hand(), at_, range_.context, parsed_, pages_);
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

bool Cursor::next(ParsedLog& log, std::vector<std::byte>& bytes, std::size_t most) {
    const auto begin = at_;
    log.clear();
    try {
        if (range_.holds(at_)) static_cast<void>(fill(chunk_));
        parsed_log_ = &log;
        bool is_there = next();
        if (is_there) log.add(parsed_);
        while (is_there && log.items.size() < most && !parsed_.blob) is_there = add_at_hand(log);
        parsed_log_ = nullptr;
        if (log.items.empty()) return false;
        log.pages.resize(log.pages_added());
        last_ = log.items.back().record.sequence;
        // So much the next ones take, too.
        if (log.items.size() == most)
            chunk_ = std::max<std::size_t>(smallest_chunk, (at_ - begin) / 4 * 5);
        hand_over(bytes);
    } catch (...) {
        at_ = begin;
        parsed_log_ = nullptr;
        throw;
    }
    return true;
}

// The next record, where it lies in memory already. False says nothing of what follows.
bool Cursor::add_at_hand(ParsedLog& log) {
    for (;;) {
        if (at_ >= to_ || !range_.holds(at_) || range_.end - at_ <= 8) return false;
        if (at_ + log::head_size > buffer_end_) return false;
        const auto parsed = parse();
        if (parsed.status != log::ParseStatus::good) return false;  // next() says why
        at_ += parsed.size;
        if (parsed_.kind != log::RecordKind::filler) break;
    }
    log.add(parsed_);
    return true;
}

// What was read, but for what lies behind `at_`, for which the memory of `bytes` is used.
void Cursor::hand_over(std::vector<std::byte>& bytes) {
    const auto rest = at_hand();
    if (bytes.size() < rest.size()) bytes.resize(rest.size());
    base::copy(rest, bytes.data());
    buffer_start_ = at_;
    buffer_.swap(bytes);
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
    if (!blob_read_) blob_ = read_blob(bus_, record_);
    blob_read_ = true;
    return blob_;
}

std::vector<std::byte> read_blob(Attachment& bus, const log::Record& record) {
    try {
        return bus.segments->read_blob(*record.blob);
    } catch (const Corrupt&) {
        if (record.end > oldest(bus)) throw;
        throw_folded(record.sequence);
    }
}

Lsn kept_from(const Attachment& bus) noexcept { return std::max(oldest(bus), first_lsn); }

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
