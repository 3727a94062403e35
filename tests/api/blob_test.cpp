// Records that are larger than the ring allows keep their entries in files of their own.
#include "support/contents.hpp"
#include "support/raises.hpp"
#include "support/sanitizers.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace mmsb::test {
namespace {

std::vector<fs::path> blobs(const TempFolder& folder) {
    std::vector<fs::path> all;
    for (const auto& entry : fs::directory_iterator(folder / "log"))
        if (entry.path().extension() == ".blob") all.push_back(entry.path());
    std::sort(all.begin(), all.end());
    return all;
}

constexpr std::size_t large = 300000;  // the ring has 65536

TEST(LargeRecords, AreAsAnyOtherRecord) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(large, {.name = "large", .contents = pattern(large, 1)});
    page.update(pattern(large, 2));
    page.write(5, bytes_of("a small one"));
    bus.transact([&](Transaction& tx) {
        tx.update(page, pattern(large, 3));
        tx.create_page(large, {.name = "second", .contents = pattern(large, 4)});
        tx.resize(page, large + 7);
    });
    EXPECT_EQ(blobs(folder).size(), 3U);
    auto expected = pattern(large, 3);
    expected.resize(large + 7);
    EXPECT_EQ(page.read(), expected);
    EXPECT_EQ(bus.page("second").read(), pattern(large, 4));
    EXPECT_TRUE(bus.verify().good);
    const auto second = bus.at(Sequence{2}).bytes(page);
    EXPECT_TRUE(std::ranges::equal(second, pattern(large, 2)));
    std::size_t changed = 0;
    for (const auto& change : page.history()) changed += change.changed_bytes;
    EXPECT_GT(changed, 2 * large);
    const auto before = contents_of(bus);
    stop(std::move(bus));
    for (const bool rebuild : {false, true}) {
        if (rebuild) remove_arena(folder.path());
        bus = start_with(at(folder));
        EXPECT_EQ(contents_of(bus), before);
        EXPECT_TRUE(bus.verify().good);
        stop(std::move(bus));
    }
}

TEST(LargeRecords, OfAGiganticPageAreReadInParts) {
    const auto bus = start();                             // of the usual geometry
    constexpr std::size_t size = cases(96U, 65U) << 20U;  // a segment has 64
    const auto page = bus.create_page(size);
    const auto bytes = pattern(size);
    page.update(bytes);
    Bytes part(1000);
    page.read_into(part, size - 1500);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), bytes.end() - 1500));
    EXPECT_EQ(page.write(size / 2, bytes_of("x")).changed_bytes, 1U);
    EXPECT_TRUE(bus.verify().good);
}

TEST(LargeRecords, OfADroppedPastLeaveNoFilesHoweverOftenItIsDropped) {
    const TempFolder folder;
    const auto bus = start_with(at(folder));
    const auto page = bus.create_page(large);
    for (unsigned i = 1; i <= 12; ++i) {
        page.update(pattern(large, i));
        for (unsigned small = 0; small < i * 20; ++small)
            page.write(small, filled(1, static_cast<int>(small + i)));
        bus.compact(bus.sequence());
        // The log is kept back to the checkpoint before the newest.
        EXPECT_LE(blobs(folder).size(), 2U) << i;
    }
    EXPECT_TRUE(bus.verify().good);
}

TEST(LargeRecords, ADamagedBlobIsNamed) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(large, {.name = "large"});
    page.update(pattern(large));
    stop(std::move(bus));
    remove_arena(folder.path());
    const auto files = blobs(folder);
    ASSERT_EQ(files.size(), 1U);
    const auto good = read_file(files[0]);
    for (const std::size_t at_byte : {std::size_t{0}, std::size_t{20}, std::size_t{63},
                                      std::size_t{64}, good.size() / 2, good.size() - 1}) {
        auto bad = good;
        bad[at_byte] = static_cast<char>(bad[at_byte] ^ 1);
        write_file(files[0], bad);
        const auto e = thrown<Error>([&] { static_cast<void>(start_with(at(folder))); });
        ASSERT_TRUE(e);
        EXPECT_TRUE(e->code() == ErrorCode::corrupt || e->code() == ErrorCode::not_a_bus)
            << at_byte << ": " << e->what();
        EXPECT_NE(std::string(e->what()).find(".blob"), std::string::npos) << e->what();
    }
    write_file(files[0], good.substr(0, good.size() - 1));
    thrown<Corrupt>([&] { static_cast<void>(start_with(at(folder))); });
    fs::remove(files[0]);
    thrown<Error>([&] { static_cast<void>(start_with(at(folder))); });
    write_file(files[0], good);
    bus = start_with(at(folder));
    EXPECT_EQ(bus.page("large").read(), pattern(large));
    stop(std::move(bus));
}

TEST(LargeRecords, ARefusedCommitLeavesNoBlob) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(large, {.name = "large"});
    auto tx = bus.transaction();
    static_cast<void>(tx.read(page));
    tx.update(page, pattern(large));
    page.write(0, bytes_of("x"));
    EXPECT_EQ(tx.try_commit().status, CommitStatus::conflict);
    EXPECT_TRUE(blobs(folder).empty());
    stop(std::move(bus));
}

}  // namespace
}  // namespace mmsb::test
