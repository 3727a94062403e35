#include "state/salvage.hpp"

#include "log/scan.hpp"
#include "state/checkpoints.hpp"
#include "state/cursor.hpp"
#include "state/found_arena.hpp"
#include "state/header.hpp"
#include "state/rebuild.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <utility>

namespace mmsb::state {

namespace {

// Where a past may begin: a checkpoint, or the start of the log.
struct Origin {
    Sequence sequence = Sequence::zero;
    Lsn lsn = first_lsn;
    std::string checkpoint{};
};

bool is_good(Attachment& bus, const std::string& checkpoint) {
    const auto file = bus.checkpoints->open(checkpoint, os::Create::never, false);
    if (!file) return false;
    try {
        static_cast<void>(read_own_checkpoint(*file, {.which = replay::Keep::Which::none}));
        return true;
    } catch (const Corrupt&) {
        return false;
    }
}

// The records of [from, to) can be read. Else the position behind what cannot.
std::optional<Lsn> behind_damage(Attachment& bus, Lsn from, Lsn to) {
    Cursor cursor(bus, from, to);
    bool in_body = false;
    const auto behind = [&] { return in_body ? cursor.at() : cursor.at() + 1; };
    try {
        while (cursor.next()) {
            in_body = true;
            static_cast<void>(cursor.body());
            in_body = false;
        }
        return std::nullopt;
    } catch (const Corrupt&) {
        return behind();
    }
}

// The oldest beginning from which everything up to `end` can be read; `used`, if there is none.
Origin oldest_readable(Attachment& bus, const Origin& used, Lsn end) {
    std::vector<Origin> all;
    if (bus.changing.base_lsn.load() <= first_lsn) all.emplace_back();
    for (auto& file : checkpoint_files(bus))
        if (file.lsn >= bus.changing.base_lsn.load() && file.lsn < used.lsn)
            all.push_back({file.sequence, file.lsn, std::move(file.name)});
    Lsn behind = 0;
    for (auto& beginning : all) {
        if (beginning.lsn < behind) continue;
        if (!beginning.checkpoint.empty() && !is_good(bus, beginning.checkpoint)) continue;
        const auto damage = behind_damage(bus, beginning.lsn, end);
        if (!damage) return std::move(beginning);
        behind = *damage;
    }
    return used;
}

void begin_history(Attachment& bus, const Origin& at) {
    bus.words().history_sequence.store(number(at.sequence));
    bus.words().history_lsn.store(at.lsn);
}

// Of a segment whose header is not good: how much of its file is used behind that. Nothing: there
// is no file.
std::optional<std::uint64_t> bytes_in(const Attachment& bus, std::uint64_t id) {
    const auto file = bus.log_folder->open(log::segment_name(id), os::Create::never, false);
    if (!file) return std::nullopt;
    const auto& geometry = bus.header.geometry;
    const auto size = std::min(file->size(), log::segment_header_size + geometry.segment_size);
    std::vector<std::byte> bytes(size - std::min<std::uint64_t>(size, log::segment_header_size));
    bytes.resize(file->read(log::segment_header_size, bytes));
    return log::used_bytes(bytes);
}

// What cannot be read of a segment is what ended the log, where it is the one that comes next.
void tell_problem(Attachment& bus, const Rebuilt& rebuilt,
                  const std::vector<log::Segments::Problem>& problems) {
    const auto last = bus.segments->find(rebuilt.end - 1);
    const auto id = last ? last->header.id : 0;
    const auto next = std::ranges::find_if(problems, [&](const auto& p) { return p.id > id; });
    if (next == problems.end()) return;
    auto& damage = bus.recovery.damage;
    const bool within = damage && last && damage->file == last->file.path() &&
                        rebuilt.end < bus.segments->end_of(*last);
    if (!damage) damage.emplace().bytes = std::exchange(bus.recovery.dropped_bytes, 0);
    for (auto lost = next; lost != problems.end(); ++lost) {
        const auto bytes = bytes_in(bus, lost->id);
        damage->bytes += bytes.value_or(0);
        damage->segments += bytes ? 1 : 0;
    }
    // Damage within the last good segment comes first.
    if (within) return;
    damage->file = next->path;
    damage->offset = next->why.offset;
    damage->expected = next->why.expected;
    damage->found = next->why.found;
    damage->good_until = Sequence{bus.words().sequence.load()};
}

void rebuild_upto(Attachment& bus, std::optional<Lsn> limit,
                  std::vector<log::Segments::Problem>& problems) {
    auto& recovery = bus.recovery;
    recovery = {};
    bus.catalog.load({});
    problems.clear();
    bus.segments = std::make_unique<log::Segments>(*bus.log_folder, bus.header.uuid, problems);
    bus.arena = std::make_unique<arena::Arena>(os::memory_file("mmsb arena"), stamps_for(bus));
    const auto base = std::max<Lsn>(first_lsn, bus.changing.base_lsn.load());
    begin_history(bus, {Sequence{bus.changing.base_sequence.load()}, base, {}});
    const auto start = newest_checkpoint(bus, Sequence::newest, {}, &recovery.damaged_checkpoint);
    const auto rebuilt = rebuild(bus, start ? &start->image : nullptr,
                                 {.limit = limit.value_or(log::no_lsn), .stop_at_damage = true});
    recovery.needed = !rebuilt.clean && !rebuilt.fresh;
    recovery.replayed = rebuilt.records;
    recovery.dropped_bytes = rebuilt.dropped_bytes;
    recovery.damage = rebuilt.damage;
    recovery.sequence = newest(bus).sequence;
    Origin used;
    if (start) used = {start->image.sequence(), start->lsn, {}};
    recovery.checkpoint = used.sequence;
    tell_problem(bus, rebuilt, problems);
    begin_history(bus, oldest_readable(bus, used, rebuilt.end));
}

}  // namespace

std::optional<Lsn> written_upto(Attachment& bus, const Config& config) {
    try {
        ArenaFile place(bus, config.arena_folder, config.permissions);
        const auto file = place.open(false);
        if (!file) return std::nullopt;
        const auto stamps = arena::read_stamps(*file);
        const auto mine = stamps_for(bus);
        if (!stamps || stamps->bus != mine.bus || stamps->bus_inode != mine.bus_inode ||
            stamps->boot != mine.boot || stamps->layout != mine.layout)
            return std::nullopt;
        // A copy of the words, as they lie; others may be moving them meanwhile.
        constexpr int most_rounds = 100;
        alignas(arena::Control) std::array<std::byte, sizeof(arena::Control)> bytes{};
        for (int round = 0; round < most_rounds; ++round) {
            if (file->read(0, bytes) != bytes.size()) break;
            const auto& words = *reinterpret_cast<const arena::Control*>(bytes.data());
            if (const auto tail = arena::sealed_files_tail(words)) return tail->flushed;
        }
        return std::nullopt;
    } catch (const Io&) {
        return std::nullopt;  // the file that says where it is may be damaged, too
    }
}

std::shared_ptr<Attachment> open_files(const OpenOptions& options) {
    auto to_read = options;
    to_read.config.open = Open::read_only;
    const auto& config = to_read.config;
    auto attachment = std::make_shared<Attachment>();
    auto& bus = *attachment;
    bus.notices.add(notices_of(to_read));
    bus.path = config.path;
    bus.is_private = false;
    bus.read_only = bus.rebuilt_privately = true;
    bus.folder = open_bus_folder(config, false);
    load_header(bus, true);
    open_log_folder(bus);
    bus.checkpoints = bus.folder->folder("checkpoints", false);
    return attachment;
}

std::vector<log::Segments::Problem> rebuild_good_prefix(Attachment& bus, const Config& config) {
    std::vector<log::Segments::Problem> problems;
    constexpr int rounds = 10;
    for (int round = 0; round < rounds; ++round) {
        const auto base = bus.changing.base_lsn.load();
        const auto limit = written_upto(bus, config);
        rebuild_upto(bus, limit, problems);
        // Others may have let go of what was being read, or begun to write: that is no damage.
        refresh_header(bus);
        if (bus.changing.base_lsn.load() == base &&
            written_upto(bus, config).has_value() == limit.has_value())
            break;
    }
    return problems;
}

std::shared_ptr<Attachment> attach_good_prefix(const OpenOptions& options) {
    auto bus = open_files(options);
    static_cast<void>(rebuild_good_prefix(*bus, options.config));
    if (const auto& damage = bus->recovery.damage)
        bus->notice(Notice::Level::warning,
                    fmt::format("{} is damaged at {}: expected {}, found {}; {} is open as of "
                                "sequence {}, and what lies behind is left out",
                                damage->file, damage->offset, damage->expected, damage->found,
                                bus->path, number(damage->good_until)));
    return bus;
}

}  // namespace mmsb::state
