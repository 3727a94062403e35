#include "arena/arena.hpp"

#include "arena/shared_bytes.hpp"
#include "base/bytes.hpp"
#include "base/steps.hpp"

#include <algorithm>
#include <new>

namespace mmsb::arena {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr std::array<char, 8> magic = {'M', 'M', 'S', 'B', 'A', 'R', 'N', 'A'};

}  // namespace

std::optional<Stamps> read_stamps(const os::File& file) {
    Stamps stamps;
    if (file.read(0, std::as_writable_bytes(std::span(&stamps, 1))) != sizeof stamps)
        return std::nullopt;
    if (stamps.magic != magic) return std::nullopt;
    return stamps;
}

Arena::Arena(os::File file, const Stamps& stamps) : file_(std::move(file)) {
    file_.allocate(0, writers_lock_at + 2 * 4096);
    file_.allocate(ring_at, stamps.geometry.ring_size);
    map(stamps);
    // The magic comes last: a file that was left half made is none of ours.
    control_->stamps = stamps;
    control_->stamps.layout = layout_fingerprint;
    write_fence();
    control_->stamps.magic = magic;
}

Arena::Arena(os::File file, const Stamps& stamps, bool writable)
    : file_(std::move(file)), writable_(writable) {
    map(stamps);
}

void Arena::map(const Stamps& stamps) {
    ring_size_ = stamps.geometry.ring_size;
    const auto least = 64 * limits::mib;
    control_map_ = os::Mapping::shared(file_, 0, control_size, control_size, writable_);
    ring_ = os::Mapping::mirrored(file_, ring_at, ring_size_, writable_);
    used_ = os::Mapping::shared(file_, used_at, 2 * limits::gib, least, writable_);
    table_ = os::Mapping::shared(file_, table_at, 60 * limits::gib, least, writable_);
    heap_ = os::Mapping::shared(file_, heap_at, limits::address_room - heap_at, least, writable_);
    control_ = std::launder(reinterpret_cast<Control*>(control_map_.data()));
}

void Arena::back(const os::Mapping& region, std::uint64_t at, Word& backed, std::uint64_t upto,
                 std::uint64_t step, const char* what) {
    const auto have = backed.load(relaxed);
    if (upto <= have) return;
    if (upto > region.room())
        throw OutOfSpace(ErrorCode::out_of_space,
                         std::string("no address room for ") + what + " of the arena",
                         {.path = "address space", .needed = upto, .available = region.room()});
    const auto want = std::min(region.room(), base::round_up(std::max(upto, have + step), 4096));
    try {
        file_.allocate(at + have, want - have);
        backed.store(want, std::memory_order_release);
    } catch (const OutOfSpace&) {
        const auto exact = base::round_up(upto, 4096);
        file_.allocate(at + have, exact - have);
        backed.store(exact, std::memory_order_release);
    }
}

// ---- lines --------------------------------------------------------------------------------------

PageLine* Arena::line(std::uint32_t number) const noexcept {
    const std::uint64_t end = (std::uint64_t{number} + 1) * sizeof(PageLine);
    if (end > std::min(control_->table_backed.load(std::memory_order_acquire), table_.room()))
        return nullptr;
    return std::launder(reinterpret_cast<PageLine*>(table_.data() + end - sizeof(PageLine)));
}

void Arena::copy_fuzzy(const PageLine& line, LineCopy& out) noexcept {
    out.lsn = line.lsn.load(std::memory_order_acquire);
    out.id = line.id.load(relaxed);
    out.epoch = line.epoch.load(relaxed);
    out.sequence = line.sequence.load(relaxed);
    out.size = line.size.load(relaxed);
    out.offset = line.offset.load(relaxed);
    out.location = line.location.load(relaxed);
}

bool Arena::copy(const PageLine& line, LineCopy& out) noexcept {
    copy_fuzzy(line, out);
    read_fence();
    return (out.lsn & busy) == 0 && line.lsn.load(std::memory_order_acquire) == out.lsn;
}

void Arena::back_line(std::uint32_t number) {
    back(table_, table_at, control_->table_backed, (std::uint64_t{number} + 1) * sizeof(PageLine),
         std::clamp<std::uint64_t>(control_->table_backed.load(relaxed) / 8, 64 * limits::kib,
                                   16 * limits::mib),
         "the page table");
}

std::uint32_t Arena::take_line() {
    Control& c = *control_;
    const auto used = c.lines_used.load(relaxed), free = c.lines_free.load(relaxed);
    if (free > 0 && free * 8 >= used) {
        // One line in eight is free at least: a few steps on average.
        auto at = c.line_cursor.load(relaxed);
        for (std::uint64_t steps = 0; steps < used; ++steps, ++at) {
            if (at >= used) at = 0;
            const PageLine* l = line(static_cast<std::uint32_t>(at));
            if (l != nullptr && l->id.load(relaxed) == 0 && (l->lsn.load(relaxed) & busy) == 0) {
                c.line_cursor.store(at + 1, relaxed);
                c.lines_free.store(free - 1, relaxed);
                return static_cast<std::uint32_t>(at);
            }
        }
    }
    if (used >= ~std::uint32_t{0})
        throw OutOfSpace(ErrorCode::out_of_space, "the page table is full",
                         {.path = "page table", .needed = used + 1, .available = used});
    back_line(static_cast<std::uint32_t>(used));
    c.lines_used.store(used + 1, relaxed);
    return static_cast<std::uint32_t>(used);
}

// ---- heap ---------------------------------------------------------------------------------------

std::uint64_t Arena::place_size(std::uint64_t size) noexcept {
    return base::round_up(size, size >= 4096 ? 4096 : granule);
}

std::optional<std::span<std::byte>> Arena::bytes(std::uint64_t offset,
                                                 std::uint64_t size) const noexcept {
    if (size == 0) return std::span<std::byte>{};
    const auto backed =
        std::min(control_->heap_backed.load(std::memory_order_acquire), heap_.room());
    if (offset > backed || size > backed - offset) return std::nullopt;
    return std::span(heap_.data() + offset, static_cast<std::size_t>(size));
}

void Arena::mark(std::uint64_t first, std::uint64_t count, bool set) noexcept {
    std::uint64_t* words = used();
    while (count > 0) {
        const auto bit = first % 64, n = std::min<std::uint64_t>(count, 64 - bit);
        const auto mask = (n == 64 ? ~std::uint64_t{0} : ((std::uint64_t{1} << n) - 1) << bit);
        auto& word = words[first / 64];
        word = set ? word | mask : word & ~mask;
        first += n;
        count -= n;
    }
}

std::optional<std::uint64_t> Arena::find_hole(std::uint64_t granules,
                                              std::uint64_t alignment) noexcept {
    const auto end = control_->heap_end.load(relaxed) / granule;
    const std::uint64_t* words = used();
    const auto start = control_->heap_cursor.load(relaxed);
    for (const auto& [from, to] :
         {std::pair{std::min(start, end), end}, std::pair{std::uint64_t{0}, end}}) {
        auto at = base::round_up(from, alignment);
        std::uint64_t run = at;
        while (run < to) {
            const auto word = words[run / 64] >> (run % 64);
            if ((word & 1U) != 0) {  // used: go on behind the run of used ones
                run += static_cast<std::uint64_t>(std::countr_one(word));
                at = run = base::round_up(run, alignment);
                continue;
            }
            run += std::min<std::uint64_t>(
                word == 0 ? 64 - run % 64 : static_cast<std::uint64_t>(std::countr_zero(word)),
                to - run);
            if (run - at >= granules) return at;
        }
    }
    return std::nullopt;
}

std::uint64_t Arena::take(std::uint64_t size) {
    if (size == 0) return 0;
    Control& c = *control_;
    const auto place = place_size(size), alignment = place >= 4096 ? 4096 : granule;
    const auto end = c.heap_end.load(relaxed), free = c.heap_free.load(relaxed);
    const auto hole = [&]() -> std::optional<std::uint64_t> {
        const auto found = find_hole(place / granule, alignment / granule);
        if (!found) return std::nullopt;
        mark(*found, place / granule, true);
        c.heap_free.store(free - place, relaxed);
        c.heap_cursor.store(*found + place / granule, relaxed);
        return *found * granule;
    };
    // Searching pays where a good part of the heap is free; else the end is taken.
    if (free >= std::max(place, end / 4)) {
        if (const auto found = hole()) return *found;
    }
    const auto at = base::round_up(end, alignment);
    if (place > limits::address_room || at + place > heap_.room())
        throw OutOfSpace(ErrorCode::out_of_space,
                         "a page does not fit into the arena's address room",
                         {.path = "address space",
                          .needed = place,
                          .available = heap_.room() - std::min(at, heap_.room())});
    const auto step = std::clamp<std::uint64_t>(end / 8, limits::mib, 64 * limits::mib);
    try {
        back(used_, used_at, c.used_backed, base::round_up((at + place) / granule / 8 + 8, 8),
             64 * limits::kib, "the bitmap");
        back(heap_, heap_at, c.heap_backed, at + place, step, "pages");
    } catch (const OutOfSpace&) {  // then every place that was given back is looked for
        const auto found = free >= place ? hole() : std::nullopt;
        if (!found) throw;
        return *found;
    }
    mark(at / granule, place / granule, true);
    c.heap_free.store(free + (at - end), relaxed);
    c.heap_end.store(at + place, relaxed);
    return at;
}

void Arena::release(std::uint64_t offset, std::uint64_t size) noexcept {
    if (size == 0) return;
    const auto place = place_size(size);
    if (!bytes(offset, place)) return;
    mark(offset / granule, place / granule, false);
    control_->heap_free.store(control_->heap_free.load(relaxed) + place, relaxed);
}

bool Arena::rebuild_allocator() noexcept {
    Control& c = *control_;
    const auto end = std::min(c.heap_end.load(relaxed), c.heap_backed.load(relaxed));
    const auto words =
        std::min(base::round_up(end / granule, 64) / 64, c.used_backed.load(relaxed) / 8);
    std::memset(used(), 0, words * 8);
    MMSB_STEP("allocator.cleared");
    std::uint64_t taken = 0, live = 0, total = 0, pages[3] = {0, 0, 0}, lines = 0;
    bool good = true;
    for (std::uint64_t n = 0; n < c.lines_used.load(relaxed); ++n) {
        const PageLine* l = line(static_cast<std::uint32_t>(n));
        if (l == nullptr) return false;
        if (l->id.load(relaxed) == 0) continue;
        ++live;
        lines = n + 1;
        const auto size = l->size.load(relaxed), offset = l->offset.load(relaxed);
        pages[std::min<std::uint32_t>(l->location.load(relaxed), 2)]++;
        total += size;
        if (size == 0) continue;
        const auto place = place_size(size);
        if (size > end || offset > end - std::min(end, place) || offset % granule != 0) {
            good = false;
            continue;
        }
        if ((used()[offset / granule / 64] >> (offset / granule % 64) & 1U) != 0) good = false;
        mark(offset / granule, place / granule, true);
        taken += place;
    }
    c.heap_free.store(end - std::min(end, taken), relaxed);
    // Lines that were taken in vain are given back, else there could be more of them than page ids.
    c.lines_used.store(lines, relaxed);
    c.lines_free.store(lines - live, relaxed);
    for (std::size_t i = 0; i < 3; ++i) c.pages_at[i].store(pages[i], relaxed);
    c.page_bytes.store(total, relaxed);
    return good;
}

}  // namespace mmsb::arena
