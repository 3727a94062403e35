/// state/log_scan: the files of a log from some place on, read and parsed part by part: for who
/// finds out where it ends.
#pragma once

#include "state/ahead.hpp"
#include "state/parsed_log.hpp"
#include "state/segment_window.hpp"

#include <memory>
#include <vector>

namespace mmsb::state {

using AllSegments = std::vector<std::shared_ptr<const log::Segment>>;

/// Some of one segment. Its records are views into the window's bytes, which other parts may share.
struct alignas(apart) ScannedPart {
    enum class End : std::uint8_t {
        more,     ///< Of the segment.
        segment,  ///< The next one goes on.
        log,      ///< No record follows: what does is at hand, all that the segment has.
        gap,      ///< This is nothing: the segment begins behind where the part before ended.
    };
    std::size_t segment = 0;  ///< Which of all.
    End end = End::log;
    Lsn from = 0, good_until = 0;  ///< Its records.
    bool ends_at_eof = false;      ///< So do the bytes at hand.
    std::shared_ptr<SegmentWindow> window{};
    ParsedLog log{};
};

/// Threads: one at a time.
class LogScan {
public:
    /// From `from`, where a record begins, and no further than `limit`. All of it outlives this.
    LogScan(log::Segments& segments, const AllSegments& all, Lsn from, Lsn limit)
        : segments_(segments), all_(all), at_(from), limit_(limit) {}

    /// The next part. False: there is none. Throws Io.
    [[nodiscard]] bool next(ScannedPart& part);

private:
    static constexpr std::size_t first_window = 256 * limits::kib;

    void read_window(const log::Segment& segment, Lsn limit);

    log::Segments& segments_;
    const AllSegments& all_;
    Lsn at_, limit_;
    std::size_t segment_ = 0;
    std::size_t window_size_ = first_window;
    std::vector<std::shared_ptr<SegmentWindow>> windows_{};  ///< Used again when no part has them.
    std::shared_ptr<SegmentWindow> window_{};                ///< Of this segment; not all scanned.
    bool is_done_ = false;
};

}  // namespace mmsb::state
