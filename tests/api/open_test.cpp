// Opening a bus: which way, what is found, what is refused.
#include "api/refused.hpp"
#include "support/child.hpp"

#include "log/format.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace mmsb::test {
namespace {

// Changes one byte of a file.
void flip(const fs::path& file, std::size_t offset) {
    auto text = read_file(file);
    text.at(offset) = static_cast<char>(text.at(offset) ^ 4);
    write_file(file, text);
}

TEST(Opening, CreateMakesABusOnce) {
    const TempFolder folder;
    auto bus = start({.path = folder.path(), .open = Open::create});
    stop(std::move(bus));
    const auto e = thrown<InvalidArgument>(
        [&] { static_cast<void>(start({.path = folder.path(), .open = Open::create})); });
    EXPECT_EQ(e->expected(), "no bus");
    auto again = start({.path = folder.path(), .open = Open::create_or_open});
    thrown<InvalidArgument>(
        [&] { static_cast<void>(start({.path = folder.path(), .open = Open::create})); });
}

// Also in memory that was only just rebuilt from them.
TEST(Opening, WhatTheFilesHoldIsDurable) {
    const TempFolder folder;
    make_bus(folder);
    for (const bool arena : {true, false})
        for (const auto open : {Open::read_only, Open::good_prefix, Open::existing}) {
            if (!arena) remove_arena(folder.path());
            const auto bus = start({.path = folder.path(), .open = open});
            EXPECT_GT(bus.sequence(), Sequence::zero);
            EXPECT_EQ(bus.durable_sequence(), bus.sequence());
        }
}

// What a process that died has left in the page cache is not on the disk for that.
TEST(Opening, ToReadTakesNothingForDurableThatNobodySynced) {
    const TempFolder folder;
    Child child([&] {
        const auto bus = start(at(folder));
        bus.create_page(8, {.name = "page"});
        const auto& words = detail::Bus::get(detail::Bus::handle_of(bus)).at().words();
        while (words.flushed.load() < words.logged.load())
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        ::raise(SIGKILL);
        return 0;
    });
    EXPECT_EQ(child.wait(), -SIGKILL);
    remove_arena(folder.path());
    for (const auto open : {Open::read_only, Open::good_prefix}) {
        const auto bus = start({.path = folder.path(), .open = open});
        EXPECT_EQ(number(bus.sequence()), 1U);
        EXPECT_EQ(bus.durable_sequence(), Sequence::zero);
    }
    const auto bus = start(at(folder));
    EXPECT_EQ(bus.durable_sequence(), bus.sequence());
}

TEST(Opening, ExistingAndReadOnlyMakeNothing) {
    const TempFolder folder;
    for (const auto open : {Open::existing, Open::read_only}) {
        const auto e = thrown<NotABus>(
            [&] { static_cast<void>(start({.path = folder.path(), .open = open})); });
        EXPECT_NE(e->expected(), "");
        EXPECT_FALSE(fs::exists(folder.path()));
    }
    make_bus(folder);
    EXPECT_EQ(text(start({.path = folder.path(), .open = Open::existing})), "abc");
    EXPECT_EQ(text(start({.path = folder.path(), .open = Open::read_only})), "abc");
}

TEST(Opening, TwoStatesOfOneBusInOneProcessSeeTheSame) {
    const TempFolder folder;
    auto a = start({.path = folder.path(), .source = "first"});
    auto b = start({.path = folder.path() + "/.", .source = "second"});
    a.create_page(8, {.name = "p"}).write(0, bytes_of("abc"));
    EXPECT_EQ(text(b), "abc");
    b.page("p").write(0, bytes_of("abd"));
    std::vector<std::string> sources;
    for (const auto& record : a.tlog()) sources.push_back(record.source);
    EXPECT_EQ(sources, (std::vector<std::string>{"first", "first", "second"}));
    stop(std::move(a));
    EXPECT_EQ(text(b), "abd");
    b.page("p").write(0, bytes_of("abe"));
    stop(std::move(b));
    EXPECT_EQ(text(start(at(folder))), "abe");
}

TEST(Opening, TwoProcessesShareABus) {
    const TempFolder folder;
    auto bus = start(at(folder));
    const auto n = bus.create<std::uint64_t>({.name = "n"});
    Child child([&] {
        auto mine = start(at(folder));
        const auto theirs = mine.page<std::uint64_t>("n");
        for (int i = 0; i < 200; ++i) theirs.update([](std::uint64_t& v) { ++v; });
        mine.create_page(3, {.name = "from the child", .contents = bytes_of("hi")});
        stop(std::move(mine));
        return 0;
    });
    for (int i = 0; i < 200; ++i) n.update([](std::uint64_t& v) { ++v; });
    EXPECT_EQ(child.wait(), 0);
    EXPECT_EQ(n.read(), 400U);
    EXPECT_EQ(text_of(bus.page("from the child").read()), "hi");
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
}

TEST(Opening, AForeignFileIsNoBus) {
    const TempFolder folder;
    make_bus(folder);
    const auto good = read_file(folder / "bus");
    write_file(folder / "bus", std::string(1024, 'x'));
    refused<NotABus>(folder);
    refused<NotABus>(folder, Open::read_only);
    write_file(folder / "bus", "");
    refused<Error>(folder);
    write_file(folder / "bus", good);
    fs::rename(folder / "log", folder / "away");
    refused<Corrupt>(folder, Open::read_only);
    fs::rename(folder / "away", folder / "log");
    EXPECT_EQ(text(start(at(folder))), "abc");
}

TEST(Opening, AFileIsNoBus) {
    const TempFolder folder;
    write_file(folder.path(), "a file");
    for (const auto open :
         {Open::create_or_open, Open::existing, Open::read_only, Open::good_prefix})
        thrown<NotABus>([&] { static_cast<void>(start({.path = folder.path(), .open = open})); });
    thrown<NotABus>([&] { remove_bus(folder.path()); });
    thrown<NotABus>([&] { static_cast<void>(examine(folder.path())); });
    EXPECT_EQ(read_file(folder.path()), "a file");
}

// The bus is there, by its header; what lies in the place of its log is damage of it.
TEST(Opening, AForeignFileInThePlaceOfASegmentIsDamage) {
    const TempFolder folder, other;
    make_bus(folder);
    make_bus(other);
    const auto segment = only_segment(folder);
    const auto log = read_file(segment);
    remove_arena(folder.path());
    const auto check = [&](std::uint64_t offset) {
        for (const auto open : {Open::create_or_open, Open::read_only}) {
            const auto e = refused<Corrupt>(folder, open);
            ASSERT_TRUE(e);
            EXPECT_EQ(e->file(), segment.string());
            EXPECT_EQ(e->offset(), offset);
            EXPECT_NE(e->expected(), "");
            EXPECT_NE(e->found(), "");
        }
    };
    write_file(segment, std::string(8192, 'x'));
    check(0);
    write_file(segment, read_file(only_segment(other)));
    check(16);
    write_file(segment, log);
    EXPECT_EQ(text(start(at(folder))), "abc");
}

TEST(Opening, ANewerFormatIsRefusedByName) {
    const TempFolder folder;
    make_bus(folder);
    const auto bumped = [](std::string file) {
        file.at(8) =
            static_cast<char>(log::format_major + 1);  // the major version, behind the magic
        file.at(12) ^= 1;  // and its checksum: were it ours, only the version would be damaged
        return file;
    };
    const auto header = read_file(folder / "bus");
    write_file(folder / "bus", bumped(header.substr(log::bus_header_size)) +
                                   std::string(log::bus_header_size, '\0'));
    const auto e = refused<NewerFormat>(folder);
    EXPECT_EQ(e->expected(), "format 1.0 or older");
    EXPECT_EQ(e->found(), "format 2.0");
    write_file(folder / "bus", header);
    const auto segment = only_segment(folder);
    write_file(segment, bumped(read_file(segment)));
    remove_arena(folder.path());
    EXPECT_EQ(refused<NewerFormat>(folder)->found(), "format 2.0");
}

TEST(Opening, DamageIsNamedWithFileOffsetAndHowFarAllIsWell) {
    const TempFolder folder;
    {
        auto bus = start(at(folder));
        const auto page = bus.create_page(100, {.name = "p"});
        for (unsigned i = 0; i < 10; ++i)
            page.update(pattern(100, i), {.label = "number " + std::to_string(i)});
        stop(std::move(bus));
    }
    const auto segment = only_segment(folder);
    const auto log = read_file(segment);
    const auto where = log.find("number 5");
    ASSERT_NE(where, std::string::npos);
    remove_arena(folder.path());
    flip(segment, where);
    for (const auto open : {Open::existing, Open::read_only}) {
        const auto e = refused<Corrupt>(folder, open);
        ASSERT_TRUE(e);
        EXPECT_EQ(fs::path(e->file()).filename(), segment.filename());
        EXPECT_LE(e->offset(), where);
        EXPECT_GT(e->offset(), where - 100);
        EXPECT_EQ(e->good_until(), Sequence{6});
        EXPECT_NE(e->expected(), "");
    }
    write_file(segment, log);
    EXPECT_EQ(start(at(folder)).page("p").read(), pattern(100, 9));
}

TEST(Opening, SharedMemoryThatIsNotSeenFromHereIsRefused) {
    const TempFolder folder;
    Pipe ready, go;
    Child child([&] {
        auto bus = start(at(folder));
        bus.create_page(8, {.name = "p"});
        ready.write(1);
        static_cast<void>(go.read<int>());
        bus.page("p").write(0, bytes_of("mine"));
        stop(std::move(bus));
        return 0;
    });
    ready.close_writing();
    ASSERT_TRUE(ready.read<int>());
    const auto arena = arena_of(folder.path());
    fs::rename(arena, arena.string() + ".hidden");
    const auto e = thrown<ArenaElsewhere>([&] { static_cast<void>(start(at(folder))); });
    EXPECT_EQ(e->code(), ErrorCode::arena_elsewhere);
    EXPECT_NE(e->expected(), "");
    go.write(1);
    EXPECT_EQ(child.wait(), 0);
    fs::remove(arena.string() + ".hidden");
    EXPECT_EQ(text(start(at(folder))), "mine");  // its log is intact
}

TEST(Opening, ReadOnlyWithoutSharedMemoryRebuildsForItself) {
    const TempFolder folder;
    make_bus(folder);
    const auto arena = arena_of(folder.path());
    remove_arena(folder.path());
    const auto bus = start({.path = folder.path(), .open = Open::read_only});
    EXPECT_EQ(text(bus), "abc");
    EXPECT_TRUE(bus.verify().good);
    EXPECT_EQ(bus.recovery().replayed, 1U);
    EXPECT_FALSE(bus.recovery().needed);
    EXPECT_FALSE(fs::exists(arena));
}

TEST(Opening, ACopyOfABusGoesOnByItself) {
    const TempFolder original, copy;
    make_bus(original);
    fs::copy(original.path(), copy.path(), fs::copy_options::recursive);
    auto a = start(at(original)), b = start(at(copy));
    a.page("p").write(0, bytes_of("A"));
    b.page("p").write(0, bytes_of("B"));
    EXPECT_EQ(text(a), "Abc");
    EXPECT_EQ(text(b), "Bbc");
    EXPECT_NE(arena_of(original.path()), arena_of(copy.path()));
    stop(std::move(a));
    stop(std::move(b));
    EXPECT_EQ(text(start(at(original))), "Abc");
    EXPECT_EQ(text(start(at(copy))), "Bbc");
}

TEST(Opening, TheArenaLiesWhereItIsAskedFor) {
    const TempFolder folder, memory;
    fs::create_directories(memory.path());
    auto bus = start({.path = folder.path(), .arena_folder = memory.path()});
    bus.create_page(8, {.name = "p", .contents = bytes_of("abc")});
    EXPECT_EQ(arena_of(folder.path()).parent_path(), memory.path());
    stop(std::move(bus));
    EXPECT_EQ(text(start(at(folder))), "abc");  // found there again
    EXPECT_EQ(arena_of(folder.path()).parent_path(), memory.path());
}

TEST(Opening, TheConfigHasItsDefaultsFilledIn) {
    const auto bus = start();
    EXPECT_EQ(bus.config().source, "open_test");
    EXPECT_EQ(bus.config().max_tlog_size, 56U << 20U);
    EXPECT_EQ(bus.config().page_size_default, 4096U);
}

TEST(Opening, FilesAreMadeWithThePermissionsAskedFor) {
    const TempFolder folder;
    auto bus = start({.path = folder.path(), .permissions = 0640});
    stop(std::move(bus));
    EXPECT_EQ(fs::status(folder / "bus").permissions(), static_cast<fs::perms>(0640));
    EXPECT_EQ(fs::status(only_segment(folder)).permissions(), static_cast<fs::perms>(0640));
    EXPECT_EQ(fs::status(arena_of(folder.path())).permissions(), static_cast<fs::perms>(0640));
}

TEST(Opening, IdsAreNotGivenAgainAfterManyPages) {
    const TempFolder folder;
    PageId last{};
    {
        auto bus = start(at(folder));
        for (int i = 0; i < 3000; ++i) {
            const auto page = bus.create_page(1);
            last = page.id();
            bus.delete_page(page);
        }
        stop(std::move(bus));
    }
    for (const bool rebuilt : {false, true}) {
        if (rebuilt) remove_arena(folder.path());
        auto bus = start(at(folder));
        const auto page = bus.create_page(1);
        EXPECT_GT(number(page.id()), number(last));
        last = page.id();
        stop(std::move(bus));
    }
}

}  // namespace
}  // namespace mmsb::test
