// The file `bus`: a damaged copy of the header is told and mended from the other one; processes
// that change it together lose nothing of each other's.
#include "log/format.hpp"
#include "support/child.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace mmsb::test {
namespace {

struct Opened {
    std::vector<std::string> warnings{};
    std::uint64_t sequence = 0;
};

Opened open_once(const TempFolder& folder, Open how) {
    Opened opened;
    auto config = at(folder);
    config.open = how;
    config.on_notice = [&](const Notice& n) {
        if (n.level == Notice::Level::warning) opened.warnings.push_back(n.text);
    };
    auto bus = start(config);
    opened.sequence = number(bus.sequence());
    if (how != Open::read_only) stop(std::move(bus));
    return opened;
}

TEST(EveryBitOfABusFile, IsMissedWhenItIsFlippedAndMendedFromTheOtherCopy) {
    const TempFolder folder;
    {
        auto bus = start_with(at(folder));
        bus.create_page(64, {.name = "page"});
        stop(std::move(bus));
    }
    const auto file = folder / "bus";
    const auto whole = read_file(file);
    ASSERT_EQ(whole.size(), 2 * log::bus_header_size);
    ASSERT_EQ(whole.substr(0, log::bus_header_size), whole.substr(log::bus_header_size));
    // (The decoder is given all of them in format_test.)
    const std::size_t step = std::getenv("MMSB_LONG") != nullptr ? 1 : 5;
    for (std::size_t bit = 0; bit < whole.size() * 8; bit += step) {
        auto flipped = whole;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
        write_file(file, flipped);
        const auto how = bit % 7 == 3 ? Open::existing : Open::read_only;
        const auto opened = open_once(folder, how);
        ASSERT_EQ(opened.sequence, 1U) << "bit " << bit;
        ASSERT_EQ(opened.warnings.size(), 1U) << "bit " << bit;
        ASSERT_NE(opened.warnings.front().find(file.string()), std::string::npos);
        ASSERT_EQ(read_file(file) == whole, how == Open::existing) << "bit " << bit;
    }
}

TEST(ABusFile, WithBothCopiesDamagedIsCorruptAndNamed) {
    const TempFolder folder;
    stop(start_with(at(folder)));
    auto bytes = read_file(folder / "bus");
    for (const std::size_t at_byte : {std::size_t{0}, std::size_t{9}, std::size_t{70}}) {
        auto damaged = bytes;
        damaged[at_byte] = static_cast<char>(damaged[at_byte] ^ 8);
        damaged[at_byte + log::bus_header_size + 1] ^= 1;
        write_file(folder / "bus", damaged);
        try {
            open_once(folder, Open::existing);
            ADD_FAILURE() << "it was not missed";
        } catch (const Corrupt& e) {
            EXPECT_EQ(e.file(), (folder / "bus").string());
            EXPECT_LE(e.offset(), 2 * log::bus_header_size);
        }
    }
}

// A program that wrote one slot at a time: such a file is as good, and gets its other copy.
TEST(ABusFile, WithOneCopyGetsTheOtherWithoutAWord) {
    const TempFolder folder;
    stop(start_with(at(folder)));
    const auto whole = read_file(folder / "bus");
    auto one = whole;
    std::fill_n(one.begin(), log::bus_header_size, '\0');
    write_file(folder / "bus", one);
    EXPECT_TRUE(open_once(folder, Open::existing).warnings.empty());
    EXPECT_EQ(read_file(folder / "bus"), whole);
}

TEST(PageIds, HaveACeilingInTheFileWhicheverProcessRaisesIt) {
    constexpr int processes = 3, each = 4000;
    const TempFolder folder;
    stop(start_with(at(folder)));
    Pipe ids;
    std::vector<std::unique_ptr<Child>> children;
    for (int i = 0; i < processes; ++i)
        children.push_back(std::make_unique<Child>([&] {
            const auto bus = start_with(at(folder));
            auto tx = bus.transaction();  // takes ids, and commits none
            std::uint64_t last = 0;
            for (int n = 0; n < each; ++n) last = number(tx.create_page(1).id());
            ids.write(last);
            return 0;
        }));
    ids.close_writing();
    std::uint64_t highest = 0;
    while (const auto id = ids.read<std::uint64_t>()) highest = std::max(highest, *id);
    for (auto& child : children) EXPECT_EQ(child->wait(), 0);
    EXPECT_EQ(highest, std::uint64_t{processes} * each);
    const auto bytes = read_file(folder / "bus");
    const auto decoded = log::decode_bus(std::as_bytes(std::span(bytes)));
    ASSERT_TRUE(decoded.value && decoded.both);
    EXPECT_GE(decoded.value->page_id_ceiling, highest);
    EXPECT_LE(decoded.value->generation, 16U);  // doubling, not one by one
}

}  // namespace
}  // namespace mmsb::test
