// A checkpoint is everything as of one sequence in one file, and a bus can be made from it.
#include "support/contents.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace mmsb::test {
namespace {

struct Checkpoints : testing::Test {
    TempFolder folder{}, files{}, second{};
    std::string file = (files / "a.checkpoint").string();
    Contents made{};

    Checkpoints() {
        fs::create_directories(files.path());
        auto bus = start_with(at(folder));
        for (unsigned i = 0; i < 30; ++i)
            bus.create_page(i * 97, {.name = "page " + std::to_string(i),
                                     .metadata = {{"number", std::to_string(i)}},
                                     .contents = pattern(i * 90, i)});
        bus.page("page 3").write(5, bytes_of("changed"), {.source = "somebody"});
        bus.delete_page(bus.page("page 20"));
        EXPECT_EQ(bus.checkpoint(file), bus.sequence());
        made = contents_of(bus);
        bus.create_page(5, {.name = "later"});
        stop(std::move(bus));
    }
};

TEST_F(Checkpoints, ABusMadeFromOneIsWhatItWas) {
    auto bus = start_with({.path = second.path(), .from_checkpoint = file});
    EXPECT_EQ(contents_of(bus), made);
    EXPECT_TRUE(bus.verify().good);
    EXPECT_EQ(bus.recovery().checkpoint, Sequence{made.sequence});
    EXPECT_EQ(contents_of(bus.at(Sequence{made.sequence})), made);
    thrown<HistoryDropped>([&] { static_cast<void>(bus.at(Sequence{made.sequence - 1})); });
    bus.page("page 4").write(0, bytes_of("goes on"));
    const auto fresh = bus.create_page(10, {.name = "fresh"});
    EXPECT_GT(number(fresh.id()), 30U);
    const auto before = contents_of(bus);
    stop(std::move(bus));
    fs::remove(file);
    for (const bool rebuild : {false, true}) {
        if (rebuild) remove_arena(second.path());
        bus = start_with(at(second));
        EXPECT_EQ(contents_of(bus), before);
        EXPECT_EQ(contents_of(bus.at(Sequence{made.sequence})), made);
        EXPECT_TRUE(bus.verify().good);
        stop(std::move(bus));
    }
}

// Reading begins at a checkpoint near the first that is asked for.
TEST_F(Checkpoints, TheLogFromACommitOnSaysWhatTheWholeLogSaysOfIt) {
    auto bus = start_with(at(folder));
    const auto page = bus.page("page 5");
    for (unsigned i = 0; i < 3; ++i) {
        page.write(i, bytes_of("x"), {.source = "writer " + std::to_string(i)});
        page.rename("renamed " + std::to_string(i));
        if (i < 2) bus.checkpoint();
        page.write(i, bytes_of("y"), {.source = "writer " + std::to_string(i / 2)});
    }
    const auto told = [](const LogFilter& filter, const State& of) {
        std::vector<std::string> all;
        for (const auto& record : of.tlog(filter)) {
            auto& text = all.emplace_back(std::to_string(number(record.sequence)) + record.source);
            for (const auto& delta : record.deltas)
                text += " " + std::to_string(number(delta.epoch()));
            for (const auto& info : record.pages) text += " " + info.name;
        }
        return all;
    };
    auto whole = told({}, bus);
    ASSERT_EQ(whole.size(), number(bus.sequence()));
    std::vector<Change> all;
    for (const auto& change : page.history()) all.push_back(change);
    ASSERT_EQ(all.size(), 10U);  // it was made, written six times, renamed three times
    for (auto from = Sequence{1}; from <= bus.sequence() + 1; from = from + 1) {
        EXPECT_EQ(told({.from = from}, bus), whole) << number(from);
        if (!whole.empty()) whole.erase(whole.begin());
        std::vector<Change> changes;
        for (const auto& change : page.history({.from = from})) changes.push_back(change);
        std::erase_if(all, [&](const Change& change) { return change.sequence < from; });
        EXPECT_TRUE(std::ranges::equal(changes, all, {}, &Change::sequence, &Change::sequence));
        EXPECT_TRUE(std::ranges::equal(changes, all, {}, &Change::source, &Change::source));
    }
}

TEST_F(Checkpoints, ABusWithoutALogIsWrittenAsItIsNow) {
    auto bus = start_with({.enable_logging = false});
    const auto left = bus.create_page(100'000, {.name = "left", .metadata = {{"side", "l"}}});
    const auto right = bus.create_page(100'000, {.name = "right"});
    bus.delete_page(bus.create_page(10, {.name = "gone"}));
    left.write(70, bytes_of("hello"));
    EXPECT_EQ(bus.checkpoint(file), bus.sequence());
    const auto before = contents_of(bus);
    EXPECT_EQ(contents_of(start_with({.path = second.path(), .from_checkpoint = file})), before);
    EXPECT_EQ(contents_of(start_with({.from_checkpoint = file})), before);
    EXPECT_EQ(contents_of(start_with({.enable_logging = false, .from_checkpoint = file})), before);
    // As of one sequence, whoever writes meanwhile.
    std::atomic<bool> done{false};
    std::thread writer([&] {
        for (int i = 0; !done; ++i)
            bus.transact([&](Transaction& tx) {
                tx.update(left, filled(100'000, i));
                tx.update(right, filled(100'000, i));
            });
    });
    for (int i = 0; i < 20; ++i) {
        const auto as_of = bus.checkpoint(file);
        const auto copy = start_with({.from_checkpoint = file});
        EXPECT_EQ(copy.sequence(), as_of);
        if (as_of == Sequence{before.sequence}) continue;
        const auto bytes = copy.page("left").read();
        EXPECT_TRUE(bytes == Bytes(100'000, bytes[0]));
        EXPECT_TRUE(bytes == copy.page("right").read());
    }
    done = true;
    writer.join();
    const auto last = contents_of(bus);
    stop(std::move(bus), file);
    EXPECT_EQ(contents_of(start_with({.from_checkpoint = file})), last);
}

TEST_F(Checkpoints, APrivateBusIsMadeFromOneToo) {
    const auto bus = start_with({.from_checkpoint = file});
    EXPECT_EQ(contents_of(bus), made);
    bus.page("page 3").write(0, bytes_of("x"), {.source = "somebody"});
    EXPECT_TRUE(bus.verify().good);
    EXPECT_EQ(contents_of(bus.at(Sequence{made.sequence})), made);
}

TEST_F(Checkpoints, StopWritesOne) {
    const auto other = (files / "b.checkpoint").string();
    auto bus = start();
    bus.create_page(8, {.name = "p", .contents = bytes_of("abc")});
    const auto before = contents_of(bus);
    stop(std::move(bus), other);
    EXPECT_EQ(contents_of(start({.from_checkpoint = other})), before);
    EXPECT_FALSE(fs::exists(other + ".new"));
}

TEST_F(Checkpoints, OfAnEmptyBusIsABus) {
    const auto other = (files / "b.checkpoint").string();
    stop(start(), other);
    EXPECT_TRUE(start({.from_checkpoint = other}).pages().empty());
}

TEST_F(Checkpoints, ABusThatIsThereIsNotMadeFromOne) {
    thrown<InvalidArgument>(
        [&] { static_cast<void>(start_with({.path = folder.path(), .from_checkpoint = file})); });
}

TEST_F(Checkpoints, ADamagedOneIsRefusedAndMakesNoBus) {
    const auto good = read_file(file);
    unsigned n = 0;
    for (std::size_t at_byte = 0; at_byte < good.size(); at_byte += 1 + good.size() / 40) {
        auto bad = good;
        bad[at_byte] = static_cast<char>(bad[at_byte] ^ 1 << n++ % 8);
        write_file(file, bad);
        const auto e = thrown<Error>([&] {
            static_cast<void>(start_with({.path = second.path(), .from_checkpoint = file}));
        });
        ASSERT_TRUE(e) << at_byte;
        EXPECT_TRUE(e->code() == ErrorCode::corrupt || e->code() == ErrorCode::not_a_bus ||
                    e->code() == ErrorCode::newer_format)
            << e->what();
        EXPECT_FALSE(fs::exists(second / "bus"));
    }
    write_file(file, good.substr(0, good.size() - 1));
    thrown<Corrupt>(
        [&] { static_cast<void>(start_with({.path = second.path(), .from_checkpoint = file})); });
    write_file(file, good);
    auto bus = start_with({.path = second.path(), .from_checkpoint = file});
    EXPECT_EQ(contents_of(bus), made);
    stop(std::move(bus));
}

TEST_F(Checkpoints, OneThatCannotBeWrittenLeavesNothingBehind) {
    auto bus = start();
    bus.create_page(100);
    thrown<Io>([&] { bus.checkpoint(files.path() + "/no/such/folder"); });
    EXPECT_EQ(std::distance(fs::directory_iterator(files.path()), {}), 1);
    const auto elsewhere = files.path() + "/no/such/folder";
    thrown<Io>([&] { stop(std::move(bus), elsewhere); });
    thrown<Error>([&] { static_cast<void>(bus.sequence()); });  // closed all the same
}

}  // namespace
}  // namespace mmsb::test
