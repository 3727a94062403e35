/// state/replayer: the log's records applied to an image, one after the other.
///
/// Looks ahead: some records are parsed before they are applied, so that by then the pages that
/// they change are on their way from memory. (Pages lie anywhere, and each is two misses.)
#pragma once

#include "base/spare.hpp"
#include "replay/image.hpp"
#include "state/cursor.hpp"

#include <algorithm>
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
    [[nodiscard]] const log::Record& record() const noexcept { return ahead_[next_ - 1].record; }
    /// The pages that it says something of. Likewise.
    void each_page(FunctionRef<void(PageId)> visit);
    [[nodiscard]] Lsn at() const noexcept { return at_; }  ///< Behind it.
    [[nodiscard]] Lsn to() const noexcept { return cursor_.to(); }
    void extend(Lsn to) noexcept { cursor_.extend(to); }
    /// Before the first next(): about so many bytes of log and records will be wanted.
    void expect(std::size_t bytes, std::size_t records) noexcept {
        cursor_.expect(bytes);
        most_ahead_ = std::min(records, most_ahead_);
    }

private:
    struct Ahead {
        log::Record record{};
        std::vector<log::PageEntry> pages{};  ///< What it says of pages, but for a blob's.
    };
    // A thread keeps it for its next one.
    struct Memory {
        std::vector<std::byte> buffer{};
        std::vector<Ahead> ahead{};  // its elements are kept, for their memory
    };

    [[nodiscard]] bool look_ahead();
    void take(Ahead& to);
    void ask_for_bytes(std::size_t n) const noexcept;

    Attachment& bus_;
    replay::Image& image_;
    Cursor cursor_;
    Lsn at_;
    base::Spare<Memory> memory_{};
    std::vector<Ahead>& ahead_ = memory_->ahead;
    std::size_t most_ahead_ = 64;
    std::size_t next_ = 0, count_ = 0;  // to be applied, of those that are there
};

}  // namespace mmsb::state
