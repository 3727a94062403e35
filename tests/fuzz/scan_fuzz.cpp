// A segment built by the input: good records, records of any content with right checksums, heads
// that claim too much, noise, flipped bits; then scanned, and searched for a promise.
//
// What must hold: nothing outside the bytes is read, one allocation is at most 1 MiB
// (-malloc_limit_mb=1) and time is linear (-timeout); the good prefix is a chain of records that is
// found again when the rest is cut off, and each record stands where it was written.

#include "base/bytes.hpp"
#include "fuzz.hpp"
#include "log/head.hpp"
#include "log/record.hpp"
#include "log/scan.hpp"
#include "sealed.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace {

using namespace mmsb;  // NOLINT(google-build-using-namespace): a program of one file
using log::Lsn;

constexpr std::size_t most_bytes = 256 * 1024;
enum Step : std::uint8_t { commit, sealed, claim, noise, zeros, flip, filler, steps };

class Builder {
public:
    Builder(fuzz::Input& input, const log::SegmentHeader& header)
        : input_(input), header_(header) {}

    std::vector<std::byte> build() {
        while (!input_.empty() && bytes_.size() < most_bytes) {
            step(static_cast<Step>(input_.take<std::uint8_t>() % steps));
        }
        return std::move(bytes_);
    }

private:
    [[nodiscard]] Lsn end() const { return header_.start + bytes_.size(); }
    [[nodiscard]] log::Context context() const {
        return {.salt = header_.salt, .base_time_ns = header_.base_time_ns};
    }
    void align() { bytes_.resize(base::round_up(bytes_.size(), 8)); }

    void step(Step which) {
        const std::size_t n = input_.take<std::uint8_t>();
        if (which != flip && which != noise) align();
        switch (which) {
            case commit:
                return good_commit(n);
            case sealed: {
                const auto kind = input_.take<std::uint8_t>();
                const auto flags = input_.take<std::uint8_t>();
                return fuzz::append_sealed(kind, flags, input_.bytes(n), end(), context(), bytes_);
            }
            case claim:
                return head_that_claims(n);
            case zeros:
                return bytes_.resize(bytes_.size() + n);
            case filler:
                return log::write_filler(16 + n * 8, end(), context(), bytes_);
            case flip: {
                const auto bit = input_.take<std::uint32_t>();
                if (bytes_.empty()) return;
                bytes_[bit / 8 % bytes_.size()] ^= static_cast<std::byte>(1U << bit % 8);
                return;
            }
            default: {
                const auto more = input_.bytes(n);
                bytes_.insert(bytes_.end(), more.begin(), more.end());
            }
        }
    }
    void good_commit(std::size_t n) {
        log::RecordFields fields{.sequence = Sequence{n}, .time_ns = 5};
        fields.durable = header_.start + 8 * Lsn{input_.take<std::uint16_t>()};
        std::vector<std::byte> body;
        for (std::size_t i = 0; i < n % 5; ++i) {
            log::write_entry(log::PageEntry{.page = PageId{1 + i}, .size = n}, body);
        }
        log::write_record(fields, body, end(), context(), bytes_);
    }
    void head_that_claims(std::size_t n) {
        log::Head head{
            .checksum = 1, .check = 0, .kind = 1, .flags = 0, .size = input_.take<std::uint32_t>()};
        head.check = log::head_check(log::record_seed(header_.salt, end()), head);
        const auto raw = std::as_bytes(std::span(&head, 1));
        bytes_.insert(bytes_.end(), raw.begin(), raw.end());
        bytes_.resize(bytes_.size() + n);
    }

    fuzz::Input& input_;
    const log::SegmentHeader& header_;
    std::vector<std::byte> bytes_{};
};

struct Seen {
    log::ScanResult result{};
    std::vector<Lsn> starts{};
    Lsn last_end = 0;
};
Seen scan(std::span<const std::byte> bytes, const log::SegmentHeader& header, Lsn limit) {
    Seen seen;
    seen.last_end = header.start;
    seen.result =
        log::scan_segment(bytes, header, limit, header.start, [&](const log::Record& record) {
            FUZZ_CHECK(record.start >= seen.last_end && record.end > record.start);
            seen.starts.push_back(record.start);
            seen.last_end = record.end;
            return true;
        });
    return seen;
}

void check_scan(std::span<const std::byte> bytes, const log::SegmentHeader& header, Lsn limit) {
    const auto seen = scan(bytes, header, limit);
    const auto& result = seen.result;
    FUZZ_CHECK(result.good_until % 8 == 0 && result.good_until >= seen.last_end);
    FUZZ_CHECK(result.good_until <= std::min(limit, header.start + header.capacity));
    FUZZ_CHECK(result.records == seen.starts.size());
    if (result.end == log::ScanEnd::bad) FUZZ_CHECK(*result.expected != '\0');
    // Without what follows, the same prefix.
    const auto good = std::min<std::uint64_t>(bytes.size(), result.good_until - header.start);
    const auto again = scan(bytes.first(static_cast<std::size_t>(good)), header, limit);
    FUZZ_CHECK(again.result.end != log::ScanEnd::bad && again.starts == seen.starts);
}

void check_promise(std::span<const std::byte> bytes, const log::SegmentHeader& header, Lsn from,
                   Lsn promised) {
    const auto behind = bytes.subspan(
        static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), from - header.start)));
    const auto found = log::find_promise(behind, header, from, promised);
    if (!found) return;
    FUZZ_CHECK(*found >= from && *found % 8 == 0 && *found < header.start + bytes.size());
    const auto here = bytes.subspan(static_cast<std::size_t>(*found - header.start));
    const auto parsed =
        log::parse_record(here, *found, {.salt = header.salt, .base_time_ns = header.base_time_ns});
    const bool good = parsed.status == log::ParseStatus::good && parsed.record.durable > promised;
    // Else the bound was reached: only where much claims to be a record.
    FUZZ_CHECK(good || bytes.size() > 64 * log::head_size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    log::SegmentHeader header{.id = 1, .salt = 0x5a17, .start = 4096};
    header.capacity = 16 + 8 * std::uint64_t{input.take<std::uint16_t>()};
    const Lsn limit = header.start + 8 * Lsn{input.take<std::uint16_t>()};
    const Lsn from = base::round_up(header.start + input.take<std::uint16_t>(), 8);
    const auto bytes = Builder(input, header).build();
    check_scan(bytes, header, limit);
    check_scan(bytes, header, header.start + header.capacity);
    check_promise(bytes, header, from, from);
    return 0;
}
