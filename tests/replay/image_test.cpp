#include "base/limits.hpp"
#include "replay/support.hpp"

#include <stdexcept>

namespace mmsb::replay::test {
namespace {

using log::PageEntry;

// Two named pages and one without a name, at sequence 3; source 1 is "camera".
class ImageTest : public ::testing::Test {
protected:
    ImageTest() {
        const auto source = recorder.source(1, "camera");
        EXPECT_EQ(image.apply(source), "");
        recorder.accept(source);
        recorder.apply(image,
                       {{.page = left, .size = 8, .created = true, .line = 0, .name = "left"},
                        {.page = right, .size = 8, .created = true, .line = 1, .name = "right"},
                        {.page = plain, .size = 100, .created = true, .line = 2}});
        recorder.apply(image, {{.page = left, .epoch = Epoch{1}, .size = 8, .delta = ones}});
        recorder.apply(image, {{.page = plain, .size = 100, .metadata = note}});
    }
    void refused(const std::vector<PageEntry>& entries, std::string_view why) {
        expect_refused(image, recorder.commit(entries), why);
    }
    [[nodiscard]] const ImagePage& at(PageId id) const { return *image.find(id); }

    const PageId left{1}, right{2}, plain{3}, unknown{9};
    const Bytes ones = delta_of(Bytes(8), Bytes(8, std::byte{1}));
    const Bytes note = metadata_of({{"note", "n"}});
    Recorder recorder;
    Image image;
};

TEST_F(ImageTest, HoldsWhatTheRecordsSaid) {
    EXPECT_EQ(number(image.sequence()), 3U);
    EXPECT_EQ(image.next_page(), 4U);
    EXPECT_EQ(image.find("left"), image.find(left));
    EXPECT_EQ(at(left).bytes, Bytes(8, std::byte{1}));
    EXPECT_EQ(number(at(left).epoch), 1U);
    EXPECT_EQ(number(at(left).sequence), 2U);
    EXPECT_EQ(at(right).bytes, Bytes(8));
    EXPECT_EQ(number(at(plain).epoch), 0U);
    EXPECT_EQ(number(at(plain).sequence), 3U);
    EXPECT_EQ(at(plain).lsn, image.lsn());
    const auto info = image.info(plain, at(plain));
    EXPECT_EQ(info.size, 100U);
    EXPECT_EQ(info.metadata, (Metadata{{"note", "n"}}));
    EXPECT_EQ(image.find(""), nullptr);
    EXPECT_EQ(image.find(unknown), nullptr);
    image.check_invariants();
}

TEST_F(ImageTest, SwapsTwoNamesInOneRecord) {
    recorder.apply(image,
                   {{.page = left, .epoch = Epoch{1}, .size = 8, .renamed = true, .name = "right"},
                    {.page = right, .size = 8, .renamed = true, .name = "left"}});
    EXPECT_EQ(image.find("left"), image.find(right));
    EXPECT_EQ(image.find("right"), image.find(left));
    image.check_invariants();
}

TEST_F(ImageTest, PassesNamesOnInACircle) {
    recorder.apply(image,
                   {{.page = plain, .size = 100, .renamed = true, .name = "left"},
                    {.page = left, .epoch = Epoch{1}, .size = 8, .renamed = true, .name = "right"},
                    {.page = right, .size = 8, .renamed = true}});
    EXPECT_EQ(image.find("left"), image.find(plain));
    EXPECT_EQ(image.find("right"), image.find(left));
    EXPECT_EQ(at(right).name, "");
    image.check_invariants();
}

TEST_F(ImageTest, GivesADeletedPagesNameToOneThatTheSameRecordCreates) {
    for (const bool created_first : {true, false}) {
        const auto id = PageId{image.next_page()};
        const auto old = image.find("right") == image.find(right) ? right : PageId{number(id) - 1};
        std::vector<PageEntry> entries{{.page = id,
                                        .size = 3,
                                        .created = true,
                                        .line = 10 + (created_first ? 1U : 0U),
                                        .name = "right"},
                                       {.page = old, .deleted = true}};
        if (!created_first) std::swap(entries[0], entries[1]);
        recorder.apply(image, entries);
        EXPECT_EQ(image.find(old), nullptr);
        EXPECT_EQ(image.find("right"), image.find(id));
        image.check_invariants();
    }
}

TEST_F(ImageTest, RenamesAPageToItsOwnName) {
    recorder.apply(image, {{.page = right, .size = 8, .renamed = true, .name = "right"}});
    EXPECT_EQ(image.find("right"), image.find(right));
    image.check_invariants();
}

TEST_F(ImageTest, FillsWhatAResizeAddsWithZerosBeforeTheDelta) {
    Bytes before(12);
    std::fill_n(before.begin(), 8, std::byte{1});
    Bytes after = before;
    after[11] = std::byte{7};
    const auto delta = delta_of(before, after);
    recorder.apply(
        image, {{.page = left, .epoch = Epoch{2}, .size = 12, .resized = true, .delta = delta}});
    EXPECT_EQ(at(left).bytes, after);
    recorder.apply(image, {{.page = left, .epoch = Epoch{3}, .size = 2, .resized = true}});
    EXPECT_EQ(at(left).bytes, Bytes(2, std::byte{1}));
    recorder.apply(image, {{.page = left, .epoch = Epoch{4}, .size = 4, .resized = true}});
    EXPECT_EQ(at(left).bytes, (Bytes{std::byte{1}, std::byte{1}, std::byte{0}, std::byte{0}}));
    image.check_invariants();
}

TEST_F(ImageTest, ErasesMetadataByEmptyValues) {
    const auto change = metadata_of({{"a", "1"}, {"note", ""}, {"b", "2"}, {"missing", ""}});
    recorder.apply(image, {{.page = plain, .size = 100, .metadata = change}});
    EXPECT_EQ(at(plain).metadata, (Metadata{{"a", "1"}, {"b", "2"}}));
    EXPECT_EQ(number(at(plain).epoch), 0U);
}

TEST_F(ImageTest, TakesPositionsOnlyFromRecordsThatAreNoCommits) {
    for (const auto kind : {log::RecordKind::incarnation, log::RecordKind::close}) {
        const Bytes body(kind == log::RecordKind::incarnation ? 16 : 0);
        const auto record = recorder.write(recorder.fields(kind), body);
        const Image before = image;
        EXPECT_EQ(image.apply(record), "");
        EXPECT_EQ(image.lsn(), record.end);
        EXPECT_EQ(image.time_ns(), record.time_ns);
        EXPECT_FALSE(first_difference(before, image));
        auto later = record;
        later.sequence = image.sequence() + 1;
        later.start = image.lsn();
        later.end = later.start + 16;
        expect_refused(image, later, "sequence");
        recorder.accept(record);
    }
}

TEST_F(ImageTest, RefusesARecordOutOfOrder) {
    const auto good =
        recorder.commit({{.page = right, .epoch = Epoch{1}, .size = 8, .delta = ones}});
    const auto spoiled = [&](auto change, std::string_view why) {
        auto record = good;
        change(record);
        expect_refused(image, record, why);
    };
    spoiled([](log::Record& r) { r.sequence = r.sequence + 1; }, "expected sequence 4, found 5");
    spoiled([](log::Record& r) { r.sequence = r.sequence - 1; }, "sequence");
    spoiled([&](log::Record& r) { r.time_ns = image.time_ns() - 1; }, "time");
    spoiled([&](log::Record& r) { r.start = image.lsn() - 8; }, "LSN");
    spoiled([](log::Record& r) { r.end = r.start; }, "LSN");
    spoiled([](log::Record& r) { r.source = 2; }, "source 2");
    spoiled([&](log::Record& r) { r.kind = log::RecordKind{77}, r.sequence = image.sequence(); },
            "no kind 77");
    spoiled([](log::Record& r) { r.blob = log::BlobReference{.id = 1, .size = 5, .checksum = 0}; },
            "5 bytes");
    spoiled([](log::Record& r) { r.body = r.body.first(r.body.size() - 1); }, "damaged");
    EXPECT_EQ(image.apply(good), "");
    expect_refused(image, good, "LSN");  // Once only.
}

TEST_F(ImageTest, RefusesWhatContradictsThePagesThatAreThere) {
    refused({{.page = unknown, .size = 8}}, "page 9: is not there");
    refused({{.page = unknown, .deleted = true}}, "page 9: is not there");
    refused({{.page = left, .epoch = Epoch{3}, .size = 8, .delta = ones}},
            "expected epoch 2, found 3");
    refused({{.page = left, .epoch = Epoch{1}, .size = 8, .delta = ones}}, "epoch");
    refused({{.page = right, .epoch = Epoch{1}, .size = 8, .renamed = true, .name = "x"}}, "epoch");
    refused({{.page = right, .size = 9, .resized = true}}, "epoch");
    refused({{.page = right, .epoch = Epoch{1}, .deleted = true}}, "epoch");
    refused({{.page = right, .size = 9, .renamed = true, .name = "x"}}, "expected size 8, found 9");
    const auto nine = delta_of(Bytes(9), Bytes(9, std::byte{2}));
    refused({{.page = right, .epoch = Epoch{1}, .size = 9, .delta = nine}}, "size");
}

TEST_F(ImageTest, RefusesADeltaThatDoesNotFitItsPage) {
    auto record = recorder.commit({{.page = right, .epoch = Epoch{1}, .size = 8, .delta = ones}});
    Bytes body(record.body.begin(), record.body.end());
    body[3] = std::byte{7};  // flags, page, epoch, size
    record.body = body;
    expect_refused(image, record, "damaged");
}

TEST_F(ImageTest, RefusesWhatContradictsThePagesThatAreCreated) {
    const PageEntry good{.page = PageId{4}, .size = 8, .created = true, .line = 3, .name = "new"};
    const auto spoiled = [&](auto change, std::string_view why) {
        auto entry = good;
        change(entry);
        refused({entry}, why);
    };
    spoiled([&](PageEntry& e) { e.page = plain; }, "page 3: is no new id");
    spoiled([](PageEntry& e) { e.page = PageId{~std::uint64_t{0}}; }, "no new id");
    spoiled([](PageEntry& e) { e.epoch = Epoch{1}; }, "epoch");
    spoiled([](PageEntry& e) { e.line = 1; }, "line 1");
    spoiled([](PageEntry& e) { e.name = "left"; }, "the name 'left' is page 1's");
    spoiled([&](PageEntry& e) { e.delta = ones, e.epoch = Epoch{1}; }, "epoch");
    auto other = good;
    other.page = PageId{5};
    other.name = "other";
    refused({good, other}, "line 3");
    other.line = 4;
    other.name = "new";
    refused({good, other}, "also given to page 4");
    refused({{.page = right, .deleted = true},
             {.page = PageId{4}, .size = 8, .created = true, .line = 1}},
            "line 1");
}

TEST_F(ImageTest, TakesPagesWhoseIdsWereTakenEarlierThanTheLastOnes) {
    recorder.apply(image, {{.page = PageId{7}, .size = 1, .created = true, .line = 3}});
    EXPECT_EQ(image.next_page(), 8U);
    recorder.apply(image, {{.page = PageId{5}, .size = 2, .created = true, .line = 4}});
    EXPECT_EQ(image.next_page(), 8U);
    EXPECT_EQ(at(PageId{5}).size, 2U);
    EXPECT_EQ(at(PageId{7}).size, 1U);
    image.check_invariants();
}

TEST_F(ImageTest, RefusesNamesThatWouldNotBeUnique) {
    refused({{.page = plain, .size = 100, .renamed = true, .name = "left"}}, "is page 1's");
    refused({{.page = plain, .size = 100, .renamed = true, .name = "left"},
             {.page = left, .epoch = Epoch{2}, .size = 8, .delta = ones}},
            "is page 1's");
    refused({{.page = plain, .size = 100, .renamed = true, .name = "same"},
             {.page = left, .epoch = Epoch{1}, .size = 8, .renamed = true, .name = "same"}},
            "'same'");
    refused({{.page = plain, .size = 100, .renamed = true, .name = "right"},
             {.page = left, .epoch = Epoch{1}, .deleted = true}},
            "is page 2's");
}

TEST_F(ImageTest, RefusesAPageThatIsNamedTwice) {
    const PageEntry rename{.page = right, .size = 8, .renamed = true, .name = "x"};
    const PageEntry remove{.page = right, .deleted = true};
    const PageEntry change{.page = right, .epoch = Epoch{1}, .size = 8, .delta = ones};
    const PageEntry create{.page = PageId{4}, .size = 8, .created = true, .line = 3};
    auto again = create;
    again.line = 4;
    refused({change, change}, "page 2: is named twice");
    refused({remove, remove}, "named twice");
    refused({rename, change}, "named twice");
    refused({create, again}, "page 4: is named twice");
    refused({change, {.page = left, .epoch = Epoch{2}, .size = 8, .delta = ones}, change},
            "named twice");
}

TEST_F(ImageTest, RefusesMoreMetadataThanAPageMayHave) {
    const std::string half(limits::metadata_size / 2, 'v');
    const auto first = metadata_of({{"first", std::string_view(half).substr(10)}});
    recorder.apply(image, {{.page = plain, .size = 100, .metadata = first}});
    const auto second = metadata_of({{"second", half}});
    refused({{.page = plain, .size = 100, .metadata = second}}, "metadata");
    const auto instead = metadata_of({{"second", half}, {"first", ""}});
    recorder.apply(image, {{.page = plain, .size = 100, .metadata = instead}});
    const auto too_much = metadata_of({{"third", half}});
    refused({{.page = plain, .size = 100, .metadata = too_much}}, "metadata");
    // Just as much as it may have, and one byte more.
    std::size_t there = std::string_view("third").size();
    for (const auto& [key, value] : image.find(plain)->metadata) there += key.size() + value.size();
    const std::string rest(limits::metadata_size - there, 'v');
    const auto full = metadata_of({{"third", rest}});
    const auto more = metadata_of({{"third", rest + "v"}});
    refused({{.page = plain, .size = 100, .metadata = more}}, "metadata");
    recorder.apply(image, {{.page = plain, .size = 100, .metadata = full}});
}

TEST_F(ImageTest, KnowsSourcesByNumber) {
    expect_refused(image, recorder.source(1, "other"), "source 1");
    const auto again = recorder.source(1, "camera");
    EXPECT_EQ(image.apply(again), "");
    recorder.accept(again);
    auto damaged = recorder.source(2, "x");
    damaged.body = damaged.body.first(1);
    expect_refused(image, damaged, "damaged");
    auto fields = recorder.fields();
    fields.source = 1;
    EXPECT_EQ(image.apply(recorder.commit({{.page = right, .size = 8, .renamed = true}}, fields)),
              "");
    EXPECT_FALSE(image.set_source(0, "none"));
    EXPECT_FALSE(image.set_source(2, std::string(limits::name_size + 1, 'n')));
    EXPECT_FALSE(image.set_source(limits::source_names + 1, "n"));
}

TEST_F(ImageTest, StartsAtThePositionThatItIsGiven) {
    Image later;
    later.set_position(image.sequence(), image.time_ns(), image.lsn(), image.next_page());
    for (const auto& [id, page] : image.pages()) EXPECT_TRUE(later.insert(id, page));
    for (const auto& [number, name] : image.sources()) EXPECT_TRUE(later.set_source(number, name));
    expect_same(image, later);
    recorder.apply(later, {{.page = right, .epoch = Epoch{1}, .size = 8, .delta = ones}});
    Image empty;
    recorder.sequence = Sequence{1};
    const auto second = recorder.commit({{.page = PageId{1}, .created = true}});
    expect_refused(empty, second, "expected sequence 1, found 2");
}

TEST_F(ImageTest, TakesInNoPageThatDoesNotFit) {
    const ImagePage good{.line = 7, .size = 2, .bytes = Bytes(2), .name = "new"};
    const auto refuses = [&](PageId id, auto change) {
        auto page = good;
        change(page);
        const Image before = image;
        EXPECT_FALSE(image.insert(id, page));
        expect_same(before, image);
    };
    refuses(plain, [](ImagePage&) {});
    refuses(PageId::none, [](ImagePage&) {});
    refuses(PageId{~std::uint64_t{0}}, [](ImagePage&) {});
    refuses(unknown, [](ImagePage& p) { p.line = 2; });
    refuses(unknown, [](ImagePage& p) { p.name = "left"; });
    refuses(unknown, [](ImagePage& p) { p.name = std::string(limits::name_size + 1, 'n'); });
    refuses(unknown, [](ImagePage& p) { p.size = 3; });
    refuses(unknown, [](ImagePage& p) { p.metadata["key"]; });
    refuses(unknown,
            [](ImagePage& p) { p.metadata["key"] = std::string(limits::metadata_size, 'v'); });
    EXPECT_TRUE(image.insert(unknown, good));
    EXPECT_EQ(image.next_page(), 10U);
    image.check_invariants();
    image.set_position(image.sequence(), 0, image.lsn(), 3);
    EXPECT_EQ(image.next_page(), 10U);
}

TEST_F(ImageTest, FindsTheFirstDifference) {
    const auto differs = [&](auto change, PageId page, std::string_view what,
                             std::size_t offset = 0) {
        Image other;
        other.set_position(image.sequence(), image.time_ns(), image.lsn(), image.next_page());
        for (auto [id, copy] : image.pages()) {
            change(id, copy);
            EXPECT_TRUE(other.insert(id, copy));
        }
        const auto found = first_difference(image, other);
        ASSERT_TRUE(found) << what;
        EXPECT_EQ(found->page, page);
        EXPECT_EQ(found->what, what);
        EXPECT_EQ(found->offset, offset);
    };
    const auto in = [](PageId page, auto change) {
        return [=](PageId id, ImagePage& copy) {
            if (id == page) change(copy);
        };
    };
    differs(in(left, [](ImagePage& p) { p.size = 9, p.bytes.resize(9); }), left, "size");
    differs(in(plain, [](ImagePage& p) { p.bytes[99] = std::byte{1}; }), plain, "bytes", 99);
    differs(in(left, [](ImagePage& p) { p.bytes[0] = std::byte{2}; }), left, "bytes", 0);
    differs(in(right, [](ImagePage& p) { p.epoch = Epoch{1}; }), right, "epoch");
    differs(in(right, [](ImagePage& p) { p.name = "r"; }), right, "name");
    differs(in(right, [](ImagePage& p) { p.location = Location::gpu; }), right, "location");
    differs(in(plain, [](ImagePage& p) { p.metadata.clear(); }), plain, "metadata");
    differs(in(plain, [](ImagePage& p) { p.sequence = Sequence{1}; }), plain, "sequence");
    Image more = image;
    EXPECT_TRUE(more.insert(unknown, {.line = 9}));
    EXPECT_EQ(first_difference(image, more)->what, "extra");
    EXPECT_EQ(first_difference(more, image)->what, "missing");
    EXPECT_EQ(first_difference(more, image)->page, unknown);
    Image elsewhere(Keep{.which = Keep::Which::none, .pages = {}});
    elsewhere.set_position(image.sequence(), 0, image.lsn(), 0);
    for (auto [id, copy] : image.pages()) {
        copy.line += 10;
        copy.lsn = 0;
        EXPECT_TRUE(elsewhere.insert(id, copy));
    }
    EXPECT_FALSE(first_difference(image, elsewhere));
}

TEST_F(ImageTest, FindsPagesWhoseIdsAreFarApart) {
    std::vector<PageId> ids{left, right, plain};
    std::uint32_t line = 3;
    for (const std::uint64_t id :
         {4ULL, 1000ULL, 5000ULL, 1ULL << 40U, (1ULL << 40U) + 1, ~0ULL - 1}) {
        recorder.apply(image, {{.page = PageId{id}, .size = 1, .created = true, .line = line++}});
        ids.push_back(PageId{id});
    }
    for (std::uint64_t i = 0; i != ids.size(); ++i) {
        ASSERT_NE(image.find(ids[i]), nullptr);
        EXPECT_EQ(image.find(ids[i])->line, i);
    }
    EXPECT_EQ(image.find(PageId{1ULL << 41U}), nullptr);
    image.check_invariants();
    const Image copy = image;
    expect_same(image, copy);
}

TEST_F(ImageTest, SaysWhenItsOwnStateIsBroken) {
    Image newer;
    EXPECT_TRUE(newer.insert(left, {.sequence = Sequence{1}}));
    EXPECT_THROW(newer.check_invariants(), std::logic_error);
    newer.set_position(Sequence{1}, 0, 0, 2);
    EXPECT_NO_THROW(newer.check_invariants());
}

}  // namespace
}  // namespace mmsb::replay::test
