#include "log/segment_index.hpp"
#include "base/checksum.hpp"
#include "support/sanitizers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <random>
#include <tuple>

namespace mmsb::log {
namespace {

constexpr IndexHeader header{.bus = {std::byte{7}},
                             .segment = 3,
                             .salt = 0x5a17,
                             .start = 4096,
                             .end = 4096 + 8 * limits::mib};

using Found = std::optional<std::vector<Lsn>>;

Found find(std::span<const std::byte> file, PageId page) {
    const auto decoded = decode_index_header(file.first(std::min(file.size(), index_header_size)));
    if (!decoded.value) return std::nullopt;
    return find_in_index(*decoded.value, file.size(), page,
                         [file](std::uint64_t offset, std::span<std::byte> out) {
                             const auto there = file.subspan(std::min(offset, file.size()));
                             const auto n = std::min(there.size(), out.size());
                             std::ranges::copy(there.first(n), out.begin());
                             return n;
                         });
}

// Each page is mentioned by some of `records` records.
std::vector<Mention> mentions_of(std::size_t pages, std::size_t records, unsigned seed,
                                 std::uint64_t apart = 2) {
    std::mt19937_64 random(seed);
    std::vector<Mention> all;
    for (std::size_t i = 0; i != records; ++i) {
        const auto record = header.start + 8 * (random() % ((header.end - header.start) / 8));
        all.push_back({PageId{2 + apart * (random() % pages)}, record});
    }
    std::ranges::sort(all, [](const Mention& a, const Mention& b) {
        return std::tie(a.record, a.page) < std::tie(b.record, b.page);
    });
    const auto same = std::ranges::unique(all);
    all.erase(same.begin(), same.end());
    return all;
}

TEST(ASegmentsIndex, FindsEachPagesRecordsAndNoOthers) {
    for (const std::size_t pages : {1U, 2U, 169U, 170U, 171U, 340U, 5000U}) {
        const auto all = mentions_of(pages, 20'000, static_cast<unsigned>(pages));
        const auto file = encode_index(header, all);
        std::map<PageId, std::vector<Lsn>> model;
        for (const auto& [page, record] : all) model[page].push_back(record);
        for (std::uint64_t id = 1; id <= 2 * pages + 3; ++id) {
            const auto found = find(file, PageId{id});
            ASSERT_TRUE(found) << pages << ' ' << id;
            const auto known = model.find(PageId{id});
            ASSERT_EQ(*found, known == model.end() ? std::vector<Lsn>{} : known->second)
                << pages << ' ' << id;
        }
    }
}

TEST(ASegmentsIndex, OfPagesThatLieFarApartIsNoOther) {
    constexpr std::uint64_t apart = 1'000'003;
    const auto all = mentions_of(500, 3000, 9, apart);
    const auto file = encode_index(header, all);
    std::map<PageId, std::vector<Lsn>> model;
    for (const auto& [page, record] : all) model[page].push_back(record);
    for (const auto& [page, records] : model) ASSERT_EQ(find(file, page), records);
    EXPECT_EQ(find(file, PageId{3}), std::vector<Lsn>{});
}

TEST(ASegmentsIndex, OfNothingFindsNothing) {
    const auto file = encode_index(header, {});
    EXPECT_EQ(file.size(), index_header_size);
    EXPECT_EQ(find(file, PageId{1}), std::vector<Lsn>{});
}

TEST(ASegmentsIndex, HoldsTheFirstAndTheLastPlaceOfItsSegment) {
    const std::vector<Mention> all{{PageId{1}, header.start},
                                   {PageId{1}, header.end - 8},
                                   {PageId{~std::uint64_t{0}}, header.start + 8}};
    const auto file = encode_index(header, all);
    EXPECT_EQ(find(file, PageId{1}), (std::vector{header.start, header.end - 8}));
    EXPECT_EQ(find(file, PageId{~std::uint64_t{0}}), std::vector{header.start + 8});
}

// It says what it said, or that it is damaged.
TEST(ASegmentsIndex, IsRefusedWithAnyFlippedBitWhereItIsRead) {
    const auto all = mentions_of(200, 1000, 1);
    auto file = encode_index(header, all);
    std::vector<Found> right;
    const std::vector<PageId> asked{PageId{2}, PageId{201}, PageId{400}, PageId{402}};
    for (const auto page : asked) right.push_back(find(file, page));
    std::size_t refused = 0;
    constexpr std::size_t every = mmsb::test::cases(1U, 5U);
    for (std::size_t at = 0; at < file.size(); at += every) {
        for (const auto bit : {at % 8, (at + 3) % 8}) {
            file[at] ^= static_cast<std::byte>(1U << bit);
            for (std::size_t i = 0; i != asked.size(); ++i) {
                const auto found = find(file, asked[i]);
                ASSERT_TRUE(!found || found == right[i]) << at;
                refused += found ? 0 : 1;
            }
            file[at] ^= static_cast<std::byte>(1U << bit);
        }
    }
    // All of the header and, of the two blocks, those that each search comes by.
    EXPECT_GT(refused, 2 * (4 * index_header_size + 4 * 4096) / every);
}

TEST(ASegmentsIndex, IsRefusedWhereItIsCutOff) {
    const auto all = mentions_of(200, 1000, 2);
    const auto file = encode_index(header, all);
    const auto last = std::ranges::max(all, {}, &Mention::page).page;
    for (std::size_t size = 0; size != file.size(); ++size)
        ASSERT_FALSE(find(std::span(file).first(size), last)) << size;
}

TEST(ASegmentsIndex, BelievesNoPlaceOutsideItsSegment) {
    const std::vector<Mention> all{{PageId{1}, header.start + 800}, {PageId{1}, header.end - 8}};
    const auto file = encode_index(header, all);
    for (const auto shorter : {header.end - 8, header.start + 800, header.start}) {
        auto less = header;
        less.pages = 1;
        less.end = shorter;
        EXPECT_EQ(find_in_index(less, file.size(), PageId{1},
                                [&](std::uint64_t offset, std::span<std::byte> out) {
                                    std::memcpy(out.data(), file.data() + offset, out.size());
                                    return out.size();
                                }),
                  std::nullopt);
    }
}

// By docs/FORMAT.md, "Index of a segment".
TEST(ASegmentsIndex, IsLaidOutAsItsFormatSays) {
    const auto file = encode_index(header, {{PageId{9}, header.start + 16},
                                            {PageId{5}, header.start},
                                            {PageId{9}, header.start + 16 + 8 * 200}});
    const auto u64 = [&](std::size_t at) {
        std::uint64_t value = 0;
        std::memcpy(&value, file.data() + at, sizeof value);
        return value;
    };
    const auto u32 = [&](std::size_t at) { return static_cast<std::uint32_t>(u64(at)); };
    const auto sum = [&](std::uint64_t which, std::size_t from, std::size_t size) {
        const std::uint64_t seed[]{header.salt, which};
        return base::crc32c(base::crc32c(~std::uint32_t{0}, std::as_bytes(std::span(seed))),
                            std::span(file).subspan(from, size));
    };
    constexpr std::size_t block = 128, lists = block + 4096;
    ASSERT_EQ(file.size(), lists + 1 + 3);
    EXPECT_EQ(bytes_of("MMSBINDX").size(), 8U);
    EXPECT_TRUE(std::ranges::equal(std::span(file).first(8), bytes_of("MMSBINDX")));
    for (std::size_t i = 0; i != 5; ++i)
        EXPECT_EQ(u64(32 + 8 * i), (std::array{header.segment, header.salt, header.start,
                                               header.end, std::uint64_t{2}}[i]));
    EXPECT_EQ(u32(block), sum(0, block + 4, 4092));
    for (std::size_t i = 0; i != 2; ++i) {
        const auto row = block + 8 + 24 * i;
        EXPECT_EQ(u64(row), i == 0 ? 5U : 9U);
        EXPECT_EQ(u64(row + 8), lists + i);
        EXPECT_EQ(u32(row + 16), i == 0 ? 1U : 3U);
        EXPECT_EQ(u32(row + 20), sum(lists + i, lists + i, u32(row + 16)));
    }
    const std::vector<std::byte> expected{std::byte{0}, std::byte{2}, std::byte{0xc8},
                                          std::byte{1}};
    EXPECT_TRUE(std::ranges::equal(std::span(file).subspan(lists), expected));
}

TEST(ASegmentsIndex, HasANameOfItsOwn) {
    EXPECT_EQ(index_name(0x1f), "000000000000001f.idx");
    EXPECT_EQ(index_id("000000000000001f.idx"), 0x1fU);
    EXPECT_EQ(index_id("000000000000001f.seg"), std::nullopt);
    EXPECT_EQ(segment_id("000000000000001f.idx"), std::nullopt);
}

}  // namespace
}  // namespace mmsb::log
