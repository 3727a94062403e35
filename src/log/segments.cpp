#include "log/segments.hpp"

#include "base/steps.hpp"
#include "log/segments_new_file.hpp"
#include "os/file_system.hpp"
#include "os/process.hpp"

#include <mmsb/error.hpp>

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

namespace mmsb::log {
namespace {

constexpr std::uint64_t largest_step = 16 * limits::mib;
/// Of the fields in a segment's header, for messages.
constexpr std::uint64_t bus_offset = 16, id_offset = 32;

std::string hex(const Uuid& uuid) {
    std::string out;
    for (const auto b : uuid) out += fmt::format("{:02x}", std::to_integer<unsigned>(b));
    return out;
}

Lsn capacity_end(const Segment& segment) { return segment.header.start + segment.header.capacity; }

std::uint64_t file_offset(const Segment& segment, Lsn lsn) {
    return segment_header_size + (lsn - segment.header.start);
}

/// Runs what writes or syncs. Whatever the disk says of that is said as InDoubt, its errno kept.
template <class F>
void in_doubt_if_it_fails(const std::string& path, const F& write) {
    const auto doubt = [&](const Error& e, int system_error) {
        throw InDoubt(ErrorCode::io, e.what(), {.path = path, .system = system_error});
    };
    try {
        write();
    } catch (const Io& e) {
        doubt(e, e.system_error());
    } catch (const OutOfSpace& e) {
        doubt(e, e.system_error());
    }
}

[[noreturn]] void missing(const std::string& path, std::string expected, std::string found) {
    refuse(path, {Refusal::Kind::damaged, 0, std::move(expected), std::move(found)});
}

}  // namespace

Segments::Segments(os::Folder& folder, const Uuid& bus, const limits::Geometry& geometry,
                   bool writable)
    : folder_(folder), bus_(bus), geometry_(geometry), writable_(writable) {
    if (writable_) NewFile::sweep(folder_);
    std::uint64_t expected = 0;
    for (const auto& name : folder_.list()) {  // Sorted: by id.
        const auto id = segment_id(name);
        if (!id) continue;
        if (expected != 0 && *id != expected) {
            missing(folder_.path() + '/' + segment_name(expected),
                    fmt::format("segment {}", expected), fmt::format("segment {} next", *id));
        }
        expected = *id + 1;
        auto segment = open_segment(*id);
        if (!segment) segments_.clear();  // dropped by another process meanwhile: so were these
        add(std::move(segment));
    }
}

Segments::Known Segments::open_segment(std::uint64_t id) {
    auto file = folder_.open(segment_name(id), os::Create::never, writable_);
    if (!file) return nullptr;
    std::array<std::byte, segment_header_size> bytes{};
    const auto size = file->read(0, bytes);
    auto decoded = decode_segment(std::span(bytes).first(size));
    if (!decoded.value) refuse(file->path(), decoded.refusal);
    const auto& header = *decoded.value;
    if (header.id != id) {
        refuse(file->path(), {Refusal::Kind::damaged, id_offset, fmt::format("segment {}", id),
                              fmt::format("segment {}", header.id)});
    }
    if (header.bus != bus_) {
        refuse(file->path(), {Refusal::Kind::foreign, bus_offset, "a segment of bus " + hex(bus_),
                              "one of bus " + hex(header.bus)});
    }
    return std::make_shared<const Segment>(Segment{header, std::move(*file)});
}

void Segments::add(Known segment) {
    if (!segment) return;
    if (!segments_.empty() && segment->header.id <= segments_.back()->header.id) return;
    const auto start = segment->header.start;
    while (!segments_.empty() && segments_.back()->header.start >= start) segments_.pop_back();
    if (!segments_.empty() && capacity_end(*segments_.back()) < start) {
        missing(segment->file.path(),
                fmt::format("a segment that holds position {}", capacity_end(*segments_.back())),
                fmt::format("the next one to start at {}", start));
    }
    segments_.push_back(std::move(segment));
    kept_.forget();
}

void Segments::refresh() {
    while (!frozen_) {
        const auto last = segments_.empty() ? 0 : segments_.back()->header.id;
        auto next = open_segment(last + 1);
        if (!next) next = open_behind(last);
        if (!next) return;
        add(std::move(next));
    }
}

// Others may have made segments and dropped them again before this object looked. They drop the
// oldest ones first, so the last one that is known here is gone then, and all before it.
Segments::Known Segments::open_behind(std::uint64_t last) {
    if (last != 0 && folder_.open(segment_name(last), os::Create::never, false)) return nullptr;
    for (bool any = true; any;) {
        any = false;
        for (const auto& name : folder_.list()) {
            const auto id = segment_id(name);
            if (!id || *id <= last) continue;
            any = true;
            if (auto found = open_segment(*id)) {
                segments_.clear();
                return found;
            }
        }
    }
    return nullptr;
}

Segments::Place Segments::place_of(Lsn lsn) const {
    const auto after =
        std::upper_bound(segments_.begin(), segments_.end(), lsn,
                         [](Lsn l, const Known& segment) { return l < segment->header.start; });
    if (after == segments_.begin()) return {};
    const auto& segment = *std::prev(after);
    const auto end = after == segments_.end()
                         ? capacity_end(*segment)
                         : std::min(capacity_end(*segment), (*after)->header.start);
    return lsn < end ? Place{segment, end} : Place{};
}

Segments::Place Segments::locate(Lsn lsn) {
    {
        const std::shared_lock lock(mutex_);
        auto place = place_of(lsn);
        if (place.segment && (writable_ || place.segment != segments_.back())) return place;
    }
    const std::unique_lock lock(mutex_);
    refresh();
    return place_of(lsn);
}

std::vector<Segments::Place> Segments::places(Lsn upto) {
    const std::unique_lock lock(mutex_);
    if (!writable_ || segments_.empty() || upto > capacity_end(*segments_.back())) refresh();
    std::vector<Place> all;
    all.reserve(segments_.size());
    for (const auto& segment : segments_) all.push_back(place_of(segment->header.start));
    return all;
}

std::shared_ptr<const Segment> Segments::find(Lsn lsn) { return locate(lsn).segment; }

Lsn Segments::end_of(const Segment& segment) {
    const std::unique_lock lock(mutex_);
    if (segments_.empty() || (!writable_ && segments_.back()->header.id <= segment.header.id))
        refresh();
    auto end = capacity_end(segment);
    for (const auto& other : segments_) {
        if (other->header.id > segment.header.id) end = std::min(end, other->header.start);
    }
    return std::max(end, segment.header.start);
}

std::vector<std::shared_ptr<const Segment>> Segments::all() {
    const std::unique_lock lock(mutex_);
    refresh();
    return segments_;
}

Lsn Segments::oldest() {
    const std::unique_lock lock(mutex_);
    refresh();
    return segments_.empty() ? no_lsn : segments_.front()->header.start;
}

Segments::Known Segments::make_segment(Lsn start, std::int64_t base_time_ns, std::uint64_t room) {
    SegmentHeader header{.bus = bus_, .start = start, .base_time_ns = base_time_ns};
    {
        const std::unique_lock lock(mutex_);
        refresh();
        header.id = segments_.empty() ? 1 : segments_.back()->header.id + 1;
        if (!segments_.empty() && capacity_end(*segments_.back()) < start) {
            throw InvalidArgument(ErrorCode::invalid_argument,
                                  "a segment would leave a gap in the log");
        }
    }
    header.capacity = geometry_.segment_size;
    os::random_bytes(std::as_writable_bytes(std::span(&header.salt, 1)));
    const auto bytes = encode_segment(header);
    if (auto decoded = decode_segment(bytes); !decoded.value) {
        throw InvalidArgument(ErrorCode::invalid_argument,
                              "no segment can start there: expected " + decoded.refusal.expected);
    }
    const auto name = segment_name(header.id);
    NewFile made(folder_);
    made.file().allocate(0, segment_header_size + std::min(room, header.capacity));
    made.file().write(0, bytes);
    MMSB_STEP("segment.written");
    made.file().sync_data();
    MMSB_STEP("segment.synced");
    if (!made.publish(name)) os::fail(EEXIST, "link", folder_.path() + '/' + name);
    MMSB_STEP("segment.named");
    in_doubt_if_it_fails(folder_.path(), [&] { folder_.sync(); });
    MMSB_STEP("segment.name_synced");
    auto segment = open_segment(header.id);
    const std::unique_lock lock(mutex_);
    add(segment);
    names_synced_ = std::max(names_synced_, header.id);
    return segment;
}

std::shared_ptr<const Segment> Segments::start_segment(Lsn start, std::int64_t base_time_ns,
                                                       std::uint64_t room) {
    auto segment = make_segment(start, base_time_ns, room);
    const std::unique_lock lock(mutex_);
    prepared_ = start + std::min(room, segment->header.capacity);
    return segment;
}

/// Allocates in files, and takes it back unless it is kept.
class Segments::Growth {
public:
    Growth() = default;
    Growth(const Growth&) = delete;
    Growth& operator=(const Growth&) = delete;
    ~Growth() {
        for (const auto& [segment, size] : grown_) {
            try {
                segment->file.truncate(size);
            } catch (const std::exception&) {
                // Then it takes more room than it needs: the next prepare finds it there.
            }
        }
    }
    void keep() noexcept { grown_.clear(); }

    /// Room up to `upto`, or the segment's end, and some more; returns up to where there is room.
    Lsn grow(const Place& place, Lsn upto, Lsn used) {
        const auto& [segment, end] = place;
        if (used >= end) return end;
        const auto& file = segment->file;
        const auto size = std::max<std::uint64_t>(file.size(), segment_header_size);
        const auto have = std::min(end, segment->header.start + (size - segment_header_size));
        // A copy of a bus may have holes where there was room.
        if (file.allocated() < size) {
            const auto from = file_offset(*segment, std::max(segment->header.start, used));
            if (from < size) file.allocate(from, size - from);
        }
        if (have >= std::min(upto, end)) return have;
        // Memory is zeroed as it is allocated: a large step would be a pause.
        const auto most = os::is_in_memory(file) ? smallest_step : largest_step;
        const auto from = std::max(have, used);
        const auto step = std::clamp(from - segment->header.start, smallest_step, most);
        const auto target = std::min(end, std::max(upto, from + step));
        grown_.emplace_back(segment, size);
        file.allocate(file_offset(*segment, from), target - from);
        return target;
    }
    [[nodiscard]] static bool is_short(const Place& place) {
        return place.segment->file.size() < file_offset(*place.segment, place.end);
    }

private:
    std::vector<std::pair<Known, std::uint64_t>> grown_{};
};

Lsn Segments::prepare(Lsn upto, std::int64_t base_time_ns, Lsn used) {
    {
        const std::shared_lock lock(mutex_);
        if (upto <= prepared_) return prepared_;
    }
    const auto all = places();
    if (all.empty())
        throw InvalidArgument(ErrorCode::invalid_argument, "there is no segment to prepare");
    // Room is wanted from the first file on that is short of its range's end: mostly the last one.
    auto at = all.size() - 1;
    while (at > 0 && (all[at].segment->header.start >= upto || Growth::is_short(all[at - 1]))) --at;
    Growth growth;
    Lsn reached = 0;
    for (; at < all.size(); ++at) {
        reached = growth.grow(all[at], upto, used);
        if (reached >= upto) break;
    }
    while (reached < upto) {
        const auto room = std::min(std::max(upto - reached, smallest_step), geometry_.segment_size);
        reached = make_segment(reached, base_time_ns, room)->header.start + room;
    }
    growth.keep();
    const std::unique_lock lock(mutex_);
    return prepared_ = reached;
}

void Segments::write(Lsn lsn, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const auto [segment, end] = locate(lsn);
        if (!segment) {
            missing(folder_.path(), fmt::format("a segment that holds position {}", lsn), "none");
        }
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), end - lsn));
        in_doubt_if_it_fails(segment->file.path(), [&, to = segment] {
            to->file.write(file_offset(*to, lsn), bytes.first(n));
        });
        bytes = bytes.subspan(n);
        lsn += n;
    }
}

std::size_t Segments::read(Lsn lsn, std::span<std::byte> out) {
    std::size_t done = 0;
    while (done < out.size()) {
        const auto [segment, end] = locate(lsn + done);
        if (!segment) break;
        const auto want = static_cast<std::size_t>(
            std::min<std::uint64_t>(out.size() - done, end - (lsn + done)));
        const auto got =
            segment->file.read(file_offset(*segment, lsn + done), out.subspan(done, want));
        done += got;
        if (got < want) break;
    }
    return done;
}

void Segments::sync(Lsn from, Lsn to) {
    if (from >= to) return;
    std::uint64_t newest = 0;
    for (const auto& [segment, end] : places(to)) {
        if (end <= from || segment->header.start >= to) continue;
        in_doubt_if_it_fails(segment->file.path(), [&, of = segment] { of->file.sync_data(); });
        newest = segment->header.id;
    }
    {
        const std::shared_lock lock(mutex_);
        if (newest <= names_synced_) return;
    }
    // Who made the file may have died before its name was synced.
    in_doubt_if_it_fails(folder_.path(), [&] { folder_.sync(); });
    const std::unique_lock lock(mutex_);
    names_synced_ = std::max(names_synced_, newest);
}

void Segments::trim(Lsn end) {
    for (const auto& [segment, range_end] : places()) {
        if (range_end <= end) continue;
        const auto size = file_offset(*segment, std::max(end, segment->header.start));
        if (segment->file.size() > size) segment->file.truncate(size);
    }
    const std::unique_lock lock(mutex_);
    prepared_ = std::min(prepared_, end);
}

void Segments::drop_before(Lsn lsn) {
    std::uint64_t first = 0;
    {
        const std::unique_lock lock(mutex_);
        refresh();
        while (segments_.size() > 1 && segments_[1]->header.start <= lsn) {
            segments_.erase(segments_.begin());
            first = segments_.front()->header.id;
        }
    }
    if (first == 0) return;
    for (const auto& name : folder_.list()) {
        if (const auto id = index_id(name); id && *id < first) folder_.remove(name);
        const auto id = segment_id(name);
        if (!id || *id >= first) continue;
        // One by one, so that no power cut leaves an older one without a newer one. (Before, not
        // after: whoever removed the one before may have died.)
        folder_.sync();
        folder_.remove(name);
        MMSB_STEP("segment.removed");
    }
}

void Segments::punch_before(Lsn lsn) {
    const auto [segment, end] = locate(lsn);
    if (!segment || segment->header.start >= lsn) return;
    const auto upto = file_offset(*segment, lsn) / 4096 * 4096;
    if (upto > segment_header_size)
        segment->file.punch(segment_header_size, upto - segment_header_size);
}

}  // namespace mmsb::log
