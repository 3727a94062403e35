#include "state/redo.hpp"

#include "arena/shared_bytes.hpp"
#include "base/steps.hpp"
#include "delta/codec.hpp"
#include "state/cursor.hpp"
#include "state/header.hpp"
#include "state/wait.hpp"

#include <fmt/format.h>

namespace mmsb::state {

namespace {

arena::Word& pages_at(arena::Control& words, std::uint32_t location) noexcept {
    return words.pages_at[std::min<std::size_t>(arena::location_of(location), 2)];
}

void apply_created(Attachment& bus, arena::PageLine& line, std::uint64_t offset,
                   const log::PageEntry& entry) noexcept {
    auto& words = bus.words();
    // A place that lies nowhere is a neighbour's doing, and the record is committed: reading the
    // page will say that it is outside the arena.
    if (const auto bytes = bus.arena->bytes(offset, entry.size)) {
        arena::zero_shared(bytes->data(), bytes->size());
        MMSB_STEP("apply.zeroed");
        if (!entry.delta.empty()) delta::apply_shared(entry.delta, *bytes);
    }
    if (line.id.load(relaxed) == 0) {
        add_to(pages_at(words, static_cast<std::uint32_t>(entry.location)), 1);
        add_to(words.page_bytes, entry.size);
    }
    line.id.store(number(entry.page), relaxed);
    MMSB_STEP("apply.id");
    line.offset.store(offset, relaxed);
    line.size.store(entry.size, relaxed);
    line.location.store(arena::location_word(entry.location, false), relaxed);
}

void apply_deleted(Attachment& bus, arena::PageLine& line) noexcept {
    auto& words = bus.words();
    const auto size = line.size.load(relaxed);
    bus.arena->release(line.offset.load(relaxed), size);
    MMSB_STEP("apply.released");
    add_to(pages_at(words, line.location.load(relaxed)), ~std::uint64_t{0});
    add_to(words.page_bytes, ~size + 1);
    add_to(words.lines_free, 1);
    line.id.store(0, relaxed);
    MMSB_STEP("apply.line_freed");
    line.size.store(0, relaxed);
}

// Fills the new place, then switches to it in one store. A redo that finds it switched (the offsets
// are equal) must not copy from the old place again: it may be another page's by then.
void apply_resized(Attachment& bus, arena::PageLine& line, std::uint64_t to,
                   const log::PageEntry& entry) noexcept {
    auto& words = bus.words();
    const auto from = line.offset.load(relaxed);
    const auto old_size = line.size.load(relaxed);
    const bool switched = from == to;
    const auto kept = static_cast<std::size_t>(std::min(old_size, entry.size));
    if (const auto place = bus.arena->bytes(to, entry.size)) {  // else as for a created one
        if (!switched)
            if (const auto old = bus.arena->bytes(from, kept))
                arena::copy_to_shared(place->data(), old->data(), kept);
        if (entry.size > kept) arena::zero_shared(place->data() + kept, place->size() - kept);
        if (!entry.delta.empty()) delta::apply_shared(entry.delta, *place);
    }
    MMSB_STEP("apply.moved");
    // The larger size is only seen with the larger place, so that what a reader finds while this is
    // half done lies in the arena.
    if (entry.size < old_size) line.size.store(entry.size, std::memory_order_release);
    MMSB_STEP("apply.smaller");
    line.offset.store(to, std::memory_order_release);
    MMSB_STEP("apply.place");
    line.size.store(entry.size, relaxed);
    if (!switched) bus.arena->release(from, old_size);
    add_to(words.page_bytes, entry.size - old_size);
}

void apply_entry(Attachment& bus, arena::PageLine& line, const arena::LineCopy& was,
                 std::uint64_t place, const log::PageEntry& entry) noexcept {
    if (entry.deleted) return apply_deleted(bus, line);
    if (entry.created) {
        apply_created(bus, line, place, entry);
    } else if (entry.resized) {
        apply_resized(bus, line, place, entry);
    } else if (!entry.delta.empty()) {
        // The line was checked when the record was made; only a neighbour who scribbles can have
        // changed it since. Then the page's bytes are his doing, and no others are touched.
        const auto bytes = bus.arena->bytes(was.offset, was.size);
        if (bytes && bytes->size() == entry.size) delta::apply_shared(entry.delta, *bytes);
    }
    MMSB_STEP("apply.bytes");
    if (!entry.delta.empty()) count_delta(bus.words(), entry.changed_bytes);
    line.epoch.store(number(entry.epoch), relaxed);
    const auto location = arena::location_of(line.location.load(relaxed));
    line.location.store(location | (entry.stale ? arena::stale_bit : 0), relaxed);
}

// What the record makes of a line. (Also of one that it was half applied to.)
arena::LineCopy after(arena::LineCopy line, const log::PageEntry& entry, std::uint64_t place,
                      Lsn end, Sequence sequence) noexcept {
    line.lsn = end;
    line.epoch = number(entry.epoch);
    line.sequence = number(sequence);
    line.id = entry.deleted ? 0 : number(entry.page);
    line.size = entry.deleted ? 0 : entry.size;
    if (entry.created) line.location = static_cast<std::uint32_t>(entry.location);
    if (entry.created || entry.resized) line.offset = place;
    line.location = arena::location_of(line.location) | (entry.stale ? arena::stale_bit : 0);
    return line;
}

// `place`: of what is created or resized, from who has made the record just now, of lines that
// agreed with their checks. Nothing: another one does it later, and it may be applied in part.
void apply_to(Attachment& bus, arena::PageLine& line, const log::PageEntry& entry,
              std::optional<std::uint64_t> place, Lsn end, Sequence sequence) noexcept {
    // Not again: busy and back to the same LSN would be a lock word that says "nothing happened".
    if (line.lsn.load(relaxed) == end) return;
    line.lsn.store(line.lsn.load(relaxed) | arena::busy, relaxed);
    arena::write_fence();
    MMSB_STEP("apply.line_busy");
    arena::LineCopy was;
    arena::Arena::copy_fuzzy(line, was);
    was.lsn &= ~arena::busy;
    // Written over since: the new check must not make it pass for right.
    const bool spoiled = place && !entry.created && !arena::Arena::agrees(was);
    const auto now =
        after(was, entry, place.value_or(line.next_offset.load(relaxed)), end, sequence);
    if (!spoiled) apply_entry(bus, line, was, now.offset, entry);
    line.id.store(now.id, relaxed);
    line.size.store(now.size, relaxed);
    line.sequence.store(now.sequence, relaxed);
    line.check.store(arena::check_of(now) ^ static_cast<std::uint32_t>(spoiled), relaxed);
    MMSB_STEP("apply.fields");
    line.lsn.store(end, std::memory_order_release);
    MMSB_STEP("apply.line");
}

// A record was being appended when its writer died (or threw): if its bytes are complete, the lines
// of its pages may be busy. They get their old value again; the record is never logged.
void forget_unlogged(Attachment& bus, const LogEnd& found) {
    const auto logged = found.logged;
    auto at = logged;
    auto end = std::min(found.reserve, logged + bus.arena->ring_size());
    std::vector<std::byte> bytes(static_cast<std::size_t>(end - at));
    arena::copy_from_shared(bytes.data(), bus.arena->ring(at), bytes.size());
    std::vector<std::uint32_t> lines;
    while (at < end) {
        const auto segment = bus.segments->find(at);
        if (!segment) return;
        if (bus.segments->end_of(*segment) - at <= 8) {
            at = bus.segments->end_of(*segment);
            continue;
        }
        const auto parsed =
            log::parse_record(std::span(bytes).subspan(static_cast<std::size_t>(at - logged)), at,
                              segment->context());
        if (parsed.status != log::ParseStatus::good) return;
        at += parsed.size;
        if (parsed.record.kind != log::RecordKind::commit) continue;
        MMSB_STEP("forget.parsed");
        lines.clear();
        // Whoever threw has cleared his busy bits and removed his blob; whoever died has left it.
        std::vector<std::byte> blob;
        try {
            if (parsed.record.blob) blob = bus.segments->read_blob(*parsed.record.blob);
        } catch (const Error&) {
            return;
        }
        lines_of(bus, parsed.record.blob ? std::span<const std::byte>(blob) : parsed.record.body,
                 lines);
        mark_idle(bus, lines);
    }
}

}  // namespace

// (docs/model/commit.pml, Writer: what stands between recovery and commit.)
void recover(Attachment& bus, const LogEnd& found) {
    auto& words = bus.words();
    bus.catalog.follow(bus, bus.tail.structure);
    MMSB_STEP("redo.followed");
    if (found.logged != bus.tail.applied) {
        Cursor cursor(bus, bus.tail.applied, found.logged);
        while (cursor.next()) {
            const auto& record = cursor.record();
            const auto body = cursor.body();
            std::vector<std::uint32_t> lines;
            if (record.kind == log::RecordKind::commit && bus.logging) {
                lines_of(bus, body, lines);
                MMSB_STEP("redo.lines");
                for (const auto n : lines)
                    if (const auto& lsn = bus.arena->line(n)->lsn;
                        (lsn.load(relaxed) & ~arena::busy) > record.end)
                        bus.arena->contradiction(
                            words.applied, "no record that its pages are past already behind it");
                apply(bus, body, lines, record.end, record.sequence);
            }
            publish(bus, record);
            MMSB_STEP("redo.record");
        }
        publish_applied(bus, cursor.to());
        MMSB_STEP("redo.applied");
        wake_now(bus, every_commit);  // whoever committed them died before he could
    } else if (found.reserve > found.logged) {
        forget_unlogged(bus, found);
    }
    if (const auto head = words.structure.load(relaxed);
        (head & arena::busy) != 0 || words.allocating.load(relaxed) != 0) {
        if (!bus.arena->rebuild_allocator())
            throw Corrupt(ErrorCode::corrupt,
                          bus.path + ": the page table in shared memory contradicts itself",
                          {.path = bus.arena->file().path(),
                           .expected = "pages that do not overlap",
                           .found = "overlapping ones"});
        MMSB_STEP("redo.allocator");
        words.allocating.store(0, relaxed);
        MMSB_STEP("redo.allocated");
        words.structure.store(bus.tail.structure, std::memory_order_release);
        MMSB_STEP("redo.structure");
    }
}

void lines_of(Attachment& bus, std::span<const std::byte> body, std::vector<std::uint32_t>& lines) {
    log::EntryReader reader(body);
    for (log::Entry entry; reader.next(entry);) {
        if (entry.kind != log::EntryKind::page) continue;
        if (entry.page.created) {
            if (!may_be_a_line(bus, entry.page.line))
                throw Corrupt(ErrorCode::corrupt,
                              fmt::format("{}: page {} claims line {} of the page table", bus.path,
                                          number(entry.page.page), entry.page.line),
                              {.page = entry.page.page,
                               .path = bus.path,
                               .expected = "no more lines than ids",
                               .found = fmt::format("{}", entry.page.line)});
            bus.arena->back_line(entry.page.line);
            lines.push_back(entry.page.line);
            continue;
        }
        const auto line = bus.catalog.line_for_redo(entry.page.page);
        if (!line || bus.arena->line(*line) == nullptr)
            throw Corrupt(ErrorCode::corrupt,
                          fmt::format("{}: a record names page {}, which is not there", bus.path,
                                      number(entry.page.page)),
                          {.page = entry.page.page,
                           .path = bus.path,
                           .expected = "a live page",
                           .found = "none"});
        lines.push_back(*line);
    }
    if (reader.failed())
        throw Corrupt(ErrorCode::corrupt, bus.path + ": the entries of a record cannot be read",
                      {.path = bus.path, .expected = "entries", .found = "other bytes"});
}

void mark_busy(Attachment& bus, std::span<const std::uint32_t> lines) noexcept {
    for (const auto n : lines) {
        auto& lsn = bus.arena->line(n)->lsn;
        lsn.store(lsn.load(relaxed) | arena::busy, relaxed);
        MMSB_STEP("commit.line_busy");
    }
}

void mark_idle(Attachment& bus, std::span<const std::uint32_t> lines) noexcept {
    for (const auto n : lines) {
        auto& lsn = bus.arena->line(n)->lsn;
        lsn.store(lsn.load(relaxed) & ~arena::busy, std::memory_order_release);
        MMSB_STEP("forget.line");
    }
}

void place(Attachment& bus, std::span<const std::byte> body, std::span<const std::uint32_t> lines) {
    auto& words = bus.words();
    log::EntryReader reader(body);
    std::size_t n = 0;
    for (log::Entry entry; reader.next(entry);) {
        if (entry.kind != log::EntryKind::page) continue;
        const auto number = lines[n++];
        if (!entry.page.created && !entry.page.resized) continue;
        auto& line = *bus.arena->line(number);
        line.next_offset.store(bus.arena->take(entry.page.size), relaxed);
        if (!entry.page.created) continue;
        if (number >= words.lines_used.load(relaxed)) {
            add_to(words.lines_free, number - words.lines_used.load(relaxed));
            words.lines_used.store(std::uint64_t{number} + 1, relaxed);
        } else {
            add_to(words.lines_free, ~std::uint64_t{0});
        }
    }
}

void apply(Attachment& bus, std::span<const std::byte> body, std::span<const std::uint32_t> lines,
           Lsn end, Sequence sequence) noexcept {
    log::EntryReader reader(body);
    std::size_t n = 0;
    for (log::Entry entry; reader.next(entry);)
        if (entry.kind == log::EntryKind::page)
            apply_to(bus, *bus.arena->line(lines[n++]), entry.page, std::nullopt, end, sequence);
}

void apply(Attachment& bus, std::span<Change> changes, std::span<const std::byte> deltas, Lsn end,
           Sequence sequence) noexcept {
    for (auto& change : changes) {
        if (change.delta_size != 0)
            change.entry.delta = deltas.subspan(change.delta_at, change.delta_size);
        apply_to(bus, *bus.arena->line(change.line), change.entry, change.place, end, sequence);
    }
}

void publish(Attachment& bus, const log::Record& record) noexcept {
    auto& words = bus.words();
    auto& tail = bus.tail;
    if (record.structural) {
        tail.structure = record.start;
        // Stays busy inside a batch of records; whoever ends the batch clears the bit.
        const auto was_busy = words.structure.load(relaxed) & arena::busy;
        words.structure.store(tail.structure | was_busy, std::memory_order_release);
        MMSB_STEP("publish.structure");
    }
    publish_time(bus, record.time_ns);
    if (record.kind == log::RecordKind::source) {
        if (const auto source = log::read_source(record.body)) {
            tail.sources = std::max<std::uint64_t>(tail.sources, source->number);
            words.sources.store(tail.sources, relaxed);
        }
    }
    publish_sequence(
        bus, record.kind == log::RecordKind::commit ? record.sequence : Sequence{tail.sequence});
}

void publish_time(Attachment& bus, std::int64_t time_ns) noexcept {
    bus.tail.time = static_cast<std::uint64_t>(time_ns);
    bus.words().time.store(bus.tail.time, relaxed);
    MMSB_STEP("publish.time");
}

void publish_sequence(Attachment& bus, Sequence sequence) noexcept {
    bus.tail.sequence = number(sequence);
    bus.words().sequence.store(bus.tail.sequence, std::memory_order_release);
    MMSB_STEP("publish.sequence");
}

void publish_applied(Attachment& bus, Lsn end) noexcept {
    auto& words = bus.words();
    bus.tail.applied = end;
    words.seal.store(arena::seal_of(bus.tail), relaxed);
    MMSB_STEP("commit.sealed");
    words.applied.store(end, std::memory_order_release);
}

}  // namespace mmsb::state
