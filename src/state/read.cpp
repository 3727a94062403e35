#include "state/read.hpp"

#include "arena/shared_bytes.hpp"
#include "base/bytes.hpp"
#include "base/copy.hpp"
#include "base/steps.hpp"
#include "state/cursor.hpp"
#include "state/read_slow.hpp"
#include "state/stage.hpp"

#include <algorithm>

namespace mmsb::state {

namespace {

// A line that moves is tried again this often, behind a first look where the handle remembers the
// page. Redo costs little more than that.
constexpr int quick_tries = 2;

void check_range(PageId page, std::uint64_t size, std::uint64_t offset, std::uint64_t length) {
    if (offset > size || length > size - offset)
        throw_outside("a read", page, size, offset, length);
}

Version version_of(const arena::LineCopy& line) {
    return {Epoch{line.epoch}, Sequence{line.sequence}, line.stale()};
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

bool is_large(const Attachment& bus, std::uint64_t size) {
    return size > large_size && bus.logging;
}

void read_redone(Attachment& bus, Redone& page, bool large) {
    if (large)
        read_large(bus, page);
    else
        read_slow(bus, std::span(&page, 1));
    if (!page.found) throw_not_found(bus, page.page);
}

// Where each page's bytes begin in the memory of all: as aligned as memory of its own.
std::size_t room_for(std::uint64_t size) {
    return static_cast<std::size_t>(
        base::round_up(size, std::uint64_t{__STDCPP_DEFAULT_NEW_ALIGNMENT__}));
}

template <class SizeOf>
std::unique_ptr<std::byte[]> memory_for(std::span<Wanted> wanted, const SizeOf& size_of) {
    std::size_t total = 0;
    for (const auto& w : wanted) total += room_for(size_of(w));
    return std::make_unique_for_overwrite<std::byte[]>(total);
}

// All stand still, all are copied, all still stand as they did: then they were so at every moment
// in between, also when `tail` was taken.
bool read_many_quick(Attachment& bus, std::span<Wanted> wanted, ReadMany& result) {
    const auto& words = bus.words();
    const auto tail = arena::tail_of(words);
    if (!is_sealed(words, tail) || words.logged.load(std::memory_order_acquire) != tail.applied)
        return false;
    for (auto& w : wanted)
        if (!copy_line(bus, w.page, *bus.arena->line(w.line), w.info) ||
            w.info.lsn > tail.applied || !bus.arena->bytes(w.info.offset, w.info.size))
            return false;
    result.memory = memory_for(wanted, [](const Wanted& w) { return w.info.size; });
    auto* to = result.memory.get();
    for (auto& w : wanted) {
        const auto from = bus.arena->bytes(w.info.offset, w.info.size);
        if (!from) return false;
        arena::copy_from_shared(to, from->data(), from->size());
        w.bytes = {to, from->size()};
        w.found = true;
        to += room_for(w.info.size);
    }
    arena::read_fence();
    for (const auto& w : wanted)
        if (bus.arena->line(w.line)->lsn.load(std::memory_order_acquire) != w.info.lsn)
            return false;
    result.position = {tail.applied, Sequence{tail.sequence}};
    return true;
}

void read_many_slow(Attachment& bus, std::span<Wanted> wanted, ReadMany& result) {
    std::vector<Bytes> bytes(wanted.size());
    std::vector<Redone> pages;
    pages.reserve(wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i)
        pages.push_back({wanted[i].page, wanted[i].line, Target(bytes[i])});
    result.position = read_slow(bus, pages);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        wanted[i].found = pages[i].found;
        wanted[i].info = pages[i].info;
        wanted[i].bytes = bytes[i];
    }
    result.memory = memory_for(wanted, [](const Wanted& w) { return w.bytes.size(); });
    auto* to = result.memory.get();
    for (auto& w : wanted) {
        base::copy(w.bytes, to);
        w.bytes = {to, w.bytes.size()};
        to += room_for(w.bytes.size());
    }
}

// Wherever the page is by now, and whatever its writer does.
[[gnu::noinline]] Version read_anywhere(Attachment& bus, PageId page, std::uint32_t& line,
                                        std::span<std::byte> out, std::uint64_t offset) {
    arena::LineCopy info;
    const bool large = is_large(bus, out.size());
    for (int i = 0; i < quick_tries && !large; ++i)
        if (read_quick(bus, page, find_line(bus, page, line), out, offset, info))
            return version_of(info);
    if (large) static_cast<void>(find_line(bus, page, line));
    Redone redone{page, line, Target(out), offset, out.size()};
    read_redone(bus, redone, large);
    check_range(page, redone.info.size, offset, out.size());
    return version_of(redone.info);
}

// A page that lies where its handle remembers it, as programs mostly read them: the address of its
// bytes is known without its line, so the misses of both, and of the reads that follow, overlap.
// Nothing: it lies elsewhere, or is being written.
[[gnu::always_inline]] inline const arena::PageLine* line_in_place(const Attachment& bus,
                                                                   PageId page,
                                                                   std::uint32_t number_of_line,
                                                                   PlaceHint place,
                                                                   arena::LineCopy& info) {
    const auto* const line = place == 0 ? nullptr : bus.arena->line(number_of_line);
    if (line == nullptr) return nullptr;
    arena::Arena::copy_fuzzy(*line, info);
    arena::read_fence();
    const bool good = (info.lsn & arena::busy) == 0 && info.id == number(page) &&
                      info.offset == offset_of(place) && arena::Arena::agrees(info);
    return good ? line : nullptr;
}

// Nothing, with whatever in `out`: it is for read_anywhere().
std::optional<Version> read_in_place(const Attachment& bus, PageId page,
                                     std::uint32_t number_of_line, PlaceHint place,
                                     std::span<std::byte> out, std::uint64_t offset) {
    if (place == 0 || out.size() > large_size) return std::nullopt;
    const auto from = bus.arena->bytes(offset_of(place) + offset, out.size());
    arena::LineCopy info;
    const auto* const line = from ? line_in_place(bus, page, number_of_line, place, info) : nullptr;
    if (line == nullptr || offset > info.size || out.size() > info.size - offset)
        return std::nullopt;
    arena::copy_from_shared(out.data(), from->data(), out.size());
    arena::read_fence();
    MMSB_STEP("read.quick");
    if (line->lsn.load(std::memory_order_acquire) != info.lsn || bus.is_lost()) return std::nullopt;
    return version_of(info);
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

Version read_into(Attachment& bus, PageId page, std::uint32_t& line, PlaceHint place,
                  std::span<std::byte> out, std::uint64_t offset) {
    if (const auto version = read_in_place(bus, page, line, place, out, offset)) [[likely]]
        return *version;
    return read_anywhere(bus, page, line, out, offset);
}

Versioned<Bytes> read_page(Attachment& bus, PageId page, std::uint32_t& line) {
    Versioned<Bytes> result;
    arena::LineCopy info;
    bool large = false;
    for (int i = 0; i < quick_tries && !large; ++i) {
        const auto& l = find_line(bus, page, line);
        if (!arena::Arena::copy(l, info) || info.id != number(page)) continue;
        if (!bus.arena->bytes(info.offset, info.size)) continue;
        large = is_large(bus, info.size);
        if (large) break;
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
    Redone redone{page, line, Target(result.value)};
    read_redone(bus, redone, large);
    result.version = version_of(redone.info);
    return result;
}

arena::LineCopy read_line(Attachment& bus, PageId page, std::uint32_t& line) {
    arena::LineCopy info;
    for (int i = 0; i < quick_tries; ++i)
        if (copy_line(bus, page, find_line(bus, page, line), info) &&
            bus.arena->bytes(info.offset, info.size))
            return info;
    Redone redone{page, line, Target(std::span<std::byte>{}), 0, 0};
    read_redone(bus, redone, false);
    return redone.info;
}

ReadMany read_many(Attachment& bus, std::span<Wanted> wanted) {
    ReadMany result;
    for (auto& w : wanted) static_cast<void>(find_line(bus, w.page, w.line));
    bool large = false;  // a copy in vain costs more than redo
    for (int i = 0; i < quick_tries && !large; ++i) {
        const bool right = read_many_quick(bus, wanted, result);
        bus.require_memory();
        if (right) return result;
        std::uint64_t total = 0;
        for (const auto& w : wanted) total += w.bytes.size();
        large = is_large(bus, total);
    }
    read_many_slow(bus, wanted, result);
    return result;
}

bool peek(Attachment& bus, PageId page, std::uint32_t& line, PlaceHint place,
          FunctionRef<void(std::span<const std::byte>)> fn) {
    arena::LineCopy info;
    auto at = offset_of(place);
    const auto* l = line_in_place(bus, page, line, place, info);
    if (l == nullptr) [[unlikely]] {
        l = &find_line(bus, page, line);
        if (!copy_line(bus, page, *l, info)) return false;
        at = info.offset;
    }
    const auto bytes = bus.arena->bytes(at, info.size);
    if (!bytes) return false;
    const auto stands = [&] {
        arena::read_fence();
        bus.require_memory();
        return l->lsn.load(std::memory_order_acquire) == info.lsn;
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
