// The past: views by sequence, their differences, export, checkpoints and verify.
#include "support/contents.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace mmsb::test {
namespace {

TEST(Views, APageIsAsItWasThen) {
    const auto bus = start();
    const auto page = bus.create_page(4, {.name = "p", .contents = bytes_of("aaaa")});
    const auto first = bus.sequence();
    page.write(1, bytes_of("b"));
    page.rename("q");
    const auto then = bus.at(first);
    EXPECT_EQ(text_of(then.bytes(page)), "aaaa");
    EXPECT_EQ(then.info(page).name, "p");
    EXPECT_EQ(then.find_page("p")->id, page.id());
    EXPECT_FALSE(then.find_page("q").has_value());
    EXPECT_EQ(then.sequence(), first);
    EXPECT_EQ(text_of(bus.at(Sequence{2}).bytes(page)), "abaa");
}

TEST(Views, SpansOfAViewStayAsTheyAre) {
    const auto bus = start();
    const auto a = bus.create_page(4, {.contents = bytes_of("aaaa")}),
               b = bus.create_page(4, {.contents = bytes_of("bbbb")});
    const auto view = bus.snapshot({a});
    const auto of_a = view.bytes(a), of_b = view.bytes(b);
    for (int i = 0; i < 50; ++i) {
        a.write(0, pattern(4, static_cast<unsigned>(i)));
        b.write(0, pattern(4, static_cast<unsigned>(i)));
        bus.create_page(10);
    }
    bus.delete_page(a);
    EXPECT_EQ(text_of(of_a), "aaaa");
    EXPECT_EQ(text_of(of_b), "bbbb");
    EXPECT_EQ(view.bytes(a).data(), of_a.data());
    EXPECT_EQ(view.pages().size(), 2U);
}

TEST(Views, WhatWasNotThereThenIsNotFound) {
    const auto bus = start();
    const auto early = bus.snapshot();
    const auto page = bus.create_page(4);
    EXPECT_THROW(static_cast<void>(early.bytes(page)), PageNotFound);
    EXPECT_THROW(static_cast<void>(early.info(page)), PageNotFound);
    const auto late = bus.snapshot();
    bus.delete_page(page);
    EXPECT_EQ(late.bytes(page).size(), 4U);
    EXPECT_THROW(static_cast<void>(bus.snapshot({page})), PageNotFound);
}

TEST(Views, TimeIsThatOfTheCommitThatLedThere) {
    const auto bus = start();
    const auto page = bus.create_page(4);
    page.write(0, bytes_of("a"));
    page.write(0, bytes_of("b"));
    std::vector<Time> times;
    for (const auto& change : page.history()) times.push_back(change.time);
    ASSERT_EQ(times.size(), 3U);
    EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
    EXPECT_NE(times[0], times[1]);
    for (std::uint64_t i = 1; i <= 3; ++i) EXPECT_EQ(bus.at(Sequence{i}).time(), times[i - 1]);
}

TEST(Views, TheNewestIsTheLivePages) {
    const auto bus = start();
    for (int i = 0; i < 30; ++i)
        bus.create_page(100, {.contents = pattern(100, static_cast<unsigned>(i))});
    EXPECT_EQ(contents_of(bus.at(Sequence::newest)), contents_of(bus));
    EXPECT_EQ(contents_of(bus.snapshot()), contents_of(bus));
    EXPECT_EQ(contents_of(bus.snapshot(bus.pages())), contents_of(bus));
}

// Makes `from` into `to` as the facade says.
Contents patched(Contents from, const ViewDiff& difference, const View& to) {
    for (const auto& gone : difference.removed) from.pages.erase(number(gone.id));
    for (const auto& made : difference.added) from.pages[number(made.id)].bytes.resize(0);
    for (const auto& delta : difference.changed) {
        auto& bytes = from.pages.at(number(delta.page())).bytes;
        bytes.resize(delta.page_size());
        delta.apply_to(bytes);
    }
    for (auto& [id, page] :
         from.pages) {  // a diff is of bytes: names and numbers as they are there
        const auto info = to.info(PageId{id});
        page.bytes.resize(info.size);
        page.name = info.name;
        page.metadata = info.metadata;
        page.epoch = number(info.epoch);
    }
    from.sequence = number(to.sequence());
    return from;
}

TEST(Views, ADifferenceMakesOneIntoTheOther) {
    const auto bus = start();
    const auto a = bus.create_page(40, {.contents = pattern(40)}), b = bus.create_page(10),
               c = bus.create_page(10);
    const auto first = bus.snapshot();
    a.write(3, bytes_of("changed"));
    b.resize(30);
    bus.delete_page(c);
    const auto d = bus.create_page(5, {.contents = bytes_of("new")});
    const auto second = bus.snapshot();
    const auto there = diff(first, second);
    EXPECT_EQ(contents_of(second), patched(contents_of(first), there, second));
    ASSERT_EQ(there.added.size(), 1U);
    EXPECT_EQ(there.added[0].id, d.id());
    ASSERT_EQ(there.removed.size(), 1U);
    EXPECT_EQ(there.removed[0].id, c.id());
    EXPECT_EQ(contents_of(first), patched(contents_of(second), diff(second, first), first));
    const auto none = diff(second, second);
    EXPECT_TRUE(none.added.empty() && none.removed.empty() && none.changed.empty());
}

TEST(Views, ExportWritesAFileAPageBelowTheFolder) {
    const TempFolder folder;
    const auto bus = start();
    const auto unnamed = bus.create_page(3, {.contents = bytes_of("one")});
    bus.create_page(3, {.name = "sub/two", .contents = bytes_of("two")});
    bus.create_page(5, {.name = "/../../three", .contents = bytes_of("three")});
    bus.create_page(0, {.name = "empty"});
    const auto then = bus.snapshot();
    unnamed.write(0, bytes_of("ONE"));
    then.export_to(folder.path());
    EXPECT_EQ(read_file(folder / "page-1"), "one");
    EXPECT_EQ(read_file(folder / "sub/two"), "two");
    EXPECT_EQ(read_file(folder / "__/__/three"), "three");
    EXPECT_TRUE(fs::exists(folder / "empty"));
    EXPECT_EQ(std::distance(fs::recursive_directory_iterator(folder.path()), {}), 7);
}

TEST(Views, ExportFollowsNoLinkBelowTheFolder) {
    const TempFolder folder, outside;
    fs::create_directories(folder.path());
    fs::create_directories(outside.path());
    fs::create_directory_symlink(outside.path(), folder / "l");
    write_file(outside / "victim", "old");
    fs::create_symlink(outside / "victim", folder / "f");
    const auto bus = start();
    const auto evil = bus.create_page(4, {.name = "l/evil", .contents = bytes_of("evil")});
    thrown<Io>([&] { bus.snapshot().export_to(folder.path()); });
    EXPECT_FALSE(fs::exists(outside / "evil"));
    bus.delete_page(evil);
    bus.create_page(3, {.name = "f", .contents = bytes_of("new")});
    bus.snapshot().export_to(folder.path());
    EXPECT_EQ(read_file(outside / "victim"), "old");
    EXPECT_FALSE(fs::is_symlink(folder / "f"));
    EXPECT_EQ(read_file(folder / "f"), "new");
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 2);
}

TEST(Views, ExportTakesSomePagesAndTellsOfEach) {
    const TempFolder folder;
    const auto bus = start();
    const auto a = bus.create_page(1, {.name = "a"}), b = bus.create_page(2, {.name = {"b\0", 2}});
    const auto c = bus.create_page(3, {.name = "c"});
    std::vector<std::string> told;
    double last = 0;
    const auto on_file = [&](const PageInfo& page, const std::string& file, double done) {
        told.push_back(std::to_string(page.size) + file);
        EXPECT_GT(std::exchange(last, done), done - 1);
    };
    bus.snapshot().export_to(folder.path(), {.pages = {c, b}, .on_file = on_file});
    EXPECT_EQ(told, (std::vector<std::string>{"2b_", "3c"}));
    EXPECT_EQ(last, 1);
    EXPECT_EQ(fs::file_size(folder / "b_"), 2U);
    EXPECT_FALSE(fs::exists(folder / "a"));
    bus.delete_page(a);
    const TempFolder other;
    thrown<PageNotFound>([&] { bus.snapshot().export_to(other.path(), {.pages = {c, a}}); });
    EXPECT_FALSE(fs::exists(other.path()));
}

TEST(Views, TwoPagesOfOneFileAreRefusedBeforeAnythingIsWritten) {
    const TempFolder folder;
    const auto bus = start();
    bus.create_page(1, {.name = "a"});
    const auto again = bus.create_page(1, {.name = "/a"});
    thrown<InvalidArgument>([&] { bus.snapshot().export_to(folder.path()); });
    EXPECT_FALSE(fs::exists(folder.path()));
    again.rename("a/b");  // a is a file, and its folder
    thrown<InvalidArgument>([&] { bus.snapshot().export_to(folder.path()); });
    EXPECT_FALSE(fs::exists(folder.path()));
}

TEST(Verify, TellsWhatDiffers) {
    const auto bus = start();
    const auto a = bus.create_page(100), b = bus.create_page(100, {.contents = pattern(100)});
    EXPECT_TRUE(bus.verify().good);
    // Someone scribbles into the shared memory.
    auto& attachment = detail::Bus::get(detail::Bus::handle_of(bus)).at();
    auto line = detail::Bus::handle_of(b).line;
    const auto where = attachment.arena->line(line)->offset.load();
    (*attachment.arena->bytes(where, 100))[42] ^= std::byte{1};
    const auto report = bus.verify();
    EXPECT_FALSE(report.good);
    EXPECT_EQ(report.page, b.id());
    EXPECT_EQ(report.offset, 42U);
    EXPECT_EQ(report.sequence, Sequence{2});
    EXPECT_EQ(a.read(), filled(100, 0));
}

TEST(Verify, TellsItsProgressAndCanBeEnded) {
    const auto bus = start();
    const auto n = bus.create<std::uint64_t>();
    for (std::uint64_t i = 1; i < 20000; ++i) n.update(i);
    double last = 0;
    EXPECT_TRUE(bus.verify({.progress =
                                [&](double done) {
                                    EXPECT_GE(done, last);
                                    last = done;
                                    return true;
                                }})
                    .good);
    EXPECT_EQ(last, 1.0);
    int calls = 0;
    const auto ended = bus.verify({.progress = [&](double) { return ++calls < 2; }});
    EXPECT_FALSE(ended.good);
    EXPECT_EQ(ended.page, PageId::none);
    EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace mmsb::test
