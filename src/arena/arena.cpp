#include "arena/arena.hpp"

#include "arena/shared_bytes.hpp"
#include "base/bytes.hpp"
#include "base/steps.hpp"
#include "os/file_system.hpp"

#include <algorithm>
#include <bit>
#include <new>

namespace mmsb::arena {

namespace {

constexpr std::array<char, 8> magic = {'M', 'M', 'S', 'B', 'A', 'R', 'N', 'A'};

void raise(std::atomic<std::uint64_t>& word, std::uint64_t to) noexcept {
    auto now = word.load(std::memory_order_acquire);
    while (now < to && !word.compare_exchange_weak(now, to)) {
    }
}

}  // namespace

std::optional<Stamps> read_stamps(const os::File& file) {
    Stamps stamps;
    if (file.read(0, std::as_writable_bytes(std::span(&stamps, 1))) != sizeof stamps)
        return std::nullopt;
    if (stamps.magic != magic) return std::nullopt;
    return stamps;
}

Arena::Arena(os::File file, const Stamps& stamps) : file_(std::move(file)) {
    make(stamps, stamps.geometry.ring_size);
}

Arena::Arena(os::File file, const Stamps& stamps, std::uint64_t log_begins)
    : file_(std::move(file)), log_begins_(log_begins), ring_backed_(log_begins) {
    make(stamps, 0);
}

void Arena::make(const Stamps& stamps, std::uint64_t of_ring) {
    file_.allocate(0, writers_lock_at + 2 * 4096);
    map(stamps);
    ring_.allocate(file_, 0, of_ring);
    raise(size_, os::extent_of(file_).size);
    // The magic comes last: a file that was left half made is none of ours.
    control_->stamps = stamps;
    control_->stamps.layout = layout_fingerprint;
    write_fence();
    control_->stamps.magic = magic;
}

Arena::Arena(os::File file, const Stamps& stamps, bool writable)
    : file_(std::move(file)), writable_(writable) {
    const auto size = os::extent_of(file_).size;
    if (const auto least = ring_at + stamps.geometry.ring_size; size < least)
        throw Corrupt(ErrorCode::corrupt, file_.path() + ": this shared memory was cut short",
                      {.path = file_.path(),
                       .expected = std::to_string(least) + " bytes at least",
                       .found = std::to_string(size),
                       .offset = size});
    map(stamps);
}

void Arena::map(const Stamps& stamps) {
    ring_size_ = stamps.geometry.ring_size;
    in_memory_ = os::is_in_memory(file_);
    raise(size_, os::extent_of(file_).size);
    const auto least = 64 * limits::mib;
    control_map_ = os::Mapping::shared(file_, 0, control_size, control_size, writable_);
    ring_ = os::Mapping::mirrored(file_, ring_at, ring_size_, writable_);
    used_.map = os::Mapping::shared(file_, used_at, 2 * limits::gib, least, writable_);
    table_.map = os::Mapping::shared(file_, table_at, 60 * limits::gib, least, writable_);
    heap_.map =
        os::Mapping::shared(file_, heap_at, limits::address_room - heap_at, least, writable_);
    control_ = std::launder(reinterpret_cast<Control*>(control_map_.data()));
}

// A word says how much is backed, but anybody may have written it: touching what lies behind the
// end of the file is SIGBUS. In memory the file cannot hold more than was allocated, either; what
// lies in a hole would be taken at a touch, so a word must not make us walk over holes.
std::uint64_t Arena::look(const Region& region) const noexcept {
    auto claimed =
        std::min((control_->*region.word).load(std::memory_order_acquire), region.map.room());
    const auto extent = os::extent_of(file_);
    raise(size_, extent.size);
    claimed = std::min(claimed, extent.size - std::min(extent.size, region.at));
    if (in_memory_) claimed = std::min(claimed, extent.allocated);
    raise(region.known, claimed / 4096 * 4096);
    return region.known.load(std::memory_order_acquire);
}

// What it was is read first: others make it longer meanwhile.
bool Arena::is_cut() const noexcept {
    const auto was = size_.load();
    const auto now = os::extent_of(file_);
    if (now.known && now.size < was) cut_.store(true);
    return cut_.load();
}

void Arena::throw_cut() const {
    throw Corrupt(ErrorCode::corrupt,
                  file_.path() +
                      ": another process made this shared memory shorter while it was in "
                      "use; the bus has to be left and opened again",
                  {.path = file_.path(),
                   .expected = std::to_string(size_.load()) + " bytes at least",
                   .found = "a shorter file"});
}

void Arena::back(Region& region, std::uint64_t upto, std::uint64_t step) {
    const auto have = backed(region, upto);
    if (upto <= have) return;
    if (upto > region.map.room())
        throw OutOfSpace(ErrorCode::out_of_space,
                         std::string("no address room for ") + region.name + " of the arena",
                         {.path = "address space", .needed = upto, .available = region.map.room()});
    const auto grow = [&](std::uint64_t want, bool in_parts) {
        for (auto at = region.known.load(relaxed); at < want;) {
            const auto part = base::round_up(region.at + at + 1, os::large_page) - region.at;
            const auto next = in_parts ? std::min(want, part) : want;
            // Growing gives the file its size back: nobody would see any more that it has holes.
            if (is_cut()) throw_cut();
            region.map.allocate(file_, at, next - at);
            raise(size_, region.at + next);
            region.known.store(next, std::memory_order_release);
            (control_->*region.word).store(next, std::memory_order_release);
            at = next;
        }
    };
    // Large pages as soon as a region is not the smallest any more: its beginning joins one then.
    const auto unit = have == 0 ? 4096 : os::large_page;
    const auto want =
        std::min(region.map.room(), base::round_up(std::max(upto, have + step), unit));
    try {
        grow(want, in_memory_);  // known part by part: a large page stays, if the next has no room
    } catch (const OutOfSpace&) {
        grow(base::round_up(upto, 4096), false);
    }
}

std::uint64_t Arena::back_ring(std::uint64_t upto) {
    const auto lap = log_begins_ + ring_size_;
    while (ring_backed_ < std::min(upto, lap)) {
        const auto at = ring_backed_ & (ring_size_ - 1);
        // A large page is zeroed as it is allocated: more of them at once would be a pause.
        const auto step =
            std::min(os::large_page - (ring_at + at) % os::large_page, ring_size_ - at);
        ring_.allocate(file_, at, step);
        ring_backed_ += step;
    }
    // Once around, and all of it is backed.
    return ring_backed_ < lap ? ring_backed_ : ~std::uint64_t{0};
}

std::vector<std::span<std::byte>> Arena::mappings() const {
    std::vector<std::span<std::byte>> all{{control_map_.data(), control_size},
                                          {ring_.data(), static_cast<std::size_t>(2 * ring_size_)}};
    for (const auto* region : {&used_, &table_, &heap_})
        all.emplace_back(region->map.data(), static_cast<std::size_t>(region->map.room()));
    return all;
}

void Arena::contradiction(const Word& word, const std::string& expected) const {
    const auto at =
        static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(&word) - control_map_.data());
    const auto found = std::to_string(word.load(relaxed));
    throw Corrupt(ErrorCode::corrupt,
                  file_.path() + ": the shared memory contradicts itself at " + std::to_string(at) +
                      ": expected " + expected + ", found " + found,
                  {.path = file_.path(), .expected = expected, .found = found, .offset = at});
}

// ---- lines --------------------------------------------------------------------------------------

void Arena::seal(PageLine& line, std::uint64_t lsn) noexcept {
    LineCopy now;
    copy_fuzzy(line, now);
    now.lsn = lsn;
    line.check.store(check_of(now), relaxed);
}

void Arena::back_line(std::uint32_t number) {
    const auto end = (std::uint64_t{number} + 1) * sizeof(PageLine);
    back(table_, end, std::clamp<std::uint64_t>(end / 8, 64 * limits::kib, 16 * limits::mib));
}

std::uint64_t Arena::lines_used() const {
    const auto used = control_->lines_used.load(relaxed);
    constexpr std::uint64_t most = ~std::uint32_t{0};
    const auto there = used <= most ? backed(table_, used * sizeof(PageLine)) : 0;
    if (used > there / sizeof(PageLine))
        contradiction(control_->lines_used,
                      "at most " + std::to_string(there / sizeof(PageLine)) + " lines in use");
    return used;
}

std::uint32_t Arena::take_line() {
    Control& c = *control_;
    const auto used = lines_used(), free = c.lines_free.load(relaxed);
    if (free > 0 && free <= used && free * 8 >= used) {
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

std::uint64_t Arena::granules() const noexcept {
    return backed(used_, (control_->heap_end.load(relaxed) / granule + 7) / 8) * 8;
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

bool Arena::any_used(std::uint64_t first, std::uint64_t count) const noexcept {
    const std::uint64_t* words = used();
    while (count > 0) {
        const auto bit = first % 64, n = std::min<std::uint64_t>(count, 64 - bit);
        const auto mask = (n == 64 ? ~std::uint64_t{0} : ((std::uint64_t{1} << n) - 1) << bit);
        if ((words[first / 64] & mask) != 0) return true;
        first += n;
        count -= n;
    }
    return false;
}

// REQUIRES that the bitmap has bits for all below heap_end.
std::optional<std::uint64_t> Arena::find_hole(std::uint64_t wanted,
                                              std::uint64_t alignment) noexcept {
    const auto end = std::min(control_->heap_end.load(relaxed) / granule, granules());
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
            if (run - at >= wanted) return at;
        }
    }
    return std::nullopt;
}

std::uint64_t Arena::take(std::uint64_t size) {
    if (size == 0) return 0;
    Control& c = *control_;
    const auto end = c.heap_end.load(relaxed), free = c.heap_free.load(relaxed);
    if (const auto there = backed(heap_, end); end > there || end % granule != 0)
        contradiction(c.heap_end, "a multiple of 64, at most " + std::to_string(there));
    if (size > limits::address_room ||
        base::round_up(end, 4096) + place_size(size) > heap_.map.room())
        throw OutOfSpace(ErrorCode::out_of_space,
                         "a page does not fit into the arena's address room",
                         {.path = "address space",
                          .needed = size,
                          .available = heap_.map.room() - std::min(end, heap_.map.room())});
    const auto place = place_size(size), alignment = place >= 4096 ? 4096 : granule;
    const auto hole = [&]() -> std::optional<std::uint64_t> {
        const auto found = find_hole(place / granule, alignment / granule);
        if (!found) return std::nullopt;
        mark(*found, place / granule, true);
        c.heap_free.store(free - place, relaxed);
        c.heap_cursor.store(*found + place / granule, relaxed);
        return *found * granule;
    };
    // Searching pays where a good part of the heap is free; else the end is taken.
    if (free <= end && free >= std::max(place, end / 4)) {
        if (const auto found = hole()) return *found;
    }
    const auto at = base::round_up(end, alignment);
    const auto step = std::clamp<std::uint64_t>(end / 8, limits::mib, 16 * limits::mib);
    try {
        back(used_, base::round_up((at + place) / granule / 8 + 8, 8), 64 * limits::kib);
        back(heap_, at + place, step);
    } catch (const OutOfSpace&) {  // then every place that was given back is looked for
        const auto found = free >= place && free <= end ? hole() : std::nullopt;
        if (!found) throw;
        return *found;
    }
    if (any_used(at / granule, place / granule))
        contradiction(c.heap_end, "nothing in use behind it");
    mark(at / granule, place / granule, true);
    c.heap_free.store(free + (at - end), relaxed);
    c.heap_end.store(at + place, relaxed);
    return at;
}

void Arena::release(std::uint64_t offset, std::uint64_t size) noexcept {
    if (size == 0 || offset % granule != 0 || !bytes(offset, size)) return;
    const auto place = place_size(size);
    const auto first = offset / granule, count = place / granule;
    if (first + count > backed(used_, (first + count + 63) / 64 * 8) * 8) return;
    mark(first, count, false);
    control_->heap_free.store(control_->heap_free.load(relaxed) + place, relaxed);
}

bool Arena::rebuild_allocator() noexcept {
    Control& c = *control_;
    const auto claimed = c.heap_end.load(relaxed);
    const auto end = std::min(claimed, backed(heap_, claimed));
    const auto bits = base::round_up(end / granule, 64);
    if (end != claimed || bits / 8 > backed(used_, bits / 8)) return false;
    // All of it: who died in take() may have left marks behind heap_end.
    // He may also have backed more for them than is known here; as far as there can be places.
    std::memset(used(), 0, std::min(look(used_), base::round_up(look(heap_) / granule / 8, 8)));
    MMSB_STEP("allocator.cleared");
    std::uint64_t taken = 0, live = 0, total = 0, pages[3] = {0, 0, 0}, lines = 0;
    bool good = true;
    const auto used_lines = c.lines_used.load(relaxed);
    constexpr std::uint64_t most = ~std::uint32_t{0};
    if (used_lines > most ||
        used_lines * sizeof(PageLine) > backed(table_, used_lines * sizeof(PageLine)))
        return false;
    for (std::uint64_t n = 0; n < used_lines; ++n) {
        const PageLine* l = line(static_cast<std::uint32_t>(n));
        if (l == nullptr) return false;
        if (l->id.load(relaxed) == 0) continue;
        ++live;
        lines = n + 1;
        const auto size = l->size.load(relaxed), offset = l->offset.load(relaxed);
        pages[std::min<std::uint32_t>(location_of(l->location.load(relaxed)), 2)]++;
        total += size;
        if (size == 0) continue;
        if (size > end || place_size(size) > end || offset > end - place_size(size) ||
            offset % granule != 0) {
            good = false;
            continue;
        }
        const auto place = place_size(size);
        if (any_used(offset / granule, place / granule)) good = false;
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
