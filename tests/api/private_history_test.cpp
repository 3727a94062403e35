// A bus without a path keeps a bounded past; its oldest records are folded away.
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace mmsb::test {
namespace {

TEST(PrivateHistory, KeepsTheNewestRecordsAndNamesTheOldest) {
    const auto bus = start_with({.max_tlog_records = 100});
    const auto page = bus.create<std::uint64_t>({.name = "n"});
    for (std::uint64_t i = 1; i <= 1000; ++i) page.update(i);
    const auto now = number(bus.sequence());
    EXPECT_EQ(now, 1001U);
    EXPECT_EQ(bus.at(Sequence{now - 99}).get(page), now - 100);
    const auto e = raises<HistoryDropped>(bus, [&] { static_cast<void>(bus.at(Sequence{10})); });
    ASSERT_TRUE(e);
    const auto oldest = e->oldest();
    EXPECT_GT(number(oldest), now - 120);
    EXPECT_LE(number(oldest), now - 100);
    EXPECT_EQ(bus.at(oldest).get(page), number(oldest) - 1);
    raises<HistoryDropped>(bus, [&] { static_cast<void>(bus.at(Sequence{number(oldest) - 1})); });
    raises<HistoryDropped>(bus, [&] { static_cast<void>(bus.tlog({.from = Sequence{5}})); });
    raises<HistoryDropped>(bus, [&] { static_cast<void>(page.history({.from = Sequence{5}})); });
    std::uint64_t first = 0;
    for (const auto& change : page.history()) {
        first = number(change.sequence);
        break;
    }
    EXPECT_EQ(first, number(oldest) + 1);
    EXPECT_TRUE(bus.verify().good);
}

TEST(PrivateHistory, StaysWithinItsBytes) {
    const auto bus = start_with({.max_tlog_size = 100000});
    const auto page = bus.create_page(1000, {.name = "p"});
    for (unsigned i = 0; i < 3000; ++i) page.update(pattern(1000, i));
    auto& attachment = detail::Bus::get(detail::Bus::handle_of(bus)).at();
    EXPECT_LT(attachment.segments->file_bytes(), 100000 + 3 * small.segment_size);
    EXPECT_LT(attachment.words().logged.load() - attachment.words().history_lsn.load(), 130000U);
    EXPECT_TRUE(bus.verify().good);
    EXPECT_EQ(page.read(), pattern(1000, 2999));
}

TEST(PrivateHistory, StaysWithinItsBytesWithRecordsLargerThanTheRing) {
    const auto bus = start_with({.max_tlog_size = 400000});
    const auto page = bus.create_page(100000, {.name = "p"});
    for (unsigned i = 0; i < 60; ++i) page.update(pattern(100000, i));
    auto& attachment = detail::Bus::get(detail::Bus::handle_of(bus)).at();
    EXPECT_LT(attachment.segments->file_bytes(), 400000 + 300000 + 2 * small.segment_size);
    const auto oldest =
        raises<HistoryDropped>(bus, [&] { static_cast<void>(bus.at(Sequence{2})); })->oldest();
    EXPECT_EQ(bus.at(oldest).bytes(page).size(), 100000U);
    EXPECT_TRUE(bus.verify().good);
    EXPECT_EQ(page.read(), pattern(100000, 59));
}

TEST(PrivateHistory, StaysWithinItsAge) {
    using namespace std::chrono_literals;
    const auto bus = start_with({.max_tlog_age = 1s});
    const auto page = bus.create<std::uint64_t>();
    page.update(1);
    EXPECT_EQ(bus.at(Sequence{1}).get(page), 0U);
    std::this_thread::sleep_for(1300ms);  // how long is in the nature of an age
    page.update(2);
    page.update(3);
    raises<HistoryDropped>(bus, [&] { static_cast<void>(bus.at(Sequence{0})); });
    EXPECT_EQ(page.read(), 3U);
    EXPECT_TRUE(bus.verify().good);
}

// Each commit folds a part only; but for its age nothing stays that is an eighth too old.
TEST(PrivateHistory, LetsGoOfAllThatBecameTooOldAtOnce) {
    using namespace std::chrono_literals;
    const auto bus = start_with({.max_tlog_age = 1s});
    const auto page = bus.create_page(1000);
    for (unsigned i = 0; i < 300; ++i) page.update(pattern(1000, i));
    const auto before = bus.sequence();
    std::this_thread::sleep_for(1300ms);
    page.update(pattern(1000, 300));
    EXPECT_GE(bus.oldest(), before);
    EXPECT_TRUE(bus.verify().good);
}

// Who reads is told that what he asked for is gone, or gets all of it.
TEST(PrivateHistory, HasNoGapsForWhoReadsWhileItIsFolded) {
    const auto bus = start_with({.max_tlog_records = 50});
    const auto page = bus.create_page(64);
    std::atomic<bool> done{false};
    std::thread writer([&] {
        for (unsigned i = 0; !done; ++i) page.update(pattern(64, i));
    });
    unsigned read = 0;
    // (It may be long until the writer runs at all.)
    for (int i = 0; i < 300 || read < 1000; ++i) {
        const auto from = std::max(bus.oldest() + 1, Sequence{2});  // all change the page
        try {
            auto next = from;
            for (const auto& record : bus.tlog({.from = from})) {
                EXPECT_EQ(record.sequence, next);
                next = record.sequence + 1;
                ++read;
            }
            next = from;
            auto events = bus.events({.types = {EventType::page_changed}, .from = from});
            while (const auto event = events.next(Timeout(0))) {
                EXPECT_EQ(event->sequence, next);
                next = event->sequence + 1;
                ++read;
            }
        } catch (const HistoryDropped&) {
        }
    }
    done = true;
    writer.join();
}

TEST(PrivateHistory, StructureSurvivesFoldingOfEverything) {
    const auto bus = start_with({.max_tlog_size = 1});
    const auto kept = bus.create_page(10, {.name = "kept", .metadata = {{"k", "v"}}});
    for (unsigned i = 0; i < 3000; ++i) {
        const auto page =
            bus.create_page(200, {.name = "p" + std::to_string(i), .contents = pattern(200, i)});
        page.rename("q" + std::to_string(i));
        EXPECT_EQ(bus.page("q" + std::to_string(i)).read(), pattern(200, i));
        if (i % 3 != 0) bus.delete_page(page);
    }
    EXPECT_EQ(bus.pages().size(), 1001U);
    EXPECT_EQ(kept.info().metadata.at("k"), "v");
    EXPECT_EQ(bus.page("q2997").info().name, "q2997");
    EXPECT_TRUE(bus.verify().good);
    EXPECT_EQ(contents_of(bus.snapshot()), contents_of(bus));
}

TEST(PrivateHistory, AViewThatWasMadeBeforeIsToldWhenItsPastIsGone) {
    const auto bus = start_with({.max_tlog_records = 10});
    const auto a = bus.create_page(8, {.contents = bytes_of("aa")}), b = bus.create_page(8);
    const auto view = bus.at(Sequence{2});
    EXPECT_EQ(text_of(view.bytes(a)), "aa");
    for (unsigned i = 0; i < 100; ++i) b.update(pattern(8, i));
    EXPECT_EQ(text_of(view.bytes(a)), "aa");  // kept by the view
    raises<HistoryDropped>(bus, [&] { static_cast<void>(view.bytes(b)); });
}

TEST(WithoutALog, ThereIsAPresentAndNoPast) {
    const auto bus = start_with({.enable_logging = false});
    const auto page =
        bus.create_page(1000, {.name = "p", .metadata = {{"k", "v"}}, .contents = bytes_of("abc")});
    for (unsigned i = 0; i < 500; ++i) page.update(pattern(1000, i));
    page.resize(5000);
    page.rename("q");
    bus.transact([&](Transaction& tx) {
        tx.write(page, 4000, bytes_of("x"));
        tx.create_page(10, {.name = "r"});
    });
    bus.delete_page(bus.page("r"));
    auto expected = pattern(1000, 499);
    expected.resize(5000);
    expected[4000] = std::byte{'x'};
    EXPECT_EQ(page.read(), expected);
    EXPECT_EQ(bus.page("q"), page);
    EXPECT_EQ(bus.pages().size(), 1U);
    EXPECT_EQ(bus.sequence(), Sequence{505});
    raises<HistoryDropped>(bus, [&] { static_cast<void>(bus.at(Sequence{3})); });
    raises<HistoryDropped>(bus, [&] { static_cast<void>(bus.tlog()); });
    raises<HistoryDropped>(bus, [&] { static_cast<void>(page.history()); });
    raises<HistoryDropped>(bus, [&] { static_cast<void>(bus.verify()); });
    const auto e = raises<HistoryDropped>(bus, [&] { static_cast<void>(bus.snapshot().pages()); });
    EXPECT_NE(std::string(e->what()).find("has no log"), std::string::npos);
    EXPECT_EQ(text_of(bus.snapshot({page}).bytes(page)), text_of(expected));
}

TEST(WithoutALog, LargePagesWork) {
    const auto bus = start_with({.enable_logging = false});
    const auto page = bus.create_page(1U << 20U);
    for (unsigned i = 0; i < 5; ++i) page.update(pattern(1U << 20U, i));
    EXPECT_EQ(page.read(), pattern(1U << 20U, 4));
}

}  // namespace
}  // namespace mmsb::test
