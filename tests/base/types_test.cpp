#include <mmsb/error.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <limits>
#include <set>
#include <sstream>

namespace {

using namespace std::chrono_literals;
using mmsb::ErrorCode;
using mmsb::Time;

std::string iso(std::int64_t nanoseconds) {
    return mmsb::to_string(Time{std::chrono::nanoseconds{nanoseconds}});
}

TEST(Time, IsWrittenInIso8601WithNanoseconds) {
    EXPECT_EQ(iso(0), "1970-01-01T00:00:00.000000000Z");
    const auto day = std::chrono::sys_days{std::chrono::year{2026} / 11 / 23};
    EXPECT_EQ(mmsb::to_string(Time{day} + 18h + 123456789ns), "2026-11-23T18:00:00.123456789Z");
    const auto leap = std::chrono::sys_days{std::chrono::year{2024} / 2 / 29};
    EXPECT_EQ(mmsb::to_string(Time{leap} + 23h + 59min + 59s + 999999999ns),
              "2024-02-29T23:59:59.999999999Z");
}

TEST(Time, IsWrittenRightBefore1970AndAtItsEnds) {
    EXPECT_EQ(iso(-1), "1969-12-31T23:59:59.999999999Z");
    EXPECT_EQ(iso(-1'000'000'000), "1969-12-31T23:59:59.000000000Z");
    EXPECT_EQ(iso(std::numeric_limits<std::int64_t>::max()), "2262-04-11T23:47:16.854775807Z");
    EXPECT_EQ(iso(std::numeric_limits<std::int64_t>::min()), "1677-09-21T00:12:43.145224192Z");
}

TEST(Time, NowIsThatOfTheSystemClock) {
    const auto before = std::chrono::system_clock::now();
    const auto now = mmsb::now();
    EXPECT_LE(before, now);
    EXPECT_LE(now, std::chrono::system_clock::now());
}

TEST(Types, ArePrintedAsPlainNumbersAndWords) {
    std::ostringstream out;
    out << mmsb::PageId{3} << ' ' << mmsb::Epoch{4} << ' ' << mmsb::Sequence{5};
    EXPECT_EQ(out.str(), "3 4 5");
    EXPECT_EQ(mmsb::to_string(mmsb::Location::cpu), "cpu");
    EXPECT_EQ(mmsb::to_string(mmsb::Location::gpu), "gpu");
    EXPECT_EQ(mmsb::to_string(mmsb::Location::unified), "unified");
    EXPECT_EQ(mmsb::to_string(static_cast<mmsb::Location>(9)), "unknown");
}

TEST(Types, ATextEndsAtItsFirstNul) {
    EXPECT_EQ(mmsb::text_of(mmsb::bytes_of(std::string_view("one\0two", 7))), "one");
    EXPECT_EQ(mmsb::text_of(mmsb::bytes_of("full")), "full");
    EXPECT_EQ(mmsb::text_of({}), "");
}

TEST(Error, HasAWordOfItsOwnForEachCode) {
    std::set<std::string_view> words;
    for (auto code = 1; code <= static_cast<int>(ErrorCode::poisoned); ++code) {
        const auto word = mmsb::to_string(static_cast<ErrorCode>(code));
        EXPECT_TRUE(words.insert(word).second) << word;
    }
    EXPECT_FALSE(words.contains("unknown"));
    EXPECT_EQ(mmsb::to_string(static_cast<ErrorCode>(999)), "unknown");
}

TEST(Error, KeepsItsDetailsWhenItIsCaughtAsTheBase) {
    try {
        throw mmsb::InvalidDelta(ErrorCode::invalid_delta, "a bad delta",
                                 {.page = mmsb::PageId{7}, .expected = "1", .found = "2"});
    } catch (const mmsb::Error& e) {
        EXPECT_EQ(e.code(), ErrorCode::invalid_delta);
        EXPECT_EQ(e.page(), mmsb::PageId{7});
        EXPECT_EQ(e.expected(), "1");
        EXPECT_EQ(e.found(), "2");
        EXPECT_STREQ(e.what(), "a bad delta");
    }
}

TEST(Error, NamesTheErrnoThatPoisonedTheBus) {
    const auto poisoned = [](int number) {
        return mmsb::Poisoned(ErrorCode::poisoned, "", {.system = number}).errno_name();
    };
    EXPECT_EQ(poisoned(EIO), "EIO");
    EXPECT_EQ(poisoned(ENOSPC), "ENOSPC");
    EXPECT_EQ(poisoned(9999), "errno 9999");
}

}  // namespace
