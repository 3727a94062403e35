#include "state/retention.hpp"

#include "base/steps.hpp"
#include "state/clock.hpp"
#include "state/commit.hpp"
#include "state/cursor.hpp"
#include "state/flush.hpp"
#include "state/header.hpp"
#include "state/past.hpp"
#include "state/redo.hpp"
#include "state/start_thread.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

// The last commit of those for which `older` holds; they come first in the log.
template <class Older>
Sequence last_older(Attachment& bus, const Position& base, Older older) {
    auto last = base.sequence;
    Cursor cursor(bus, base.lsn);
    while (cursor.next() && older(cursor.record()))
        if (cursor.record().kind == log::RecordKind::commit) last = cursor.record().sequence;
    return last;
}

// What the header says of the base is also what the shared memory says, and nothing older is left.
// Whoever moved it may have died before that; until it is done, the old base must not be counted
// on.
void adopt_base(Attachment& bus) {
    auto& words = bus.words();
    const auto base = base_of(bus);
    // Also where the words are beyond it: then they were written over.
    if (words.history_lsn.load() == base.lsn &&
        words.history_sequence.load() == number(base.sequence))
        return;
    update_header(bus, [](log::BusHeader&) {});  // on the disk, before anything goes
    words.history_sequence.store(number(base.sequence));
    MMSB_STEP("compact.sequence");
    words.history_lsn.store(base.lsn);
    MMSB_STEP("compact.moved");
    finish_compaction(bus);
}

// The header first: from then on the base is where the past begins, whoever dies.
void move_base(Attachment& bus, const CheckpointFile& base) {
    if (base.sequence <= base_of(bus).sequence) return;
    bus.checkpoints->sync();  // whoever made it may have died before its name was on the disk
    update_header(bus, [&](log::BusHeader& header) {
        header.base_sequence = number(base.sequence);
        header.base_lsn = base.lsn;
    });
    MMSB_STEP("compact.header");
    adopt_base(bus);
}

// A checkpoint as of a sequence of the past, by replaying the log; which must be durable up to
// there first, as for each checkpoint: else a rebuilt log would have a hole before it.
void write_base(Attachment& bus, Sequence at, std::chrono::milliseconds timeout) {
    const auto image = image_at(bus, at, {});
    write_checkpoint_in(*bus.checkpoints, [&](const auto& write) {
        replay::write_checkpoint(image, bus.header.uuid, write);
        wait_until_applied(bus, image.structure_head(), timeout);
        sync_upto(bus, image.lsn(), timeout);
        return Position{image.lsn(), image.sequence()};
    });
}

// That of the first commit at or behind `from`; 0: it has none.
std::optional<std::uint64_t> first_blob(Attachment& bus, Lsn from) {
    try {
        Cursor cursor(bus, from);
        while (cursor.next())
            if (const auto& record = cursor.record(); record.kind == log::RecordKind::commit)
                return record.blob ? record.blob->id : 0;
    } catch (const Error&) {  // it cannot be read: whoever needs it says so
    }
    return std::nullopt;
}

}  // namespace

Retention retention_of(const Attachment& bus) {
    if (bus.is_private)
        return {.bytes = bus.past.max_bytes,
                .records = bus.past.max_records,
                .age = bus.past.max_age,
                .age_suspended = bus.changing.age_suspended.load()};
    return {.bytes = bus.changing.keep_bytes.load(),
            .records = bus.changing.keep_records.load(),
            .age = std::chrono::seconds(bus.changing.keep_seconds.load()),
            .age_suspended = bus.changing.age_suspended.load()};
}

void set_retention(Attachment& bus, const Retention& retention, std::chrono::nanoseconds timeout) {
    const auto set = [&](const Retention& r) {
        update_header(bus, [&](log::BusHeader& header) {
            header.keep_bytes = r.bytes;
            header.keep_records = r.records;
            header.keep_seconds = static_cast<std::uint64_t>(r.age.count());
            header.age_suspended = r.age_suspended;
        });
    };
    look_at_clock(bus, timeout);  // what it says now is what counts from here on
    std::vector<std::byte> body;
    log::write_kept_past(
        {retention.bytes, retention.records, static_cast<std::uint64_t>(retention.age.count())},
        body);
    Lsn end = 0;
    {
        const WriterLock lock(bus, timeout);
        if (bus.words().poison.load() != 0) throw_poisoned(bus);
        refresh_header(bus);
        const auto before = retention_of(bus);
        set({.bytes = retention.bytes, .records = retention.records, .age = retention.age});
        MMSB_STEP("retention.set");
        try {
            end = append_note(bus, log::RecordKind::retention, body, timeout);
        } catch (...) {
            set(before);
            throw;
        }
    }
    sync_upto(bus, end, timeout);
}

Sequence oldest_to_keep(Attachment& bus, const Retention& retention) {
    const auto now = newest(bus);
    const auto base = base_of(bus);
    auto oldest = base.sequence;
    if (retention.records != 0 && number(now.sequence) > retention.records)
        oldest = std::max(oldest, now.sequence - retention.records);
    if (retention.bytes != 0 && now.lsn > retention.bytes) {
        const auto kept = now.lsn - retention.bytes;
        if (kept > base.lsn)
            oldest = std::max(oldest, last_older(bus, base, [&](const log::Record& r) {
                                  return r.start < kept;
                              }));
    }
    if (retention.age.count() != 0 && !retention.age_suspended) {
        const auto kept = os::clock_ns() - age_ns(retention.age);
        oldest = std::max(
            oldest, last_older(bus, base, [&](const log::Record& r) { return r.time_ns < kept; }));
    }
    return oldest;
}

void compact_to(Attachment& bus, std::optional<Sequence> oldest_kept,
                std::chrono::milliseconds timeout) {
    // Held all the time: the past that is read here must not be dropped by another one meanwhile.
    const auto lock = lock_checkpoints(bus, timeout);
    refresh_header(bus);
    look_at_clock(bus, timeout);
    adopt_base(bus);
    const auto oldest = oldest_kept ? *oldest_kept : oldest_to_keep(bus, retention_of(bus));
    check_view(bus, oldest);
    auto files = checkpoint_files(bus);
    const bool there = std::any_of(files.begin(), files.end(), [&](const CheckpointFile& file) {
        return file.sequence == oldest;
    });
    if (!there && oldest != newest(bus).sequence && oldest > base_of(bus).sequence)
        write_base(bus, oldest, timeout);
    MMSB_STEP("compact.base");
    // Another one in front of the base: the log is kept back to the second newest.
    static_cast<void>(checkpoint_locked(bus, timeout));
    files = checkpoint_files(bus);
    for (std::size_t i = files.size(); i-- > 0;) {
        if (files[i].sequence > oldest || i + 1 == files.size()) continue;
        move_base(bus, files[i]);
        break;
    }
    let_go(bus);
}

void let_go(Attachment& bus) {
    const auto retention = retention_of(bus);
    auto files = checkpoint_files(bus);
    if (files.size() > 1 &&
        (retention.bytes != 0 || retention.records != 0 || retention.age.count() != 0)) {
        const auto oldest = oldest_to_keep(bus, retention);
        for (std::size_t i = files.size() - 1; i-- > 0;) {
            if (files[i].sequence > oldest) continue;
            move_base(bus, files[i]);
            break;
        }
    }
    files = checkpoint_files(bus);
    const auto base = base_of(bus).sequence;
    for (std::size_t i = 0; i + 2 < files.size(); ++i)
        if (files[i].sequence != base) {
            bus.checkpoints->remove(files[i].name);
            MMSB_STEP("compact.needless");
        }
}

void finish_compaction(Attachment& bus) {
    const auto base = base_of(bus);
    if (base.lsn == first_lsn) return;
    if (bus.segments->oldest() < base.lsn) {
        bus.segments->remove_blobs_before(base.lsn, first_blob(bus, base.lsn));
        bus.segments->drop_before(base.lsn);
        MMSB_STEP("compact.segments");
        bus.segments->punch_before(base.lsn);
        MMSB_STEP("compact.punched");
    }
    for (const auto& file : checkpoint_files(bus))
        if (file.sequence < base.sequence) {
            bus.checkpoints->remove(file.name);
            MMSB_STEP("compact.checkpoint");
        }
}

// ---- the keeper
// ----------------------------------------------------------------------------------

namespace {

// A checkpoint saves as much replaying as the log has grown since the last one, and costs writing
// all pages: it is made once it saves an eighth of what it costs.
bool is_worth_it(Attachment& bus) {
    const auto& words = bus.words();
    if (words.poison.load() != 0) return false;
    const auto grown = words.logged.load() - std::max<Lsn>(words.checkpoint_lsn.load(), first_lsn);
    const auto worth = std::max<std::uint64_t>(limits::mib, words.page_bytes.load() / 8);
    const auto kept = bus.changing.keep_bytes.load();
    return grown >= (kept == 0 ? worth : std::min(worth, std::max<std::uint64_t>(kept / 4, 1)));
}

bool is_time(const Attachment& bus, std::int64_t every_ns) {
    return os::boot_clock_ns() - static_cast<std::int64_t>(bus.words().checkpoint_time.load()) >=
           every_ns;
}

void ring_keeper(Attachment& bus) noexcept {
    bus.keeper.bell.fetch_add(1);
    os::futex_wake(bus.keeper.bell);
}

void keep(Attachment& bus) {
    for (;;) {
        const auto bell = bus.keeper.bell.load();
        if (bus.keeper.stopping.load() || bus.is_lost()) return;
        const auto every = bus.keeper.every_ns.load();
        os::futex_wait(bus.keeper.bell, bell, std::chrono::nanoseconds(every));
        if (bus.keeper.stopping.load()) return;
        try {
            // Nine tenths: another process's keeper, or ours, may have slept a little shorter.
            if (!is_time(bus, every / 10 * 9) || !is_worth_it(bus)) continue;
            static_cast<void>(checkpoint_bus(bus, std::chrono::milliseconds(0)));
            const auto lock = lock_checkpoints(bus, std::chrono::milliseconds(0));
            refresh_header(bus);
            look_at_clock(bus, bus.lock_timeout);
            adopt_base(bus);
            let_go(bus);
        } catch (const Busy&) {
            continue;  // another process is at it
        } catch (const std::exception& e) {
            try {
                bus.notice(Notice::Level::warning,
                           fmt::format("{}: no checkpoint could be made: {}", bus.path, e.what()));
            } catch (const std::exception&) {
                continue;  // no memory for the text: the next one may be made
            }
        }
    }
}

}  // namespace

void start_keeper(Attachment& bus, std::chrono::nanoseconds every) {
    if (bus.is_private || bus.read_only || every.count() <= 0) return;
    const auto known = bus.keeper.every_ns.load();
    bus.keeper.every_ns.store(known == 0 ? every.count() : std::min(known, every.count()));
    if (bus.keeper.thread.joinable()) return ring_keeper(bus);  // it may sleep for a longer one
    bus.keeper.thread = start_thread(bus, keep);
}

void stop_keeper(Attachment& bus) noexcept {
    if (!bus.keeper.thread.joinable()) return;
    bus.keeper.stopping.store(true);
    ring_keeper(bus);
    bus.keeper.thread.join();
}

}  // namespace mmsb::state
