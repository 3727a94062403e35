#include "state/log_scan.hpp"

#include "log/scan.hpp"

#include <algorithm>

namespace mmsb::state {

// From `at_` on.
void LogScan::read_window(const log::Segment& segment, Lsn limit) {
    const auto unused =
        std::ranges::find_if(windows_, [](const auto& window) { return window.use_count() == 1; });
    window_ = unused != windows_.end() ? *unused
                                       : windows_.emplace_back(std::make_shared<SegmentWindow>());
    window_->read(segments_, segment, at_, limit, window_size_);
}

bool LogScan::next(ScannedPart& part) {
    using End = ScannedPart::End;
    part.window.reset();
    for (; !is_done_ && segment_ < all_.size(); ++segment_) {
        const auto& segment = *all_[segment_];
        if (segment.header.start >= limit_) break;
        part.segment = segment_;
        if (segment.header.start > at_) {
            part.end = End::gap;
            return is_done_ = true;
        }
        const auto limit = std::min(segments_.end_of(segment), limit_);
        while (window_ || at_ < limit) {
            if (!window_) read_window(segment, limit);
            const auto from = part.from = at_;
            part.log.clear();
            const auto scanned =
                log::scan_segment(window_->behind(at_), segment.header, limit, at_, part.log.pages,
                                  [&](const log::Record& record) {
                                      part.log.add(record);
                                      return part.log.items.size() != ParsedLog::most_items;
                                  });
            at_ = part.good_until = scanned.good_until;
            part.window = window_;
            part.ends_at_eof = window_->at() + window_->bytes().size() == at_;
            part.end = End::more;
            if (scanned.end == log::ScanEnd::stopped) return true;
            // What ends the log is judged by all that is there; what ends a window is not.
            const bool is_all = window_->bytes().size() < window_size_;
            window_.reset();
            if (scanned.end == log::ScanEnd::complete) {
                part.end = End::segment;
                ++segment_;
            } else if (is_all) {
                part.end = End::log;
                is_done_ = true;
            } else if (at_ == from && part.window->at() == from) {  // a record that is larger
                window_size_ *= 4;
                continue;
            }
            window_size_ = first_window;
            return true;
        }
    }
    return false;
}

}  // namespace mmsb::state
