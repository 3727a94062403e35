// Making a bus: where, from what, and that nothing is left where it cannot be made; and that one
// which has lost what it was made with is no new one.
#include "api/refused.hpp"
#include "arena/layout.hpp"
#include "log/format.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <thread>

namespace mmsb::test {
namespace {

TEST(Making, AFolderWithOtherThingsIsNoPlaceForABus) {
    const TempFolder folder;
    fs::create_directories(folder.path());
    write_file(folder / "holiday.txt", "precious");
    EXPECT_NE(refused<NotABus>(folder)->found().find("holiday.txt"), std::string::npos);
    fs::remove(folder / "holiday.txt");
    fs::create_directories(folder / "log");
    write_file(folder / "log" / "mine", "precious");
    EXPECT_NE(refused<NotABus>(folder)->found().find("log/mine"), std::string::npos);
}

// The corrected call then works: nothing is there that it would take for a bus.
TEST(Making, ABusThatCannotBeMadeLeavesNothing) {
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
TEST(Making, ABusWhoseMakerWasKilledIsMadeAnew) {
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

// What is only half made goes with the attempt; what only looks like it is somebody else's.
TEST(Making, OfSharedMemoryThatFailsLeavesNothingOfItAndNothingElseOut) {
    const TempFolder memory, folder;
    fs::create_directories(memory.path());
    auto config = at(folder);
    config.arena_folder = memory.path();
    auto bus = start(config);
    bus.create_page(100, {.name = "page"}).write(0, bytes_of("abc"));
    stop(std::move(bus));
    remove_arena(folder.path());
    const auto mine = memory / "mmsb-notes.999999999.new";
    write_file(mine, "precious");
    const auto segment = folder / "log" / "0000000000000001.seg";
    const auto whole = read_file(segment);
    auto damaged = whole;
    damaged[log::segment_header_size + 4] ^= 1;  // of the first record's check
    write_file(segment, damaged);
    thrown<Corrupt>([&] { static_cast<void>(start(config)); });
    const auto left = std::distance(fs::directory_iterator(memory.path()), {});
    EXPECT_EQ(left, 1);
    EXPECT_TRUE(fs::exists(mine));
    write_file(segment, whole);
    EXPECT_EQ(start(config).page("page").size(), 100U);
}

// Shared memory of a bus that is gone is gone with the next one that is made, also where that is
// in its place. Where a bus lies in another mount namespace, nobody can tell from here.
TEST(Making, SweepsTheSharedMemoryOfBusesThatAreGone) {
    const TempFolder memory, gone, elsewhere, replaced;
    fs::create_directories(memory.path());
    const auto make = [&](const TempFolder& folder) {
        auto config = at(folder);
        config.arena_folder = memory.path();
        stop(start(config));
        return fs::path(arena_of(folder.path()));
    };
    const auto of_gone = make(gone), of_elsewhere = make(elsewhere), before = make(replaced);
    {
        std::fstream file(of_elsewhere, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(offsetof(arena::Control, stamps) + offsetof(arena::Stamps, mount_namespace));
        file.put('x');
    }
    for (const auto* folder : {&gone, &elsewhere, &replaced}) fs::remove_all(folder->path());
    const auto now = make(replaced);
    EXPECT_TRUE(fs::exists(now));
    EXPECT_FALSE(fs::exists(of_gone));
    EXPECT_FALSE(fs::exists(before));
    EXPECT_TRUE(fs::exists(of_elsewhere));
}

TEST(Opening, ABusThatLostItsLogIsDamaged) {
    const TempFolder folder;
    const auto tell = [&](const fs::path& where, std::vector<Open> ways) {
        for (const auto open : ways) {
            const auto e = refused<Corrupt>(folder, open);
            ASSERT_TRUE(e);
            EXPECT_TRUE(e->file().starts_with(where.string())) << e->file();
            EXPECT_FALSE(e->expected().empty());
        }
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

TEST(Examining, TellsWhenTheNewestCommitWas) {
    using namespace std::chrono_literals;
    const TempFolder folder;
    auto bus = start(at(folder));
    const auto path = folder.path();
    EXPECT_EQ(examine(path).time, Time{});
    bus.create_page(8);
    for (const bool is_folded : {false, true}) {
        const auto time = bus.snapshot().time();
        if (is_folded) bus.compact(bus.sequence());
        std::this_thread::sleep_for(5ms);
        stop(std::move(bus));  // has a record of its own
        EXPECT_EQ(examine(path).time, time);
        remove_arena(path);
        EXPECT_EQ(examine(path).time, time);
        bus = start(at(folder));
    }
}

}  // namespace
}  // namespace mmsb::test
