#include "delta/codec.hpp"

#include "base/bytes.hpp"
#include "delta/pages.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace {

using namespace mmsb::delta;
using namespace mmsb::delta::test;

/// Everything that must hold of what encode wrote.
void expect_exact(const Bytes& before, const Bytes& after, const Bytes& code) {
    const auto n = count_changed(before, after);
    if (n == 0) {
        ASSERT_TRUE(code.empty());
        return;
    }
    const auto summary = check(code, before.size());
    ASSERT_TRUE(summary.has_value());
    ASSERT_EQ(summary->changed_bytes, n);
    auto page = before;
    mmsb::delta::apply(code, page);  // Not std::apply, by argument-dependent lookup.
    ASSERT_EQ(page, after);
    mmsb::delta::apply(code, page);
    ASSERT_EQ(page, after);
    auto shared = before;
    apply_shared(code, shared);
    ASSERT_EQ(shared, after);
}

/// The shortest of all encodings of windows from each part's start, by the formulas in codec.hpp.
std::size_t shortest(const Bytes& before, const Bytes& after,
                     const std::vector<std::size_t>& cuts) {
    const auto size = before.size();
    const std::size_t width = size <= 65536 ? 2 : 4;
    std::size_t n = 0, windows = 0;
    std::vector<std::size_t> buckets((size + 255) / 256);
    for (const auto& part : parts_of(before, after, cuts)) {
        std::set<std::size_t> touched;
        for (std::size_t i = 0; i < part.after.size(); ++i) {
            if (part.before[i] == part.after[i]) continue;
            ++n;
            ++buckets[(part.offset + i) / 256];
            touched.insert(i / 64);
        }
        windows += touched.size();
    }
    const auto runs = plain_runs(before, after).size();
    std::vector<std::size_t> lengths = {
        1 + n * (width + 1),
        1 + mmsb::base::varint_size(runs) + runs * 2 * width + n,
        1 + mmsb::base::varint_size(windows) + windows * (width + 8) + n,
    };
    if (n == size) lengths.push_back(1 + size);
    if (size <= 65536 && *std::max_element(buckets.begin(), buckets.end()) < 256) {
        lengths.push_back(1 + buckets.size() + 2 * n);
    }
    return *std::min_element(lengths.begin(), lengths.end());
}

TEST(Codec, AppliesWhatItEncodedForEverySizeAndPattern) {
    Random random(21);
    for (const auto size : sizes()) {
        const auto before = random_bytes(size, random);
        for (const auto pattern : patterns) {
            SCOPED_TRACE(testing::Message() << "size " << size << " pattern " << int(pattern));
            const auto after = changed(before, pattern, random);
            expect_exact(before, after, encoded(before, after));
            if (HasFatalFailure()) return;
        }
    }
}

TEST(Codec, AppliesWhatItEncodedFromSeveralParts) {
    for (std::uint64_t seed = 0; seed < mmsb::test::cases(4000U, 1000U); ++seed) {
        SCOPED_TRACE(seed);
        Random random(seed);
        const auto size = 1 + random() % (seed % 50 == 0 ? 300'000 : 3000);
        const auto before = random_bytes(size, random);
        const auto after =
            changed(before, *(patterns.begin() + random() % patterns.size()), random);
        std::vector<std::size_t> cuts;
        for (auto i = random() % 12; i != 0; --i) cuts.push_back(random() % size);
        std::sort(cuts.begin(), cuts.end());
        const auto code = encoded(before, after, cuts);
        expect_exact(before, after, code);
        if (!code.empty()) {
            ASSERT_EQ(code.size(), shortest(before, after, cuts));
        }
        if (HasFatalFailure()) return;
    }
}

TEST(Codec, TakesTheShortestEncoding) {
    Random random(22);
    std::set<unsigned> kinds;
    for (const auto size : sizes()) {
        if (size > 140'000) continue;
        const auto before = random_bytes(size, random);
        for (const auto pattern : patterns) {
            const auto after = changed(before, pattern, random);
            const auto code = encoded(before, after);
            if (code.empty()) continue;
            kinds.insert(std::to_integer<unsigned>(code[0]));
            ASSERT_EQ(code.size(), shortest(before, after, {})) << size << ' ' << int(pattern);
        }
    }
    EXPECT_EQ(kinds, (std::set<unsigned>{0x00, 0x10, 0x11, 0x12, 0x20, 0x21, 0x22, 0x03}))
        << "an encoding was never taken";
}

TEST(Codec, ChangesOnlyThePartsItWasGiven) {
    Random random(23);
    const auto before = random_bytes(5000, random);
    const auto other = changed(before, Pattern::all, random);
    auto expected = before;
    std::vector<Part> parts;
    for (const auto& [offset, size] : {std::pair{3, 5}, {8, 0}, {8, 100}, {130, 64}, {4990, 10}}) {
        const auto at = static_cast<std::size_t>(offset), n = static_cast<std::size_t>(size);
        parts.push_back({at, std::span(before).subspan(at, n), std::span(other).subspan(at, n)});
        std::copy_n(other.begin() + offset, size, expected.begin() + offset);
    }
    Bytes code;
    EXPECT_EQ(encode(parts, before.size(), code), 179U);
    expect_exact(before, expected, code);
}

TEST(Codec, AppendsBehindWhatIsThere) {
    Random random(24);
    const auto before = random_bytes(700, random);
    for (const auto pattern : patterns) {
        const auto after = changed(before, pattern, random);
        Bytes out(3, std::byte{9});
        const auto n = encode(parts_of(before, after), 700, out);
        EXPECT_EQ(n, count_changed(before, after));
        EXPECT_EQ(Bytes(out.begin(), out.begin() + 3), Bytes(3, std::byte{9}));
        EXPECT_EQ(Bytes(out.begin() + 3, out.end()), encoded(before, after));
    }
}

// A count of 256 has no byte: such a page takes another encoding.
TEST(Codec, DoesNotCountAFullBucket) {
    const Bytes before(65536, std::byte{0});
    auto after = before;
    for (std::size_t i = 256; i < 512; ++i) change(after, i);
    for (std::size_t i = 600; i < 65536; i += 20) change(after, i);
    const auto code = encoded(before, after);
    EXPECT_NE(code[0], std::byte{0});
    EXPECT_EQ(code.size(), shortest(before, after, {}));
    expect_exact(before, after, code);
    change(after, 300);
    EXPECT_EQ(encoded(before, after)[0], std::byte{0});
    expect_exact(before, after, encoded(before, after));
}

TEST(Codec, HasPositionsForTheLastByteBeforeEachWidthEnds) {
    for (const std::size_t size : {65536U, 65537U}) {
        const Bytes before(size, std::byte{0});
        auto after = before;
        change(after, size - 1);
        expect_exact(before, after, encoded(before, after));
        after = Bytes(size, std::byte{1});
        after[0] = std::byte{0};
        expect_exact(before, after, encoded(before, after));
    }
}

// Only a part of a page beyond 4 GiB is in memory.
TEST(Codec, EncodesAPartOfAPageOfATebibyte) {
    constexpr std::size_t page = std::size_t{1} << 40U;
    Random random(25);
    const auto before = random_bytes(70'000, random);
    for (const auto pattern : patterns) {
        const auto after = changed(before, pattern, random);
        const auto offset = page - before.size();
        const Part part{offset, before, after};
        Bytes code;
        encode({&part, 1}, page, code);
        if (code.empty()) continue;
        const auto summary = check(code, page);
        ASSERT_TRUE(summary.has_value());
        EXPECT_EQ(summary->changed_bytes, count_changed(before, after));
        EXPECT_FALSE(check(code, page - 1).has_value() && pattern == Pattern::last);
        auto rebuilt = before;
        apply_part(code, page, offset, rebuilt);
        EXPECT_EQ(rebuilt, after);
    }
}

// More changed windows than are kept: the second pass has to find what the first one found.
TEST(Codec, ComparesTwiceWhatItCannotKeep) {
    Random random(26);
    const auto before = random_bytes(900'001, random);
    for (const std::size_t step : {2U, 63U, 64U, 65U, 500U, 900U}) {
        auto after = before;
        for (std::size_t i = step / 2; i < after.size(); i += step) change(after, i);
        expect_exact(before, after, encoded(before, after));
        expect_exact(before, after, encoded(before, after, {1, 400'007, 400'008}));
    }
}

TEST(Codec, AppliesAPartAsItAppliesTheWhole) {
    for (std::uint64_t seed = 0; seed < mmsb::test::cases(3000U, 800U); ++seed) {
        SCOPED_TRACE(seed);
        Random random(seed);
        const auto before = random_bytes(1 + random() % 2000, random);
        const auto after =
            changed(before, *(patterns.begin() + random() % patterns.size()), random);
        const auto code = encoded(before, after);
        if (code.empty()) continue;
        auto page = before;
        const auto step = 1 + random() % (before.size() + 10);
        for (std::size_t at = 0; at < page.size(); at += step) {
            Bytes part(
                page.begin() + static_cast<std::ptrdiff_t>(at),
                page.begin() + static_cast<std::ptrdiff_t>(std::min(page.size(), at + step)));
            apply_part(code, page.size(), at, part);
            std::copy(part.begin(), part.end(), page.begin() + static_cast<std::ptrdiff_t>(at));
        }
        ASSERT_EQ(page, after);
        apply_part(code, page.size(), 0, {});
    }
}

TEST(Codec, GivesMaximalRunsWhateverTheEncoding) {
    for (std::uint64_t seed = 0; seed < mmsb::test::cases(3000U, 800U); ++seed) {
        SCOPED_TRACE(seed);
        Random random(seed);
        const auto before = random_bytes(1 + random() % 2000, random);
        const auto after =
            changed(before, *(patterns.begin() + random() % patterns.size()), random);
        std::vector<std::size_t> cuts(random() % 5);
        for (auto& cut : cuts) cut = random() % before.size();
        std::sort(cuts.begin(), cuts.end());
        const auto code = encoded(before, after, cuts);
        if (code.empty()) continue;
        const auto expected = plain_runs(before, after);
        std::size_t i = 0;
        for_each_run(code, before.size(), [&](std::size_t offset, std::span<const std::byte> b) {
            ASSERT_LT(i, expected.size());
            ASSERT_EQ(offset, expected[i].offset);
            ASSERT_TRUE(
                std::equal(b.begin(), b.end(), expected[i].bytes.begin(), expected[i].bytes.end()));
            ASSERT_TRUE(b.data() >= code.data() &&
                        b.data() + b.size() <= code.data() + code.size());
            ++i;
        });
        ASSERT_EQ(i, expected.size());
    }
}

TEST(Codec, EncodesRunsAsGivenAlsoWhereNothingDiffers) {
    for (std::uint64_t seed = 0; seed < mmsb::test::cases(3000U, 800U); ++seed) {
        SCOPED_TRACE(seed);
        Random random(seed);
        const auto before = random_bytes(1 + random() % (seed % 20 == 0 ? 200'000 : 2000), random);
        const auto after =
            changed(before, *(patterns.begin() + random() % patterns.size()), random);
        auto runs = plain_runs(before, after);
        if (!runs.empty() && runs[0].bytes.size() > 1) {  // Touching runs are one.
            const auto head = runs[0].bytes.size() / 2;
            runs.insert(runs.begin(), {runs[0].offset, runs[0].bytes.first(head)});
            runs[1] = {runs[1].offset + head, runs[1].bytes.subspan(head)};
        }
        Bytes code;
        ASSERT_EQ(encode_runs(runs, before.size(), code), count_changed(before, after));
        expect_exact(before, after, code);
        if (!code.empty()) {
            ASSERT_LE(code.size(), encoded(before, after).size());
        }
        Bytes same;
        encode_runs(plain_runs(before, after), before.size(), same);
        ASSERT_EQ(same, code);
        if (HasFatalFailure()) return;
    }
}

}  // namespace
