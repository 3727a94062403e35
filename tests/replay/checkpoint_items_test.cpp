// Checkpoints whose checksums are right and whose contents are not; and the layout, byte by byte.
#include "base/limits.hpp"
#include "replay/checkpoint_support.hpp"

#include <zstd.h>

namespace mmsb::replay::test {
namespace {

void expect_items_refused(const Items& items, std::string_view expected) {
    Forger forger;
    forger.add_block(items.bytes);
    expect_refused(forger.file(), expected);
}

TEST(CheckpointItems, AreTakenWhereTheyAgree) {
    Forger forger;
    forger.add_block(
        Items()
            .source(2, "camera")
            .page({.id = 3, .line = 9, .location = 1, .name = "n", .metadata = {{"k", "v"}}})
            .page({.id = 4})
            .contents({.id = 3, .epoch = 4, .sequence = 6, .size = 7})
            .piece("ab")
            .zeros(4)
            .bytes);
    forger.add_block(
        Items().piece("c").contents({.id = 4}).end({.contents = 2, .blocks = 2}).bytes);
    const auto back = read_back(forger.file());
    ASSERT_TRUE(back.value) << back.refusal.expected;
    const auto& image = back.value->image;
    EXPECT_EQ(number(image.sequence()), 10U);
    EXPECT_EQ(image.time_ns(), 5);
    EXPECT_EQ(image.lsn(), 104U);
    EXPECT_EQ(image.next_page(), 20U);
    EXPECT_EQ(image.structure_head(), 8U);
    EXPECT_EQ(image.sources(), (std::map<std::uint32_t, std::string>{{2, "camera"}}));
    const auto* const page = image.find("n");
    ASSERT_NE(page, nullptr);
    EXPECT_EQ(page, image.find(PageId{3}));
    EXPECT_EQ(page->line, 9U);
    EXPECT_EQ(number(page->epoch), 4U);
    EXPECT_EQ(number(page->sequence), 6U);
    EXPECT_EQ(page->lsn, 48U);
    EXPECT_EQ(page->location, Location::gpu);
    EXPECT_EQ(page->metadata, (Metadata{{"k", "v"}}));
    const auto expected = bytes_of(std::string_view("ab\0\0\0\0c", 7));
    EXPECT_TRUE(std::ranges::equal(page->bytes, expected));
}

TEST(CheckpointItems, AreRefusedOutOfOrder) {
    const auto one = Items().page({});
    const auto with = [](Items items) { return items; };
    expect_items_refused(Items().source(2, "a").source(1, "b"), "a source above 2");
    expect_items_refused(Items().page({}).source(1, "a"), "in this order");
    expect_items_refused(with(one).contents({}).page({.id = 2, .line = 1}), "in this order");
    expect_items_refused(with(one).change({}, Bytes{}).contents({}), "in this order");
    expect_items_refused(Items().page({.id = 2}).page({.id = 1, .line = 1}), "pages by id");
    expect_items_refused(Items().page({.id = 2}).page({.id = 2, .line = 1}), "pages by id");
    expect_items_refused(with(one).contents({}).contents({}), "contents of the structure's pages");
    expect_items_refused(with(one).contents({.id = 2}), "contents of the structure's pages");
    expect_items_refused(
        Items().page({}).page({.id = 2, .line = 1}).contents({.id = 2}).contents({}), "by id");
    expect_items_refused(Items().piece("a"), "no more bytes");
    expect_items_refused(with(one).contents({.size = 1}).piece("a").zeros(1), "no more bytes");
    expect_items_refused(with(one).contents({.size = 1}).contents({.id = 2}),
                         "the rest of the bytes");
    expect_items_refused(with(one).contents({.size = 2}).piece("a").end({.contents = 1}),
                         "the rest of the bytes");
    expect_items_refused(Items().end({}).end({}), "nothing behind the end");
    Items unknown;
    unknown.tag(layout::Item{10});
    expect_items_refused(unknown, "an item");
    expect_items_refused(Items().page({}), "a block, before the file's end");
}

TEST(CheckpointItems, AreRefusedWhereTheyContradictThePages) {
    const auto refused = [](const Items::Page& page, const Items::Contents& contents,
                            std::string_view expected) {
        expect_items_refused(Items().page(page).contents(contents).end({.contents = 1}), expected);
    };
    // What is found at the end is said as the pages that do not agree.
    constexpr auto disagree = "pages that agree";
    refused({.id = 0}, {.id = 0}, "pages by id");
    refused({.id = 20}, {.id = 20}, disagree);
    refused({.line = 1ULL << 32U}, {}, "a page's fields");
    refused({}, {.epoch = 2, .sequence = 1}, disagree);
    refused({}, {.sequence = 11}, disagree);
    refused({}, {.lsn = 105}, disagree);
    refused({}, {.size = limits::page_size + 1}, "a page of at most");
    refused({.location = 3}, {}, "a page's fields");
    const std::string long_name(limits::name_size + 1, 'n');
    refused({.name = long_name}, {}, "a page's fields");
    refused({.metadata = {{"", "v"}}}, {}, disagree);
    refused({.metadata = {{"k", ""}}}, {}, disagree);
    refused({.metadata = {{"k", "v"}, {"k", "w"}}}, {}, "a page's fields");
    const std::string half(limits::metadata_size / 2, 'v');
    refused({.metadata = {{"k", half}, {"l", half}}}, {}, disagree);
    const auto two = [&](const Items::Page& other) {
        expect_items_refused(Items()
                                 .page({.name = "n"})
                                 .page(other)
                                 .contents({})
                                 .contents({.id = 2})
                                 .end({.contents = 2}),
                             disagree);
    };
    two({.id = 2});
    two({.id = 2, .line = 1, .name = "n"});
    refused({}, {.stale = 2}, "five numbers of a page's contents");
}

TEST(CheckpointItems, OfTheGraphAreTakenWhereTheirPagesAreThere) {
    Items two;
    two.page({.id = 1}).page({.id = 2, .line = 1});
    const auto with = [](Items items) { return items; };
    const auto finish = [](Items items) {
        return items.contents({.id = 1}).contents({.id = 2}).end({.contents = 2});
    };
    Forger forger;
    forger.add_block(finish(with(two).edge(1, 2, 1).edge(1, 2, 3).formula(2, "f/1", {1, 1})).bytes);
    const auto back = read_back(forger.file());
    ASSERT_TRUE(back.value) << back.refusal.expected;
    const auto& dependencies = back.value->image.dependencies();
    EXPECT_EQ(dependencies.edges, (std::set<Edge>{{PageId{1}, PageId{2}, EdgeType::control},
                                                  {PageId{1}, PageId{2}, EdgeType::compiler}}));
    EXPECT_EQ(dependencies.formulas.at(PageId{2}).parents, (std::vector{PageId{1}, PageId{1}}));
    expect_items_refused(with(two).edge(1, 2, 4), "an edge's two pages");
    expect_items_refused(with(two).edge(1, 2).edge(1, 2), "edges by parent");
    expect_items_refused(with(two).formula(2, "", {1}), "a formula's page");
    expect_items_refused(with(two).formula(2, "f/1", {}), "a formula's page");
    expect_items_refused(with(two).formula(2, "f/1", {1}).formula(2, "g/1", {1}), "formulas by");
    expect_items_refused(with(two).formula(2, "f/1", {1}).edge(1, 2), "in this order");
    expect_items_refused(finish(with(two).edge(1, 3)), "pages that agree");
    expect_items_refused(finish(with(two).formula(2, "f/1", {3})), "pages that agree");
}

TEST(CheckpointItems, AreRefusedWhereTheyContradictTheCounts) {
    const auto one = Items().page({}).contents({.size = 1});
    const auto with = [](Items items) { return items; };
    expect_items_refused(with(one).piece("ab"), "bytes, at most 1");
    expect_items_refused(with(one).zeros(~std::uint64_t{0}), "bytes, at most 1");
    expect_items_refused(with(one).zeros(0), "bytes, at most 1");
    const auto whole = Items().page({}).contents({});
    expect_items_refused(with(whole).end({.contents = 2}), "contents: 2");
    expect_items_refused(with(whole).end({.contents = 1, .changes = 1}), "changes: 1");
    expect_items_refused(with(whole).end({.contents = 1, .blocks = 2}), "blocks: 2");
    expect_items_refused(with(whole).end({.contents = 1, .lsn = 88}), "an end behind the start");
    expect_items_refused(with(whole).end({.contents = 1, .next_page = 0}), "a next page id");
    expect_items_refused(Items().page({}).end({}), "pages that agree");  // without contents
    expect_items_refused(Items().source(1, ""), "a source above 0");
    expect_items_refused(Items().source(limits::source_names + 1, "n"), "a source above 0");
}

TEST(CheckpointItems, AreRefusedWhereTheyAreCut) {
    const auto whole = Items()
                           .source(2, "camera")
                           .page({.name = "n", .metadata = {{"k", "v"}}})
                           .contents({.size = 3})
                           .piece("abc")
                           .change({}, Bytes{})
                           .end({.contents = 1, .changes = 1})
                           .bytes;
    for (std::size_t size = 1; size != whole.size(); ++size) {
        Forger forger;
        forger.add_block(std::span(whole).first(size));
        EXPECT_FALSE(read_back(forger.file()).value) << size;
    }
    Forger forger;
    forger.add_block(whole);
    EXPECT_TRUE(read_back(forger.file()).value);
}

TEST(CheckpointBlock, IsRefusedWithSizesThatDisagree) {
    const auto items =
        Items().page({}).contents({.size = 3000}).zeros(3000).end({.contents = 1}).bytes;
    const auto size = static_cast<std::uint32_t>(items.size());
    const auto refused = [&](layout::Block block, std::string_view expected) {
        Forger forger;
        forger.add_block(items, block);
        expect_refused(forger.file(), expected);
    };
    const layout::Block good{.checksum = 0,
                             .stored_size = size,
                             .raw_size = size,
                             .compression = layout::stored_raw,
                             .zero = {}};
    auto block = good;
    block.raw_size = size + 1;
    refused(block, "a block of 1 to");
    block = good;
    block.compression = 2;
    refused(block, "a block of 1 to");
    block.compression = layout::one_zstd_frame;
    refused(block, "a block of 1 to");
    block.raw_size = layout::block_size + 1;
    refused(block, "a block of 1 to");
    block.raw_size = size + 1;
    refused(block, "one zstd frame");
    block = good;
    block.zero[2] = 1;
    refused(block, "padding");
    Forger empty;
    empty.add_block({}, {.checksum = 0,
                         .stored_size = 0,
                         .raw_size = 0,
                         .compression = layout::stored_raw,
                         .zero = {}});
    expect_refused(empty.file(), "a block of 1 to");
}

TEST(CheckpointBlock, IsRefusedWithFramesOfAnotherSize) {
    const Bytes raw = Items()
                          .page({})
                          .contents({.size = 3000})
                          .piece(std::string(3000, 'x'))
                          .end({.contents = 1})
                          .bytes;
    Bytes frame(ZSTD_compressBound(raw.size()));
    frame.resize(ZSTD_compress(frame.data(), frame.size(), raw.data(), raw.size(), 3));
    const auto file = [&](std::span<const std::byte> stored, std::size_t raw_size) {
        Forger forger;
        forger.add_block(stored, {.checksum = 0,
                                  .stored_size = static_cast<std::uint32_t>(stored.size()),
                                  .raw_size = static_cast<std::uint32_t>(raw_size),
                                  .compression = layout::one_zstd_frame,
                                  .zero = {}});
        return forger.file();
    };
    EXPECT_TRUE(read_back(file(frame, raw.size())).value);
    expect_refused(file(frame, raw.size() - 1), "one zstd frame");
    expect_refused(file(frame, raw.size() + 1), "one zstd frame");
    expect_refused(file(std::span(frame).first(frame.size() - 1), raw.size()), "one zstd frame");
    Bytes two = frame;
    two.insert(two.end(), frame.begin(), frame.end());
    expect_refused(file(two, raw.size()), "one zstd frame");
    // A frame that does not say how much it holds.
    ZSTD_CCtx* const context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    Bytes silent(ZSTD_compressBound(raw.size()));
    silent.resize(ZSTD_compress2(context, silent.data(), silent.size(), raw.data(), raw.size()));
    ZSTD_freeCCtx(context);
    expect_refused(file(silent, raw.size()), "one zstd frame");
}

TEST(CheckpointLayout, IsAsTheTablesSay) {
    Image image;
    image.set_position(Sequence{9}, 10, 0x0506, 11);
    image.set_structure(0x0405);
    ASSERT_TRUE(image.set_source(5, "s"));
    ASSERT_TRUE(image.insert(PageId{2}, {.line = 3,
                                         .size = 4,
                                         .epoch = Epoch{1},
                                         .sequence = Sequence{7},
                                         .lsn = 8,
                                         .location = Location::unified,
                                         .stale = true,
                                         .bytes = Bytes(4, std::byte{0xee}),
                                         .name = "n",
                                         .metadata = {{"k", "v"}}}));
    const auto file = written(image);
    base::ByteReader in(file);
    const auto text = in.bytes(8);
    EXPECT_TRUE(std::ranges::equal(text, bytes_of(std::string_view("MMSBCHK\0", 8))));
    EXPECT_EQ(in.fixed<std::uint16_t>(), 1);
    EXPECT_EQ(in.fixed<std::uint16_t>(), 0);
    const auto header_checksum = in.fixed<std::uint32_t>();
    EXPECT_EQ(header_checksum, base::crc32c(base::crc32c(~0U, std::span(file).first(12)),
                                            std::span(file).subspan(16, 48)));
    EXPECT_TRUE(std::ranges::equal(in.bytes(16), some_bus()));
    EXPECT_EQ(in.fixed<std::uint64_t>(), 0x0506U);
    EXPECT_EQ(in.fixed<std::uint64_t>(), 0x0405U);
    EXPECT_EQ(in.fixed<std::int64_t>(), 10);
    EXPECT_EQ(in.fixed<std::uint64_t>(), 9U);
    ASSERT_EQ(in.position(), 64U);
    const std::array<unsigned, 39> items{
        1, 5, 1,    's',                                        // source
        2, 2, 3,    2,    1,    'n',  1,    1,    'k', 1, 'v',  // page
        6, 2, 1,    7,    8,    4,    1,                        // its contents
        3, 4, 0xee, 0xee, 0xee, 0xee,                           // its bytes
        5, 9, 10,   0x86, 0x0a, 11,   0x85, 0x08, 1,   0, 1};   // end
    constexpr std::size_t size = items.size();
    const auto checksum = in.fixed<std::uint32_t>();
    EXPECT_EQ(checksum,
              base::crc32c(base::crc32c(header_checksum, Bytes(8)), std::span(file).subspan(68)));
    EXPECT_EQ(in.fixed<std::uint32_t>(), size);
    EXPECT_EQ(in.fixed<std::uint32_t>(), size);
    EXPECT_EQ(in.fixed<std::uint32_t>(), 0U);
    for (std::size_t i = 0; i != size; ++i) EXPECT_EQ(in.fixed<std::uint8_t>(), items[i]) << i;
    EXPECT_TRUE(in.at_end());
    EXPECT_FALSE(in.failed());
}

}  // namespace
}  // namespace mmsb::replay::test
