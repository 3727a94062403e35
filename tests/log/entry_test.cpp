#include "log/record.hpp"

#include "log/support.hpp"

#include <gtest/gtest.h>

namespace mmsb::log {
namespace {

using testing::Buffer;
using testing::delta_of;
using testing::Random;
using testing::seed_or;

Buffer bytes_from(std::initializer_list<int> values) {
    Buffer out;
    for (const auto v : values) out.push_back(static_cast<std::byte>(v));
    return out;
}
/// How many entries, or -1 where the bytes are refused. Both ways to read them say the same.
int entries_in(std::span<const std::byte> body) {
    EntryReader reader(body);
    std::vector<PageEntry> pages;
    bool only_bytes = false;
    const bool good = read_pages(body, pages, only_bytes);
    Entry entry{};
    int n = 0;
    std::size_t of_pages = 0;
    bool expected = true;
    for (; reader.next(entry); ++n) {
        const auto& page = entry.page;
        const bool is_page = entry.kind == EntryKind::page;
        expected &= is_page && !page.created && !page.deleted && !page.resized && !page.renamed &&
                    page.metadata.empty();
        if (!is_page) continue;
        EXPECT_LT(of_pages, pages.size());
        if (of_pages == pages.size()) return -1;
        const auto& same = pages[of_pages++];
        EXPECT_EQ(same.page, page.page);
        EXPECT_EQ(same.epoch, page.epoch);
        EXPECT_EQ(same.size, page.size);
        EXPECT_EQ(same.stale, page.stale);
        EXPECT_EQ(same.delta.data(), page.delta.data());
        EXPECT_EQ(same.changed_bytes, page.changed_bytes);
    }
    EXPECT_FALSE(reader.next(entry));
    EXPECT_EQ(good, !reader.failed());
    if (good) {
        EXPECT_EQ(pages.size(), of_pages);
        EXPECT_EQ(only_bytes, expected);
    }
    return reader.failed() ? -1 : n;
}
std::string_view text_view(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A page's entry with everything it refers to.
struct PageMade {
    PageEntry entry{};
    std::string name{};
    Buffer metadata{}, delta{};
};
PageMade make_page(Random& random) {
    PageMade made;
    auto& e = made.entry;
    e.page = PageId{random.value() | 1U};
    e.epoch = Epoch{random.value()};
    if (random.below(8) == 0) {
        e.deleted = true;
        return made;
    }
    e.size = random.below(300);
    e.created = random.coin();
    e.resized = !e.created && random.coin();
    e.renamed = random.coin();
    e.stale = random.coin();
    if (e.created) {
        e.line = static_cast<std::uint32_t>(random.value(32));
        e.location = static_cast<Location>(random.below(3));
    }
    if (e.renamed) made.name = random.text(random.below(256));
    for (auto n = random.below(4); n > 0; --n) {
        write_metadata(random.text(1 + random.below(20)), random.text(random.below(300)),
                       made.metadata);
    }
    if (e.size > 0 && random.coin()) {
        const auto offset = random.below(e.size);
        auto value = random.bytes(1 + random.below(e.size - offset));
        std::ranges::replace(value, std::byte{0}, std::byte{1});
        made.delta = delta_of(e.size, offset, value);
    }
    return made;
}

void expect_same(const PageEntry& got, const PageMade& made) {
    const auto& e = made.entry;
    EXPECT_EQ(got.page, e.page);
    EXPECT_EQ(got.epoch, e.epoch);
    EXPECT_EQ(got.size, e.size);
    EXPECT_EQ(got.created, e.created);
    EXPECT_EQ(got.deleted, e.deleted);
    EXPECT_EQ(got.resized, e.resized);
    EXPECT_EQ(got.renamed, e.renamed);
    EXPECT_EQ(got.stale, e.stale);
    EXPECT_EQ(got.line, e.line);
    EXPECT_EQ(got.location, e.location);
    EXPECT_EQ(got.name, made.name);
    EXPECT_TRUE(std::ranges::equal(got.metadata, made.metadata));
    EXPECT_TRUE(std::ranges::equal(got.delta, made.delta));
}

TEST(Entries, ComeBackAsTheyWereWritten) {
    const auto seed = seed_or(11);
    SCOPED_TRACE(seed);
    Random random(seed);
    for (int round = 0; round < 2'000 && !::testing::Test::HasFailure(); ++round) {
        std::vector<PageMade> made(random.below(6));
        Buffer body;
        for (auto& m : made) {
            m = make_page(random);
            m.entry.name = m.name;
            m.entry.metadata = m.metadata;
            m.entry.delta = m.delta;
            write_entry(m.entry, body);
        }
        EntryReader reader(body);
        Entry entry{};
        for (const auto& m : made) {
            ASSERT_TRUE(reader.next(entry));
            ASSERT_EQ(entry.kind, EntryKind::page);
            expect_same(entry.page, m);
        }
        EXPECT_FALSE(reader.next(entry));
        EXPECT_FALSE(reader.failed());
        std::vector<PageEntry> pages;
        bool only_bytes = false;
        ASSERT_TRUE(read_pages(body, pages, only_bytes));
        ASSERT_EQ(pages.size(), made.size());
        for (std::size_t i = 0; i != made.size(); ++i) expect_same(pages[i], made[i]);
    }
}

TEST(Entries, OfTheGraphComeBackAsTheyWereWritten) {
    const auto parents = bytes_from({1, 0x80, 1, 3});
    const auto arguments = bytes_from({9, 8, 7});
    Buffer body;
    write_entry(EdgeEntry{.parent = PageId{1}, .child = PageId{2}, .type = EdgeType::compiler},
                body);
    write_entry(EdgeEntry{.parent = PageId{~0ULL}, .child = PageId{4}, .added = false}, body);
    write_entry(
        FormulaEntry{
            .child = PageId{5}, .function = "sum/1", .arguments = arguments, .parents = parents},
        body);
    write_entry(FormulaEntry{.child = PageId{5}, .added = false}, body);
    EntryReader reader(body);
    Entry entry{};
    ASSERT_TRUE(reader.next(entry));
    EXPECT_EQ(entry.kind, EntryKind::edge);
    EXPECT_EQ(entry.edge.parent, PageId{1});
    EXPECT_EQ(entry.edge.child, PageId{2});
    EXPECT_EQ(entry.edge.type, EdgeType::compiler);
    EXPECT_TRUE(entry.edge.added);
    ASSERT_TRUE(reader.next(entry));
    EXPECT_EQ(entry.edge.parent, PageId{~0ULL});
    EXPECT_FALSE(entry.edge.added);
    ASSERT_TRUE(reader.next(entry));
    EXPECT_EQ(entry.kind, EntryKind::formula);
    EXPECT_EQ(entry.formula.child, PageId{5});
    EXPECT_EQ(entry.formula.function, "sum/1");
    EXPECT_TRUE(std::ranges::equal(entry.formula.arguments, arguments));
    EXPECT_TRUE(std::ranges::equal(entry.formula.parents, parents));
    ASSERT_TRUE(reader.next(entry));
    EXPECT_FALSE(entry.formula.added);
    EXPECT_TRUE(entry.formula.function.empty());
    EXPECT_FALSE(reader.next(entry));
    EXPECT_FALSE(reader.failed());
    EXPECT_EQ(entries_in(body), 4);
}

TEST(Entries, ThatAreCutAnywhereAreRefused) {
    Random random(seed_or(12));
    for (int round = 0; round < 100; ++round) {
        auto made = make_page(random);
        made.entry.name = made.name;
        made.entry.metadata = made.metadata;
        made.entry.delta = made.delta;
        Buffer body;
        write_entry(made.entry, body);
        for (std::size_t n = 1; n < body.size(); ++n) {
            ASSERT_EQ(entries_in(std::span(body).first(n)), -1) << round << " cut at " << n;
        }
        EXPECT_EQ(entries_in(body), 1);
    }
}

TEST(Entries, ThatContradictThemselvesAreRefused) {
    EXPECT_EQ(entries_in({}), 0);
    ASSERT_EQ(entries_in(bytes_from({4, 1, 9, 0})), 1);         // Deleted, page 1, epoch 9.
    ASSERT_EQ(entries_in(bytes_from({2, 1, 0, 64, 5, 0})), 1);  // Created, line 5, cpu.
    const std::vector<Buffer> wrong{
        bytes_from({4, 0, 9, 0}),             // Page 0.
        bytes_from({4, 1, 9, 1}),             // Deleted and of size 1.
        bytes_from({4 | 16, 1, 9, 0, 0}),     // Deleted and renamed.
        bytes_from({4 | 8, 1, 9, 0}),         // Deleted and resized.
        bytes_from({2 | 8, 1, 0, 64, 5, 0}),  // Created and resized.
        bytes_from({4 | 64, 1, 9, 0}),        // Deleted and stale.
        bytes_from({4, 0x81, 0, 9, 0}),       // An overlong varint.
        bytes_from({2, 1, 0, 64, 5, 3}),      // A location that does not exist.
        bytes_from({2, 1, 0, 64, 0x80, 0x80, 0x80, 0x80, 0x10, 0}),  // Line 2^32.
        bytes_from({8, 1, 0, 0x81, 0x80, 0x80, 0x80, 0x80, 0x20}),   // 2^40 + 1 bytes.
        bytes_from({32, 1, 0, 64, 0}),                               // Metadata of no bytes.
        bytes_from({32, 1, 0, 64, 2, 0, 0}),                         // An empty key.
        bytes_from({32, 1, 0, 64, 2, 2, 'a'}),
        bytes_from({1, 1, 0, 64, 0}),     // A delta of no bytes.
        bytes_from({1, 1, 0, 64, 9, 0}),  // One longer than the body.
        bytes_from({0x80, 0, 1, 0}),      // An edge from page 0.
        bytes_from({0x81, 1, 0, 0}),
        bytes_from({0x80, 1, 1, 0}),                   // To itself.
        bytes_from({0x80, 1, 2, 4}),                   // Of a type that does not exist.
        bytes_from({0x82, 1, 1, 'f', 0, 0}),           // A formula without a parent.
        bytes_from({0x82, 1, 0, 0, 0}),                // A formula without a function.
        bytes_from({0x82, 1, 1, 'f', 0, 1, 0}),        // A parent 0.
        bytes_from({0x82, 1, 1, 'f', 0, 2, 0x81, 0}),  // An overlong one.
        bytes_from({0x84, 1}),
        bytes_from({0xff}),
    };
    for (std::size_t i = 0; i < wrong.size(); ++i) EXPECT_EQ(entries_in(wrong[i]), -1) << i;
    EXPECT_EQ(entries_in(bytes_from({8, 1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20})), 1);  // 2^40.
}

TEST(Entries, WithADeltaOfAnotherPageSizeAreRefused) {
    const auto delta = delta_of(64, 60, bytes_of("abcd"));
    Buffer body;
    write_entry(PageEntry{.page = PageId{1}, .size = 64, .delta = delta}, body);
    EXPECT_EQ(entries_in(body), 1);
    body.clear();
    write_entry(PageEntry{.page = PageId{1}, .size = 63, .delta = delta}, body);
    EXPECT_EQ(entries_in(body), -1);
}

TEST(Entries, ThatWereReadBeforeABadOneStand) {
    auto body = bytes_from({4, 1, 9, 0});
    const auto bad = bytes_from({4, 0, 9, 0});
    body.insert(body.end(), bad.begin(), bad.end());
    EntryReader reader(body);
    Entry entry{};
    ASSERT_TRUE(reader.next(entry));
    EXPECT_FALSE(reader.failed());
    EXPECT_EQ(entry.page.page, PageId{1});
    EXPECT_FALSE(reader.next(entry));
    EXPECT_TRUE(reader.failed());
}

TEST(MetadataPairs, ComeBackInOrderAndAnEmptyValueStaysOne) {
    Buffer out;
    write_metadata("unit", "kPa", out);
    write_metadata("note", "", out);
    MetadataReader reader(out);
    std::string_view key, value;
    ASSERT_TRUE(reader.next(key, value));
    EXPECT_EQ(key, "unit");
    EXPECT_EQ(value, "kPa");
    ASSERT_TRUE(reader.next(key, value));
    EXPECT_EQ(key, "note");
    EXPECT_EQ(value, "");
    EXPECT_FALSE(reader.next(key, value));
    EXPECT_FALSE(reader.failed());
}

TEST(MetadataPairs, OfOneRecordMayTakeFourTimesWhatAPageMayHaveAndNotMore) {
    const auto entry_of = [](std::size_t pairs) {
        Buffer metadata;
        const std::string value(limits::metadata_size - 1 - 1 - 3, 'v');  // Key, two lengths.
        for (std::size_t i = 0; i < pairs; ++i) write_metadata("k", value, metadata);
        Buffer body;
        const auto page = bytes_from({32, 1, 0, 64});
        body = page;
        base::ByteWriter writer(body);
        writer.varint(metadata.size());
        writer.bytes(metadata);
        return body;
    };
    EXPECT_EQ(entries_in(entry_of(4)), 1);
    EXPECT_EQ(entries_in(entry_of(5)), -1);
}

TEST(SourceNames, ComeBackAndNothingElseIsTakenForOne) {
    Buffer body;
    write_source({.number = 65'535, .name = "simulator"}, body);
    const auto source = read_source(body);
    ASSERT_TRUE(source);
    EXPECT_EQ(source->number, 65'535U);
    EXPECT_EQ(source->name, "simulator");
    for (std::size_t n = 0; n < body.size(); ++n) {
        EXPECT_FALSE(read_source(std::span(body).first(n))) << n;
    }
    body.push_back(std::byte{0});
    EXPECT_FALSE(read_source(body));
    EXPECT_EQ(text_view(body).substr(4, 9), "simulator");
}

TEST(Entries, MadeOfNoiseAreReadOrRefusedWithinTheirBytes) {
    const auto seed = seed_or(13);
    SCOPED_TRACE(seed);
    Random random(seed);
    int accepted = 0;
    for (int round = 0; round < 100'000; ++round) {
        auto noise = random.bytes(random.below(24));
        // Small numbers are likelier to be something.
        if (random.coin()) {
            for (auto& b : noise) b &= std::byte{0x3f};
        }
        static_cast<void>(entries_in(noise));
        EntryReader reader(noise);
        Entry entry{};
        while (reader.next(entry)) {
            ++accepted;
            const auto in_noise = [&](std::span<const std::byte> part) {
                return part.empty() || (part.data() >= noise.data() &&
                                        part.data() + part.size() <= noise.data() + noise.size());
            };
            if (entry.kind != EntryKind::page) continue;
            ASSERT_TRUE(in_noise(entry.page.delta) && in_noise(entry.page.metadata));
            ASSERT_TRUE(in_noise(bytes_of(entry.page.name)));
        }
    }
    EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace mmsb::log
