#include "state/read_slow.hpp"

#include "arena/shared_bytes.hpp"
#include "base/spare.hpp"
#include "base/steps.hpp"
#include "delta/codec.hpp"
#include "state/cursor.hpp"
#include "state/redo.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

constexpr std::size_t chunk_size = limits::mib;

// What of the page lies in the part that is wanted.
std::uint64_t part_size(const Redone& page) {
    const auto size = page.info.size;
    const auto from = std::min(page.from, size);
    return page.length ? std::min(*page.length, size - from) : size - from;
}

// Where that lies. Nothing: not all of the page lies in the arena, wherever the part does: callers
// take memory for as many bytes as a page is said to have.
std::optional<std::span<std::byte>> place_of(const Attachment& bus, const Redone& page) {
    const auto& info = page.info;
    const auto whole = bus.arena->bytes(info.offset, info.size);
    if (!whole) return std::nullopt;
    return whole->subspan(static_cast<std::size_t>(std::min(page.from, info.size)),
                          static_cast<std::size_t>(part_size(page)));
}

enum class Redo : std::uint8_t { done, again };

// Not applied yet: its writer is busy, stopped or dead, and has switched places or not.
Redo redo_resize(Attachment& bus, Redone& page, std::uint64_t size) {
    auto& info = page.info;
    const auto* line = bus.arena->line(page.line);
    arena::LineCopy now;
    arena::Arena::copy_fuzzy(*line, now);
    if (now.lsn != info.lsn || now.offset != info.offset || now.size != info.size)
        return Redo::again;
    const auto old_size = page.target.bytes().size();
    info.size = size;
    page.target.resize(static_cast<std::size_t>(part_size(page)));
    const auto bytes = page.target.bytes();
    if (now.offset == line->next_offset.load(relaxed)) {  // switched, or the same place
        const auto from = bus.arena->bytes(now.offset + std::min(page.from, size), bytes.size());
        if (!from) return Redo::again;
        // In place and not yet zeroed there: what was behind the old size is zero in the new one.
        if (const auto kept = std::min(old_size, bytes.size()); now.size == size)
            arena::copy_from_shared(bytes.data() + kept, from->data() + kept, bytes.size() - kept);
    }
    arena::read_fence();
    arena::LineCopy after;
    arena::Arena::copy_fuzzy(*line, after);
    const bool stands =
        after.lsn == now.lsn && after.offset == now.offset && after.size == now.size;
    return stands ? Redo::done : Redo::again;
}

Redo redo_entry(Attachment& bus, Redone& page, const log::Record& record,
                const log::PageEntry& entry) {
    auto& info = page.info;
    if (page.begun && (entry.created || entry.resized || entry.deleted)) return Redo::again;
    if (entry.deleted) {
        page.found = false;
        return Redo::done;
    }
    // A page is in the arena before its record is logged: none is larger than what is there.
    if ((entry.created || entry.resized) && !bus.arena->bytes(0, entry.size)) return Redo::again;
    if (entry.created) {
        page.found = true;
        info.size = entry.size;
        info.location = static_cast<std::uint32_t>(entry.location);
        page.target.resize(0);
        page.target.resize(static_cast<std::size_t>(part_size(page)));
    } else if (!page.found) {
        return Redo::again;
    } else if (entry.resized) {
        // Applied meanwhile: the copy may be of either place; the next round begins behind it.
        if (bus.words().applied.load(std::memory_order_acquire) >= record.end) return Redo::again;
        if (redo_resize(bus, page, entry.size) == Redo::again) return Redo::again;
    }
    if (!entry.delta.empty()) {
        if (entry.size != info.size) return Redo::again;
        delta::apply_part(entry.delta, static_cast<std::size_t>(entry.size),
                          static_cast<std::size_t>(std::min(page.from, entry.size)),
                          page.target.bytes());
    }
    info.id = number(entry.page);
    info.location = arena::location_of(info.location) | (entry.stale ? arena::stale_bit : 0);
    info.epoch = number(entry.epoch);
    info.sequence = number(record.sequence);
    info.lsn = record.end;
    return Redo::done;
}

// What a walk of the log needs, kept by the thread for the next one.
struct WalkMemory {
    std::vector<std::byte> bytes{};
    std::vector<log::PageEntry> pages{};
};

class Walk {
public:
    Walk(Attachment& bus, Lsn from, Lsn to) : cursor_(bus, from, to) {
        cursor_.use(std::move(kept_->bytes));
        cursor_.gather(kept_->pages);
    }
    ~Walk() {
        constexpr std::size_t most = limits::mib;
        kept_->bytes = cursor_.take_buffer();
        if (kept_->bytes.capacity() > most) std::vector<std::byte>().swap(kept_->bytes);
        if (kept_->pages.capacity() * sizeof(log::PageEntry) > most)
            std::vector<log::PageEntry>().swap(kept_->pages);
    }
    Walk(const Walk&) = delete;
    Walk& operator=(const Walk&) = delete;
    [[nodiscard]] Cursor& cursor() noexcept { return cursor_; }
    /// What the record says of pages.
    [[nodiscard]] std::span<const log::PageEntry> pages() {
        if (!cursor_.record().blob) return kept_->pages;
        log::EntryReader reader(cursor_.body());
        for (log::Entry entry; reader.next(entry);)
            if (entry.kind == log::EntryKind::page) kept_->pages.push_back(entry.page);
        return kept_->pages;
    }

private:
    base::Spare<WalkMemory> kept_{};
    Cursor cursor_;
};

// What the log said of the pages, up to a position.
struct Followed {
    bool again = false;
    std::optional<Sequence> sequence{};  ///< Of its last record, where there was one.
};

Followed follow(Attachment& bus, std::span<Redone> pages, Lsn from, Lsn to) {
    Followed result;
    Walk walk(bus, from, to);
    while (walk.cursor().next()) {
        const auto& record = walk.cursor().record();
        result.sequence = record.sequence;
        if (record.kind != log::RecordKind::commit) continue;
        for (const auto& entry : walk.pages())
            for (auto& page : pages)
                if (page.page == entry.page && redo_entry(bus, page, record, entry) == Redo::again)
                    return {.again = true};
    }
    return result;
}

// One round: copies, then redo up to what is logged by then.
std::optional<Position> slow_round(Attachment& bus, std::span<Redone> pages) {
    const auto& words = bus.words();
    const auto tail = arena::tail_of(words);
    const bool sealed = is_sealed(words, tail);
    MMSB_STEP("read.from");
    for (auto& page : pages)
        if (!copy_fuzzy(bus, page)) return std::nullopt;
    arena::read_fence();
    MMSB_STEP("read.copied");
    const auto to = words.logged.load(std::memory_order_acquire);
    MMSB_STEP("read.to");
    const auto followed = follow(bus, pages, tail.applied, to);
    // A record that is walked says its sequence. Where none is, nothing was logged behind
    // `applied`, and `sequence`, which moves after `logged`, is that of the last one, if it is
    // sealed.
    if (followed.again || (!followed.sequence && !sealed)) return std::nullopt;
    for (auto& page : pages)
        if (page.found) page.info.lsn &= ~arena::busy;
    return Position{to, followed.sequence.value_or(Sequence{tail.sequence})};
}

// Chunk by chunk; as long as the line stands still there is nothing to redo. From then on each
// chunk is brought, with all before it, to where the log is.
bool large_round(Attachment& bus, Redone& page) {
    const auto in_one_piece = [&] { return slow_round(bus, std::span(&page, 1)).has_value(); };
    const auto& words = bus.words();
    const auto tail = arena::tail_of(words);
    bool known = is_sealed(words, tail);
    auto from = tail.applied;
    MMSB_STEP("read.from");
    auto& info = page.info;
    const auto* line = bus.arena->line(page.line);
    bool still = copy_line(bus, page.page, *line, info);
    if (!still) arena::Arena::copy_fuzzy(*line, info);
    page.found = info.id == number(page.page);
    if (!page.found) return in_one_piece();  // one that is being made
    const auto place = place_of(bus, page);
    if (!place) return false;
    page.target.reserve(place->size());
    for (std::size_t done = 0; done < place->size();) {
        const auto n = std::min(chunk_size, place->size() - done);
        page.target.make(done + n);
        arena::copy_from_shared(page.target.bytes().data() + done, place->data() + done, n);
        done += n;
        arena::read_fence();
        // Before the line is looked at, and before the next chunk is copied: what is applied by
        // then is in both.
        const auto applied = words.applied.load(std::memory_order_acquire);
        MMSB_STEP("read.chunk");
        still = still && line->lsn.load(std::memory_order_acquire) == info.lsn;
        if (still) {
            from = applied;
            continue;
        }
        page.begun = done < place->size();
        const auto to = words.logged.load(std::memory_order_acquire);
        MMSB_STEP("read.to");
        const auto followed = follow(bus, std::span(&page, 1), from, to);
        page.begun = false;
        if (followed.again) return in_one_piece();  // it is being moved
        if (!page.found) return true;
        known = known || followed.sequence;
        from = std::min(to, applied);
    }
    info.lsn &= ~arena::busy;
    return still || known;
}

// Without a log there is nothing to redo from: the writers' lock makes the pages stand still.
Position read_locked(Attachment& bus, std::span<Redone> pages) {
    const WriterLock lock(bus, bus.lock_timeout);
    for (auto& page : pages)
        if (!copy_fuzzy(bus, page))
            throw Corrupt(ErrorCode::corrupt, "a page lies outside the arena", {.page = page.page});
    return {bus.words().logged.load(relaxed), Sequence{bus.words().sequence.load(relaxed)}};
}

// Each round that is not the last one has met a record that others committed meanwhile, or a line
// in the middle of being moved. Where nothing moves and still it does not come out right, or never
// does, the line leads nowhere.
template <class Round>
void try_until_right(Attachment& bus, PageId page, const Round& round) {
    const auto& words = bus.words();
    for (int in_vain = 0, all = 0; in_vain < 100 && all < 100'000; ++in_vain, ++all) {
        const auto before = words.applied.load(std::memory_order_acquire);
        try {
            const bool right = round();
            bus.require_memory();
            if (right) return;
        } catch (const HistoryDropped&) {
            // A private bus has folded those records away meanwhile: they are applied.
        }
        if (words.applied.load(std::memory_order_acquire) != before) in_vain = 0;
    }
    bus.require_memory();
    throw_scribbled(bus, page, "a page inside the arena");
}

}  // namespace

void throw_scribbled(const Attachment& bus, PageId page, const char* expected) {
    const auto file = bus.arena->file().path();
    throw Corrupt(ErrorCode::corrupt,
                  fmt::format("{}: page {}: expected {}: the shared memory was written over", file,
                              number(page), expected),
                  {.page = page, .path = file, .expected = expected, .found = "something else"});
}

bool copy_line(const Attachment& bus, PageId page, const arena::PageLine& line,
               arena::LineCopy& out) {
    if (!arena::Arena::copy(line, out) || out.id != number(page)) return false;
    if (!arena::Arena::agrees(out)) throw_scribbled(bus, page, "a line that agrees with its check");
    return true;
}

bool is_sealed(const arena::Control& words, const arena::Tail& tail) noexcept {
    return words.seal.load(std::memory_order_acquire) == arena::seal_of(tail);
}

bool copy_fuzzy(Attachment& bus, Redone& page) {
    auto& info = page.info;
    const auto* line = bus.arena->line(page.line);
    if (!copy_line(bus, page.page, *line, info)) arena::Arena::copy_fuzzy(*line, info);
    page.found = info.id == number(page.page);
    page.target.make(0);
    if (!page.found) return true;
    const auto place = place_of(bus, page);
    if (!place) return false;
    page.target.make(place->size());
    arena::copy_from_shared(page.target.bytes().data(), place->data(), place->size());
    return true;
}

Position read_slow(Attachment& bus, std::span<Redone> pages) {
    if (!bus.logging) return read_locked(bus, pages);
    std::optional<Position> position;
    try_until_right(bus, pages.empty() ? PageId::none : pages.front().page,
                    [&] { return (position = slow_round(bus, pages)).has_value(); });
    return *position;
}

void read_large(Attachment& bus, Redone& page) {
    try_until_right(bus, page.page, [&] { return large_round(bus, page); });
}

}  // namespace mmsb::state
