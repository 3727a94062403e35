#include "log/scan.hpp"

#include "log/head.hpp"
#include "log/support.hpp"

#include <gtest/gtest.h>

namespace mmsb::log {
namespace {

using testing::Buffer;
using testing::flip;
using testing::Random;
using testing::scan;
using testing::seed_or;
using testing::SmallLog;
using testing::some_body;

/// Some commits of various sizes, numbered from 1, in a segment with room left.
SmallLog some_log(std::uint64_t seed, std::size_t records = 8, std::uint64_t capacity = 4096) {
    Random random(seed);
    SmallLog log(capacity);
    for (std::size_t i = 1; i <= records; ++i) log.commit(i, some_body(random.below(120), random));
    return log;
}
std::vector<std::uint64_t> up_to(std::uint64_t n) {
    std::vector<std::uint64_t> out;
    for (std::uint64_t i = 1; i <= n; ++i) out.push_back(i);
    return out;
}

TEST(Scan, VisitsEachRecordInOrderAndEndsWhereNothingWasWritten) {
    auto log = some_log(21);
    const auto written = log.end();
    for (const bool reserved : {false, true}) {
        if (reserved) log.reserve();
        const auto scanned = scan(log);
        EXPECT_EQ(scanned.result.end, ScanEnd::empty);
        EXPECT_EQ(scanned.result.good_until, written);
        EXPECT_EQ(scanned.result.records, 8U);
        EXPECT_EQ(scanned.sequences, up_to(8));
    }
}

TEST(Scan, OfAnEmptySegmentIsEmpty) {
    SmallLog log(4096);
    EXPECT_EQ(scan(log).result.end, ScanEnd::empty);
    EXPECT_EQ(scan(log.reserve()).result.good_until, log.header.start);
}

TEST(Scan, PassesFillersSilentlyAndIsCompleteAtTheSegmentsEnd) {
    auto log = some_log(22);
    log.filler();
    const auto scanned = scan(log);
    EXPECT_EQ(scanned.result.end, ScanEnd::complete);
    EXPECT_EQ(scanned.result.good_until, log.limit());
    EXPECT_EQ(scanned.result.records, 8U);
    EXPECT_EQ(scanned.sequences, up_to(8));
}

TEST(Scan, OfASegmentThatIsFullToTheByteIsComplete) {
    auto log = some_log(23);
    log.header.capacity = log.bytes.size();
    EXPECT_EQ(scan(log).result.end, ScanEnd::complete);
    EXPECT_EQ(scan(log).result.good_until, log.limit());
}

TEST(Scan, TakesEightZerosBeforeTheEndAsItsEndAndNothingElse) {
    auto log = some_log(24);
    const auto written = log.end();
    log.header.capacity = log.bytes.size() + 8;
    // The file ends before those eight bytes: they were not written.
    EXPECT_EQ(scan(log).result.end, ScanEnd::empty);
    EXPECT_EQ(scan(log).result.good_until, written);
    log.reserve();
    EXPECT_EQ(scan(log).result.end, ScanEnd::complete);
    EXPECT_EQ(scan(log).result.good_until, log.limit());
    for (std::size_t bit = 0; bit < 64; ++bit) {
        auto copy = log;
        flip(std::span(copy.bytes).last(8), bit);
        ASSERT_EQ(scan(copy).result.end, ScanEnd::bad) << bit;
        ASSERT_EQ(scan(copy).result.good_until, written);
    }
}

TEST(Scan, StopsWhereALaterSegmentBegins) {
    auto log = some_log(25);
    const auto cut = log.starts[5];
    std::vector<std::uint64_t> seen;
    const auto visit = [&](const Record& record) {
        seen.push_back(number(record.sequence));
        return true;
    };
    auto result = scan_segment(log.bytes, log.header, cut, log.header.start, visit);
    EXPECT_EQ(result.end, ScanEnd::complete);
    EXPECT_EQ(result.good_until, cut);
    EXPECT_EQ(seen, up_to(5));
    // In the middle of a record: that one is no longer part of the log.
    result = scan_segment(log.bytes, log.header, cut + 8, log.header.start, visit);
    EXPECT_EQ(result.end, ScanEnd::bad);
    EXPECT_EQ(result.good_until, cut);
}

TEST(Scan, StopsWhereTheVisitorSaysSoAndGoesOnFromThere) {
    const auto log = some_log(26);
    std::vector<std::uint64_t> seen;
    auto result = scan_segment(log.bytes, log.header, log.limit(), log.header.start,
                               [&](const Record& record) {
                                   seen.push_back(number(record.sequence));
                                   return seen.size() < 3;
                               });
    EXPECT_EQ(result.end, ScanEnd::stopped);
    EXPECT_EQ(result.records, 3U);
    EXPECT_EQ(result.good_until, log.starts[3]);
    const auto rest = std::span(log.bytes).subspan(result.good_until - log.header.start);
    result =
        scan_segment(rest, log.header, log.limit(), result.good_until, [&](const Record& record) {
            seen.push_back(number(record.sequence));
            return true;
        });
    EXPECT_EQ(result.end, ScanEnd::empty);
    EXPECT_EQ(seen, up_to(8));
}

TEST(Scan, FromAPlaceOutsideTheSegmentIsBad) {
    const auto log = some_log(27);
    const auto visit = [](const Record&) { return true; };
    for (const Lsn from : {log.header.start - 8, log.limit() + 8, log.header.start + 4, ~Lsn{7}}) {
        const auto result = scan_segment(log.bytes, log.header, log.limit(), from, visit);
        EXPECT_EQ(result.end, ScanEnd::bad) << from;
        EXPECT_EQ(result.good_until, from);
    }
    const auto result = scan_segment(log.bytes, log.header, 0, log.header.start, visit);
    EXPECT_EQ(result.end, ScanEnd::bad);
}

TEST(Damage, OfAnyOneBitIsFoundInItsRecordAndAllBeforeItIsRead) {
    auto log = some_log(31, 12, 2048);
    log.filler();
    for (std::size_t bit = 0; bit < log.bytes.size() * 8; ++bit) {
        flip(log.bytes, bit);
        const auto lsn = log.header.start + bit / 8;
        const auto next = std::ranges::upper_bound(log.starts, lsn);
        const auto before = static_cast<std::uint64_t>(next - log.starts.begin()) - 1;
        const auto scanned = scan(log);
        ASSERT_EQ(scanned.result.end, ScanEnd::bad) << bit;
        ASSERT_EQ(scanned.result.good_until, *(next - 1)) << bit;
        ASSERT_EQ(scanned.sequences, up_to(before)) << bit;
        ASSERT_STRNE(scanned.result.expected, "") << bit;
        flip(log.bytes, bit);
    }
}

TEST(Damage, OfAnyOneBitInWhatWasReservedIsFoundToo) {
    auto log = some_log(32, 3, 512);
    const auto written = log.end();
    log.reserve();
    for (std::size_t bit = static_cast<std::size_t>(written - log.header.start) * 8;
         bit < log.bytes.size() * 8; ++bit) {
        flip(log.bytes, bit);
        const auto scanned = scan(log);
        ASSERT_EQ(scanned.result.end, ScanEnd::bad) << bit;
        ASSERT_EQ(scanned.result.good_until, written);
        flip(log.bytes, bit);
    }
}

TEST(Truncation, AtAnyByteLeavesAllWholeRecordsReadable) {
    auto log = some_log(33, 10, 2048);
    log.filler();
    for (std::size_t n = 0; n < log.bytes.size(); ++n) {
        const auto scanned = scan(std::span(log.bytes).first(n), log.header);
        const auto next = std::ranges::upper_bound(log.starts, log.header.start + n);
        const auto good = *(next - 1);
        ASSERT_EQ(scanned.result.good_until, good) << n;
        ASSERT_EQ(scanned.result.end, good == log.header.start + n ? ScanEnd::empty : ScanEnd::bad);
        const auto whole = static_cast<std::uint64_t>(next - log.starts.begin()) - 1;
        ASSERT_EQ(scanned.sequences, up_to(std::min<std::uint64_t>(whole, 10)));
    }
}

TEST(Truncation, OfAFileWithRoomReservedIsSeenAsATornRecord) {
    auto log = some_log(34, 10, 2048);
    const auto whole = log.bytes;
    for (std::size_t n = 0; n < whole.size(); ++n) {
        log.bytes.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
        log.reserve();
        // Where only padding was cut off nothing is missing.
        const auto differs = std::ranges::mismatch(log.bytes, whole).in2 - whole.begin();
        if (static_cast<std::size_t>(differs) >= whole.size()) continue;
        const auto lsn = log.header.start + static_cast<std::uint64_t>(differs);
        const auto good = *(std::ranges::upper_bound(log.starts, lsn) - 1);
        const auto scanned = scan(log);
        ASSERT_EQ(scanned.result.good_until, good) << n;
        const bool all_gone = good >= log.header.start + n;
        ASSERT_EQ(scanned.result.end, all_gone ? ScanEnd::empty : ScanEnd::bad) << n;
    }
}

std::optional<Lsn> promise_in(const SmallLog& log, Lsn from, Lsn promised) {
    return find_promise(std::span(log.bytes).subspan(from - log.header.start), log.header, from,
                        promised);
}

TEST(StaleBytes, OfAnotherLifeOfThePlaceNeverPass) {
    Random random(seed_or(35));
    const auto old = [&] {
        SmallLog log(4096, 4096, 0xaaaa);
        for (std::uint64_t i = 1; i <= 20; ++i) log.commit(i, some_body(40, random));
        return log;
    }();
    SmallLog log(4096, 4096, 0xaaab);
    for (std::uint64_t i = 1; i <= 5; ++i) log.commit(i, some_body(40, random));
    const auto good = log.end();
    std::copy(old.bytes.begin() + static_cast<std::ptrdiff_t>(log.bytes.size()), old.bytes.end(),
              std::back_inserter(log.bytes));
    const auto scanned = scan(log);
    EXPECT_EQ(scanned.result.end, ScanEnd::bad);
    EXPECT_EQ(scanned.result.good_until, good);
    EXPECT_EQ(promise_in(log, good, 0), std::nullopt);
}

TEST(StaleBytes, OfAnotherPlaceInTheSameSegmentNeverPass) {
    const auto log = some_log(36, 12);
    for (const auto from : log.starts) {
        for (const auto to : log.starts) {
            if (from == to) continue;
            auto copy = log;
            const auto source = copy.bytes.begin() + static_cast<std::ptrdiff_t>(from - 4096);
            const auto n = std::min<std::ptrdiff_t>(copy.bytes.end() - source, 300);
            Buffer moved(source, source + n);
            copy.bytes.resize(static_cast<std::size_t>(to - 4096));
            copy.bytes.insert(copy.bytes.end(), moved.begin(), moved.end());
            ASSERT_EQ(scan(copy).result.good_until, to);
        }
    }
}

TEST(Promise, TellsATornTailFromDamage) {
    Random random(seed_or(41));
    SmallLog log(8192);
    for (std::uint64_t i = 1; i <= 6; ++i) log.commit(i, some_body(50, random), log.header.start);
    const auto synced = log.end();
    for (std::uint64_t i = 7; i <= 9; ++i) log.commit(i, some_body(50, random), log.header.start);
    // A power cut tore record 7; what is behind it promises nothing beyond the log's start.
    auto torn = log;
    flip(torn.bytes, (log.starts[6] - 4096) * 8 + 200);
    const auto x = scan(torn).result.good_until;
    ASSERT_EQ(x, log.starts[6]);
    EXPECT_EQ(promise_in(torn, x, x), std::nullopt);
    // The same where a later record says that record 7's predecessors were on the disk: still torn.
    torn.commit(10, some_body(50, random), synced);
    EXPECT_EQ(promise_in(torn, x, x), std::nullopt);
    // And where one says that record 7 itself was: damage.
    const auto teller = torn.end();
    torn.commit(11, some_body(50, random), log.starts[7]);
    EXPECT_EQ(promise_in(torn, x, x), teller);
}

TEST(Promise, OfACloseRecordCoversAllBeforeIt) {
    auto log = some_log(42);
    const auto close = log.end();
    log.add({.kind = RecordKind::close, .sequence = Sequence{8}}, {});
    for (std::size_t record = 0; record < 8; ++record) {
        auto copy = log;
        flip(copy.bytes, (log.starts[record] - 4096) * 8 + 130);
        const auto x = scan(copy).result.good_until;
        ASSERT_EQ(x, log.starts[record]);
        EXPECT_EQ(promise_in(copy, x, x), close);
    }
}

TEST(Promise, IsNotFoundBeforeWhereItIsLookedForNorInsideARecordsBytes) {
    Random random(seed_or(43));
    SmallLog inner(8192, 4096);
    inner.commit(1, some_body(400, random));
    // A record that is good at its place, were it not inside another one's bytes.
    Buffer planted;
    write_record({.sequence = Sequence{9}, .durable = 4096 + 64}, {}, 4096 + 64, inner.context(),
                 planted);
    SmallLog log(8192, 4096);
    Buffer body;
    Buffer value(256, std::byte{7});
    // Page bytes are stored as they are, so the position can be tried out.
    const auto encoded = testing::delta_of(256, 0, value);
    write_entry(PageEntry{.page = PageId{1}, .size = 256, .delta = encoded}, body);
    log.commit(1, body);
    std::ranges::copy(planted, log.bytes.begin() + 64);
    // The outer record is broken by it: then the inner one counts, as nobody can tell.
    EXPECT_EQ(promise_in(log, 4096, 4096), 4096 + 64);
    // It is made good again: the inner one is only its bytes.
    auto head = load_head(log.bytes);
    const auto seed = record_seed(log.header.salt, 4096);
    head.checksum = base::crc32c(seed, std::span(log.bytes).subspan(4));
    std::memcpy(log.bytes.data(), &head, sizeof head);
    ASSERT_EQ(scan(log).result.records, 1U);
    EXPECT_EQ(promise_in(log, 4096, 4096), std::nullopt);
    EXPECT_EQ(promise_in(log, 4096 + 72, 4096), std::nullopt);
    EXPECT_EQ(promise_in(log, 4096 + 8, 4096), 4096 + 64);
    EXPECT_EQ(find_promise({}, log.header, 4096, 4096), std::nullopt);
}

/// Heads with a right check at every eight bytes, each of which claims all that follows: each one
/// costs a look at the whole rest.
Buffer hostile(const SegmentHeader& header, std::size_t size) {
    Buffer bytes(size);
    for (std::size_t at = 0; at + 16 <= size; at += 16) {
        Head head{.checksum = 1,
                  .check = 0,
                  .kind = 1,
                  .flags = 0,
                  .size = static_cast<std::uint32_t>(size - at)};
        head.check = head_check(record_seed(header.salt, header.start + at), head);
        std::memcpy(bytes.data() + at, &head, sizeof head);
    }
    return bytes;
}

TEST(Promise, IsAssumedWhereHostileLengthsWouldMakeTheSearchQuadratic) {
    const SmallLog log(8 * limits::mib);
    const auto bytes = hostile(log.header, 4 * limits::mib);
    const auto found = find_promise(bytes, log.header, log.header.start, log.header.start);
    ASSERT_TRUE(found);
    // 64 times the input is used up by somewhat more than 64 claims of nearly all of it.
    EXPECT_GE(*found, log.header.start + 64 * 16);
    EXPECT_LE(*found, log.header.start + 80 * 16);
    EXPECT_EQ(scan(bytes, log.header).result.good_until, log.header.start);
}

TEST(Promise, ReadsNothingBeyondTheBytesWhateverAHeadClaims) {
    const SmallLog log(4096);
    for (std::size_t size = 0; size < 64; ++size) {
        Buffer bytes(size);
        if (size >= head_size) {
            Head head{.checksum = 1, .check = 0, .kind = 1, .flags = 0, .size = ~std::uint32_t{0}};
            head.check = head_check(record_seed(log.header.salt, log.header.start), head);
            std::memcpy(bytes.data(), &head, sizeof head);
        }
        EXPECT_EQ(find_promise(bytes, log.header, log.header.start, 0), std::nullopt);
    }
}

}  // namespace
}  // namespace mmsb::log
