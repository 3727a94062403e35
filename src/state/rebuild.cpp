#include "state/rebuild.hpp"

#include "base/bytes.hpp"
#include "base/steps.hpp"
#include "delta/codec.hpp"
#include "log/scan.hpp"
#include "state/ahead.hpp"
#include "state/bytes_change.hpp"
#include "state/lines_by_id.hpp"
#include "state/load_image.hpp"
#include "state/log_scan.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <utility>

namespace mmsb::state {

namespace {

constexpr std::size_t lines_ahead = 32;  // So many entries before it is applied, a page's line,
constexpr std::size_t deltas_ahead = 8;  // and its bytes, are asked for.

// `durable`: what the disk is known to have. The rest has only been read, and may be in the page
// cache alone.
void set_log_end(Attachment& bus, Lsn end, Sequence durable) {
    auto& words = bus.words();
    words.reserve.store(end, relaxed);
    words.flushed.store(end, relaxed);
    words.durable.store(end, relaxed);
    words.durable_sequence.store(number(durable), relaxed);
    words.files_seal.store(arena::seal_of(arena::files_tail_of(words)), relaxed);
    words.logged.store(end, relaxed);
    publish_applied(bus, end);
}

class Rebuilder {
public:
    Rebuilder(Attachment& bus, const replay::Image* start, const RebuildOptions& options)
        : bus_(bus), words_(bus.words()), start_(start), options_(options) {}

    Rebuilt run() {
        words_.next_page.store(1, relaxed);
        if (start_ != nullptr) load_image(bus_, *start_);
        bus_.tail = arena::tail_of(words_);
        result_.end = start_ == nullptr
                          ? first_lsn
                          : std::max<Lsn>(first_lsn, base::round_up(start_->lsn(), 8));
        result_.last_commit_end = result_.end;
        result_.promised = result_.end;  // of a checkpoint: the log was durable first
        const auto beginning = result_.end;
        const auto all = bus_.segments->all();
        try {
            if (!bus_.is_private) check_there(all);
            read_log(all);
            if (result_.end == first_lsn && !bus_.is_private && was_opened()) no_record(all);
        } catch (const Corrupt& e) {
            if (!options_.stop_at_damage) throw;
            keep_damage(e, all);
        }
        // (One that was made a moment ago. It may be gone on with: nothing was ever written there.)
        result_.fresh = result_.end == beginning && all.size() == 1 && all[0]->header.id == 1 &&
                        result_.dropped_bytes == 0 && !result_.damage;
        result_.clean =
            last_was_close_ && ends_with_log_ && result_.dropped_bytes == 0 && !result_.damage;
        const auto base = start_ == nullptr ? Sequence::zero : start_->sequence();
        set_log_end(bus_, result_.end,
                    result_.clean ? Sequence{words_.sequence.load(relaxed)} : base);
        if (!bus_.arena->rebuild_allocator()) damaged(0, "pages that do not overlap");
        return result_;
    }

private:
    // A bus is made with its first segment, and a checkpoint is made once the disk has the log up
    // to where it is.
    void check_there(const AllSegments& all) {
        const auto expected = fmt::format("the log up to position {}", result_.end);
        if (all.empty()) damaged(result_.end, expected, "no segment");
        const auto& last = *all.back();
        const auto end = last.header.start + bytes_in(last, bus_.segments->end_of(last));
        if (end < result_.end)
            damaged_file(last.file.path(), log::segment_header_size + end - last.header.start,
                         expected, "the end of the file");
    }

    // Who opens a bus has a record of it on the disk before he names the shared memory.
    [[nodiscard]] bool was_opened() const {
        return bus_.folder->open("arena", os::Create::never, false).has_value();
    }
    [[noreturn]] void no_record(const AllSegments& all) {
        segment_ = all.front().get();
        damaged(result_.end, "the record of the first opening");
    }

    void read_log(const AllSegments& all) {
        const auto from = result_.end;
        LogScan scan(*bus_.segments, all, from, options_.limit);
        Ahead<ScannedPart>::Parts parts;
        Ahead<ScannedPart> ahead(parts, [&](ScannedPart& part) { return scan.next(part); });
        while (auto* const part = ahead.next()) {
            using End = ScannedPart::End;
            const auto& segment = *all[part->segment];
            if (part->end == End::gap)
                damaged(result_.end, fmt::format("a segment that holds position {}", result_.end),
                        fmt::format("the next to begin at {}", segment.header.start));
            segment_ = &segment;
            apply(part->log);
            result_.end = part->good_until;
            if (part->end == End::more) {
                if (result_.end - from >= worth_a_thread)
                    ahead.start_if_worth(part->log.items.size(), part->good_until - part->from);
                continue;
            }
            ends_with_log_ = part->ends_at_eof;
            if (part->end == End::segment) continue;
            if (options_.limit == log::no_lsn) return drop_tail(all, part->segment, *part->window);
            damaged(result_.end, fmt::format("a record: all up to {} was written", options_.limit));
        }
    }

    // The log ends before it. What lies behind is told, and used by nobody.
    void keep_damage(const Corrupt& e, const AllSegments& all) {
        Damage damage{.file = e.file(),
                      .offset = e.offset(),
                      .expected = e.expected(),
                      .found = e.found(),
                      .good_until = Sequence{words_.sequence.load(relaxed)}};
        SegmentWindow window;
        for (const auto& segment : all) {
            const auto range_end = bus_.segments->end_of(*segment);
            if (range_end <= result_.end) continue;
            window.read_all(*bus_.segments, *segment);
            damage.bytes += window.used_behind(result_.end);
            if (segment->header.start > result_.end) ++damage.segments;
        }
        result_.dropped_bytes = 0;
        result_.damage = std::move(damage);
    }

    [[noreturn]] void damaged(Lsn at, const std::string& expected,
                              std::string found = "something else") {
        const auto file = segment_ != nullptr ? segment_->file.path() : bus_.path + "/log";
        const auto offset =
            segment_ != nullptr ? log::segment_header_size + at - segment_->header.start : at;
        damaged_file(file, offset, expected, std::move(found));
    }

    [[noreturn]] void damaged_file(const std::string& file, std::uint64_t offset,
                                   const std::string& expected, std::string found) {
        const Sequence good{words_.sequence.load(relaxed)};
        const auto text =
            fmt::format("{} is damaged at {}: expected {}, found {}; good up to sequence {}", file,
                        offset, expected, found, number(good));
        throw Corrupt(ErrorCode::corrupt, text,
                      {.path = file,
                       .expected = expected,
                       .found = std::move(found),
                       .offset = offset,
                       .sequence = good});
    }

    // The log stops here. Nothing behind may say that it was promised to be there.
    void drop_tail(const AllSegments& all, std::size_t index, SegmentWindow& window) {
        const auto end = result_.end;
        for (auto i = index; i < all.size() && all[i]->header.start < options_.limit; ++i) {
            // What ended the log was at hand when it did: by now somebody may have gone on with it.
            if (i > index) window.read_all(*bus_.segments, *all[i]);
            result_.dropped_bytes += window.used_behind(end);
            if (const auto promise = log::find_promise(window.behind(end), all[i]->header,
                                                       std::max(end, window.at()), end)) {
                segment_ = all[index].get();
                damaged(end, "a record that was synced: one at " + std::to_string(*promise) +
                                 " says so");
            }
        }
    }

    // Most records change bytes of pages that are there, and nothing else. By the time that one is
    // applied, its lines are there, and its bytes on their way.
    void apply(const ParsedLog& log) {
        const auto all = log.pages_added();
        std::size_t lines = 0, bytes = 0;
        for (const auto& item : log.items) {
            const auto upto = item.first_page + item.page_count;
            for (; lines < std::min(upto + lines_ahead, all); ++lines)
                ask_for_line(log.pages[lines].page);
            for (; bytes < std::min(upto + deltas_ahead, all); ++bytes)
                ask_for_bytes(log.pages[bytes]);
            begin(item.record);
            if (const auto* const whole = log.whole(item)) {
                replay(*whole);
                publish(bus_, *whole);
            } else {
                change_pages(item.record, log.pages_of(item));
                publish_time(bus_, item.record.time_ns);
                publish_sequence(bus_, item.record.sequence);
            }
            finish(item.record);
        }
    }

    // All of it is checked before any of it is applied.
    void change_pages(const log::RecordBrief& record, std::span<const log::PageDelta> pages) {
        check_sequence(record);
        bool plain = true;
        bytes_changes_.resize(pages.size());
        for (std::size_t i = 0; i != pages.size(); ++i) {
            const auto& entry = pages[i];
            auto& change = bytes_changes_[i];
            change.line = line_of(record, entry.page);
            arena::Arena::copy_fuzzy(*bus_.arena->line(change.line), change.was);
            check_page(record.start, entry, change.was, entry.delta.empty() ? 0 : 1);
            change.changed_bytes = entry.changed_bytes;
            // (A line that was written over since is not made to pass for right: apply() sees to
            // it.)
            plain &= !entry.delta.empty() && !entry.stale && arena::Arena::agrees(change.was);
        }
        if (!plain) return change_by_line(record, pages);
        for (std::size_t i = 0; i != pages.size(); ++i) {
            const auto& change = bytes_changes_[i];
            // Not again, of a page that is named twice.
            if (bus_.arena->line(change.line)->lsn.load(relaxed) == record.end) continue;
            apply_bytes(bus_, change, record.end, record.sequence, [&](std::span<std::byte> page) {
                delta::apply_shared(pages[i].delta, page);
            });
        }
    }

    void change_by_line(const log::RecordBrief& record, std::span<const log::PageDelta> pages) {
        changes_.clear();
        for (std::size_t i = 0; i != pages.size(); ++i)
            changes_.push_back({.line = bytes_changes_[i].line, .entry = log::entry_of(pages[i])});
        state::apply(bus_, changes_, {}, record.end, record.sequence);
    }

    void ask_for_line(PageId page) const noexcept {
        const auto line = lines_by_id_.find(page);
        if (line != unknown_line) __builtin_prefetch(bus_.arena->line(line));
    }

    void ask_for_bytes(const log::PageDelta& entry) const noexcept {
        const auto line = lines_by_id_.find(entry.page);
        if (line == unknown_line || entry.delta.empty()) return;
        const auto offset = bus_.arena->line(line)->offset.load(relaxed);
        if (const auto bytes = bus_.arena->bytes(offset, entry.size))
            delta::prefetch(entry.delta, *bytes);
    }

    // The one that is known by now, if the page is there.
    std::uint32_t line_of(const log::RecordBrief& record, PageId id) {
        const auto hint = lines_by_id_.find(id);
        const auto* known = hint == unknown_line ? nullptr : bus_.arena->line(hint);
        if (known != nullptr && known->id.load(relaxed) == number(id)) return hint;
        const auto line = bus_.catalog.line_for_redo(id);
        if (!line || bus_.arena->line(*line) == nullptr)
            damaged(record.start, "a live page", "none");
        lines_by_id_.set(id, *line);
        return *line;
    }

    // Where damage of it is met, that is where the good part ends.
    void begin(const log::RecordBrief& record) {
        result_.promised = std::max(result_.promised, record.durable);
        last_was_close_ = record.kind == log::RecordKind::close;
        result_.end = record.start;
    }

    void check_sequence(const log::RecordBrief& record) {
        const auto next = words_.sequence.load(relaxed) + 1;
        if (number(record.sequence) != next)
            damaged(record.start, fmt::format("sequence {}", next),
                    fmt::format("{}", number(record.sequence)));
    }

    void finish(const log::RecordBrief& record) {
        if (record.kind == log::RecordKind::commit) {
            ++result_.records;
            result_.last_commit_end = record.end;
        }
        MMSB_STEP("rebuild.record");
    }

    void replay(const log::Record& record) {
        std::vector<std::byte> blob;
        if (record.blob) blob = read_blob(*record.blob);
        const auto body = record.blob ? std::span<const std::byte>(blob) : record.body;
        if (record.kind == log::RecordKind::commit) {
            check_sequence(log::brief_of(record));
            lines_.clear();
            find_lines(record, body);
            check_entries(record, body);
            place(bus_, body, lines_);
            state::apply(bus_, body, lines_, record.end, record.sequence);
        }
        if (record.structural) bus_.catalog.take(record, body);
    }

    std::vector<std::byte> read_blob(const log::BlobReference& blob) {
        try {
            return bus_.segments->read_blob(blob);
        } catch (const Corrupt& e) {
            damaged_file(e.file(), e.offset(), e.expected(), e.found());
        }
    }

    void find_lines(const log::Record& record, std::span<const std::byte> body) {
        try {
            lines_of(bus_, body, lines_);
        } catch (const Corrupt& e) {
            damaged(record.start, e.expected(), e.found());
        }
    }

    void check_entries(const log::Record& record, std::span<const std::byte> body) {
        log::EntryReader reader(body);
        std::size_t n = 0;
        arena::LineCopy line;
        for (log::Entry entry; reader.next(entry);) {
            if (entry.kind != log::EntryKind::page) continue;
            arena::Arena::copy_fuzzy(*bus_.arena->line(lines_[n++]), line);
            check_entry(record, entry.page, line);
        }
    }

    // apply() believes its record. This one comes from a file.
    void check_entry(const log::Record& record, const log::PageEntry& e,
                     const arena::LineCopy& line) {
        if (!e.created) {
            auto change = log::delta_of(e);
            if (e.deleted || e.resized) change.size = line.size;
            return check_page(record.start, change, line, e.resized || !e.delta.empty() ? 1 : 0);
        }
        if (line.id != 0 || number(e.epoch) != 0)
            damaged(record.start, fmt::format("page {} on a free line", number(e.page)),
                    fmt::format("page {}", line.id));
        words_.next_page.store(std::max(words_.next_page.load(relaxed), number(e.page) + 1),
                               relaxed);
    }

    // Of a page that is there. `epochs`: by how many it goes on.
    void check_page(Lsn at, const log::PageDelta& e, const arena::LineCopy& line,
                    std::uint64_t epochs) {
        const auto page = [&] { return fmt::format("page {}", number(e.page)); };
        if (line.id != number(e.page))
            damaged(at, page() + ", live", fmt::format("page {}", line.id));
        if (e.size != line.size)
            damaged(at, fmt::format("{} of {} bytes", page(), line.size),
                    fmt::format("{} bytes", e.size));
        const auto follows = line.epoch + epochs;
        if (number(e.epoch) != follows)
            damaged(at, fmt::format("{} at epoch {}", page(), follows),
                    fmt::format("{}", number(e.epoch)));
    }

    Attachment& bus_;
    arena::Control& words_;
    const replay::Image* start_;
    const RebuildOptions options_;
    const log::Segment* segment_ = nullptr;
    std::vector<std::uint32_t> lines_{};
    std::vector<BytesChange> bytes_changes_{};  // of one record
    std::vector<Change> changes_{};             // likewise
    LinesById lines_by_id_{};
    bool last_was_close_ = false;
    bool ends_with_log_ = false;  // the last file: nobody has prepared to append behind it
    Rebuilt result_{};
};

}  // namespace

Rebuilt rebuild(Attachment& bus, const replay::Image* start, const RebuildOptions& options) {
    return Rebuilder(bus, start, options).run();
}

}  // namespace mmsb::state
