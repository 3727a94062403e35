#include "state/rebuild.hpp"

#include "base/bytes.hpp"
#include "base/steps.hpp"
#include "delta/codec.hpp"
#include "log/scan.hpp"
#include "state/bytes_change.hpp"
#include "state/lines_by_id.hpp"
#include "state/load_image.hpp"
#include "state/segment_window.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr std::size_t most_in_queue = 64;
constexpr std::size_t ahead = 8;  // So many changes before it is made, its bytes are asked for.
constexpr std::size_t first_window = std::size_t{256} << 10U;  // stays in a core's own cache

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
    using All = std::vector<std::shared_ptr<const log::Segment>>;

    // A bus is made with its first segment, and a checkpoint is made once the disk has the log up
    // to where it is.
    void check_there(const All& all) {
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
    [[noreturn]] void no_record(const All& all) {
        segment_ = all.front().get();
        damaged(result_.end, "the record of the first opening");
    }

    void read_log(const All& all) {
        for (std::size_t i = 0; i < all.size() && all[i]->header.start < options_.limit; ++i) {
            if (all[i]->header.start > result_.end)
                damaged(result_.end, fmt::format("a segment that holds position {}", result_.end),
                        fmt::format("the next to begin at {}", all[i]->header.start));
            if (scan(*all[i])) continue;
            if (options_.limit == log::no_lsn) return drop_tail(all, i);
            damaged(result_.end, fmt::format("a record: all up to {} was written", options_.limit));
        }
    }

    // The log ends before it. What lies behind is told, and used by nobody.
    void keep_damage(const Corrupt& e, const All& all) {
        Damage damage{.file = e.file(),
                      .offset = e.offset(),
                      .expected = e.expected(),
                      .found = e.found(),
                      .good_until = Sequence{words_.sequence.load(relaxed)}};
        for (const auto& segment : all) {
            const auto range_end = bus_.segments->end_of(*segment);
            if (range_end <= result_.end) continue;
            at_hand_.read_all(*segment);
            damage.bytes += at_hand_.used_behind(result_.end);
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

    // True: the segment is whole, and the next one goes on. False: the good prefix ends in it.
    bool scan(const log::Segment& segment) {
        segment_ = &segment;
        const auto limit = std::min(bus_.segments->end_of(segment), options_.limit);
        if (limit <= result_.end) return true;  // before the checkpoint
        for (auto window = first_window;;) {
            const auto from = std::max(result_.end, segment.header.start);
            const auto end = at_hand_.read(segment, from, limit, window);
            const auto scanned = log::scan_segment(
                at_hand_.bytes(), segment.header, limit, from,
                [&](const log::Record& record, std::span<const log::PageEntry> pages) {
                    if (!queue(record, pages)) replay(record);
                    return true;
                });
            apply_queue();
            result_.end = scanned.good_until;
            // What ends the log is judged by all that is there; what ends a window is not.
            const bool is_all = at_hand_.bytes().size() < window;
            if (is_all || scanned.end == log::ScanEnd::complete) {
                ends_with_log_ = end == result_.end;
                return scanned.end == log::ScanEnd::complete;
            }
            if (scanned.good_until == from) window *= 4;
        }
    }

    // The log stops here. Nothing behind may say that it was promised to be there.
    void drop_tail(const All& all, std::size_t index) {
        const auto end = result_.end;
        for (auto i = index; i < all.size() && all[i]->header.start < options_.limit; ++i) {
            // What ended the log was at hand when it did: by now somebody may have gone on with it.
            if (i > index) at_hand_.read_all(*all[i]);
            result_.dropped_bytes += at_hand_.used_behind(end);
            if (const auto promise = log::find_promise(at_hand_.behind(end), all[i]->header,
                                                       std::max(end, at_hand_.at()), end)) {
                segment_ = all[index].get();
                damaged(end, "a record that was synced: one at " + std::to_string(*promise) +
                                 " says so");
            }
        }
    }

    // Most records change bytes of pages that are there, and nothing else. Some of them are
    // gathered and applied together: by then their lines are there, and their bytes on their way.
    bool queue(const log::Record& record, std::span<const log::PageEntry> pages) {
        if (!record.only_bytes || queue_.size() == most_in_queue) apply_queue();
        if (!record.only_bytes) return false;
        queue_.push_back({record, changes_.size(), pages.size()});
        for (const auto& page : pages) {
            const auto line = lines_by_id_.find(page.page);
            changes_.push_back({.line = line, .entry = page});
            if (line != unknown_line) __builtin_prefetch(bus_.arena->line(line));
        }
        return true;
    }

    void apply_queue() {
        std::size_t asked = 0;
        for (const auto& [record, first, count] : queue_) {
            for (; asked != std::min(first + count + ahead, changes_.size()); ++asked)
                ask_for_bytes(changes_[asked]);
            begin(record);
            check_sequence(record);
            change_pages(record, std::span(changes_).subspan(first, count));
            finish(record);
        }
        queue_.clear();
        changes_.clear();
    }

    // Of one record. All of it is checked before any of it is applied.
    void change_pages(const log::Record& record, std::span<Change> changes) {
        bool plain = true;
        bytes_changes_.resize(changes.size());
        for (std::size_t i = 0; i != changes.size(); ++i) {
            const auto& entry = changes[i].entry;
            auto& change = bytes_changes_[i];
            change.line = changes[i].line = line_of(record, changes[i]);
            arena::Arena::copy_fuzzy(*bus_.arena->line(change.line), change.was);
            check_entry(record, entry, change.was);
            change.changed_bytes = entry.changed_bytes;
            // (A line that was written over since is not made to pass for right: apply() sees to
            // it.)
            plain &= !entry.delta.empty() && !entry.stale && arena::Arena::agrees(change.was);
        }
        if (!plain) return apply(bus_, changes, {}, record.end, record.sequence);
        for (std::size_t i = 0; i != changes.size(); ++i) {
            const auto& change = bytes_changes_[i];
            // Not again, of a page that is named twice.
            if (bus_.arena->line(change.line)->lsn.load(relaxed) == record.end) continue;
            apply_bytes(bus_, change, record.end, record.sequence, [&](std::span<std::byte> page) {
                delta::apply_shared(changes[i].entry.delta, page);
            });
        }
    }

    void ask_for_bytes(const Change& change) const noexcept {
        if (change.line == unknown_line || change.entry.delta.empty()) return;
        const auto offset = bus_.arena->line(change.line)->offset.load(relaxed);
        if (const auto bytes = bus_.arena->bytes(offset, change.entry.size))
            delta::prefetch(change.entry.delta, *bytes);
    }

    // The one that is known by now, if the page is there.
    std::uint32_t line_of(const log::Record& record, const Change& change) {
        const auto id = change.entry.page;
        const auto* known = change.line == unknown_line ? nullptr : bus_.arena->line(change.line);
        if (known != nullptr && known->id.load(relaxed) == number(id)) return change.line;
        const auto line = bus_.catalog.line_for_redo(id);
        if (!line || bus_.arena->line(*line) == nullptr)
            damaged(record.start, "a live page", "none");
        lines_by_id_.set(id, *line);
        return *line;
    }

    // Where damage of it is met, that is where the good part ends.
    void begin(const log::Record& record) {
        if (record.durable) result_.promised = std::max(result_.promised, *record.durable);
        last_was_close_ = record.kind == log::RecordKind::close;
        result_.end = record.start;
    }

    void check_sequence(const log::Record& record) {
        const auto next = words_.sequence.load(relaxed) + 1;
        if (number(record.sequence) != next)
            damaged(record.start, fmt::format("sequence {}", next),
                    fmt::format("{}", number(record.sequence)));
    }

    void finish(const log::Record& record) {
        if (record.kind == log::RecordKind::commit) {
            ++result_.records;
            result_.last_commit_end = record.end;
        }
        publish(bus_, record);
        MMSB_STEP("rebuild.record");
    }

    void replay(const log::Record& record) {
        std::vector<std::byte> blob;
        begin(record);
        if (record.blob) blob = read_blob(*record.blob);
        const auto body = record.blob ? std::span<const std::byte>(blob) : record.body;
        if (record.kind == log::RecordKind::commit) {
            check_sequence(record);
            lines_.clear();
            find_lines(record, body);
            check_entries(record, body);
            place(bus_, body, lines_);
            apply(bus_, body, lines_, record.end, record.sequence);
        }
        if (record.structural) bus_.catalog.take(record, body);
        finish(record);
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
        const auto id = line.id, size = line.size, epoch = line.epoch;
        const auto page = [&] { return fmt::format("page {}", number(e.page)); };
        if (e.created ? id != 0 || number(e.epoch) != 0 : id != number(e.page))
            damaged(record.start, page() + (e.created ? " on a free line" : ", live"),
                    fmt::format("page {}", id));
        if (e.created) {
            words_.next_page.store(std::max(words_.next_page.load(relaxed), number(e.page) + 1),
                                   relaxed);
            return;
        }
        if (!e.deleted && !e.resized && e.size != size)
            damaged(record.start, fmt::format("{} of {} bytes", page(), size),
                    fmt::format("{} bytes", e.size));
        const auto follows = epoch + (e.resized || !e.delta.empty() ? 1 : 0);
        if (number(e.epoch) != follows)
            damaged(record.start, fmt::format("{} at epoch {}", page(), follows),
                    fmt::format("{}", number(e.epoch)));
    }

    Attachment& bus_;
    arena::Control& words_;
    const replay::Image* start_;
    const RebuildOptions options_;
    const log::Segment* segment_ = nullptr;
    SegmentWindow at_hand_{*bus_.segments};
    std::vector<std::uint32_t> lines_{};
    struct Queued {
        log::Record record{};
        std::size_t first = 0, count = 0;  ///< In changes_.
    };
    std::vector<Queued> queue_{};
    std::vector<Change> changes_{};
    std::vector<BytesChange> bytes_changes_{};  // of one record
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
