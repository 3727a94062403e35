#include "state/seek.hpp"

#include "base/bytes.hpp"
#include "state/cursor.hpp"
#include "state/past.hpp"

#include <algorithm>

namespace mmsb::state {

namespace {

constexpr std::size_t near = 4 * limits::kib;  // is read one record after the other

class Seek {
public:
    Seek(Attachment& bus, Sequence commit)
        : bus_(bus), commit_(commit), kept_from_(kept_from(bus)), cursor_(bus, kept_from_) {}

    Lsn run() {
        const auto segments = segments_of(bus_, kept_from_, cursor_.to());
        const auto behind = std::ranges::partition_point(
            segments, [this](const log::Range& segment) { return is_before(segment.start); });
        auto from = kept_from_;
        if (behind != segments.begin()) from = halve(*(behind - 1));
        cursor_.seek(from);
        while (cursor_.next() && cursor_.record().sequence <= commit_)
            if (cursor_.record().sequence == commit_) return cursor_.record().start;
        throw HistoryDropped(ErrorCode::history_dropped,
                             "that part of the past was folded away while it was looked for",
                             {.sequence = commit_});
    }

private:
    // A record that starts there, or the next one: is it before the commit?
    bool is_before(Lsn start) {
        cursor_.seek(start);
        return cursor_.next() && cursor_.record().sequence < commit_;
    }

    // The start of a record before the commit, and near it.
    Lsn halve(const log::Range& segment) {
        auto from = segment.start, to = segment.end;
        while (to - from > near) {
            const auto middle = base::round_up(from + (to - from) / 2, 8);
            const auto start = record_from(segment, middle, to);
            if (start && is_before(*start))
                from = *start;
            else
                to = middle;
        }
        return from;
    }

    // Where the first record from `at` on starts, if that is before `to`.
    std::optional<Lsn> record_from(const log::Range& segment, Lsn at, Lsn to) {
        for (; at < to; at += 8) {
            if (at < bytes_at_ || at + log::head_size > bytes_at_ + bytes_.size())
                read(at, near, to);
            auto checked = log::check_record(bytes_from(at), at, segment.context);
            if (checked.status == log::ParseStatus::partial && checked.size <= to - at) {
                read(at, checked.size, to);
                checked = log::check_record(bytes_from(at), at, segment.context);
            }
            if (checked.status == log::ParseStatus::good) return at;
        }
        return std::nullopt;
    }
    [[nodiscard]] std::span<const std::byte> bytes_from(Lsn at) const {
        return std::span(bytes_).subspan(static_cast<std::size_t>(at - bytes_at_));
    }
    void read(Lsn at, std::size_t size, Lsn to) {
        bytes_at_ = at;
        bytes_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(size, to - at)));
        std::size_t have = 0;
        while (have != bytes_.size()) {
            const auto got = read_log(bus_, at + have, std::span(bytes_).subspan(have));
            if (got == 0) break;
            have += got;
        }
        bytes_.resize(have);
    }

    Attachment& bus_;
    Sequence commit_;
    Lsn kept_from_;
    Cursor cursor_;
    std::vector<std::byte> bytes_{};  // of the log
    Lsn bytes_at_ = 0;                // from here on
};

}  // namespace

Lsn start_of(Attachment& bus, Sequence commit) {
    return look_while_kept(bus, commit - 1, [&] { return Seek(bus, commit).run(); });
}

}  // namespace mmsb::state
