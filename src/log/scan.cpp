#include "log/scan.hpp"

#include "base/bytes.hpp"
#include "log/head.hpp"

#include <algorithm>

namespace mmsb::log {
namespace {

constexpr std::size_t smallest_record = 16;  // Less is left: no record begins there.

template <class Parse, class Visit>
ScanResult scan(std::span<const std::byte> bytes, const SegmentHeader& header, Lsn limit, Lsn from,
                const Parse& parse, const Visit& visit) {
    ScanResult result{};
    result.good_until = from;
    const auto stop = [&](ScanEnd end, const char* expected = "") {
        result.end = end;
        result.expected = expected;
        return result;
    };
    const Lsn capacity_end = header.start + header.capacity;
    limit = std::min(limit, capacity_end);
    if (from < header.start || from > limit || from % 8 != 0) {
        return stop(ScanEnd::bad, "a record's place inside the segment");
    }
    bytes =
        bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), limit - from)));
    const Context context{.salt = header.salt, .base_time_ns = header.base_time_ns};
    Record record;
    while (result.good_until < limit) {
        const auto at = std::min<std::uint64_t>(result.good_until - from, bytes.size());
        const auto left = bytes.subspan(static_cast<std::size_t>(at));
        if (capacity_end - result.good_until < smallest_record) {
            if (!base::all_zero(left)) return stop(ScanEnd::bad, "zeros up to the segment's end");
            if (left.size() < limit - result.good_until) return stop(ScanEnd::empty);
            result.good_until = limit;
            break;
        }
        const Checked parsed = parse(left, result.good_until, context, record);
        if (parsed.status == ParseStatus::empty) {
            return base::all_zero(left) ? stop(ScanEnd::empty)
                                        : stop(ScanEnd::bad, "zeros up to the end, or a record");
        }
        if (parsed.status != ParseStatus::good) return stop(ScanEnd::bad, parsed.expected);
        result.good_until += parsed.size;
        if (record.kind == RecordKind::filler) continue;
        ++result.records;
        if (!visit(record)) return stop(ScanEnd::stopped);
    }
    return stop(ScanEnd::complete);
}

}  // namespace

ScanResult scan_segment(std::span<const std::byte> bytes, const SegmentHeader& header, Lsn limit,
                        Lsn from, FunctionRef<bool(const Record&)> visit) {
    const auto parse = [](std::span<const std::byte> at, Lsn lsn, const Context& context,
                          Record& record) {
        return parse_record(at, lsn, context, record, nullptr);
    };
    return scan(bytes, header, limit, from, parse, visit);
}

ScanResult scan_segment(std::span<const std::byte> bytes, const SegmentHeader& header, Lsn limit,
                        Lsn from, std::vector<PageDelta>& pages,
                        FunctionRef<bool(const Record&)> visit) {
    const auto parse = [&](std::span<const std::byte> at, Lsn lsn, const Context& context,
                           Record& record) {
        return parse_record(at, lsn, context, record, pages);
    };
    return scan(bytes, header, limit, from, parse, visit);
}

std::optional<Lsn> find_promise(std::span<const std::byte> bytes, const SegmentHeader& header,
                                Lsn from, Lsn promised) {
    constexpr std::uint64_t looks_per_byte = 64;
    const Context context{.salt = header.salt, .base_time_ns = header.base_time_ns};
    std::uint64_t budget = looks_per_byte * bytes.size();
    for (std::size_t at = 0; at + head_size <= bytes.size();) {
        const auto here = bytes.subspan(at);
        const Lsn lsn = from + at;
        const auto head = load_head(here);
        at += 8;
        if (!plausible(head) || base::round_up(head.size, 8) > here.size()) continue;
        if (head.check != head_check(record_seed(header.salt, lsn), head)) continue;
        if (head.size > budget) return lsn;
        budget -= head.size;
        const auto parsed = parse_record(here, lsn, context);
        if (parsed.status != ParseStatus::good) continue;
        if (parsed.record.durable && *parsed.record.durable > promised) return lsn;
        at += parsed.size - 8;  // A good record's inside holds no other.
    }
    return {};
}

std::uint64_t used_bytes(std::span<const std::byte> bytes) noexcept {
    const auto last =
        std::find_if(bytes.rbegin(), bytes.rend(), [](std::byte b) { return b != std::byte{0}; });
    return static_cast<std::uint64_t>(bytes.rend() - last);
}

}  // namespace mmsb::log
