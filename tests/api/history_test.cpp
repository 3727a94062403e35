// Reading the log: the changes of a page, the records of the bus, and narrowing both.
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <sstream>
#include <thread>

namespace mmsb::test {
namespace {

std::vector<std::uint64_t> sequences(History history) {
    std::vector<std::uint64_t> all;
    for (const auto& change : history) all.push_back(number(change.sequence));
    return all;
}
std::vector<std::uint64_t> sequences(TLog log) {
    std::vector<std::uint64_t> all;
    for (const auto& record : log) all.push_back(number(record.sequence));
    return all;
}
using Numbers = std::vector<std::uint64_t>;

// 1 and 2 make the pages; then a, b, a, both.
struct Told {
    State bus = start();
    Page a = bus.create_page(8, {.name = "a"}), b = bus.create_page(8, {.name = "b"});
    Told() {
        a.write(0, bytes_of("1"), {.source = "x", .tag = 7});
        b.write(0, bytes_of("2"), {.source = "y"});
        a.write(0, bytes_of("3"), {.source = "y", .tag = 7});
        bus.transact(
            [&](Transaction& tx) {
                tx.write(a, 1, bytes_of("4"));
                tx.write(b, 1, bytes_of("4"));
            },
            {.source = "x", .label = "both"});
    }
};

TEST(HistoryOfAPage, IsItsOwnRecordsInOrder) {
    const Told t;
    EXPECT_EQ(sequences(t.a.history()), (Numbers{1, 3, 5, 6}));
    EXPECT_EQ(sequences(t.b.history()), (Numbers{2, 4, 6}));
    EXPECT_EQ(sequences(t.a.history({.newest_first = true})), (Numbers{6, 5, 3, 1}));
}

TEST(HistoryOfAPage, IsNarrowedBySequenceTimeAndSource) {
    const Told t;
    EXPECT_EQ(sequences(t.a.history({.from = Sequence{3}, .to = Sequence{5}})), (Numbers{3, 5}));
    EXPECT_EQ(sequences(t.a.history({.source = "x"})), (Numbers{3, 6}));
    EXPECT_EQ(sequences(t.a.history({.to = Sequence{5}, .source = "x", .newest_first = true})),
              (Numbers{3}));
    const auto third = t.bus.at(Sequence{3}).time(), fifth = t.bus.at(Sequence{5}).time();
    EXPECT_EQ(sequences(t.a.history({.since = third, .until = fifth})), (Numbers{3, 5}));
    EXPECT_TRUE(sequences(t.a.history({.source = "nobody"})).empty());
}

TEST(HistoryOfAPage, PrintsOneLineAChange) {
    const Told t;
    std::ostringstream out;
    for (const auto& change : t.a.history({.from = Sequence{6}})) out << change << '\n';
    EXPECT_NE(out.str().find("sequence 6 epoch 3"), std::string::npos) << out.str();
    EXPECT_NE(out.str().find("\"both\""), std::string::npos) << out.str();
}

TEST(TheLog, IsAllRecordsInOrder) {
    const Told t;
    EXPECT_EQ(sequences(t.bus.tlog()), (Numbers{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(sequences(t.bus.tlog({.from = Sequence{4}})), (Numbers{4, 5, 6}));
    EXPECT_EQ(sequences(t.bus.tlog({.pages = {t.b.id()}})), (Numbers{2, 4, 6}));
    EXPECT_EQ(sequences(t.bus.tlog({.source = "y"})), (Numbers{4, 5}));
    EXPECT_EQ(sequences(t.bus.tlog({.tag = 7})), (Numbers{3, 5}));
    EXPECT_EQ(sequences(t.bus.tlog({.to = Sequence{2}, .tag = 0})), (Numbers{1, 2}));
}

TEST(TheLog, TellsWhatEachRecordDid) {
    const Told t;
    t.a.rename("c");
    t.a.set_metadata("k", "v");
    t.a.resize(4);
    t.bus.delete_page(t.a);
    std::vector<Record> all;
    for (const auto& record : t.bus.tlog()) all.push_back(record);
    ASSERT_EQ(all.size(), 10U);
    EXPECT_EQ(all[0].types, std::vector{RecordType::page_created});
    EXPECT_EQ(all[0].pages.at(0).name, "a");
    EXPECT_EQ(all[2].types, std::vector{RecordType::commit});
    EXPECT_EQ(all[2].deltas.at(0).runs().at(0).offset, 0U);
    EXPECT_EQ(all[5].deltas.size(), 2U);
    EXPECT_EQ(all[6].types, std::vector{RecordType::page_renamed});
    EXPECT_EQ(all[6].pages.at(0).name, "c");
    EXPECT_EQ(all[7].types, std::vector{RecordType::metadata_set});
    EXPECT_EQ(all[7].pages.at(0).metadata.at("k"), "v");
    EXPECT_EQ(all[8].types, std::vector{RecordType::page_resized});
    EXPECT_EQ(all[8].pages.at(0).size, 4U);
    EXPECT_EQ(all[9].types, std::vector{RecordType::page_deleted});
    EXPECT_EQ(all[9].pages.at(0).id, t.a.id());
}

TEST(TheLog, ItsDeltasRebuildAPage) {
    const Told t;
    Bytes bytes(8);
    for (const auto& record : t.bus.tlog())
        for (const auto& delta : record.deltas)
            if (delta.page() == t.a.id()) delta.apply_to(bytes);
    EXPECT_EQ(bytes, t.a.read());
}

TEST(TheLog, EndsWhereItWasWhenItWasOpened) {
    const Told t;
    auto log = t.bus.tlog();
    for (const auto& record : log)
        if (number(record.sequence) < 4)
            t.a.write(2, pattern(1, static_cast<unsigned>(number(record.sequence))));
    EXPECT_GE(number(t.bus.sequence()), 8U);
    EXPECT_EQ(sequences(t.bus.tlog({.from = Sequence{7}})).front(), 7U);
}

TEST(TheLog, ASourceIsRememberedOverOpenings) {
    const TempFolder folder;
    {
        auto bus = start(at(folder));
        bus.create_page(1, {.name = "p"}).write(0, bytes_of("x"), {.source = "somebody"});
        stop(std::move(bus));
    }
    for (const bool rebuild : {false, true}) {
        if (rebuild) remove_arena(folder.path());
        auto bus = start(at(folder));
        bus.page("p").write(0, rebuild ? bytes_of("y") : bytes_of("z"), {.source = "somebody"});
        EXPECT_EQ(sequences(bus.tlog({.source = "somebody"})).size(), rebuild ? 3U : 2U);
        EXPECT_EQ(sequences(bus.tlog({.source = bus.config().source})).size(), 1U);
        stop(std::move(bus));
    }
}

}  // namespace
}  // namespace mmsb::test
