#include "state/read.hpp"

#include "arena/shared_bytes.hpp"
#include "base/steps.hpp"
#include "delta/codec.hpp"
#include "state/cursor.hpp"
#include "state/redo.hpp"
#include "state/stage.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr int quick_tries = 16;

void check_range(PageId page, std::uint64_t size, std::uint64_t offset, std::uint64_t length) {
    if (offset > size || length > size - offset)
        throw InvalidArgument(ErrorCode::invalid_argument,
                              fmt::format("page {}: a read of [{}, {}) is outside its {} bytes",
                                          number(page), offset, offset + length, size),
                              {.page = page,
                               .expected = fmt::format("at most {} bytes", size),
                               .found = fmt::format("{}", offset + length),
                               .offset = offset});
}

[[noreturn]] void throw_scribbled(const Attachment& bus, PageId page, const char* expected) {
    const auto file = bus.arena->file().path();
    throw Corrupt(ErrorCode::corrupt,
                  fmt::format("{}: page {}: expected {}: the shared memory was written over", file,
                              number(page), expected),
                  {.page = page, .path = file, .expected = expected, .found = "something else"});
}

// Copies the line; false: another page's, busy, or it moved meanwhile. One that stood still and is
// not as its last writer left it is nobody's word for anything.
bool copy_line(const Attachment& bus, PageId page, const arena::PageLine& line,
               arena::LineCopy& out) {
    if (!arena::Arena::copy(line, out) || out.id != number(page)) return false;
    if (!arena::Arena::agrees(out)) throw_scribbled(bus, page, "a line that agrees with its check");
    return true;
}

// Are these the words as one writer left them?
bool is_sealed(const arena::Control& words, const arena::Tail& tail) noexcept {
    return words.seal.load(std::memory_order_acquire) == arena::seal_of(tail);
}

Version version_of(const arena::LineCopy& line) {
    return {Epoch{line.epoch}, Sequence{line.sequence}};
}

// A page under redo: `bytes` are [from, from + bytes.size()) of it.
struct Redone {
    Wanted& wanted;
    std::uint64_t from = 0;
    std::optional<std::uint64_t> length{};  ///< Empty: to the end of the page.
    bool resize_pending = false;            ///< Behind `applied`: see settle_resize.
    std::uint64_t old_size = 0, next_offset = 0;
};

// What of the page lies in the part that is wanted.
std::uint64_t part_size(const Redone& page) {
    const auto size = page.wanted.info.size;
    const auto from = std::min(page.from, size);
    return page.length ? std::min(*page.length, size - from) : size - from;
}

// Copies whatever is there. False: the line points outside the arena, as one that is being moved
// may.
bool copy_fuzzy(Attachment& bus, Redone& page) {
    auto& w = page.wanted;
    const auto* line = bus.arena->line(w.line);
    if (!copy_line(bus, w.page, *line, w.info)) arena::Arena::copy_fuzzy(*line, w.info);
    page.next_offset = line->next_offset.load(relaxed);
    w.found = w.info.id == number(w.page);
    w.bytes.clear();
    if (!w.found) return true;
    const auto size = part_size(page);
    if (w.info.offset > limits::address_room || w.info.size > limits::address_room) return false;
    const auto from = bus.arena->bytes(w.info.offset + std::min(page.from, w.info.size), size);
    if (!from) return false;
    w.bytes.resize(static_cast<std::size_t>(size));
    arena::copy_from_shared(w.bytes.data(), from->data(), w.bytes.size());
    return true;
}

enum class Redo : std::uint8_t { done, again };

Redo redo_entry(Attachment& bus, Redone& page, const log::Record& record,
                const log::PageEntry& entry) {
    auto& w = page.wanted;
    auto& info = w.info;
    if (entry.deleted) {
        w.found = false;
        return Redo::done;
    }
    const auto old_size = w.bytes.size();
    // A page is in the arena before its record is logged: none is larger than what is there.
    if ((entry.created || entry.resized) && !bus.arena->bytes(0, entry.size)) return Redo::again;
    if (entry.created) {
        w.found = true;
        info.size = entry.size;
        info.location = static_cast<std::uint32_t>(entry.location);
        w.bytes.assign(static_cast<std::size_t>(part_size(page)), std::byte{0});
    } else if (!w.found) {
        return Redo::again;
    } else if (entry.resized) {
        // Applied meanwhile: the copy may be of either place; the next round begins behind it. Not
        // applied: its writer is busy, stopped or dead, and has switched places or not.
        const auto* line = bus.arena->line(w.line);
        if (bus.words().applied.load(std::memory_order_acquire) >= record.end) return Redo::again;
        arena::LineCopy now;
        arena::Arena::copy_fuzzy(*line, now);
        if (now.lsn != info.lsn || now.offset != info.offset || now.size != info.size)
            return Redo::again;
        info.size = entry.size;
        if (now.offset == line->next_offset.load(relaxed)) {  // switched, or the same place
            const auto from =
                bus.arena->bytes(now.offset + std::min(page.from, info.size), part_size(page));
            if (!from) return Redo::again;
            const auto kept = std::min<std::uint64_t>(old_size, from->size());
            w.bytes.resize(from->size());
            const auto behind = w.bytes.size() - static_cast<std::size_t>(kept);
            arena::copy_from_shared(w.bytes.data() + kept, from->data() + kept, behind);
            // In place and not yet zeroed there: what was behind the old size is zero in the new
            // one.
            if (now.size != entry.size)
                std::fill_n(w.bytes.begin() + static_cast<std::ptrdiff_t>(kept), behind,
                            std::byte{0});
        } else {
            w.bytes.resize(static_cast<std::size_t>(part_size(page)));
        }
        arena::read_fence();
        arena::LineCopy after;
        arena::Arena::copy_fuzzy(*line, after);
        if (after.lsn != now.lsn || after.offset != now.offset || after.size != now.size)
            return Redo::again;
    }
    if (!entry.delta.empty()) {
        if (entry.size != info.size) return Redo::again;
        delta::apply_part(entry.delta, static_cast<std::size_t>(entry.size),
                          static_cast<std::size_t>(std::min(page.from, entry.size)), w.bytes);
    }
    info.id = number(entry.page);
    info.epoch = number(entry.epoch);
    info.sequence = number(record.sequence);
    info.lsn = record.end;
    return Redo::done;
}

// One round: copies, then redo up to what is logged by then.
std::optional<Position> slow_round(Attachment& bus, std::span<Redone> pages) {
    const auto& words = bus.words();
    const auto tail = arena::tail_of(words);
    bool known = is_sealed(words, tail);
    const auto from = tail.applied;
    Sequence sequence{tail.sequence};
    MMSB_STEP("read.from");
    for (auto& page : pages)
        if (!copy_fuzzy(bus, page)) return std::nullopt;
    arena::read_fence();
    MMSB_STEP("read.copied");
    const auto to = words.logged.load(std::memory_order_acquire);
    MMSB_STEP("read.to");
    // A record that is walked says its sequence. Where none is, nothing was logged behind `from`,
    // and `sequence`, which moves after `logged`, is that of the last one, if it is sealed.
    Cursor cursor(bus, from, to);
    while (cursor.next()) {
        const auto& record = cursor.record();
        sequence = record.sequence;
        known = true;
        if (record.kind != log::RecordKind::commit) continue;
        log::EntryReader reader(cursor.body());
        for (log::Entry entry; reader.next(entry);) {
            if (entry.kind != log::EntryKind::page) continue;
            for (auto& page : pages)
                if (page.wanted.page == entry.page.page &&
                    redo_entry(bus, page, record, entry.page) == Redo::again)
                    return std::nullopt;
        }
    }
    if (!known) return std::nullopt;
    for (auto& page : pages)
        if (page.wanted.found) page.wanted.info.lsn &= ~arena::busy;
    return Position{to, sequence};
}

// Without a log there is nothing to redo from: the writers' lock makes the pages stand still.
Position read_locked(Attachment& bus, std::span<Redone> pages) {
    const WriterLock lock(bus, bus.lock_timeout);
    for (auto& page : pages)
        if (!copy_fuzzy(bus, page))
            throw Corrupt(ErrorCode::corrupt, "a page lies outside the arena",
                          {.page = page.wanted.page});
    return {bus.words().logged.load(relaxed), Sequence{bus.words().sequence.load(relaxed)}};
}

Position read_slow(Attachment& bus, std::span<Redone> pages) {
    if (!bus.logging) return read_locked(bus, pages);
    // Each round that is not the last one has met a record that others committed meanwhile, or a
    // line in the middle of being moved. Where nothing moves and still it does not come out right,
    // or never does, the line leads nowhere.
    const auto& words = bus.words();
    for (int in_vain = 0, all = 0; in_vain < 100 && all < 100'000; ++in_vain, ++all) {
        const auto before = words.applied.load(std::memory_order_acquire);
        try {
            const auto position = slow_round(bus, pages);
            bus.require_memory();
            if (position) return *position;
        } catch (const HistoryDropped&) {
            // A private bus has folded those records away meanwhile: they are applied.
        }
        if (words.applied.load(std::memory_order_acquire) != before) in_vain = 0;
    }
    bus.require_memory();
    throw_scribbled(bus, pages.empty() ? PageId::none : pages.front().wanted.page,
                    "a page inside the arena");
}

bool read_quick(Attachment& bus, PageId page, const arena::PageLine& line, std::span<std::byte> out,
                std::uint64_t offset, arena::LineCopy& info) {
    if (!copy_line(bus, page, line, info)) return false;
    check_range(page, info.size, offset, out.size());
    const auto from = bus.arena->bytes(info.offset + offset, out.size());
    if (!from) return false;
    arena::copy_from_shared(out.data(), from->data(), out.size());
    arena::read_fence();
    MMSB_STEP("read.quick");
    bus.require_memory();
    return line.lsn.load(std::memory_order_acquire) == info.lsn;
}

}  // namespace

Position newest(Attachment& bus) {
    const auto& words = bus.words();
    constexpr int most_rounds = 1000;  // words that are written over could drop it for ever
    for (int round = 0; round < most_rounds; ++round) {
        const auto tail = arena::tail_of(words);
        const bool sealed = is_sealed(words, tail);
        const auto logged = words.logged.load(std::memory_order_acquire);
        // `sequence` moves only after `logged` has: where nothing is logged behind `applied`, it is
        // that of the last record. Else the records say it.
        if (logged == tail.applied) {
            bus.require_memory();
            if (sealed) return {logged, Sequence{tail.sequence}};
            continue;
        }
        try {
            Cursor cursor(bus, tail.applied, logged);
            std::optional<Sequence> sequence;
            while (cursor.next()) sequence = cursor.record().sequence;
            bus.require_memory();
            if (sequence) return {logged, *sequence};
        } catch (const HistoryDropped&) {
            continue;  // a private bus has folded those records away meanwhile: they are applied
        }
    }
    bus.arena->contradiction(words.seal, "that of the words beside it");
}

Version read_into(Attachment& bus, PageId page, std::uint32_t& line, std::span<std::byte> out,
                  std::uint64_t offset) {
    arena::LineCopy info;
    for (int i = 0; i < quick_tries; ++i)
        if (read_quick(bus, page, find_line(bus, page, line), out, offset, info))
            return version_of(info);
    Wanted wanted{.page = page, .line = line};
    Redone redone{.wanted = wanted, .from = offset, .length = out.size()};
    read_slow(bus, std::span(&redone, 1));
    if (!wanted.found) throw_not_found(bus, page);
    check_range(page, wanted.info.size, offset, out.size());
    std::ranges::copy(wanted.bytes, out.begin());
    return version_of(wanted.info);
}

Versioned<Bytes> read_page(Attachment& bus, PageId page, std::uint32_t& line) {
    Versioned<Bytes> result;
    arena::LineCopy info;
    for (int i = 0; i < quick_tries; ++i) {
        const auto& l = find_line(bus, page, line);
        if (!arena::Arena::copy(l, info) || info.id != number(page)) continue;
        if (!bus.arena->bytes(info.offset, info.size)) continue;
        result.value.resize(static_cast<std::size_t>(info.size));
        try {
            if (!read_quick(bus, page, l, result.value, 0, info) ||
                info.size != result.value.size())
                continue;
        } catch (const InvalidArgument&) {
            continue;  // it became smaller in between
        }
        result.version = version_of(info);
        return result;
    }
    Wanted wanted{.page = page, .line = line};
    Redone redone{.wanted = wanted};
    read_slow(bus, std::span(&redone, 1));
    if (!wanted.found) throw_not_found(bus, page);
    return {std::move(wanted.bytes), version_of(wanted.info)};
}

arena::LineCopy read_line(Attachment& bus, PageId page, std::uint32_t& line) {
    arena::LineCopy info;
    for (int i = 0; i < quick_tries; ++i)
        if (copy_line(bus, page, find_line(bus, page, line), info)) return info;
    Wanted wanted{.page = page, .line = line};
    Redone redone{.wanted = wanted, .from = 0, .length = 0};
    read_slow(bus, std::span(&redone, 1));
    if (!wanted.found) throw_not_found(bus, page);
    return wanted.info;
}

Position read_many(Attachment& bus, std::span<Wanted> wanted) {
    std::vector<Redone> pages;
    pages.reserve(wanted.size());
    for (auto& w : wanted) {
        static_cast<void>(find_line(bus, w.page, w.line));
        pages.push_back({.wanted = w});
    }
    for (int i = 0; i < quick_tries; ++i) {
        // All stand still, all are copied, all still stand as they did: then they were so at every
        // moment in between, also when `position` was taken.
        const auto& words = bus.words();
        const auto tail = arena::tail_of(words);
        const auto applied = tail.applied;
        const Sequence sequence{tail.sequence};
        if (!is_sealed(words, tail) || words.logged.load(std::memory_order_acquire) != applied)
            continue;
        bool still = true;
        for (auto& page : pages)
            still = still && copy_fuzzy(bus, page) && page.wanted.found &&
                    (page.wanted.info.lsn & arena::busy) == 0;
        arena::read_fence();
        for (const auto& page : pages)
            still = still &&
                    bus.arena->line(page.wanted.line)->lsn.load(std::memory_order_acquire) ==
                        page.wanted.info.lsn &&
                    page.wanted.info.lsn <= applied;
        bus.require_memory();
        if (still) return {applied, sequence};
    }
    return read_slow(bus, pages);
}

bool peek(Attachment& bus, PageId page, std::uint32_t& line,
          FunctionRef<void(std::span<const std::byte>)> fn) {
    const auto& l = find_line(bus, page, line);
    arena::LineCopy info;
    if (!copy_line(bus, page, l, info)) return false;
    const auto bytes = bus.arena->bytes(info.offset, info.size);
    if (!bytes) return false;
    const auto stands = [&] {
        arena::read_fence();
        bus.require_memory();
        return l.lsn.load(std::memory_order_acquire) == info.lsn;
    };
    try {
        fn(*bytes);
    } catch (...) {
        if (stands()) throw;
        return false;
    }
    return stands();
}

}  // namespace mmsb::state
