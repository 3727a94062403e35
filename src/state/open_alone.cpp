#include "state/open_alone.hpp"

#include "base/steps.hpp"
#include "state/commit.hpp"
#include "state/flush.hpp"
#include "state/found_arena.hpp"
#include "state/redo.hpp"
#include "state/retention.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

// Into the kernel's memory once more.
void write_again(Attachment& bus, Lsn from, Lsn to) {
    std::vector<std::byte> bytes;
    for (auto at = from; at < to;) {
        bytes.resize(std::min<std::uint64_t>(limits::mib, to - at));
        const auto got = bus.segments->read(at, bytes);
        if (got == 0) break;  // zeros at the end of a segment that were never written
        bus.segments->write(at, std::span(bytes).first(got));
        at += got;
    }
}

// What was rebuilt from the files is not on the disk for that: they may have been written a moment
// ago by processes that were killed. Nothing may count on it, or be put behind it, before the disk
// has it. What a sync failed for may be in the kernel's memory only, and no later sync says so: if
// we have written the log since the system was booted, it is written again.
void make_durable(Attachment& bus, const Rebuilt& rebuilt, bool of_this_boot) {
    if (rebuilt.fresh) return bus.folder->sync();  // who made log/ may have died before
    if (of_this_boot) write_again(bus, rebuilt.promised, rebuilt.end);
    bus.segments->sync(rebuilt.promised, rebuilt.end);
    auto& words = bus.words();
    words.durable_sequence.store(words.sequence.load());
    words.files_seal.store(arena::seal_of(arena::files_tail_of(words)));
}

// May what was rebuilt have been written since the system was booted? Two must say that it was not:
// a container that was started anew may call it another boot, and the clock may have been set.
bool may_be_of_this_boot(const Attachment& bus) {
    const auto written_in = bus.changing.log_boot.load();
    const auto booted_at = os::clock_ns() - os::boot_clock_ns();
    return written_in == 0 || written_in == os::boot_number() ||
           static_cast<std::int64_t>(bus.words().time.load()) >= booted_at;
}

// REQUIRES that this process has neither written nor synced the log yet. (A sync that fails leaves
// what a write would: the next one must not believe what it reads.)
void note_boot(Attachment& bus) {
    const auto boot = os::boot_number();
    if (bus.changing.log_boot.load() != boot)
        update_header(bus, [boot](log::BusHeader& header) { header.log_boot = boot; });
}

void say_why_rebuilt(Attachment& bus, Found found) {
    const char* why = found == Found::elsewhere ? "its shared memory was laid out by another build"
                      : found == Found::cut_short ? "its shared memory was made shorter by another "
                                                    "process; the last millisecond may be missing"
                                                  : nullptr;
    if (why != nullptr)
        bus.notice(Notice::Level::warning,
                   fmt::format("{}: {}; rebuilt from the log", bus.path, why));
}

[[noreturn]] void throw_no_segment(const Attachment& bus) {
    const auto at = bus.words().flushed.load();
    const auto path = bus.path + "/log";
    throw Corrupt(
        ErrorCode::corrupt,
        fmt::format("{} is not whole: expected a segment that ends at position {} or behind, found "
                    "none",
                    path, at),
        {.path = path, .expected = fmt::format("position {}", at), .found = "none"});
}

// What the last ones left.
void use(Attachment& bus, const OpenOptions& options, ArenaFile& place) {
    auto& words = bus.words();
    // Nobody is inside, whatever was written there.
    bus.writers.disown();
    bus.files.disown();
    words.writer_pid.store(0);
    bus.recovery.needed = words.clean.load() == 0;
    place.remember();
    note_boot(bus);
    load_structure(bus);
    set_history(bus);
    if (words.poison.load() == EBADMSG)
        bus.arena->contradiction(words.poison, "what is logged to be what was logged");
    mend_files_words(bus, options.config.lock_timeout);
    if (!bus.segments->find(words.flushed.load() - 1)) throw_no_segment(bus);
    if (words.poison.load() != 0) mend_poison(bus);
    const WriterLock lock(bus, options.config.lock_timeout);
    MMSB_STEP("attach.recovered");
    words.clean.store(0);
    MMSB_STEP("attach.dirty");
    bus.recovery.replayed = 0;
}

// Somebody wrote over it: what is good of it and not in the files yet is put there, and it is given
// up.
void give_up(Attachment& bus) {
    try {
        flush(bus, Flush::write, newest(bus).lsn, bus.lock_timeout);
    } catch (const Error&) {  // up to what is not good it is there
    }
    bus.files = {};
    bus.writers = {};
    bus.arena.reset();
    bus.scratch = {};
    bus.tail = {};
    bus.files_seen = {};
    bus.catalog.load({});
}

enum class Reason : std::uint8_t {
    none_there,
    spoiled,      ///< More was logged than the log tells of, perhaps.
    one_of_both,  ///< That, or it is a file that is damaged: then it is one of these in the end.
};

// A new one from the log. REQUIRES, with one_of_both, that the error is being handled.
void build(Attachment& bus, const OpenOptions& options, ArenaFile& place, Reason reason) {
    auto file = place.create();
    bus.arena = std::make_unique<arena::Arena>(std::move(file), stamps_for(bus));
    MMSB_STEP("attach.arena_made");
    set_history(bus);
    const auto rebuilt = rebuild_from_files(bus);
    MMSB_STEP("attach.rebuilt");
    map_locks(bus);
    auto& words = bus.words();
    if (reason == Reason::one_of_both && rebuilt.dropped_bytes != 0) throw;
    bus.recovery.needed = reason != Reason::none_there || (!rebuilt.clean && !rebuilt.fresh);
    bus.recovery.replayed = rebuilt.records;
    bus.recovery.dropped_bytes = rebuilt.dropped_bytes;
    if (rebuilt.dropped_bytes != 0)
        bus.notice(
            Notice::Level::warning,
            fmt::format("{}: a torn tail of {} bytes behind sequence {} was dropped; without a "
                        "close record it cannot be told from damage of what was synced last",
                        bus.path, rebuilt.dropped_bytes, words.sequence.load()));
    const bool of_this_boot = may_be_of_this_boot(bus);
    note_boot(bus);
    make_durable(bus, rebuilt, of_this_boot);
    if (bus.recovery.needed) bus.segments->remove_orphans(rebuilt.last_commit_end);
    // A torn tail is never appended to again: a new file, a new salt.
    if (bus.recovery.needed)
        bus.segments->start_segment(rebuilt.end, static_cast<std::int64_t>(words.time.load()));
    MMSB_STEP("attach.segment");
    if (bus.recovery.needed) {  // ids of commits that were lost stay lost
        words.next_page.store(
            std::max(words.next_page.load(), bus.changing.page_id_ceiling.load() + 1));
    }
    Lsn end = 0;
    {
        const WriterLock lock(bus, options.config.lock_timeout);
        end = append_note(bus, log::RecordKind::incarnation,
                          bus.arena->control().stamps.incarnation, options.config.lock_timeout);
    }
    MMSB_STEP("attach.incarnation");
    sync_upto(bus, end, options.config.lock_timeout);
    MMSB_STEP("attach.flushed");
    place.publish();
    MMSB_STEP("attach.published");
}

}  // namespace

void map_locks(Attachment& bus) {
    bus.writers = os::RobustLock(bus.arena->file(), arena::writers_lock_at);
    bus.files = os::RobustLock(bus.arena->file(), arena::files_lock_at);
}

void set_history(Attachment& bus) {
    const auto base = base_in_header(bus);
    if (!bus.read_only && base.lsn > first_lsn && bus.words().history_lsn.load() != base.lsn)
        update_header(bus, [](log::BusHeader&) {});  // on the disk, before anything goes
    bus.words().history_sequence.store(number(base.sequence));
    bus.words().history_lsn.store(base.lsn);
}

void load_structure(Attachment& bus) {
    if (const auto structure = newest_structure(bus)) bus.catalog.load(*structure);
}

Rebuilt rebuild_from_files(Attachment& bus) {
    const auto start =
        newest_checkpoint(bus, Sequence::newest, {}, &bus.recovery.damaged_checkpoint);
    if (!start) return rebuild(bus, nullptr);
    bus.recovery.checkpoint = start->image.sequence();
    bus.words().checkpoint_sequence.store(number(start->image.sequence()));
    bus.words().checkpoint_lsn.store(start->lsn);
    return rebuild(bus, &start->image);
}

void open_alone(Attachment& bus, const OpenOptions& options, ArenaFile& place) {
    refresh_header(bus);  // whoever had the bus may have changed it since it was read
    arena::Stamps stamps;
    auto existing = place.open(true);
    const auto found = look_at(bus, existing, stamps);
    if (found == Found::good) {
        bus.arena = std::make_unique<arena::Arena>(std::move(*existing), stamps, true);
        map_locks(bus);
        try {
            use(bus, options, place);
        } catch (const Corrupt& e) {
            const bool spoiled = e.file() == bus.arena->file().path();
            give_up(bus);
            build(bus, options, place, spoiled ? Reason::spoiled : Reason::one_of_both);
            bus.notice(Notice::Level::warning,
                       fmt::format("{}: its shared memory was written over ({}); rebuilt from the "
                                   "log, which may lack the last millisecond",
                                   bus.path, e.what()));
        }
    } else {
        say_why_rebuilt(bus, found);
        build(bus, options, place,
              found == Found::cut_short ? Reason::spoiled : Reason::none_there);
    }
    finish_compaction(bus);
    bus.recovery.sequence = newest(bus).sequence;
}

}  // namespace mmsb::state
