#include "state/past.hpp"

#include "arena/shared_bytes.hpp"
#include "state/checkpoints.hpp"
#include "state/clock.hpp"
#include "state/flush.hpp"
#include "state/redo.hpp"
#include "state/replayer.hpp"
#include "state/retention.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

void throw_contradiction(const Attachment& bus, const log::RecordBrief& record,
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

constexpr std::uint64_t few_bytes = 16 * limits::kib, few_records = 256;  // too much is no harm
constexpr std::uint64_t most_at_once = 64 * limits::kib;  // of log, folded by one commit

[[noreturn]] void dropped(Attachment& bus, Sequence at) {
    const auto oldest = oldest_view(bus);
    throw HistoryDropped(
        ErrorCode::history_dropped,
        bus.logging ? fmt::format("sequence {} is no longer kept; the oldest is {}", number(at),
                                  number(oldest))
                    : fmt::format("sequence {} is not kept: this bus has no log", number(at)),
        {.expected = fmt::format("{} or later", number(oldest)),
         .found = fmt::format("{}", number(at)),
         .sequence = oldest});
}

// Where the kept past of a private bus begins.
struct Beginning {
    Lsn lsn = 0;
    Sequence sequence = Sequence::zero;
    std::int64_t time_ns = 0;
};

Beginning next_beginning_of(const Attachment& bus) noexcept {
    const auto& past = bus.past;
    return {past.next_lsn.load(), Sequence{past.next_sequence.load()}, past.next_time_ns.load()};
}

Beginning beginning_of(const Attachment& bus) noexcept {
    constexpr auto acquire = std::memory_order_acquire;
    return {bus.words().history_lsn.load(acquire),
            Sequence{bus.words().history_sequence.load(acquire)}, bus.past.base_time_ns.load()};
}

// A commit folds what the commits since the last time have added, and no long pause comes of that:
// so the limits may be passed by a little. Where others read the base meanwhile, or much became too
// old at once, a commit folds a batch, and all that is an eighth above a limit.
enum class Slack : std::uint8_t { none, little, eighth };

std::uint64_t with_slack(std::uint64_t limit, Slack slack, std::uint64_t little) noexcept {
    const auto eighth = limit / 8;
    return limit + (slack == Slack::none     ? 0
                    : slack == Slack::little ? std::min(eighth, little)
                                             : eighth);
}

bool is_too_much(const Attachment& bus, const Beginning& from, Slack slack) {
    const auto& past = bus.past;
    const auto& words = bus.words();
    const auto bytes = words.logged.load(std::memory_order_relaxed) - from.lsn + past.blob_bytes;
    if (past.max_bytes != 0 && bytes > with_slack(past.max_bytes, slack, few_bytes)) return true;
    const auto records = words.sequence.load(std::memory_order_relaxed) - number(from.sequence);
    return past.max_records != 0 && records > with_slack(past.max_records, slack, few_records);
}

// That are to be folded, as far as their number is limited; else many. A hint.
std::uint64_t records_above(const Attachment& bus, const Beginning& from) {
    const auto& past = bus.past;
    if (past.max_records == 0) return few_records;
    const auto all = bus.words().sequence.load(std::memory_order_relaxed) - number(from.sequence);
    return std::clamp<std::uint64_t>(all - std::min(all, past.max_records), 1, few_records);
}

bool is_too_old(const Attachment& bus, const Beginning& from, Slack slack) {
    constexpr std::uint64_t short_time_ns = 10'000'000;
    const auto most = static_cast<std::uint64_t>(age_ns(bus.past.max_age));
    const auto age = os::clock_ns() - from.time_ns;
    return most != 0 && !bus.changing.age_suspended.load() && age > 0 &&
           static_cast<std::uint64_t>(age) > with_slack(most, slack, short_time_ns);
}

// REQUIRES Past::mutex.
class Folding {
public:
    explicit Folding(Attachment& bus) : bus_(bus) {}
    ~Folding() { publish(); }
    Folding(const Folding&) = delete;
    Folding& operator=(const Folding&) = delete;

    [[nodiscard]] const Beginning& at() const noexcept { return at_; }

    // The base is behind this record now.
    void folded(const log::RecordBrief& record, const std::optional<log::BlobReference>& blob) {
        at_ = {record.end, record.sequence, record.time_ns};
        if (!blob) return;
        publish();
        bus_.past.blob_bytes -= blob->size;
        bus_.segments->remove_blob(blob->id);
    }
    // The base is there, whatever was before.
    void skip(const Beginning& to) noexcept { at_ = to; }
    // Before anything goes: who read it is told then that it is history no more.
    void publish() const noexcept {
        auto& words = bus_.words();
        words.history_sequence.store(number(at_.sequence));
        words.history_lsn.store(at_.lsn);
        bus_.past.base_time_ns.store(at_.time_ns);
    }

private:
    Attachment& bus_;
    Beginning at_ = beginning_of(bus_);
};

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

// Without a log. As much as was appended since the last time stays.
void forget(Attachment& bus, Folding& folding, const Beginning& upto) {
    auto& past = bus.past;
    if (past.blob_bytes == 0) {
        folding.skip(upto);
    } else {
        Cursor cursor(bus, folding.at().lsn, upto.lsn);
        while (cursor.next()) folding.folded(log::brief_of(cursor.record()), cursor.record().blob);
    }
    past.base->set_position(upto.sequence, upto.time_ns, upto.lsn, 1);
    const auto now = newest(bus);
    past.next_time_ns.store(static_cast<std::int64_t>(bus.words().time.load()));
    past.next_sequence.store(number(now.sequence));
    past.next_lsn.store(now.lsn);
}

// Memory of segments in which nothing is that is still to be read, or to be written.
void drop_needless(Attachment& bus, Lsn folded) {
    auto& past = bus.past;
    // (Nothing is written by that.)
    if (past.written_upto.load() != 0) flush(bus, Flush::write, folded, bus.lock_timeout);
    const auto needless = std::min(folded, bus.words().flushed.load());
    if (needless < past.first_segment_end) return;
    bus.segments->drop_before(needless);
    if (const auto first = bus.segments->find(needless))
        past.first_segment_end = bus.segments->end_of(*first);
}

}  // namespace

void fold_past(Attachment& bus, bool exactly) noexcept {
    auto& past = bus.past;
    const auto wanted = exactly ? Slack::none : Slack::little;
    const auto begun = bus.logging ? beginning_of(bus) : next_beginning_of(bus);
    if (!is_too_much(bus, begun, wanted) && !is_too_old(bus, begun, wanted)) return;
    try {
        if (past.max_age.count() != 0) look_at_clock(bus, bus.lock_timeout);
        const std::unique_lock lock(past.mutex, std::try_to_lock);
        if (!lock) return;  // another thread folds
        const auto upto = bus.words().applied.load(std::memory_order_acquire);
        bus.catalog.follow(bus);  // the structure chain must not lead to what is dropped
        Folding folding(bus);
        const auto batch_end = folding.at().lsn + most_at_once;
        const auto goes_on = [&] {
            const auto& at = folding.at();
            const auto slack = exactly || at.lsn < batch_end ? Slack::none : Slack::eighth;
            return is_too_much(bus, at, slack) || is_too_old(bus, at, slack);
        };
        if (bus.logging) {
            Replayer replayer(bus, *past.base, folding.at().lsn, upto);
            if (const auto few = records_above(bus, begun); few < few_records)
                replayer.expect(4 * limits::kib, static_cast<std::size_t>(few));
            else
                replayer.expect(few_bytes + 4 * limits::kib, few_records);
            while (goes_on() && replayer.next()) folding.folded(replayer.record(), replayer.blob());
        } else if (const auto next = next_beginning_of(bus);
                   next.lsn == begun.lsn && next.lsn <= upto) {  // else another one has done it
            forget(bus, folding, next);
        }
        folding.publish();
        drop_needless(bus, folding.at().lsn);
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
    Replayer replayer(bus, image, from, target.lsn);
    replayer.hurry();
    std::uint64_t n = 0;
    while (image.sequence() < to && replayer.next()) {
        constexpr std::uint64_t often = 4096;
        if (progress && ++n % often == 0 &&
            !progress(static_cast<double>(replayer.at() - from) /
                      static_cast<double>(target.lsn - from)))
            break;
    }
    return image;
}

replay::Image live_image(Attachment& bus, std::chrono::nanoseconds timeout) {
    const WriterLock lock(bus, timeout);
    bus.catalog.follow(bus, bus.tail.structure);
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
                          .bytes = std::move(bytes),
                          .name = page.name,
                          .metadata = page.metadata});
    }
    image.set_dependencies(structure.dependencies);
    image.set_structure(structure.head);
    image.set_position(Sequence{bus.tail.sequence}, static_cast<std::int64_t>(bus.tail.time),
                       bus.tail.applied, bus.words().next_page.load());
    return image;
}

}  // namespace mmsb::state
