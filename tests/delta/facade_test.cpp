#include <mmsb/delta.hpp>
#include <mmsb/error.hpp>

#include "delta/codec.hpp"
#include "delta/pages.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

using namespace mmsb::delta::test;
using mmsb::bytes_of;
using mmsb::diff;
using mmsb::Epoch;
using mmsb::InvalidDelta;
using mmsb::merge;
using mmsb::PageId;

Bytes bytes(std::string_view text) {
    const auto view = bytes_of(text);
    return {view.begin(), view.end()};
}
Bytes applied(const Delta& delta, Bytes page) {
    delta.apply_to(page);
    return page;
}

TEST(Delta, SaysWhatChanged) {
    const auto delta = diff(bytes_of("the quick brown fox"), bytes_of("the quiet brown fax"));
    EXPECT_EQ(delta.page_size(), 19U);
    EXPECT_EQ(delta.changed_bytes(), 3U);
    EXPECT_FALSE(delta.empty());
    EXPECT_TRUE(delta.sparse());
    EXPECT_EQ(delta.page(), PageId::none);
    const auto runs = delta.runs();
    ASSERT_EQ(runs.size(), 2U);
    EXPECT_EQ(runs[0].offset, 7U);
    EXPECT_EQ(mmsb::text_of(runs[0].bytes), "et");
    EXPECT_EQ(runs[1].offset, 17U);
    EXPECT_EQ(mmsb::text_of(runs[1].bytes), "a");
    EXPECT_EQ(delta.mask(), (Bytes{std::byte{0x80}, std::byte{0x01}, std::byte{0x02}}));
    EXPECT_EQ(delta.dense(), bytes(std::string("\0\0\0\0\0\0\0et\0\0\0\0\0\0\0\0a\0", 19)));
    EXPECT_EQ(applied(delta, bytes("THE QUICK BROWN FOX")), bytes("THE QUIet BROWN FaX"));
}

TEST(Delta, OfEqualBytesIsEmptyAndChangesNothing) {
    const auto delta = diff(bytes_of("same"), bytes_of("same"));
    EXPECT_TRUE(delta.empty());
    EXPECT_TRUE(delta.runs().empty());
    EXPECT_EQ(delta.mask(), Bytes(1));
    EXPECT_EQ(delta.dense(), Bytes(4));
    EXPECT_EQ(applied(delta, bytes("page")), bytes("page"));
    EXPECT_TRUE(Delta().empty());
    EXPECT_TRUE(Delta().mask().empty());
    EXPECT_TRUE(diff({}, {}).empty());
    Delta().apply_to({});
}

TEST(Delta, RefusesTwoSizes) {
    EXPECT_THROW(static_cast<void>(diff(Bytes(3), Bytes(4))), mmsb::InvalidArgument);
    Bytes page(5);
    try {
        diff(Bytes(3), bytes("abc")).apply_to(page);
        FAIL();
    } catch (const InvalidDelta& e) {
        EXPECT_EQ(e.expected(), "3");
        EXPECT_EQ(e.found(), "5");
        EXPECT_EQ(e.code(), mmsb::ErrorCode::invalid_delta);
        EXPECT_NE(std::string(e.what()).find("expected 3, found 5"), std::string::npos);
    }
    EXPECT_EQ(page, Bytes(5));
    EXPECT_THROW(static_cast<void>(merge(diff(Bytes(3), Bytes(3)), Delta())), InvalidDelta);
}

TEST(Delta, KeepsPageAndEpochInItsFile) {
    Bytes code;
    const auto after = bytes("state of the page");
    const auto changed = mmsb::delta::encode(parts_of(Bytes(17), after), 17, code);
    const auto delta = mmsb::delta::make_delta(PageId{300}, Epoch{7}, 17, code, changed);
    const auto back = Delta::decode(delta.encode());
    EXPECT_EQ(back.page(), PageId{300});
    EXPECT_EQ(back.epoch(), Epoch{7});
    EXPECT_EQ(back.page_size(), 17U);
    EXPECT_EQ(back.changed_bytes(), 17U);
    EXPECT_EQ(back.dense(), after);
    EXPECT_EQ(back.encode(), delta.encode());
    const auto encoded = mmsb::delta::encoded_of(back);
    EXPECT_EQ(Bytes(encoded.begin(), encoded.end()), code);
    EXPECT_TRUE(Delta::decode(Delta().encode()).empty());
}

TEST(Delta, IsOnDiskAsTheFormatSays) {
    auto after = Bytes(10);
    after[2] = std::byte{5};
    Bytes code;
    mmsb::delta::encode(parts_of(Bytes(10), after), 10, code);
    const auto file = mmsb::delta::make_delta(PageId{300}, Epoch{7}, 10, code, 1).encode();
    const Bytes expected = {
        std::byte{0xD3}, std::byte{0x01},                            // magic, version
        std::byte{0xAC}, std::byte{0x02},                            // page 300
        std::byte{0x07},                                             // epoch 7
        std::byte{0x0A},                                             // page size 10
        file[6],         file[7],         file[8],         file[9],  // CRC-32C of all the rest
        std::byte{0x10},                                             // offsets of two bytes
        std::byte{0x02}, std::byte{0x00}, std::byte{0x05},           // byte 2 becomes 5
    };
    EXPECT_EQ(file, expected);
}

TEST(Delta, RefusesAFileWithAnyBitFlippedOrCutOrAdded) {
    Random random(41);
    const auto before = random_bytes(400, random);
    for (const auto pattern : patterns) {
        auto file = diff(before, changed(before, pattern, random)).encode();
        for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
            const auto flip = static_cast<std::byte>(1U << bit % 8);
            file[bit / 8] ^= flip;
            ASSERT_THROW(static_cast<void>(Delta::decode(file)), InvalidDelta) << bit;
            file[bit / 8] ^= flip;
        }
        for (std::size_t cut = 0; cut < file.size(); ++cut) {
            ASSERT_THROW(static_cast<void>(Delta::decode(std::span(file).first(cut))), InvalidDelta)
                << cut;
        }
        file.push_back(std::byte{0});
        ASSERT_THROW(static_cast<void>(Delta::decode(file)), InvalidDelta);
    }
}

TEST(Delta, SaysWhatIsWrongWithAFile) {
    const auto found = [](const Bytes& file) -> std::string {
        try {
            static_cast<void>(Delta::decode(file));
        } catch (const InvalidDelta& e) {
            return e.expected() + " / " + e.found();
        }
        return "nothing";
    };
    auto file = Delta().encode();
    EXPECT_EQ(found(file), "nothing");
    EXPECT_EQ(found({}), "first byte 0xd3 / no bytes");
    EXPECT_EQ(found({file[0]}), "1 / no more bytes");
    EXPECT_EQ(found({file[0], file[1], file[2]}), "a whole header / 3 bytes");
    file[1] = std::byte{2};
    EXPECT_EQ(found(file), "1 / 2");
    file[0] = std::byte{'x'};
    EXPECT_EQ(found(file), "first byte 0xd3 / 0x78");
}

TEST(Merge, IsTheFirstThenTheSecond) {
    const auto zero = bytes("..........");
    const auto first = diff(zero, bytes("aaa..aaa.."));
    const auto second = diff(zero, bytes("..bbb.b..b"));
    const auto both = merge(first, second);
    EXPECT_EQ(applied(both, zero), bytes("aabbbaba.b"));
    EXPECT_EQ(both.changed_bytes(), 9U);
    EXPECT_EQ(both.runs().size(), 2U);
    EXPECT_EQ(applied(merge(second, first), zero), bytes("aaabbaaa.b"));
    EXPECT_EQ(applied(merge(first, diff(zero, zero)), zero), bytes("aaa..aaa.."));
    EXPECT_EQ(applied(merge(diff(zero, zero), first), zero), bytes("aaa..aaa.."));
}

// A byte that goes back to what it was is still written: a delta holds values, not differences.
TEST(Merge, WritesAByteThatWentBack) {
    const auto there = diff(bytes_of("x"), bytes_of("y"));
    const auto back = diff(bytes_of("y"), bytes_of("x"));
    EXPECT_EQ(merge(there, back).changed_bytes(), 1U);
    EXPECT_EQ(applied(merge(there, back), bytes("z")), bytes("x"));
}

TEST(Merge, TakesPageAndEpochOfTheSecond) {
    Bytes code;
    mmsb::delta::encode(parts_of(Bytes(1), bytes("a")), 1, code);
    const auto make = [&code](std::uint64_t n) {
        return mmsb::delta::make_delta(PageId{n}, Epoch{n}, 1, code, 1);
    };
    EXPECT_EQ(merge(make(1), make(2)).page(), PageId{2});
    EXPECT_EQ(merge(make(1), make(2)).epoch(), Epoch{2});
}

}  // namespace
