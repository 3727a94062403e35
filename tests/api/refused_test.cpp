// Numbers, ages, sizes and places that cannot be meant: refused, or taken for the most that there
// is.
#include "support/child.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <utility>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

TEST(AnEnumeratorThatThereIsNot, IsRefusedBeforeItIsInTheLog) {
    const TempFolder folder;
    {
        const auto bus = start(at(folder));
        const auto a = bus.create_page(4), b = bus.create_page(4);
        raises<InvalidArgument>(
            bus, [&] { bus.graph().add_dependency(a, b, static_cast<EdgeType>(9)); });
        raises<InvalidArgument>(bus, [&] {
            bus.transact(
                [&](Transaction& tx) { tx.add_dependency(a, b, static_cast<EdgeType>(4)); });
        });
        raises<InvalidArgument>(
            bus, [&] { a.write(0, bytes_of("x"), {.propagation = static_cast<Propagation>(9)}); });
        a.write(0, bytes_of("y"));
    }
    EXPECT_EQ(start(at(folder)).verify().good, true);
}

TEST(AnAgeBeyondAllClocks, KeepsEverything) {
    for (const std::chrono::seconds age :
         {std::chrono::seconds(std::chrono::years(300)), std::chrono::seconds::max()}) {
        const auto bus = start({.max_tlog_age = age});
        const auto page = bus.create_page(4);
        for (unsigned i = 0; i != 50; ++i) page.write(0, pattern(4, i));
        bus.compact();
        EXPECT_EQ(bus.oldest(), Sequence::zero);
    }
    const TempFolder folder;
    const auto bus = start(at(folder));
    const auto page = bus.create_page(4);
    for (const std::chrono::seconds age :
         {std::chrono::seconds(std::chrono::years(1000)), std::chrono::seconds::max()}) {
        bus.set_retention({.age = age});
        for (unsigned i = 0; i != 20; ++i) page.write(0, pattern(4, i));
        bus.checkpoint();
        page.write(0, pattern(4, 99));
        bus.checkpoint();
        bus.compact();
        EXPECT_EQ(bus.oldest(), Sequence::zero);
    }
}

TEST(AnIndexBeyondAllMemory, IsOutsideOfThePage) {
    const auto bus = start();
    const auto numbers = bus.create<double[]>(4);
    const double one[] = {42};
    double out[] = {0};
    for (const auto index : {std::size_t{1} << 61U, (std::size_t{1} << 61U) + 1, ~std::size_t{0}}) {
        raises<InvalidArgument>(bus, [&] { numbers.write(index, one); });
        raises<InvalidArgument>(bus, [&] { numbers.read_into(out, index); });
        raises<InvalidArgument>(bus, [&] { static_cast<void>(bus.create<double[]>(index)); });
        raises<InvalidArgument>(bus, [&] { static_cast<void>(bus.open<double[]>("n", index)); });
    }
}

TEST(AWholeUpdate, IsOfThePageAsItIsThen) {
    const auto bus = start();
    const auto page = bus.create_page(100);
    const auto delta = diff(filled(100, 0), filled(100, 7));
    const std::vector<std::function<void(Transaction&)>> changes = {
        [&](Transaction& tx) { tx.update(page, filled(100, 1)); },
        [&](Transaction& tx) { tx.apply(page, delta); }};
    for (const auto& change : changes) {
        for (const std::size_t other : {50U, 150U}) {
            page.resize(100);
            auto tx = bus.transaction();
            change(tx);
            page.resize(other);
            raises<InvalidArgument>(bus, [&] { tx.commit(); });
        }
    }
}

TEST(AWholeUpdate, OfAPageThatTheTransactionResizesHasNothingOfOthersBehindIt) {
    const auto bus = start();
    const auto page = bus.create_page(100);
    auto tx = bus.transaction();
    for (const bool shrinks_first : {false, true}) {
        for (const std::size_t other : {50U, 100U, 150U}) {
            page.resize(100);
            tx.update(page, filled(100, 1));
            if (shrinks_first) tx.resize(page, 10);
            tx.resize(page, 120);
            auto expected = filled(shrinks_first ? 10 : 100, 1);
            expected.resize(120);
            page.resize(other);
            page.update(filled(other, 7));
            if (other > 100) {
                raises<InvalidArgument>(bus, [&] { tx.commit(); });
                continue;
            }
            tx.commit();
            EXPECT_EQ(page.read(), expected);
        }
    }
}

TEST(AWholeUpdate, BehindAResizeOfItsTransactionIsOfAnyPage) {
    const auto bus = start();
    const auto page = bus.create_page(8);
    for (const std::size_t other : {4U, 50U, 200U}) {
        auto tx = bus.transaction();
        tx.resize(page, 60);
        tx.update(page, filled(60, 1));
        page.resize(other);
        tx.commit();
        EXPECT_EQ(page.read(), filled(60, 1));
    }
}

TEST(AWholeUpdate, ReplacesWhatWasStagedForAnotherSize) {
    const auto bus = start();
    const auto page = bus.create_page(100);
    auto tx = bus.transaction();
    tx.update(page, filled(100, 1));
    page.resize(50);
    tx.update(page, filled(50, 2));
    tx.commit();
    EXPECT_EQ(page.read(), filled(50, 2));
    tx.update(page, filled(50, 2));
    tx.delete_page(page);
    page.resize(70);
    tx.commit();
    EXPECT_TRUE(bus.pages().empty());
}

TEST(ADifference, OfAnotherSizeThanWhatIsUnderItIsRefused) {
    const auto bus = start();
    const auto page = bus.create_page(50);
    auto tx = bus.transaction();
    tx.update(page, filled(50, 3));
    page.resize(60);
    tx.apply(page, diff(filled(60, 0), filled(60, 4)));
    raises<InvalidArgument>(bus, [&] { tx.commit(); });
}

TEST(AWholeUpdate, OfAParentIsRefusedBeforeAnythingIsComputed) {
    const auto bus = start();
    const auto page = bus.create_page(96), copy = bus.create_page(96);
    std::atomic<int> calls = 0;
    bus.register_recompute("test.count/1", [&](Recompute&) { ++calls; });
    bus.graph().derive(copy, {page}, formula::call("test.count/1"));
    for (const std::size_t other : {48U, 144U}) {
        page.resize(96);
        auto tx = bus.transaction();
        tx.update(page, filled(96, 1));
        page.resize(other);
        const auto before = calls.load();
        raises<InvalidArgument>(bus, [&] { tx.commit(); });
        EXPECT_EQ(calls.load(), before);
    }
}

TEST(WhatWasMovedFrom, IsClosed) {
    auto bus = start();
    const auto page = bus.create_page(4);
    const auto moved = std::move(bus);
    // NOLINTBEGIN(bugprone-use-after-move)
    thrown<BusClosed>([&] { static_cast<void>(bus.sequence()); });
    thrown<BusClosed>([&] { bus.create_page(4); });
    raises<WrongContext>(moved, [&] {
        moved.transact([&](Transaction& tx) {
            tx.write(page, 0, bytes_of("x"));
            const auto taken = std::move(tx);
        });
    });
    auto tx = moved.transaction();
    const auto other_tx = std::move(tx);
    thrown<WrongContext>([&] { tx.write(page, 0, bytes_of("x")); });
    thrown<WrongContext>([&] { static_cast<void>(tx.try_commit()); });
    // NOLINTEND(bugprone-use-after-move)
    page.write(0, bytes_of("y"));
    auto other = start();
    other = std::move(bus);  // closes it
    thrown<BusClosed>([&] { static_cast<void>(other.sequence()); });
}

TEST(APathWithAByteOfZero, IsRefusedWhoeverTakesIt) {
    using namespace std::string_literals;
    const TempFolder folder, others;
    const auto cut = others.path() + "\0 or not"s;
    thrown<InvalidArgument>([&] { static_cast<void>(start({.path = cut})); });
    thrown<InvalidArgument>(
        [&] { static_cast<void>(start({.path = folder.path(), .arena_folder = cut})); });
    thrown<InvalidArgument>(
        [&] { static_cast<void>(start({.path = folder.path(), .from_checkpoint = cut})); });
    const auto bus = start(at(folder));
    bus.create_page(4);
    raises<InvalidArgument>(bus, [&] { bus.checkpoint(cut); });
    raises<InvalidArgument>(bus, [&] { bus.copy_to(cut); });
    raises<InvalidArgument>(bus, [&] { bus.snapshot().export_to(cut); });
    thrown<InvalidArgument>([&] { static_cast<void>(examine(cut)); });
    stop(start(at(others)));
    thrown<InvalidArgument>([&] { remove_bus(cut); });
    EXPECT_TRUE(fs::exists(others.path() + "/bus"));
}

TEST(AFileForAUser, LiesOutsideOfEveryBus) {
    const TempFolder folder, other, out;
    const auto bus = start(at(folder));
    bus.create_page(3, {.name = "bus", .contents = bytes_of("abc")});
    start(at(other)).create_page(1);
    fs::create_directories(out.path());
    fs::create_directory_symlink(folder.path(), out / "link");
    for (const auto& file : {folder / "bus", folder / "lock", folder / "new", folder / "log" / "x",
                             folder / "log" / ".." / "bus", other / "bus", out / "link" / "bus"})
        raises<InvalidArgument>(bus, [&] { bus.checkpoint(file.string()); });
    for (const auto& to : {fs::path(folder.path()), folder / "log", folder / "new" / "and" / "more",
                           fs::path(other.path()), out / "link"})
        raises<InvalidArgument>(bus, [&] { bus.snapshot().export_to(to.string()); });
    raises<InvalidArgument>(bus, [&] { bus.checkpoint(out.path()); });
    raises<InvalidArgument>(bus, [&] { bus.checkpoint("/dev/null"); });
    EXPECT_TRUE(fs::is_character_file("/dev/null"));
    // What a link leads to is replaced, not the link.
    write_file(out / "old", "old");
    fs::create_symlink(out / "old", out / "name");
    fs::create_symlink("name", out / "other");
    fs::create_symlink("new", out / "dangling");
    bus.checkpoint((out / "other").string());
    bus.checkpoint((out / "dangling").string());
    EXPECT_TRUE(fs::is_symlink(out / "name") && fs::is_symlink(out / "other"));
    EXPECT_NE(read_file(out / "old"), "old");
    EXPECT_EQ(read_file(out / "new").size(), read_file(out / "old").size());
    // Also where a page's name leads into one.
    const auto inside = (fs::path(other.path()).filename() / "bus").string();
    const auto deep = bus.create_page(1, {.name = inside});
    raises<InvalidArgument>(
        bus, [&] { bus.snapshot().export_to(fs::path(other.path()).parent_path().string()); });
    EXPECT_FALSE(fs::exists(fs::path(other.path()).parent_path() / "bus"));
    bus.delete_page(deep);
    bus.snapshot().export_to(out.path());
    EXPECT_EQ(read_file(out / "bus"), "abc");
}

TEST(AViewerWithARelativePath, SeesWhatComesWhereverItGoes) {
    const TempFolder folder;
    {
        start(at(folder)).create_page(4, {.name = "p"});
    }
    remove_arena(folder.path());
    Child viewer([&] {
        fs::current_path(fs::path(folder.path()).parent_path());
        const auto bus =
            start({.path = fs::path(folder.path()).filename().string(), .open = Open::read_only});
        fs::current_path("/");
        const auto seen = bus.sequence();
        Child writer([&] {
            start(at(folder)).page("p").write(0, bytes_of("new!"));
            const auto kept = start(at(folder));  // so that there is shared memory
            std::this_thread::sleep_for(500ms);
            return 0;
        });
        const bool found = bus.wait(seen, 10s).has_value();
        return writer.wait() == 0 && found && text_of(bus.page("p").read()) == "new!" ? 0 : 1;
    });
    EXPECT_EQ(viewer.wait(), 0);
}

}  // namespace
}  // namespace mmsb::test
