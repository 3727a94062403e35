/// state/append: putting records behind the log's end, into the ring. For whoever holds the
/// writers' lock.
#pragma once

#include "state/prefetch.hpp"

#include <algorithm>

namespace mmsb::state {

/// What one commit appends: perhaps fillers and a source's name, then the record. They become valid
/// together, by one store of `logged`.
struct Batch {
    Lsn start = 0, end = 0;          ///< Of the whole batch.
    log::Record source{}, record{};  ///< For publish(); kind filler: there is none.
};

/// Asks for the cache lines of the ring that a record is going to be written to: whoever flushes
/// has read them since, on another core, and the store of the lock would wait for them.
inline void prefetch_ring(const Attachment& bus, Lsn begin, Lsn end) noexcept {
    constexpr std::uint64_t most = 4 * limits::kib;  // more would push out what is needed sooner
    end = std::min(end, begin + most);
    for (auto at = begin; at < end; at += cache_line) __builtin_prefetch(bus.arena->ring(at), 1);
}
/// Those of a small one, before it is known how large it is.
inline constexpr std::uint64_t small_record = 192;
inline void prefetch_end(const Attachment& bus) noexcept {
    const auto end = bus.words().logged.load(relaxed);
    prefetch_ring(bus, end, end + small_record);
}

/// Is there room in the ring and in the files for the log up to `end`? False: it has to be made.
[[nodiscard]] bool is_room(Attachment& bus, Lsn end) noexcept;
/// Fields that every record has. Time never goes back; `behind` is that of a record before which is
/// not published.
[[nodiscard]] log::RecordFields record_fields(const Attachment& bus, log::RecordKind kind,
                                              std::int64_t behind = 0) noexcept;
/// Ring bytes, busy lines, `logged`: from here on the records at `start` are committed. They are in
/// two pieces, `first` may be empty.
void log_records(Attachment& bus, Lsn start, std::span<const std::byte> first,
                 std::span<const std::byte> second, std::span<const std::uint32_t> lines) noexcept;

class Appender {
public:
    /// `timeout`: for the files' lock, where room must be made.
    Appender(Attachment& bus, std::chrono::nanoseconds timeout)
        : bus_(bus), words_(bus.words()), timeout_(timeout) {}

    /// Room for `size` bytes of records, in the ring and on the disk. Throws OutOfSpace, Poisoned,
    /// Io.
    void make_room(std::uint64_t size);
    void begin();
    /// Of the next record of this batch.
    [[nodiscard]] log::RecordFields fields(log::RecordKind kind);
    [[nodiscard]] Lsn structure_head() const noexcept {
        return bus_.tail.structure == 0 ? log::no_lsn : bus_.tail.structure;
    }

    /// Builds one record behind what is there.
    void add(log::RecordFields fields, std::span<const std::byte> body, log::Record& as);
    /// Builds the batch's last record, a commit, around the entries in scratch.body.
    void wrap(const log::RecordFields& fields);

    /// From here on it is committed.
    void log_batch(std::span<const std::uint32_t> lines) noexcept;
    [[nodiscard]] Batch& batch() noexcept { return batch_; }

private:
    [[nodiscard]] log::Context context() const noexcept { return bus_.scratch.segment->context(); }
    void find_segment(Lsn lsn);
    void end_segment_before(std::uint64_t size);
    void take(const log::RecordFields& fields, std::size_t size, log::Record& as);

    Attachment& bus_;
    arena::Control& words_;
    std::chrono::nanoseconds timeout_;
    Batch batch_{};
    std::span<const std::byte> wrapped_{};  ///< In scratch.body; the rest is in scratch.batch.
    std::int64_t time_ns_ = 0;
};

}  // namespace mmsb::state
