/// state/segment_window: some bytes of a segment's file, while the log is scanned.
#pragma once

#include "log/scan.hpp"
#include "state/attachment.hpp"

#include <algorithm>
#include <span>
#include <vector>

namespace mmsb::state {

/// Of the segment's range up to `limit` what its file has: mostly much less than it may have.
[[nodiscard]] inline std::size_t bytes_in(const log::Segment& segment, Lsn limit) {
    const auto size = std::max<std::uint64_t>(segment.file.size(), log::segment_header_size);
    return static_cast<std::size_t>(
        std::min(limit - segment.header.start, size - log::segment_header_size));
}

/// Threads: one.
class SegmentWindow {
public:
    /// So many bytes from `from` on, or all up to `limit` that there are. Throws Io.
    void read(log::Segments& segments, const log::Segment& segment, Lsn from, Lsn limit,
              std::size_t size) {
        const auto in_file = bytes_in(segment, limit);
        const auto before = static_cast<std::size_t>(from - segment.header.start);
        bytes_.resize(std::min(size, in_file - std::min(in_file, before)));
        std::size_t have = 0;
        while (have < bytes_.size()) {
            const auto got = segments.read(from + have, std::span(bytes_).subspan(have));
            if (got == 0) break;
            have += got;
        }
        bytes_.resize(have);
        at_ = from;
    }
    /// All of it. Likewise.
    void read_all(log::Segments& segments, const log::Segment& segment) {
        bytes_.resize(bytes_in(segment, segments.end_of(segment)));
        bytes_.resize(segment.file.read(log::segment_header_size, bytes_));
        at_ = segment.header.start;
    }

    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
    [[nodiscard]] Lsn at() const noexcept { return at_; }  ///< Where they begin.
    [[nodiscard]] std::span<const std::byte> behind(Lsn lsn) const noexcept {
        const auto before = std::min<std::uint64_t>(bytes_.size(), std::max(lsn, at_) - at_);
        return std::span(bytes_).subspan(static_cast<std::size_t>(before));
    }
    /// How many of those there are, but for zeros at their end.
    [[nodiscard]] std::uint64_t used_behind(Lsn lsn) const noexcept {
        return log::used_bytes(behind(lsn));
    }

private:
    std::vector<std::byte> bytes_{};
    Lsn at_ = 0;
};

}  // namespace mmsb::state
