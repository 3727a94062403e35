/// log/scan: walks the records of one segment's bytes, and tells a torn tail from damage. Pure.
///
/// The rule (PROTOCOL, reboot): the good prefix ends at x. A good record behind x that says
/// "durable beyond x" proves damage: those bytes were promised. Otherwise the tail was torn by a
/// power cut and was never acknowledged: it is dropped.
#pragma once

#include "log/record.hpp"

#include <mmsb/types.hpp>

namespace mmsb::log {

enum class ScanEnd : std::uint8_t {
    complete,  ///< Up to the segment's end: the next record is in the next segment.
    empty,     ///< Zeros from here to the end of the bytes.
    stopped,   ///< The visitor said so.
    bad,       ///< Something that is no record, or a partial one.
};
struct ScanResult {
    ScanEnd end = ScanEnd::empty;
    Lsn good_until = 0;  ///< Where the good prefix ends: the next record's LSN.
    std::uint64_t records = 0;
    const char* expected = "";  ///< For `bad`.
};
/// Visits each good record in order; false ends it. `bytes` begin at LSN `from`, and end where the
/// segment's range ends (`limit`) or where the file does. Fillers are not visited. What follows
/// `good_until` is `empty` only if all of it is zero. Of the file's bytes no more than a part, up
/// to anywhere, gives the same records until that part ends; `bad`, `empty` and `good_until` are
/// then what they would be if the file ended there.
[[nodiscard]] ScanResult scan_segment(std::span<const std::byte> bytes, const SegmentHeader& header,
                                      Lsn limit, Lsn from, FunctionRef<bool(const Record&)> visit);
/// The same; what a commit says of pages is appended to `pages` before it is visited: parsed once,
/// for who needs it anyhow. Views into `bytes`. What is behind that, in the end, means nothing.
[[nodiscard]] ScanResult scan_segment(std::span<const std::byte> bytes, const SegmentHeader& header,
                                      Lsn limit, Lsn from, std::vector<PageDelta>& pages,
                                      FunctionRef<bool(const Record&)> visit);

/// How many of these bytes there are, but for zeros at their end: a log is written into zeros.
[[nodiscard]] std::uint64_t used_bytes(std::span<const std::byte> bytes) noexcept;

/// Is there in these bytes, which begin at LSN `from` (a multiple of 8), a good record that says
/// durable > `promised`? Its LSN, else nothing. Linear: the 16-bit check rules out most places, and
/// the bytes that checksums may look at are bounded (64 x the input); what exceeds the bound counts
/// as found (refuse to guess).
[[nodiscard]] std::optional<Lsn> find_promise(std::span<const std::byte> bytes,
                                              const SegmentHeader& header, Lsn from, Lsn promised);

}  // namespace mmsb::log
