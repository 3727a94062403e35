#include "replay/checkpoint_support.hpp"
#include "replay/history.hpp"

#include <algorithm>
#include <stdexcept>

namespace mmsb::replay::test {
namespace {

void expect_round_trip(const Image& image) {
    const auto file = written(image);
    const auto back = read_back(file);
    ASSERT_TRUE(back.value) << "expected " << back.refusal.expected << ", found "
                            << back.refusal.found << " at " << back.refusal.offset;
    EXPECT_EQ(back.value->bus, some_bus());
    expect_same(image, back.value->image);
    EXPECT_EQ(written(back.value->image), file);
}

Image random_image(std::uint64_t seed, std::uint64_t records) {
    RandomHistory history(seed);
    Recorder recorder;
    Image image;
    for (std::uint32_t n = 1; n <= seed % 4; ++n) {
        const auto source = recorder.source(n * 3, "source" + std::to_string(n));
        EXPECT_EQ(image.apply(source), "");
        recorder.accept(source);
    }
    for (std::uint64_t i = 1; i <= records; ++i) recorder.apply(image, history.next(i));
    return image;
}

// Page `id` of these bytes, as if the first record had made it.
void put(Image& image, std::uint64_t id, Bytes bytes, std::string name = {}) {
    const auto size = bytes.size();
    image.set_position(Sequence{1}, 17, 4096, image.next_page());
    ASSERT_TRUE(image.insert(PageId{id}, {.line = static_cast<std::uint32_t>(id),
                                          .size = size,
                                          .sequence = Sequence{1},
                                          .lsn = 8,
                                          .bytes = std::move(bytes),
                                          .name = std::move(name)}));
}

// A page of a little text, one of zeros and an empty one.
Image small_image() {
    Image image;
    const auto text = bytes_of("the state of a small bus, the state of a small bus, the state");
    put(image, 1, Bytes(text.begin(), text.end()), "text");
    put(image, 2, Bytes(5000), "zeros");
    put(image, 3, {});
    EXPECT_TRUE(image.set_source(1, "camera"));
    return image;
}

TEST(Checkpoint, HoldsAnyImage) {
    for_each_seed(100,
                  [](std::uint64_t seed) { expect_round_trip(random_image(seed, seed % 50)); });
}

TEST(Checkpoint, HoldsAnEmptyImage) { expect_round_trip(Image()); }

TEST(Checkpoint, HoldsPagesOfAllSizesAndFillings) {
    Random random(1);
    Image image;
    std::uint64_t id = 0;
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, std::size_t{4095}, std::size_t{4096}, std::size_t{4097},
          layout::block_size - 100, layout::block_size, layout::block_size + 1,
          3 * layout::block_size}) {
        put(image, ++id, Bytes(size));
        put(image, ++id, Bytes(size, std::byte{0xaa}));
        put(image, ++id, bytes_at_random(random, size));
        auto mixed = bytes_at_random(random, size);
        for (std::size_t at = 0; at + 20'000 < size; at += 50'000) {
            std::fill_n(mixed.begin() + static_cast<std::ptrdiff_t>(at), 20'000, std::byte{0});
        }
        put(image, ++id, mixed);
    }
    expect_round_trip(image);
}

TEST(Checkpoint, HoldsManyPagesAndMuchMetadata) {
    Image image;
    for (std::uint64_t id = 1; id <= 20'000; ++id) {
        put(image, id * 3, Bytes(id % 90, static_cast<std::byte>(id)),
            "page/" + std::to_string(id));
    }
    for (std::uint64_t id = 100'000; id != 100'040; ++id) {
        ImagePage page{.line = static_cast<std::uint32_t>(id)};
        for (int key = 0; key != 8; ++key) {
            page.metadata["key" + std::to_string(key)] =
                std::string(8000, static_cast<char>('a' + key));
        }
        ASSERT_TRUE(image.insert(PageId{id}, page));
    }
    expect_round_trip(image);
}

TEST(Checkpoint, TakesLittleRoomForZeros) {
    Image image;
    put(image, 1, Bytes(8 << 20U));
    EXPECT_LT(written(image).size(), 200U);
}

TEST(Checkpoint, IsReadInStepsOfAnySize) {
    const auto image = random_image(3, 30);
    const auto file = written(image);
    for (const std::size_t step : {1U, 2U, 7U, 64U, 1000U}) {
        const auto back = read_back(file, {}, step);
        ASSERT_TRUE(back.value) << step;
        expect_same(image, back.value->image);
    }
}

TEST(Checkpoint, IsReadWithTheBytesOfThePagesThatWereAskedFor) {
    const auto image = small_image();
    const auto file = written(image);
    const auto some = read_back(file, {.keep = {.which = Keep::Which::some, .pages = {PageId{2}}}});
    ASSERT_TRUE(some.value);
    EXPECT_FALSE(first_difference(image, some.value->image));
    EXPECT_TRUE(some.value->image.find(PageId{1})->bytes.empty());
    EXPECT_EQ(some.value->image.find(PageId{2})->bytes, Bytes(5000));
    some.value->image.check_invariants();
}

TEST(Checkpoint, IsRefusedWhereItsPagesAreMoreThanTheReaderWants) {
    const auto file = written(small_image());
    EXPECT_TRUE(read_back(file, {.keep = {}, .most_bytes = 5061}).value);
    const auto refused = read_back(file, {.keep = {}, .most_bytes = 5060});
    ASSERT_FALSE(refused.value);
    EXPECT_EQ(refused.refusal.expected, "bytes of pages, at most 5060");
    EXPECT_TRUE(
        read_back(file, {.keep = {.which = Keep::Which::none, .pages = {}}, .most_bytes = 0})
            .value);
}

TEST(Checkpoint, IsRefusedWithAnyOneBitFlipped) {
    auto file = written(small_image());
    for (std::size_t bit = 0; bit != 8 * file.size(); ++bit) {
        file[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
        ASSERT_FALSE(read_back(file).value) << "bit " << bit;
        file[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    }
    EXPECT_TRUE(read_back(file).value);
}

TEST(Checkpoint, IsRefusedWhereverItIsCut) {
    Random random(2);
    Image image = small_image();
    put(image, 4, bytes_at_random(random, 1000));
    const auto file = written(image);
    for (std::size_t size = 0; size != file.size(); ++size) {
        ASSERT_FALSE(read_back(std::span(file).first(size)).value) << size << " bytes";
    }
}

TEST(Checkpoint, IsRefusedWhereItIsCutBetweenBlocks) {
    Random random(3);
    Image image;
    put(image, 1, bytes_at_random(random, 3 * layout::block_size));
    auto parts = parts_of(written(image));
    ASSERT_EQ(parts.blocks.size(), 4U);
    while (!parts.blocks.empty()) {
        parts.blocks.pop_back();
        expect_refused(parts.joined(), "a block");
    }
}

TEST(Checkpoint, IsRefusedWithMoreBehindItsEnd) {
    auto file = written(small_image());
    file.push_back(std::byte{0});
    expect_refused(file, "the file's end");
}

TEST(Checkpoint, IsRefusedByNameWhereAnotherFormatWroteIt) {
    Forger forger;
    forger.header.major = log::format_major + 1;
    forger.header.minor = 3;
    forger.seal_header();
    const auto refused = read_back(forger.file());
    ASSERT_FALSE(refused.value);
    EXPECT_EQ(refused.refusal.kind, log::Refusal::Kind::newer);
    EXPECT_EQ(refused.refusal.found, "format 2.3");
    forger.header.major = 0;
    forger.seal_header();
    expect_refused(forger.file(), "format 1");
    Forger foreign;
    foreign.header.magic[5] = 'X';
    foreign.seal_header();
    expect_refused(foreign.file(), "MMSBCHK", log::Refusal::Kind::foreign);
    expect_refused(bytes_of("#!/bin/sh"), "MMSBCHK", log::Refusal::Kind::foreign);
}

TEST(Checkpoint, WhoseNameAloneIsDamagedIsNeitherForeignNorNewer) {
    for (std::size_t at = 0; at < 10; ++at) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            auto file = written(small_image());
            file[at] ^= std::byte{1} << bit;
            const auto refused = read_back(file);
            ASSERT_FALSE(refused.value);
            EXPECT_EQ(refused.refusal.kind, log::Refusal::Kind::damaged) << at << ' ' << bit;
        }
    }
}

TEST(Checkpoint, IsReadWhereALaterMinorVersionWroteIt) {
    Forger forger;
    forger.header.minor = 9;
    forger.seal_header();
    forger.add_block(Items().end({}).bytes);
    EXPECT_TRUE(read_back(forger.file()).value);
}

TEST(Checkpoint, IsRefusedWithBlocksThatAreNotWhereTheyWereWritten) {
    Random random(4);
    Image image;
    put(image, 1, Bytes(3 * layout::block_size, std::byte{7}));
    Image other;
    put(other, 1, Bytes(3 * layout::block_size, std::byte{7}));
    other.set_position(Sequence{2}, 17, 4096, 2);
    const auto good = parts_of(written(image));
    ASSERT_GE(good.blocks.size(), 4U);
    const auto spoiled = [&](auto change) {
        auto parts = good;
        change(parts.blocks);
        expect_refused(parts.joined(), "checksum");
    };
    spoiled([](auto& blocks) { std::swap(blocks[1], blocks[2]); });
    spoiled([](auto& blocks) { blocks.insert(blocks.begin() + 1, blocks[1]); });
    spoiled([](auto& blocks) { blocks.erase(blocks.begin() + 1); });
    spoiled([&](auto& blocks) { blocks[1] = parts_of(written(other)).blocks[1]; });
}

TEST(Checkpoint, IsNotWrittenOfAnImageThatLacksBytes) {
    Image image(Keep{.which = Keep::Which::none, .pages = {}});
    put(image, 1, Bytes(10));
    EXPECT_THROW((void)written(image), std::logic_error);
    Image newer;
    EXPECT_TRUE(newer.insert(PageId{1}, {.sequence = Sequence{1}}));
    EXPECT_THROW((void)written(newer), std::logic_error);
}

TEST(Checkpoint, PassesOnWhatItsCallablesThrow) {
    struct DiskFull {};
    int blocks = 0;
    const auto write = [&](std::span<const std::byte>) {
        if (++blocks == 2) throw DiskFull();
    };
    EXPECT_THROW(write_checkpoint(small_image(), some_bus(), write), DiskFull);
    const auto read = [](std::span<std::byte>) -> std::size_t { throw DiskFull(); };
    EXPECT_THROW((void)read_checkpoint(read), DiskFull);
}

}  // namespace
}  // namespace mmsb::replay::test
