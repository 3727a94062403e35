#include "state/commit_bytes.hpp"

#include "arena/shared_bytes.hpp"
#include "base/steps.hpp"
#include "delta/codec.hpp"
#include "delta/compare.hpp"
#include "state/append.hpp"
#include "state/apply_timer.hpp"
#include "state/bytes_change.hpp"
#include "state/commit.hpp"
#include "state/flush.hpp"
#include "state/lost.hpp"
#include "state/past.hpp"
#include "state/redo.hpp"
#include "state/stage.hpp"
#include "state/turn.hpp"
#include "state/wait.hpp"

#include <functional>

namespace mmsb::state {

namespace {

// What is compared is read once, and written over by nobody's second look.
constexpr std::size_t most_bytes = delta::windows_compared_once * delta::window;
constexpr std::size_t delta_front = log::record_overhead(0) + log::delta_entry_front;

// The most that the record of a write takes: a delta that says by masks which bytes change has at
// most 16 bytes for 64 of them, and no other one is taken that is longer.
constexpr std::size_t most_of_record(std::size_t bytes) noexcept {
    constexpr std::size_t first_window_and_counts = 64;
    return delta_front + bytes + bytes / 4 + first_window_and_counts + log::most_padding;
}

bool is_ordinary(const Attachment& bus, const HandleOptions& handle, const BytesOfPage& write,
                 const CommitOptions& options) noexcept {
    return !bus.read_only && !bus.catalog.may_have_edges(write.page) && !is_inside_function() &&
           handle.durability != Durability::sync && !options.durability && options.source.empty() &&
           options.label.empty() && options.propagation <= Propagation::deferred &&
           write.line != unknown_line && !write.bytes.empty() && write.bytes.size() <= most_bytes &&
           most_of_record(write.bytes.size()) <= bus.header.geometry.largest_record();
}

// Nothing: it has no number yet.
std::optional<std::uint32_t> known_source(Attachment& bus, std::string_view name) {
    if (name.empty()) return 0;
    auto& scratch = bus.scratch;
    if (scratch.source_number != 0 && scratch.source == name) return scratch.source_number;
    const auto number = bus.catalog.source_number(name);
    if (number) {
        scratch.source = name;
        scratch.source_number = *number;
    }
    return number;
}

// A look without the lock, at what is then looked at under it: what will be refused waits for
// nobody, and what commit() has to do takes the lock once.
bool may_fit(const Attachment& bus, const BytesOfPage& write,
             const CommitOptions& options) noexcept {
    const auto* const line = bus.arena->line(write.line);
    return line != nullptr && line->id.load(relaxed) == number(write.page) &&
           (!write.whole || line->size.load(relaxed) == write.bytes.size()) &&
           (!options.expected || line->epoch.load(relaxed) == number(*options.expected)) &&
           (line->location.load(relaxed) & arena::stale_bit) == 0;
}

// Do they overlap? (As where a page is written from what Page::peek shows of it.)
bool are_of(std::span<const std::byte> page, std::span<const std::byte> bytes) noexcept {
    const std::less<const std::byte*> before;
    return before(bytes.data(), page.data() + page.size()) &&
           before(page.data(), bytes.data() + bytes.size());
}

/// One commit, under the writers' lock.
class OneCommit {
public:
    OneCommit(Attachment& bus, const BytesOfPage& write) noexcept : bus_(bus), write_(write) {}

    /// Is the page there, as its line says, and can this be written to it?
    [[nodiscard]] bool find_page(const CommitOptions& options) noexcept {
        change_.line = write_.line;
        auto& was = change_.was;
        if (!find_still(bus_, write_.page, write_.line, was)) return false;
        const auto size = write_.bytes.size();
        if (write_.whole ? size != was.size
                         : write_.offset > was.size || size > was.size - write_.offset)
            return false;
        if (options.expected && number(*options.expected) != was.epoch) return false;
        const auto bytes = bus_.arena->bytes(was.offset, was.size);
        if (!bytes) return false;
        page_ = *bytes;
        return bus_.logging || !are_of(page_, write_.bytes);
    }

    /// How many bytes differ. Of a bus with a log their delta lies in scratch.record then.
    [[nodiscard]] std::uint64_t compare() {
        const auto offset = static_cast<std::size_t>(write_.offset), size = write_.bytes.size();
        auto& record = bus_.scratch.record;
        if (const auto most = most_of_record(size); record.size() < most) record.resize(most);
        delta_ = std::span(record).subspan(delta_front, 0);
        if (!bus_.logging) {
            auto& masks = bus_.scratch.masks;
            masks.resize(delta::windows_compared_once);
            return delta::compare(page_.data() + offset, write_.bytes.data(), size, masks.data());
        }
        const delta::Part part{offset, page_.subspan(offset, size), write_.bytes};
        return delta::encode_to({&part, 1}, page_.size(), [this](std::size_t needed) {
            delta_ = std::span(bus_.scratch.record).subspan(delta_front, needed);
            return delta_.data();
        });
    }

    /// Room for the record, as far as can be told without making any, and no end of a segment.
    [[nodiscard]] bool has_room() noexcept {
        const auto& scratch = bus_.scratch;
        const auto logged = bus_.tail.applied, end = logged + most_of_record(write_.bytes.size());
        return scratch.segment && logged >= scratch.segment->header.start &&
               end < scratch.segment_end && is_room(bus_, end);
    }

    void make_record(std::uint32_t source, std::uint64_t tag) noexcept {
        const auto& was = change_.was;
        const auto start = bus_.tail.applied;
        prefetch_ring(bus_, start + small_record, start + delta_front + delta_.size());
        auto fields = record_fields(bus_, log::RecordKind::commit);
        fields.sequence = sequence_ = fields.sequence + 1;
        fields.source = source;
        fields.tag = tag;
        time_ns_ = fields.time_ns;
        record_ = log::wrap_delta(fields, {write_.page, Epoch{was.epoch} + 1, was.size}, delta_,
                                  start, bus_.scratch.segment->context());
    }

    // ---- from here on it is committed
    void log_and_apply(std::uint64_t changed, bool timed) noexcept {
        const auto start = bus_.tail.applied, end = start + record_.size();
        log_records(bus_, start, {}, record_, {&write_.line, 1});
        change_.changed_bytes = changed;
        {
            const ApplyTimer timer(bus_.words(), sequence_, timed);
            apply_bytes(bus_, change_, end, sequence_, [this](auto page) { write_to(page); });
        }
        publish_time(bus_, time_ns_);
        publish_sequence(bus_, sequence_);
        publish_applied(bus_, end);
        MMSB_STEP("commit.applied");
    }

private:
    void write_to(std::span<std::byte> page) const noexcept {
        if (bus_.logging)
            delta::apply_shared(delta_, page);
        else
            arena::copy_to_shared(page.data() + write_.offset, write_.bytes.data(),
                                  write_.bytes.size());
    }

    Attachment& bus_;
    const BytesOfPage& write_;
    BytesChange change_{};
    std::span<std::byte> page_{}, delta_{};
    Sequence sequence_ = Sequence::zero;
    std::int64_t time_ns_ = 0;
    std::span<const std::byte> record_{};
};

// Under the lock. Nothing: for commit() to do.
std::optional<Committed> commit_locked(Attachment& bus, const HandleOptions& handle,
                                       const BytesOfPage& write, const CommitOptions& options) {
    auto& words = bus.words();
    if (words.poison.load(relaxed) != 0) return std::nullopt;
    bus.catalog.follow(bus, bus.tail.structure);
    const auto source = known_source(bus, handle.source);
    OneCommit commit(bus, write);
    if (!source || bus.catalog.may_have_edges(write.page) || !commit.find_page(options))
        return std::nullopt;
    MMSB_STEP("commit.validated");
    if (!commit.has_room()) return std::nullopt;
    const auto changed = commit.compare();
    MMSB_STEP("commit.encoded");
    Committed committed;
    committed.sequence = Sequence{bus.tail.sequence};
    if (changed != 0) {
        MMSB_STEP("commit.room");
        commit.make_record(*source, options.tag);
        MMSB_STEP("commit.built");
    }
    bus.require_memory();
    if (changed == 0) return committed;
    if (words.writer_pid.load(relaxed) != static_cast<std::uint64_t>(bus.process))
        throw_two_holders(bus, "the writers' lock", arena::writers_lock_at);
    commit.log_and_apply(changed, handle.instrumentation);
    return Committed{Sequence{bus.tail.sequence}, changed, true};
}

}  // namespace

std::optional<Committed> commit_bytes(Attachment& bus, const HandleOptions& handle,
                                      BytesOfPage write, const CommitOptions& options) {
    if (write.line == unknown_line) write.line = guess_line(bus, write.page);
    if (!is_ordinary(bus, handle, write, options)) return std::nullopt;
    __builtin_prefetch(bus.arena->line(write.line));
    prefetch_end(bus);
    if (!may_fit(bus, write, options)) return std::nullopt;
    let_turn_pass(bus);
    std::optional<Committed> committed;
    {
        const WriterLock lock(bus, handle.lock_timeout);
        committed = commit_locked(bus, handle, write, options);
    }
    if (!committed) return std::nullopt;
    if (bus.is_lost()) throw_lost_committed(bus, committed->sequence);
    if (committed->changed()) wake(bus, wake_bit(write.line));
    wake_timer(bus);
    if (bus.is_private) fold_past(bus, false);
    return committed;
}

}  // namespace mmsb::state
