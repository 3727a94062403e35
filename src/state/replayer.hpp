/// state/replayer: the log's records applied to an image, one after the other.
///
/// Looks ahead: a part of the log is parsed before it is applied, so that pages which records
/// change are on their way from memory by then. (Pages lie anywhere, and each is two misses.) Of
/// a long log another thread parses the parts.
#pragma once

#include "base/spare.hpp"
#include "replay/image.hpp"
#include "state/ahead.hpp"
#include "state/cursor.hpp"

#include <vector>

namespace mmsb::state {

/// Threads: one. Both outlive it.
class Replayer {
public:
    /// From where `from` is a record's beginning, up to `to`; `logged` as of now where not given.
    Replayer(Attachment& bus, replay::Image& image, Lsn from, std::optional<Lsn> to = std::nullopt);
    ~Replayer();
    Replayer(const Replayer&) = delete;
    Replayer& operator=(const Replayer&) = delete;

    /// Applies the next record (never a filler). False: at `to`. Throws what Cursor::next does, and
    /// Corrupt where the record contradicts the image, which then is as it was.
    bool next();
    /// That was applied. REQUIRES that next() returned true. Valid until the next call of it.
    [[nodiscard]] const log::RecordBrief& record() const noexcept {
        return part_->log.items[next_ - 1].record;
    }
    /// Its blob, if its entries are in one. Likewise.
    [[nodiscard]] std::optional<log::BlobReference> blob() const noexcept {
        const auto* const whole = part_->log.whole(part_->log.items[next_ - 1]);
        return whole == nullptr ? std::nullopt : whole->blob;
    }
    /// The pages that it says something of. Likewise.
    void each_page(FunctionRef<void(PageId)> visit);
    [[nodiscard]] Lsn at() const noexcept { return at_; }  ///< Behind it.
    [[nodiscard]] Lsn to() const noexcept { return cursor_.to(); }
    void extend(Lsn to) noexcept;
    /// Before the first next(): about so many bytes of log and records will be wanted.
    void expect(std::size_t bytes, std::size_t records) noexcept {
        cursor_.expect(bytes);
        most_at_first_ = records;
    }
    /// Before the first next(): all up to `to` will be wanted, and quickly.
    void hurry() noexcept {
        hurries_ = true;
        most_ = ParsedLog::most_items;
    }

private:
    struct alignas(apart) Part {
        std::vector<std::byte> bytes{};
        ParsedLog log{};
    };
    // A thread keeps it for its next one.
    struct Memory {
        std::vector<std::byte> buffer{};
        Ahead<Part>::Parts parts{};
    };

    [[nodiscard]] bool read(Part& part);
    [[nodiscard]] bool next_part();
    [[nodiscard]] std::string apply(const ParsedLog::Item& item);
    void ask_ahead(const ParsedLog::Item& item) noexcept;

    Attachment& bus_;
    replay::Image& image_;
    // Of who makes parts:
    alignas(apart) Cursor cursor_;
    std::size_t most_at_first_ = 64, most_ = 256;  // records of a part
    // Of who applies them:
    alignas(apart) Lsn at_;
    base::Spare<Memory> memory_{};
    bool hurries_ = false;
    Part* part_ = nullptr;
    std::size_t next_ = 0;                                   // to be applied, of that part
    std::size_t asked_for_pages_ = 0, asked_for_bytes_ = 0;  // of what it says of pages
    std::vector<std::byte> blob_{};  // of the one that was applied last, if it has one
    alignas(apart) Ahead<Part> ahead_;
};

}  // namespace mmsb::state
