/// state/cursor: reading the log, wherever it is: in the ring while it is young, in segments later.
///
/// Takes no lock and repairs nothing. A record is copied out first and believed afterwards: a ring
/// place that was overwritten meanwhile is read again from its segment.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

/// Copies log bytes from `lsn` on, below `logged`; as many as are in one place. 0: at `logged`.
std::size_t read_log(Attachment& bus, Lsn lsn, std::span<std::byte> out);

/// Walks records of [from, to) in order. One thread.
class Cursor {
public:
    /// `from` is where a record begins; to: `logged` as of now where not given.
    Cursor(Attachment& bus, Lsn from, std::optional<Lsn> to = std::nullopt);
    /// Moves to the next record (never a filler). False: at `to`. Throws Corrupt where the bytes
    /// are none, HistoryDropped where a private bus folded them away, Io.
    bool next();
    /// The same, but only where the next record lies in memory already: then false says nothing of
    /// what follows, and what record() said before stays valid beside it.
    bool next_at_hand();
    /// REQUIRES that next() returned true. Valid until the next call of it.
    [[nodiscard]] const log::Record& record() const noexcept { return record_; }
    /// The entries: the record's own, or its blob file's.
    [[nodiscard]] std::span<const std::byte> body();
    [[nodiscard]] Lsn at() const noexcept { return at_; }
    [[nodiscard]] Lsn to() const noexcept { return to_; }
    void extend(Lsn to) noexcept { to_ = to; }
    /// To where another record begins.
    void seek(Lsn lsn) noexcept;
    /// Before the first next(): memory that an earlier one has left, so that none is allocated.
    void use(std::vector<std::byte>&& buffer) noexcept { buffer_ = std::move(buffer); }
    /// Likewise: about so many bytes of log will be wanted.
    void expect(std::size_t bytes) noexcept { chunk_ = bytes; }
    /// Likewise: next() puts what the record itself says of pages here (not what its blob does).
    void gather(std::vector<log::PageEntry>& pages) noexcept { pages_ = &pages; }
    /// At the end: the memory, for the next one.
    [[nodiscard]] std::vector<std::byte> take_buffer() noexcept { return std::move(buffer_); }

private:
    static constexpr std::size_t smallest_chunk = 4096;

    [[nodiscard]] bool is_at_hand(Lsn lsn) const noexcept {
        return lsn >= buffer_start_ && lsn <= buffer_end_;
    }
    [[nodiscard]] bool fill(std::size_t least);
    [[nodiscard]] log::Checked parse();
    [[nodiscard]] bool take(std::size_t size) noexcept;
    [[noreturn]] void damaged(const char* expected);
    [[noreturn]] void throw_folded() const;
    [[nodiscard]] Lsn oldest() const noexcept;  // where the kept log begins

    Attachment& bus_;
    Lsn at_, to_;
    log::Range range_{};               ///< Of the segment that holds `at_`.
    std::vector<std::byte> buffer_{};  ///< Its beginning holds what lies between these two.
    Lsn buffer_start_ = 0, buffer_end_ = 0;
    std::size_t chunk_ = smallest_chunk;
    Sequence last_ = Sequence::zero;
    log::Record parsed_{}, record_{};
    std::vector<log::PageEntry>* pages_ = nullptr;
    std::vector<std::byte> blob_{};
    bool blob_read_ = false;
};

/// Where the kept log begins.
[[nodiscard]] Lsn kept_from(const Attachment& bus) noexcept;
/// Of each segment what of [from, to) it holds, ascending.
[[nodiscard]] std::vector<log::Range> segments_of(Attachment& bus, Lsn from, Lsn to);

/// The record that begins at `lsn`, committed: for the structure chain.
[[nodiscard]] Cursor record_at(Attachment& bus, Lsn lsn);

}  // namespace mmsb::state
