// Shared memory that somebody wrote over after its last user had left: the next one to open the bus
// builds it anew from the log, says so, and nothing is missing.
#include "support/raises.hpp"
#include "support/temp_bus.hpp"
#include "trust/arena_words.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

fs::path segment_of(const TempFolder& folder) { return folder / "log/0000000000000001.seg"; }

void flip(const fs::path& file, std::size_t at) {
    auto bytes = read_file(file);
    bytes.at(at) = static_cast<char>(bytes.at(at) ^ 1);
    write_file(file, bytes);
}

void make_pages(const TempFolder& folder) {
    auto bus = start_with(at(folder));
    for (int i = 0; i < 4; ++i)
        bus.create_page(100, {.name = std::to_string(i)}).update(filled(100, i + 1));
    stop(std::move(bus));
}

// Opens it: all is there, and commits are taken again. What was told meanwhile.
std::vector<std::string> open_and_look(const TempFolder& folder) {
    std::vector<std::string> told;
    auto config = at(folder);
    config.lock_timeout = 1000ms;
    config.on_notice = [&](const Notice& n) { told.push_back(n.text); };
    for (const int value : {1, 9}) {  // the second time as ever
        auto bus = start_with(config);
        EXPECT_TRUE(bus.verify().good);
        EXPECT_EQ(bus.pages().size(), 4U);
        EXPECT_EQ(bus.page("0").read(), filled(100, value));
        for (int i = 1; i < 4; ++i)
            EXPECT_EQ(bus.page(std::to_string(i)).read(), filled(100, i + 1));
        bus.page("0").write(0, filled(100, 9), {.durability = Durability::sync});
        bus.delete_page(bus.create_page(5000));
        stop(std::move(bus));
    }
    return told;
}

struct Spoil {
    const char* name;
    std::function<void(arena::Control&)> how;
};

TEST(SharedMemoryThatWasWrittenOver, IsBuiltAnewFromTheLogAndSaysSo) {
    const Spoil all[] = {
        {"applied", [](auto& c) { c.applied -= 64; }},
        {"logged, to nowhere", [](auto& c) { c.logged += 8; }},
        {"logged, far away", [](auto& c) { c.logged = ~std::uint64_t{7}; }},
        {"logged, lower", [](auto& c) { c.logged -= 64; }},
        {"reserve, lower", [](auto& c) { c.reserve -= 8; }},
        {"reserve, far away", [](auto& c) { c.reserve = std::uint64_t{1} << 60U; }},
        {"sequence", [](auto& c) { c.sequence += 5; }},
        {"time", [](auto& c) { c.time = ~std::uint64_t{0}; }},
        {"sources", [](auto& c) { c.sources = 70'000; }},
        {"structure", [](auto& c) { c.structure += 16; }},
        {"seal", [](auto& c) { c.seal = 0; }},
        {"a poison that a neighbour's bytes were", [](auto& c) { c.poison = EBADMSG; }},
        {"lines without end", [](auto& c) { c.lines_used = 1U << 31U, c.allocating = 1; }},
        {"more heap than there is",
         [](auto& c) { c.heap_end = std::uint64_t{1} << 39U, c.allocating = 1; }},
        {"everything but the stamps",
         [](auto& c) {
             for (auto* word = &c.reserve; word < &c.abandoned; ++word) *word = 0x5555555555555555U;
         }},
    };
    for (const auto& spoil : all) {
        SCOPED_TRACE(spoil.name);
        const TempFolder folder;
        make_pages(folder);
        {
            const ForeignMap map(arena_of(folder.path()));
            ASSERT_TRUE(map);
            spoil.how(map.control());
        }
        const auto told = open_and_look(folder);
        ASSERT_EQ(told.size(), 1U);
        EXPECT_NE(told[0].find("rebuilt from the log"), std::string::npos) << told[0];
    }
}

TEST(WordsOfTheFilesThatWereWrittenOver, ArePutRightByWhoOpensAlone) {
    const Spoil all[] = {
        {"flushed, lower", [](auto& c) { c.flushed -= 64; }},
        {"flushed, far away", [](auto& c) { c.flushed = std::uint64_t{1} << 60U; }},
        {"durable", [](auto& c) { c.durable = 0; }},
        {"durable sequence", [](auto& c) { c.durable_sequence += 100; }},
        {"both seals", [](auto& c) { c.files_seal = c.files_next = 7; }},
    };
    for (const auto& spoil : all) {
        SCOPED_TRACE(spoil.name);
        const TempFolder folder;
        make_pages(folder);
        spoil.how(ForeignMap(arena_of(folder.path())).control());
        const auto told = open_and_look(folder);
        ASSERT_EQ(told.size(), 1U);
        EXPECT_NE(told[0].find("was written again"), std::string::npos) << told[0];
        remove_arena(folder.path());
        EXPECT_EQ(start_with(at(folder)).page("0").read(), filled(100, 9));
    }
}

TEST(WordsOfTheFilesThatWereWrittenOver, ShortenNoGoodPrefix) {
    const TempFolder folder;
    make_pages(folder);
    const auto all = start_with(at(folder)).sequence();
    {
        const ForeignMap map(arena_of(folder.path()));
        ASSERT_TRUE(map);
        map.control().flushed -= 64;
    }
    auto config = at(folder);
    config.open = Open::good_prefix;
    EXPECT_EQ(start_with(config).sequence(), all);
}

// What goes, goes for ever: words that anybody may write over do not decide it.
TEST(WhereThePastBegins, IsWhatTheHeaderSaysWhateverTheSharedMemoryDoes) {
    const TempFolder folder;
    const auto bus = start_with(at(folder));
    const auto page = bus.create_page(8);
    const auto made = bus.sequence();
    for (int i = 1; i <= 20; ++i) page.write(0, filled(8, i));
    bus.set_retention({.records = 1000});
    const ForeignMap map(arena_of(folder.path()));
    for (const bool higher : {true, false}) {
        auto& words = map.control();
        words.history_sequence = higher ? number(bus.sequence()) : 0;
        words.history_lsn = higher ? words.logged.load() : 0;
        bus.checkpoint();
        page.write(0, filled(8, 21));
        bus.compact();
        EXPECT_EQ(bus.oldest(), Sequence::zero);
        for (int i = 1; i <= 20; ++i)
            EXPECT_EQ(bus.at(made + static_cast<std::uint64_t>(i)).bytes(page.id()), filled(8, i));
    }
    EXPECT_TRUE(bus.verify().good);
}

TEST(ACheckpointWhoseFileIsGiven, IsReadBackBeforeItTakesTheNameOfAnother) {
    const TempFolder folder;
    fs::create_directory(folder.path());
    auto config = at(folder);
    config.path = folder / "bus";
    const auto bus = start_with(config);
    const auto page = bus.create_page(100, {.name = "a"});
    page.update(filled(100, 1));
    const auto file = folder / "kept";
    bus.checkpoint(file);
    const auto before = read_file(file);
    {
        const ForeignMap map(arena_of(folder / "bus"));
        map.control().next_page = number(page.id());  // as if no page had this one's id yet
    }
    page.update(filled(100, 2));
    EXPECT_EQ(thrown<Corrupt>([&] { static_cast<void>(bus.checkpoint(file)); })->code(),
              ErrorCode::corrupt);
    EXPECT_EQ(read_file(file), before);
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 2);  // and nothing beside
}

TEST(PagesThatOverlapInSharedMemory, AreBuiltAnewFromTheLog) {
    const TempFolder folder;
    make_pages(folder);
    {
        const ForeignMap map(arena_of(folder.path()));
        auto* const lines = reinterpret_cast<arena::PageLine*>(map.word(arena::table_at));
        lines[1].offset = lines[0].offset.load();
        map.control().allocating = 1;  // as after a death
    }
    EXPECT_EQ(open_and_look(folder).size(), 1U);
}

TEST(LocksThatNobodyHolds, KeepNobodyOutWhateverTheirWordsSay) {
    const TempFolder folder;
    make_pages(folder);
    {
        const ForeignMap map(arena_of(folder.path()));
        for (const auto lock : {arena::writers_lock_at, arena::files_lock_at})
            *map.word(lock + arena::lock_in_page) = 1;  // held by a process that lives for ever
        map.control().writer_pid = 1;
        map.control().files_pid = 1;
    }
    EXPECT_EQ(open_and_look(folder), std::vector<std::string>{});
}

// A file that is damaged is another matter: nothing is dropped.
TEST(SharedMemoryThatWasWrittenOver, IsNotBuiltFromALogThatIsDamaged) {
    const TempFolder folder;
    make_pages(folder);
    {
        const ForeignMap map(arena_of(folder.path()));
        map.control().sequence += 5;
    }
    auto config = at(folder);
    config.on_notice = [](const Notice&) {};
    const auto segment = segment_of(folder);
    flip(segment, log::segment_header_size + 200);
    EXPECT_EQ(thrown<Corrupt>([&] { static_cast<void>(start_with(config)); })->file(),
              segment.string());
    flip(segment, log::segment_header_size + 200);
    EXPECT_EQ(start_with(config).pages().size(), 4U);
}

// Its id stands in the log, and what the log says of it is not there: nobody waits for that.
TEST(APageWhoseLineWasWrittenOver, IsRefusedToWhoOpensItByItsName) {
    const TempFolder folder;
    const auto bus = start_with(at(folder));
    const auto page = bus.create_page(8, {.name = "p"});
    const ForeignMap map(arena_of(folder.path()));
    ASSERT_TRUE(map);
    std::uint32_t number_of_line = 0;
    while (map.line(number_of_line).id.load() != number(page.id()))
        ASSERT_LT(++number_of_line, map.control().lines_used.load());
    map.line(number_of_line).id.store(0);
    thrown<Error>([&] { bus.open_page("p", 8); });
    map.line(number_of_line).id.store(number(page.id()));
    EXPECT_EQ(bus.open_page("p", 8), page);
}

}  // namespace
}  // namespace mmsb::test
