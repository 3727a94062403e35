// Every bit of a small log, flipped in turn: each flip is told, with the file and a place no later
// than the flip, and everything before it still opens.
#include "support/sanitizers.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

namespace mmsb::test {
namespace {

constexpr int commits = 12;
// Of the bits: all, but where a sanitizer makes each opening many times slower.
constexpr std::size_t step = cases<std::size_t>(1, 7);

// Commits of all kinds; the bytes of "page" after sequence n are pattern(64, n).
void make(const TempFolder& folder) {
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(64, {.name = "page", .contents = pattern(64, 1)});
    for (unsigned n = 2; n <= commits; ++n) page.update(pattern(64, n), {.label = "flip me"});
    bus.wait_durable(Sequence::newest);
    stop(std::move(bus));
    remove_arena(folder.path());
}

std::uint64_t open_and_check(const TempFolder& folder) {
    auto config = at(folder);
    config.open = Open::read_only;
    config.on_notice = [](const Notice&) {};
    const auto bus = start(config);
    if (bus.recovery().dropped_bytes != 0) return number(bus.sequence());
    EXPECT_EQ(number(bus.sequence()), std::uint64_t{commits});
    return ~std::uint64_t{0};  // nothing was noticed
}

TEST(EveryBitOfALog, IsMissedWhenItIsFlipped) {
    const TempFolder folder;
    make(folder);
    const auto segment = folder / "log/0000000000000001.seg";
    const auto whole = read_file(segment);
    ASSERT_LT(whole.size(), 16U * 1024);
    std::size_t damaged = 0, torn = 0;
    for (std::size_t bit = 0; bit < whole.size() * 8; bit += step) {
        auto flipped = whole;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
        write_file(segment, flipped);
        try {
            // Only the record that says it was all synced, the last one, may look like a torn tail.
            const auto sequence = open_and_check(folder);
            EXPECT_EQ(sequence, std::uint64_t{commits}) << "bit " << bit << " was not missed";
            ++torn;
        } catch (const Corrupt& e) {
            EXPECT_EQ(e.file(), segment.string());
            // A header is judged as a whole: its checksum may be what is named.
            EXPECT_LE(e.offset(), std::max(bit / 8, log::segment_header_size - 1)) << "bit " << bit;
            EXPECT_FALSE(e.expected().empty());
            EXPECT_LT(number(e.good_until()), std::uint64_t{commits} + 1);
            ++damaged;
        }
        ASSERT_FALSE(HasFailure()) << "bit " << bit;
    }
    std::printf("%zu flips: %zu damage, %zu a torn last record\n", damaged + torn, damaged, torn);
    EXPECT_LT(torn, damaged / 10);
}

// What is good before the damage is still there to be read: the log up to `offset` is a torn log.
TEST(WhatIsBeforeADamagedPlace, StillOpens) {
    const TempFolder folder;
    make(folder);
    const auto segment = folder / "log/0000000000000001.seg";
    const auto whole = read_file(segment);
    for (std::size_t byte = log::segment_header_size; byte < whole.size(); byte += 37) {
        auto flipped = whole;
        flipped[byte] = static_cast<char>(flipped[byte] ^ 4);
        write_file(segment, flipped);
        std::uint64_t offset = 0, good = 0;
        try {
            open_and_check(folder);
            continue;
        } catch (const Corrupt& e) {
            offset = e.offset();
            good = number(e.good_until());
        }
        if (offset <= log::segment_header_size) continue;  // nothing is before it
        write_file(segment, flipped.substr(0, offset));
        auto config = at(folder);
        config.open = Open::read_only;
        const auto bus = start(config);
        EXPECT_EQ(number(bus.sequence()), good);
        if (good > 0) {
            EXPECT_EQ(bus.page("page").read(), pattern(64, static_cast<unsigned>(good)));
        }
    }
}

// What of it is lost is counted, as far as a segment may reach.
TEST(AFlippedSegmentHeader, LeavesTheBusToBeReadHoweverLargeItsFileIs) {
    const TempFolder folder;
    make(folder);
    const auto segment = folder / "log/0000000000000001.seg";
    auto text = read_file(segment);
    text[40] = static_cast<char>(text[40] ^ 1);
    write_file(segment, text);
    auto config = at(folder);
    config.open = Open::good_prefix;
    config.on_notice = [](const Notice&) {};
    for (const bool large : {false, true}) {
        if (large) fs::resize_file(segment, 1ULL << 40U);
        const auto bus = start(config);
        EXPECT_EQ(bus.sequence(), Sequence::zero);
        ASSERT_TRUE(bus.recovery().damage);
        EXPECT_EQ(bus.recovery().damage->segments, 1U);
        EXPECT_GT(bus.recovery().damage->bytes, commits * 64U);
    }
}

}  // namespace
}  // namespace mmsb::test
