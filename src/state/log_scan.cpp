#include "state/log_scan.hpp"

#include "log/scan.hpp"

#include <algorithm>

namespace mmsb::state {

bool LogScan::next(ScannedPart& part) {
    using End = ScannedPart::End;
    part.log.clear();
    for (; !is_done_ && segment_ < all_.size(); ++segment_, window_ = first_window) {
        const auto& segment = *all_[segment_];
        if (segment.header.start >= limit_) break;
        part.segment = segment_;
        if (segment.header.start > at_) {
            part.end = End::gap;
            return is_done_ = true;
        }
        const auto limit = std::min(segments_.end_of(segment), limit_);
        while (at_ < limit) {
            const auto from = at_;
            const auto end = part.window.read(segments_, segment, from, limit, window_);
            const auto scanned = log::scan_segment(part.window.bytes(), segment.header, limit, from,
                                                   part.log.pages, [&](const log::Record& record) {
                                                       part.log.add(record);
                                                       return true;
                                                   });
            at_ = part.good_until = scanned.good_until;
            part.ends_at_eof = end == at_;
            // What ends the log is judged by all that is there; what ends a window is not.
            const bool is_all = part.window.bytes().size() < window_;
            const bool is_complete = scanned.end == log::ScanEnd::complete;
            if (!is_complete && !is_all && at_ == from) {  // a record that is larger
                window_ *= 4;
                continue;
            }
            is_done_ = is_all && !is_complete;
            part.end = is_complete ? End::segment : is_all ? End::log : End::more;
            if (is_complete) ++segment_, window_ = first_window;
            return true;
        }
    }
    return false;
}

}  // namespace mmsb::state
