#include "delta/ranges.hpp"

#include "delta/compare.hpp"
#include "delta/pages.hpp"

#include <gtest/gtest.h>

namespace mmsb::delta::test {
namespace {

using Ranges = std::vector<ByteRange>;

struct Found {
    Bytes delta{};
    Ranges ranges{{7, 7}};  // what was there before does not count
    std::uint64_t changed = 0;
};

Found found(const std::vector<Part>& parts, std::size_t page_size) {
    Found found;
    found.changed = encode_to(
        parts, page_size,
        [&](std::size_t size) {
            found.delta.resize(size);
            return found.delta.data();
        },
        found.ranges);
    return found;
}

void expect_hold_all(const Ranges& ranges, const Bytes& before, const Bytes& after) {
    std::size_t end = 0, held = 0;
    for (const auto& [offset, size] : ranges) {
        ASSERT_TRUE(size != 0 && (end == 0 || offset > end));
        end = offset + size;
        ASSERT_LE(end, after.size());
        EXPECT_NE(before[offset], after[offset]);
        EXPECT_NE(before[end - 1], after[end - 1]);
        for (auto i = offset; i < end; ++i) held += before[i] != after[i] ? 1 : 0;
    }
    EXPECT_EQ(held, count_changed(before, after));
}

TEST(Ranges, AreFoundWithTheDeltaAsTheyAreWithoutIt) {
    Random random(11);
    for (const auto size : sizes())
        for (const auto pattern : patterns) {
            if (size > windows_compared_once * window) continue;
            const auto before = random_bytes(size, random);
            const auto after = changed(before, pattern, random);
            Ranges ranges;
            changed_ranges(before, after, ranges);
            const auto with_delta = found(parts_of(before, after), size);
            EXPECT_EQ(with_delta.ranges, ranges) << size;
            EXPECT_EQ(with_delta.delta, encoded(before, after)) << size;
            EXPECT_EQ(with_delta.changed, count_changed(before, after)) << size;
            expect_hold_all(ranges, before, after);
        }
}

TEST(Ranges, HoldWhatChangesInSeveralParts) {
    Random random(12);
    for (const auto pattern : patterns) {
        const auto before = random_bytes(4000, random);
        const auto after = changed(before, pattern, random);
        const auto parts = parts_of(before, after, {1, 70, 1000, 1001, 3999});
        const auto with_delta = found(parts, before.size());
        EXPECT_EQ(with_delta.delta, encoded(before, after, {1, 70, 1000, 1001, 3999}));
        expect_hold_all(with_delta.ranges, before, after);
    }
}

TEST(Ranges, OfSingleWindowsAreThoseOfTheWholePage) {
    Random random(13);
    for (const auto size : sizes())
        for (const auto pattern : patterns) {
            if (size > windows_compared_once * window) continue;
            const auto before = random_bytes(size, random);
            const auto after = changed(before, pattern, random);
            Ranges windows, all, within;
            for (std::size_t at = 0; at < size; at += window)
                windows.push_back({at, std::min(window, size - at)});
            changed_ranges(before, after, all);
            changed_ranges(before, after, windows, within);
            EXPECT_EQ(within, all) << size;
        }
}

TEST(Ranges, OfAStretchBeginAndEndWithWhatChangesInIt) {
    Random random(14);
    for (std::size_t offset = 0; offset != 9; ++offset)
        for (std::size_t size = 1; size != 2 * window + 2; ++size) {
            const auto before = random_bytes(offset + size + 9, random);
            for (int changes = 0; changes != 4; ++changes) {
                auto after = before;
                std::size_t first = offset + size, end = 0;
                for (int i = 0; i != changes; ++i) {
                    const auto at = offset + random() % size;
                    after[at] = before[at] ^ std::byte{1};
                    first = std::min(first, at);
                    end = std::max(end, at + 1);
                }
                Ranges ranges{{7, 7}};
                changed_ranges(before, after, Ranges{{offset, size}}, ranges);
                if (changes == 0)
                    EXPECT_TRUE(ranges.empty());
                else if (size <= window)
                    EXPECT_EQ(ranges, (Ranges{{first, end - first}})) << offset << ' ' << size;
                else
                    expect_hold_all(ranges, before, after);
            }
        }
}

TEST(Ranges, OfAnotherSizeAreAllOfIt) {
    Ranges ranges;
    changed_ranges(Bytes(10), Bytes(20), ranges);
    EXPECT_EQ(ranges, (Ranges{{0, 20}}));
}

}  // namespace
}  // namespace mmsb::delta::test
