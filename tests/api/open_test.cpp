// Opening a bus: which way, what is found, what is refused.
#include "support/child.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include "log/format.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace mmsb::test {
namespace {

void make_bus(const TempFolder& folder) {
    auto bus = start(at(folder));
    bus.create_page(8, {.name = "p", .contents = bytes_of("abc")});
    stop(std::move(bus));
}

// All that is in there, each with its path from there on.
std::set<std::string> names_below(const TempFolder& folder) {
    std::set<std::string> names;
    if (!fs::exists(folder.path())) return names;
    for (const auto& entry : fs::recursive_directory_iterator(folder.path()))
        names.insert(fs::relative(entry.path(), folder.path()).string());
    return names;
}

std::string text(const State& bus) { return text_of(bus.page("p").read()); }

fs::path only_segment(const TempFolder& folder) {
    std::vector<fs::path> all;
    for (const auto& entry : fs::directory_iterator(folder / "log"))
        if (entry.path().extension() == ".seg") all.push_back(entry.path());
    EXPECT_EQ(all.size(), 1U);
    return all.at(0);
}

// As thrown(), and no byte of the folder's files, nor their number, has changed.
template <class E, class F>
std::optional<E> refused(const TempFolder& folder, F&& call) {
    const auto files = [&] {
        std::map<std::string, std::string> all;
        for (const auto& entry : fs::recursive_directory_iterator(folder.path()))
            all[entry.path().string()] = entry.is_regular_file() ? read_file(entry.path()) : "";
        return all;
    };
    const auto before = files();
    auto error = thrown<E>(call);
    EXPECT_TRUE(files() == before);
    return error;
}

template <class E>
std::optional<E> refused(const TempFolder& folder, Open open = Open::create_or_open) {
    return refused<E>(folder,
                      [&] { static_cast<void>(start({.path = folder.path(), .open = open})); });
}

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

TEST(Opening, AFolderWithOtherThingsIsNoPlaceForABus) {
    const TempFolder folder;
    fs::create_directories(folder.path());
    write_file(folder / "holiday.txt", "precious");
    const auto e = thrown<NotABus>([&] { static_cast<void>(start(at(folder))); });
    EXPECT_NE(e->found().find("holiday.txt"), std::string::npos);
    EXPECT_EQ(read_file(folder / "holiday.txt"), "precious");
    EXPECT_EQ(names_below(folder), std::set<std::string>{"holiday.txt"});
    fs::remove(folder / "holiday.txt");
    fs::create_directories(folder / "log");
    write_file(folder / "log" / "mine", "precious");
    EXPECT_NE(
        thrown<NotABus>([&] { static_cast<void>(start(at(folder))); })->found().find("log/mine"),
        std::string::npos);
    EXPECT_EQ(names_below(folder), (std::set<std::string>{"log", "log/mine"}));
}

// The corrected call then works: nothing is there that it would take for a bus.
TEST(Opening, ABusThatCannotBeMadeLeavesNothing) {
    const TempFolder folder, other;
    auto config = at(folder);
    config.arena_folder = other.path() + "/none";
    thrown<Io>([&] { static_cast<void>(start(config)); });
    config = at(folder);
    config.from_checkpoint = other.path() + "/none";
    thrown<Io>([&] { static_cast<void>(start(config)); });
    EXPECT_FALSE(fs::exists(folder.path()));
    fs::create_directories(other.path());
    config.from_checkpoint = other.path() + "/garbage";
    write_file(config.from_checkpoint, std::string(5000, 'x'));
    thrown<Error>([&] { static_cast<void>(start(config)); });
    EXPECT_FALSE(fs::exists(folder.path()));
    stop(start(at(folder)));
}

// What an attempt that was killed has left is no bus, and the next one begins anew.
TEST(Opening, ABusWhoseMakerWasKilledIsMadeAnew) {
    const TempFolder folder;
    make_bus(folder);
    fs::rename(folder / "bus", folder / "bus.new");
    remove_arena(folder.path());
    fs::remove(folder / "arena");
    const auto bus = start_with(at(folder));
    EXPECT_EQ(bus.sequence(), Sequence::zero);
    bus.create_page(1);
    EXPECT_TRUE(bus.verify().good);
}

TEST(Opening, ABusThatLostItsLogIsDamaged) {
    const TempFolder folder;
    const auto tell = [&](const fs::path& where, std::vector<Open> ways) {
        const auto before = names_below(folder);
        for (const auto open : ways) {
            const auto e = thrown<Corrupt>(
                [&] { static_cast<void>(start({.path = folder.path(), .open = open})); });
            ASSERT_TRUE(e);
            EXPECT_TRUE(e->file().starts_with(where.string())) << e->file();
            EXPECT_FALSE(e->expected().empty());
        }
        EXPECT_EQ(names_below(folder), before);
    };
    const std::vector all{Open::create_or_open, Open::existing, Open::read_only};
    make_bus(folder);
    const auto segment = folder / "log" / "0000000000000001.seg";
    fs::rename(segment, folder / "kept");
    tell(folder / "log", {Open::create_or_open, Open::existing});  // viewers see what is in memory
    fs::rename(folder / "kept", segment);
    EXPECT_EQ(text(start({.path = folder.path(), .open = Open::existing})), "abc");
    remove_arena(folder.path());
    fs::rename(segment, folder / "kept");
    tell(folder / "log", all);
    const auto diagnosis = examine(folder.path());
    EXPECT_FALSE(diagnosis.good());
    EXPECT_TRUE(std::ranges::any_of(diagnosis.files, [&](const FileFinding& file) {
        return file.health == FileHealth::missing && file.file == (folder / "log").string();
    }));
    fs::remove(folder / "log");
    tell(folder / "log", all);
    fs::create_directories(folder / "log");
    fs::rename(folder / "kept", segment);
    auto bus = start_with(at(folder));
    bus.page("p").write(0, bytes_of("def"));
    static_cast<void>(bus.checkpoint());
    stop(std::move(bus));
    remove_arena(folder.path());
    fs::resize_file(only_segment(folder), 200);  // not even up to the checkpoint
    tell(folder / "log", all);
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
    EXPECT_EQ(bus.config().max_tlog_size, 64U << 20U);
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
