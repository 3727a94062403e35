#include "state/past.hpp"

#include "arena/shared_bytes.hpp"
#include "state/checkpoints.hpp"
#include "state/clock.hpp"
#include "state/cursor.hpp"
#include "state/redo.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

void throw_contradiction(const Attachment& bus, const log::Record& record,
                         const std::string& what) {
    throw Corrupt(ErrorCode::corrupt,
                  fmt::format("{}: record {} contradicts the ones before it: {}", bus.path,
                              number(record.sequence), what),
                  {.path = bus.path,
                   .expected = "a record that follows",
                   .found = what,
                   .offset = record.start,
                   .sequence = record.sequence - 1});
}

namespace {

[[noreturn]] void dropped(Attachment& bus, Sequence at) {
    const auto oldest = oldest_view(bus);
    throw HistoryDropped(
        ErrorCode::history_dropped,
        fmt::format("sequence {} is no longer kept; the oldest is {}", number(at), number(oldest)),
        {.expected = fmt::format("{} or later", number(oldest)),
         .found = fmt::format("{}", number(at)),
         .sequence = oldest});
}

// Is there more of the past than the limits and an eighth, or (exactly) than the limits?
bool over_limits(Attachment& bus, bool exactly) {
    const auto with_slack = [&](std::uint64_t limit) {
        return exactly ? limit : limit + limit / 8;
    };
    auto& past = bus.past;
    const auto& words = bus.words();
    const auto logged = words.logged.load(std::memory_order_relaxed);
    const auto kept = logged - words.history_lsn.load(std::memory_order_relaxed);
    if (past.max_bytes != 0 && kept + past.blob_bytes > with_slack(past.max_bytes)) return true;
    const auto base = past.base ? number(past.base->sequence()) : 0;
    const auto sequence = words.sequence.load(std::memory_order_relaxed);
    if (past.max_records != 0 && sequence > base + with_slack(past.max_records)) return true;
    const auto age = std::chrono::duration_cast<std::chrono::nanoseconds>(past.max_age).count();
    return age != 0 && past.base && !bus.changing.age_suspended.load() &&
           os::clock_ns() - past.base->time_ns() >
               static_cast<std::int64_t>(with_slack(static_cast<std::uint64_t>(age)));
}

void copy_kept(const replay::Image& from, const replay::Keep& keep, replay::Image& to) {
    for (const auto& [id, page] : from.pages()) {
        auto copy = page;
        if (!keep.keeps(id)) Bytes().swap(copy.bytes);
        to.insert(id, std::move(copy));
    }
    for (const auto& [number, name] : from.sources()) to.set_source(number, name);
    to.set_dependencies(from.dependencies());
    to.set_structure(from.structure_head());
    to.set_position(from.sequence(), from.time_ns(), from.lsn(), from.next_page());
}

}  // namespace

void fold_past(Attachment& bus) noexcept {
    auto& past = bus.past;
    {
        const std::shared_lock lock(past.mutex, std::try_to_lock);
        if (!lock || !over_limits(bus, false)) return;
    }
    try {
        if (past.max_age.count() != 0) look_at_clock(bus, bus.lock_timeout);
        const std::unique_lock lock(past.mutex, std::try_to_lock);
        if (!lock) return;  // another thread folds
        const auto upto = bus.words().applied.load(std::memory_order_acquire);
        bus.catalog.follow(bus);  // the structure chain must not lead to what is dropped
        auto& words = bus.words();
        Cursor cursor(bus, words.history_lsn.load(), upto);
        while (over_limits(bus, true) && cursor.next()) {
            if (bus.logging) {
                if (const auto wrong = past.base->apply(cursor.record(), cursor.body());
                    !wrong.empty())
                    throw_contradiction(bus, cursor.record(), wrong);
            } else {
                past.base->set_position(cursor.record().sequence, cursor.record().time_ns,
                                        cursor.at(), 1);
            }
            words.history_sequence.store(number(past.base->sequence()));
            words.history_lsn.store(cursor.at());
            if (const auto& blob = cursor.record().blob) {
                past.blob_bytes -= blob->size;
                bus.segments->remove_blob(blob->id);
            }
        }
        // What is not written out yet still needs its segment.
        bus.segments->drop_before(std::min(words.history_lsn.load(), words.flushed.load()));
    } catch (const std::exception& e) {
        try {
            bus.notice(Notice::Level::warning,
                       fmt::format("the history could not be folded: {}", e.what()));
        } catch (const std::exception&) {  // no memory for the text: the next commit tries again
        }
    }
}

replay::Image base_image(Attachment& bus, replay::Keep keep, Lsn& from) {
    return start_image(bus, oldest_view(bus), std::move(keep), from);
}

replay::Image start_image(Attachment& bus, Sequence upto, replay::Keep keep, Lsn& from) {
    if (!bus.is_private) {
        auto start = newest_checkpoint(bus, upto, keep);
        from = start ? start->lsn : first_lsn;
        return start ? std::move(start->image) : replay::Image(std::move(keep));
    }
    const std::shared_lock lock(bus.past.mutex);
    from = bus.words().history_lsn.load();
    replay::Image image(keep);
    if (bus.past.base) copy_kept(*bus.past.base, keep, image);
    return image;
}

Sequence oldest_view(Attachment& bus) {
    if (!bus.logging) return newest(bus).sequence;
    return Sequence{bus.words().history_sequence.load(std::memory_order_acquire)};
}

void check_view(Attachment& bus, Sequence at) {
    const auto now = newest(bus).sequence;
    if (at > now)
        throw InvalidArgument(ErrorCode::invalid_argument,
                              fmt::format("sequence {} is not committed yet; the newest is {}",
                                          number(at), number(now)),
                              {.expected = fmt::format("at most {}", number(now)),
                               .found = fmt::format("{}", number(at)),
                               .sequence = now});
    if (at < oldest_view(bus)) dropped(bus, at);
}

replay::Image image_at(Attachment& bus, Sequence at, replay::Keep keep,
                       const std::function<bool(double)>& progress) {
    if (!bus.logging) dropped(bus, at);
    if (at != Sequence::newest) check_view(bus, at);
    Lsn from = 0;
    auto image = start_image(bus, at, std::move(keep), from);
    if (image.sequence() > at) dropped(bus, at);
    const auto target = newest(bus);
    const auto to = std::min(at, target.sequence);
    Cursor cursor(bus, from, target.lsn);
    std::uint64_t n = 0;
    while (image.sequence() < to && cursor.next()) {
        if (const auto wrong = image.apply(cursor.record(), cursor.body()); !wrong.empty())
            throw_contradiction(bus, cursor.record(), wrong);
        constexpr std::uint64_t often = 4096;
        if (progress && ++n % often == 0 &&
            !progress(static_cast<double>(cursor.at() - from) /
                      static_cast<double>(target.lsn - from)))
            break;
    }
    return image;
}

replay::Image live_image(Attachment& bus, std::chrono::nanoseconds timeout) {
    const WriterLock lock(bus, timeout);
    bus.catalog.follow(bus);
    const auto structure = bus.catalog.snapshot();
    replay::Image image;
    for (const auto& [number, name] : structure.sources) image.set_source(number, name);
    for (const auto& [id, page] : structure.pages) {
        arena::LineCopy now;
        const auto* const line = bus.arena->line(page.line);
        const bool good = line != nullptr && arena::Arena::copy(*line, now) && now.id == number(id);
        const auto from = good ? bus.arena->bytes(now.offset, now.size) : std::nullopt;
        if (!from)
            throw Corrupt(ErrorCode::corrupt,
                          fmt::format("page {} lies outside the arena", number(id)), {.page = id});
        Bytes bytes(from->size());
        arena::copy_from_shared(bytes.data(), from->data(), bytes.size());
        image.insert(id, {.line = page.line,
                          .size = now.size,
                          .epoch = Epoch{now.epoch},
                          .sequence = Sequence{now.sequence},
                          .lsn = now.lsn,
                          .location = page.location,
                          .stale = now.stale(),
                          .name = page.name,
                          .metadata = page.metadata,
                          .bytes = std::move(bytes)});
    }
    image.set_dependencies(structure.dependencies);
    image.set_structure(structure.head);
    image.set_position(Sequence{bus.tail.sequence}, static_cast<std::int64_t>(bus.tail.time),
                       bus.tail.applied, bus.words().next_page.load());
    return image;
}

}  // namespace mmsb::state
