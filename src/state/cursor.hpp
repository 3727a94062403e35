/// state/cursor: reading the log, wherever it is: in the ring while it is young, in segments later.
///
/// Takes no lock and repairs nothing. A record is copied out first and believed afterwards: a ring
/// place that was overwritten meanwhile is read again from its segment.
#pragma once

#include "state/attachment.hpp"
#include "state/parsed_log.hpp"

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
    /// REQUIRES that next() returned true. Valid until the next call of it.
    [[nodiscard]] const log::Record& record() const noexcept { return record_; }
    /// The entries: the record's own, or its blob file's.
    [[nodiscard]] std::span<const std::byte> body();
    [[nodiscard]] Lsn at() const noexcept { return at_; }
    [[nodiscard]] Lsn to() const noexcept { return to_; }
    void extend(Lsn to) noexcept { to_ = to; }
    /// To where another record begins.
    void seek(Lsn lsn) noexcept;
    /// The same, for who goes back step by step: what is read reaches back further where the steps
    /// are small. What lies before it counts as not read. Throws as next().
    void jump(Lsn lsn);
    /// Before the first next(): memory that an earlier one has left, so that none is allocated.
    void use(std::vector<std::byte>&& buffer) noexcept { buffer_ = std::move(buffer); }
    /// Likewise: about so many bytes of log will be wanted.
    void expect(std::size_t bytes) noexcept { chunk_ = bytes; }
    /// Likewise: next() puts what the record itself says of pages here (not what its blob does).
    void gather(std::vector<log::PageEntry>& pages) noexcept { pages_ = &pages; }
    /// The next records, as many as lie in memory once the first does, at most `most`; up to the
    /// first that has a blob. `bytes` become what `log` views. False: at `to`. Throws as next().
    /// Not with gather().
    bool next(ParsedLog& log, std::vector<std::byte>& bytes, std::size_t most);
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
    [[nodiscard]] bool add_at_hand(ParsedLog& log);
    [[nodiscard]] std::span<const std::byte> at_hand() const noexcept;
    void hand_over(std::vector<std::byte>& bytes);
    [[noreturn]] void damaged(const char* expected);

    Attachment& bus_;
    Lsn at_, to_;
    log::Range range_{};               ///< Of the segment that holds `at_`.
    std::vector<std::byte> buffer_{};  ///< Its beginning holds what lies between these two.
    Lsn buffer_start_ = 0, buffer_end_ = 0;
    std::size_t chunk_ = smallest_chunk;
    Lsn back_ = 0;  ///< So far before the place of the last jump.
    Sequence last_ = Sequence::zero;
    log::Record parsed_{}, record_{};
    std::vector<log::PageEntry>* pages_ = nullptr;  ///< gather()'s
    ParsedLog* parsed_log_ = nullptr;               ///< next()'s
    std::vector<std::byte> blob_{};
    bool blob_read_ = false;
};

/// The entries of one that has a blob. Throws as Cursor::next does.
[[nodiscard]] std::vector<std::byte> read_blob(Attachment& bus, const log::Record& record);

/// Where the kept log begins.
[[nodiscard]] Lsn kept_from(const Attachment& bus) noexcept;
/// Of each segment what of [from, to) it holds, ascending.
[[nodiscard]] std::vector<log::Range> segments_of(Attachment& bus, Lsn from, Lsn to);

/// The record that begins at `lsn`, committed: for the structure chain.
[[nodiscard]] Cursor record_at(Attachment& bus, Lsn lsn);

}  // namespace mmsb::state
