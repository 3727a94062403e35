#include "replay/history.hpp"

namespace mmsb::replay::test {
namespace {

void expect_is(const Image& image, const Model& model, const Keep& keep) {
    ASSERT_EQ(image.pages().size(), model.size());
    for (const auto& [id, expected] : model) {
        const auto* const page = image.find(PageId{id});
        ASSERT_NE(page, nullptr) << id;
        ASSERT_EQ(page->line, expected.line) << id;
        ASSERT_EQ(page->size, expected.bytes.size()) << id;
        ASSERT_EQ(number(page->epoch), expected.epoch) << id;
        ASSERT_EQ(page->stale, expected.stale) << id;
        ASSERT_EQ(number(page->sequence), expected.sequence) << id;
        ASSERT_EQ(page->location, expected.location) << id;
        ASSERT_EQ(page->name, expected.name) << id;
        ASSERT_EQ(page->metadata, expected.metadata) << id;
        ASSERT_EQ(page->bytes, keep.keeps(PageId{id}) ? expected.bytes : Bytes()) << id;
        if (!expected.name.empty()) {
            ASSERT_EQ(image.find(expected.name), page);
        }
    }
    ASSERT_NO_THROW(image.check_invariants());
}

void expect_follows(std::uint64_t seed, const Keep& keep) {
    RandomHistory history(seed);
    Recorder recorder;
    Image image(keep);
    for (std::uint64_t sequence = 1; sequence <= 60; ++sequence) {
        const auto record = recorder.commit(history.next(sequence));
        ASSERT_EQ(image.apply(record), "") << "sequence " << sequence;
        recorder.accept(record);
        ASSERT_NO_FATAL_FAILURE(expect_is(image, history.model(), keep)) << "sequence " << sequence;
        ASSERT_EQ(number(image.sequence()), sequence);
        ASSERT_EQ(image.lsn(), record.end);
        ASSERT_EQ(image.time_ns(), record.time_ns);
    }
}

TEST(Image, IsWhatAPlainMapSaysAfterAnyHistory) {
    for_each_seed(150, [](std::uint64_t seed) { expect_follows(seed, {}); });
}

TEST(Image, FollowsAnyHistoryWithoutKeepingBytes) {
    for_each_seed(30, [](std::uint64_t seed) {
        expect_follows(seed, {.which = Keep::Which::none, .pages = {}});
    });
}

TEST(Image, KeepsTheBytesOfThePagesThatItWasAskedFor) {
    for_each_seed(30, [](std::uint64_t seed) {
        expect_follows(seed, {.which = Keep::Which::some,
                              .pages = {PageId{7}, PageId{2}, PageId{3}, PageId{10'000}}});
    });
}

TEST(Image, GoesOnTheSameAfterACopy) {
    for_each_seed(20, [](std::uint64_t seed) {
        RandomHistory history(seed);
        Recorder recorder;
        Image image;
        for (std::uint64_t sequence = 1; sequence <= 40; ++sequence) {
            const auto record = recorder.commit(history.next(sequence));
            const Image before = image;
            Image copy = before;
            EXPECT_EQ(copy.apply(record), "");
            expect_same(before, image);  // The copy shares nothing with it.
            EXPECT_EQ(image.apply(record), "");
            expect_same(copy, image);
            image = std::move(copy);
            image.check_invariants();
            recorder.accept(record);
        }
    });
}

// One thing of a valid record made wrong. False where this record has no such thing.
bool spoil(std::vector<log::PageEntry>& entries, const Image& image, Random& random) {
    auto& entry = entries[below(random, entries.size())];
    switch (below(random, 6)) {
        case 0:
            entry.epoch = entry.epoch + 1;
            return true;
        case 1:
            if (entry.created || entry.resized || entry.deleted || !entry.delta.empty())
                return false;
            ++entry.size;
            return true;
        case 2:
            entries.push_back({.page = PageId{image.next_page() + 100'000}});
            return true;
        case 3:
            entries.push_back(entry);
            return true;
        case 4: {
            if (!entry.created || image.pages().empty()) return false;
            entry.page = image.pages().begin()->first;
            return true;
        }
        default: {
            // The name of a page that the record does not touch.
            for (const auto& [id, page] : image.pages()) {
                const auto touched = [&, page_id = id](const auto& e) { return e.page == page_id; };
                if (page.name.empty() || entry.deleted ||
                    std::any_of(entries.begin(), entries.end(), touched)) {
                    continue;
                }
                entry.renamed = true;
                entry.name = page.name;
                return true;
            }
            return false;
        }
    }
}

TEST(Image, RefusesAnyRecordOfWhichOneThingIsWrong) {
    for_each_seed(100, [](std::uint64_t seed) {
        RandomHistory history(seed);
        Recorder recorder;
        Image image;
        for (std::uint64_t sequence = 1; sequence <= 40; ++sequence) {
            const auto& entries = history.next(sequence);
            for (int i = 0; i != 3; ++i) {
                auto spoiled = entries;
                if (!spoil(spoiled, image, history.random())) continue;
                expect_refused(image, recorder.commit(spoiled), "page ");
            }
            recorder.apply(image, entries);
            if (testing::Test::HasFailure()) return;
        }
    });
}

}  // namespace
}  // namespace mmsb::replay::test
