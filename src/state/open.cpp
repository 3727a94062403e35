#include "state/open.hpp"

#include "base/bytes.hpp"
#include "base/steps.hpp"
#include "state/checkpoints.hpp"
#include "state/clock.hpp"
#include "state/commit.hpp"
#include "state/create.hpp"
#include "state/flush.hpp"
#include "state/found_arena.hpp"
#include "state/header.hpp"
#include "state/lost.hpp"
#include "state/open_alone.hpp"
#include "state/rebuild.hpp"
#include "state/redo.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <bit>

namespace mmsb::state {

namespace {

// Writable attachments of this process, by the inode of the bus folder: several States share one.
struct Registry {
    std::mutex mutex{};
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::weak_ptr<Attachment>> open{};
};
Registry& registry() {
    static Registry r;
    return r;
}

// ---- private

void load_checkpoint(Attachment& bus, const std::string& file) {
    auto in = os::open_for_reading(file);
    if (!in)
        throw Io(ErrorCode::io, file + ": no such checkpoint", {.path = file, .system = ENOENT});
    auto checkpoint = read_checkpoint_file(*in);
    bus.past.base.emplace(std::move(checkpoint.image));
}

// Without a log there is no past: its records are of use to those who follow the structure
// meanwhile, and to who asks where a page was deleted.
constexpr std::uint64_t kept_without_log = 4 * limits::mib;

std::uint64_t kept_bytes(const Config& config) {
    if (!config.enable_logging) return kept_without_log;
    return config.max_tlog_size != 0 ? config.max_tlog_size : limits::private_history;
}

void open_private(Attachment& bus, const OpenOptions& options) {
    const auto& config = options.config;
    bus.is_private = true;
    bus.logging = config.enable_logging;
    bus.folder = os::memory_folder();
    bus.log_folder = bus.folder->folder("log", true);
    bus.header.geometry = options.geometry;
    os::random_bytes(bus.header.uuid);
    bus.changing.page_id_ceiling.store(~std::uint64_t{0});
    bus.segments =
        std::make_unique<log::Segments>(*bus.log_folder, bus.header.uuid, options.geometry, true);
    bus.past.max_bytes = kept_bytes(config);
    bus.past.in_ring = bus.past.max_bytes < options.geometry.ring_size;
    bus.past.max_records = config.max_tlog_records;
    bus.past.max_age = config.max_tlog_age;
    if (!config.from_checkpoint.empty()) load_checkpoint(bus, config.from_checkpoint);
    if (!bus.past.base) {
        bus.past.base.emplace(replay::Keep{});
        bus.past.base->set_position(Sequence::zero, os::clock_ns(), 0, 1);
    }
    const auto& base = *bus.past.base;
    const auto begins = std::max<Lsn>(first_lsn, base::round_up(base.lsn(), 8));
    auto memory = os::memory_file("mmsb arena");
    bus.arena = bus.past.in_ring
                    ? std::make_unique<arena::Arena>(std::move(memory), stamps_for(bus), begins)
                    : std::make_unique<arena::Arena>(std::move(memory), stamps_for(bus));
    bus.words().history_sequence.store(number(base.sequence()));
    bus.words().history_lsn.store(begins);
    bus.past.base_time_ns.store(base.time_ns());
    bus.past.next_lsn.store(begins);
    bus.past.next_sequence.store(number(base.sequence()));
    bus.past.next_time_ns.store(base.time_ns());
    const auto rebuilt = rebuild(bus, &base);
    map_locks(bus);
    bus.segments->start_segment(rebuilt.end, static_cast<std::int64_t>(bus.words().time.load()),
                                bus.past.in_ring ? 0 : log::Segments::smallest_step);
    look_at_clock(bus, bus.lock_timeout);
}

// ---- with a path

bool may_create(const Config& config) {
    return config.open == Open::create || config.open == Open::create_or_open;
}

void join(Attachment& bus, ArenaFile& place) {
    arena::Stamps stamps;
    auto existing = place.open(true);
    const auto found = look_at(bus, existing, stamps);
    if (found == Found::cut_short) throw_cut_short(bus, existing->path());
    if (found != Found::good || stamps.pid_namespace != os::pid_namespace())
        throw_elsewhere(bus, place.path());
    bus.arena = std::make_unique<arena::Arena>(std::move(*existing), stamps, true);
    map_locks(bus);
    load_structure(bus);
    bus.recovery.sequence = newest(bus).sequence;
}

void open_read_only(Attachment& bus, ArenaFile& place) {
    arena::Stamps stamps;
    auto existing = place.open(false);
    if (look_at(bus, existing, stamps) == Found::good) {
        bus.arena = std::make_unique<arena::Arena>(std::move(*existing), stamps, false);
        load_structure(bus);
    } else {
        bus.rebuilt_privately = true;
        bus.odd.store(true);
        bus.arena = std::make_unique<arena::Arena>(os::memory_file("mmsb arena"), stamps_for(bus));
        set_history(bus);
        const auto rebuilt = rebuild_from_files(bus);
        bus.recovery.needed = !rebuilt.clean && !rebuilt.fresh;
        bus.recovery.replayed = rebuilt.records;
        bus.recovery.dropped_bytes = rebuilt.dropped_bytes;
    }
    bus.recovery.sequence = newest(bus).sequence;
}

// Lets <bus>/lock go unless it is kept. Made behind lock.open, so that it goes first: whoever holds
// lock.open takes it that what he does not get there is held by living processes elsewhere.
class Presence {
public:
    explicit Presence(Attachment& bus) : bus_(bus) {}
    ~Presence() {
        if (!kept_) bus_.presence.release();
    }
    Presence(const Presence&) = delete;
    Presence& operator=(const Presence&) = delete;
    void keep() noexcept { kept_ = true; }

private:
    Attachment& bus_;
    bool kept_ = false;
};

// REQUIRES lock.open.
void create_or_load(Attachment& bus, const OpenOptions& options, std::optional<NewBus> plan) {
    const auto& config = options.config;
    if (!may_create(config)) return load_header(bus, false);
    if (!bus.folder->open("bus", os::Create::never, false)) {
        if (!plan) plan = plan_bus(config);  // there was one a moment ago
        return create_bus(bus, options, std::move(plan).value_or(NewBus{}));
    }
    if (config.open == Open::create) throw_exists(bus.path);
    if (!config.from_checkpoint.empty())
        throw InvalidArgument(ErrorCode::invalid_argument,
                              bus.path + " is there already: from_checkpoint makes a new bus",
                              {.path = bus.path});
    load_header(bus, false);
}

// False: the bus was removed while we waited for it.
bool open_path(Attachment& bus, const OpenOptions& options, std::optional<NewBus> plan) {
    const auto& config = options.config;
    bus.is_private = false;
    bus.read_only = config.open == Open::read_only;
    if (config.open == Open::existing && !bus.folder->open("bus", os::Create::never, false))
        throw_no_bus(bus.path, "a file named bus", "none");
    // Held until the arena is there: short, or as long as a recovery takes.
    std::optional<os::FileLock> opening;
    if (!bus.read_only) {
        opening = lock_for_opening(*bus.folder, config.lock_timeout);
        if (!opening) return false;
    }
    MMSB_STEP("attach.opening");
    if (bus.read_only)
        load_header(bus, true);
    else
        create_or_load(bus, options, std::move(plan));
    MMSB_STEP("attach.header");
    open_log_folder(bus);
    bus.segments = std::make_unique<log::Segments>(*bus.log_folder, bus.header.uuid,
                                                   bus.header.geometry, !bus.read_only);
    bus.checkpoints = bus.folder->folder("checkpoints", !bus.read_only);
    ArenaFile place(bus, config.arena_folder, config.permissions);
    if (bus.read_only) {
        open_read_only(bus, place);
        if (config.survive_lost_memory && !bus.rebuilt_privately) guard_memory(bus);
        return true;
    }
    auto lock_file = bus.folder->open("lock", os::Create::if_need, true);
    bus.presence = os::FileLock(std::move(*lock_file));
    Presence presence(bus);
    bool alone = bus.presence.try_exclusive();
    const bool beside = !alone && bus.presence.try_shared();
    // Neither: whoever died with it for himself alone may still be closing his files.
    if (!alone && !beside) alone = bus.presence.exclusive(config.lock_timeout);
    if (alone) {
        MMSB_STEP("attach.alone");
        open_alone(bus, options, place);
        bus.presence.to_shared();
        MMSB_STEP("attach.shared");
    } else if (beside) {
        join(bus, place);
        MMSB_STEP("attach.joined");
    } else {
        throw_elsewhere(bus, place.path());
    }
    if (config.survive_lost_memory) guard_memory(bus);
    presence.keep();
    try {
        look_at_clock(bus, config.lock_timeout);
    } catch (const Error& e) {
        // A full disk, say. Nothing is dropped for its age before a look has succeeded.
        bus.notice(Notice::Level::warning, e.what());
    }
    start_timer(bus);
    start_keeper(bus, config.checkpoint_interval);
    return true;
}

// The last one of the process. What fails is thrown at the end.
void close(Attachment& bus) {
    if (bus.is_private || bus.read_only) return;
    stop_keeper(bus);
    stop_timer(bus);
    const auto opening = lock_for_opening(*bus.folder, bus.lock_timeout);
    if (!opening) throw_removed(bus.path);
    const Presence presence(bus);
    MMSB_STEP("leave.opening");
    bus.presence.release();
    MMSB_STEP("leave.released");
    if (bus.is_lost()) return;  // who opens it next sees that, and goes on from the files
    if (!bus.presence.try_exclusive()) {
        flush(bus, Flush::write, newest(bus).lsn, bus.lock_timeout);
        return;
    }
    MMSB_STEP("leave.alone");
    auto& words = bus.words();
    if (words.poison.load() != 0) throw_poisoned(bus);  // the next who opens mends it
    // The close record says that the disk has all before it. So that must be so before it can be
    // there: written together, a power cut may leave the one without the other.
    sync_upto(bus, newest(bus).lsn, bus.lock_timeout);
    Lsn end = 0;  // not what shared memory says a moment later: the file is cut there
    {
        const WriterLock lock(bus, bus.lock_timeout);
        end = append_note(bus, log::RecordKind::close, {}, bus.lock_timeout);
    }
    MMSB_STEP("leave.closed");
    // The file ends with it, until somebody prepares to append behind it. (`prepared` first:
    // whoever died in between has left no room that is not there.)
    words.prepared.store(end);
    MMSB_STEP("leave.prepared");
    bus.segments->trim(end);
    MMSB_STEP("leave.trimmed");
    sync_upto(bus, end, bus.lock_timeout);
    MMSB_STEP("leave.flushed");
    words.clean.store(1);
    MMSB_STEP("leave.clean");
}

}  // namespace

limits::Geometry private_geometry(const Config& config) {
    limits::Geometry geometry;
    // With room for folding to fall behind, by an eighth (state/past). Where that is too much for a
    // ring, the older part of the past is in memory as files.
    const auto kept = std::min(kept_bytes(config), limits::largest_ring);
    const auto ring = std::bit_ceil(kept + kept / 8 + limits::mib);
    if (ring > limits::largest_ring) return geometry;
    geometry.ring_size = std::max(geometry.ring_size, ring);
    geometry.segment_size = std::max(geometry.segment_size, geometry.ring_size);
    return geometry;
}

Attachment::~Attachment() {
    stop_keeper(*this);
    stop_timer(*this);
}

void Attachment::notice(Notice::Level level, const std::string& text) const noexcept {
    notices.tell(level, text);
}

namespace {

// Nothing: the bus was removed while we waited for it.
std::shared_ptr<Attachment> try_attach(const OpenOptions& options) {
    const auto& config = options.config;
    auto bus = std::make_shared<Attachment>();
    const auto told = notices_of(options);
    bus->notices.add(told);
    bus->lock_timeout = config.lock_timeout;
    if (config.path.empty()) {
        open_private(*bus, options);
        return bus;
    }
    bus->path = config.path;
    refuse_network(config);
    std::optional<NewBus> plan;
    if (may_create(config)) plan = plan_bus(config);
    bus->folder = open_bus_folder(config, may_create(config));
    auto& known = registry();
    const std::lock_guard lock(known.mutex);
    const std::pair key(bus->folder->device(), bus->folder->inode());
    // (A forked child does not share what its parent has open.)
    if (auto shared = known.open[key].lock(); shared && shared->token.same_process()) {
        if (config.open == Open::create) throw_exists(config.path);
        if (config.survive_lost_memory && !shared->guard) guard_memory(*shared);
        start_keeper(*shared, config.checkpoint_interval);
        shared->notices.add(told);
        return shared;
    }
    if (!open_path(*bus, options, std::move(plan))) return nullptr;
    if (!bus->read_only) known.open[key] = bus;
    return bus;
}

}  // namespace

std::shared_ptr<Attachment> attach(const OpenOptions& options) {
    constexpr int most_removals = 100;  // one behind the other, each while we waited
    for (int i = 0; i < most_removals; ++i)
        if (auto bus = try_attach(options)) return bus;
    throw_removed(options.config.path);
}

std::shared_ptr<Attachment> view_again(Attachment& rebuilt, const Config& config,
                                       const Notices::Pointer& told) noexcept {
    std::shared_ptr<Attachment> bus;
    try {
        ArenaFile place(rebuilt, config.arena_folder, config.permissions);
        arena::Stamps stamps;
        if (look_at(rebuilt, place.open(false), stamps) != Found::good) return nullptr;
        bus = attach({.config = config, .on_notice = told});
        if (bus->arena && !bus->rebuilt_privately) {
            bus->functions.add(rebuilt.functions);
            return bus;
        }
    } catch (const std::exception&) {  // it stays with what it has
    }
    if (bus) bus->notices.remove(told);
    return nullptr;
}

void leave(std::shared_ptr<Attachment>&& bus, const Notices::Pointer& told) {
    auto mine = std::move(bus);
    std::unique_lock lock(registry().mutex);
    if (mine.use_count() > 1) {
        lock.unlock();  // his function may be running, and opening a bus
        mine->notices.remove(told);
        lock.lock();
    }
    if (mine.use_count() > 1) {
        mine.reset();  // under the lock, so that of two who leave at once one is the last
        return;
    }
    try {
        close(*mine);
    } catch (...) {
        mine.reset();
        throw;
    }
    mine.reset();
}

}  // namespace mmsb::state
