// Schedules of several processes that the commit protocol has a rule for, each set up on purpose:
// somebody is stopped or killed at a named step while others go on.
#include "crash/scenes.hpp"

#include <gtest/gtest.h>

namespace mmsb::test {
namespace {

Contents contents_at(const BusPlace& place) {
    const auto bus = place.open();
    return contents_of(bus);
}

std::size_t hash_of(const Bytes& bytes) {
    return std::hash<std::string_view>()(
        {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

// Whoever flushes after a batch whose end nobody saw writes again what is not known to be durable.
// It is stopped with the ring's bytes in its hands; a writer goes once around the ring meanwhile.
TEST(AFlusherThatMends, WritesNoBytesOfALaterLap) {
    const BusPlace place;
    Child dies([&] {
        let_timer_rest();
        const auto bus = place.open();
        make_pages(bus);
        arm({.action = Action::kill, .step = "flush.unsure"});
        bus.wait_durable(Sequence::newest);
        return 0;
    });
    ASSERT_EQ(dies.wait(), -SIGKILL);
    Child mends([&] {
        let_timer_rest();
        const auto bus = place.open();
        arm({.action = Action::stop, .step = "flush.mending"});
        bus.page("c").write(0, pattern(5, 3), {.durability = Durability::sync});
        std::_Exit(0);
        return 0;
    });
    ASSERT_TRUE(mends.wait_until_stopped());
    Child laps([&] {
        let_timer_rest();
        const auto bus = place.open();
        commit_until(bus, 1000, [&] { return left_of_ring(bus); });
        std::_Exit(0);
        return 0;
    });
    ASSERT_EQ(laps.wait(), 0);
    mends.signal(SIGCONT);
    ASSERT_EQ(mends.wait(), 0);
    const auto expected = contents_at(place);
    place.lose_arena();
    EXPECT_EQ(contents_at(place), expected);
}

// Two die one after the other while they move the same words.
TEST(TwoFlushersThatDie, LeaveWordsThatAgree) {
    const char* const steps[] = {"flush.moving", "flush.moved", "flush.flushed",
                                 "flush.durable_sequence", "flush.sure"};
    for (const auto* first : steps)
        for (const auto* second : steps) {
            SCOPED_TRACE(std::string(first) + ", " + second);
            const BusPlace place;
            for (const auto* step : {first, second}) {
                Child dies([&] {
                    let_timer_rest();
                    const auto bus = place.open();
                    const auto page = bus.open_page("p", 64);
                    arm({.action = Action::kill, .step = step});
                    page.write(0, pattern(64), {.durability = Durability::sync});
                    bus.wait_durable(Sequence::newest);
                    page.write(0, pattern(64, 2), {.durability = Durability::sync});
                    return 0;
                });
                ASSERT_EQ(dies.wait(), -SIGKILL);
            }
            auto bus = place.open();
            EXPECT_LE(number(bus.durable_sequence()), number(bus.sequence()));
            bus.page("p").write(0, pattern(64, 3), {.durability = Durability::sync});
            EXPECT_EQ(bus.durable_sequence(), bus.sequence());
            stop(std::move(bus));
        }
}

// Whoever lets go of the past reads it first. It is stopped in the middle of that; another one who
// wants to do the same must not drop what is being read.
TEST(WhoeverCompacts, IsAloneWithThePast) {
    const BusPlace place;
    {
        const auto bus = place.open();
        make_pages(bus);
        bus.set_retention({.bytes = 8});
    }
    Child one([&] {
        let_timer_rest();
        const auto bus = place.open();
        bus.page("a").write(0, pattern(9, 3));  // is in the ring only, and is reached last
        arm({.action = Action::stop, .step = "read.ring"});
        bus.compact();
        std::_Exit(0);
        return 0;
    });
    ASSERT_TRUE(one.wait_until_stopped());
    auto config = place.config();
    config.lock_timeout = std::chrono::milliseconds(20);
    const auto bus = place.open(config);
    EXPECT_THROW(bus.compact(), Busy);
    one.signal(SIGCONT);
    EXPECT_EQ(one.wait(), 0);
    bus.compact();
    EXPECT_TRUE(bus.verify().good);
}

// A large page is read in chunks. Whoever reads it is stopped behind one of them; what others do to
// the page meanwhile is in all of it, or he begins again.
struct Meanwhile {
    const char* name;
    std::function<void(const State&, const Page&)> what;
};
constexpr std::size_t large = 3 * limits::mib + 1000;
const std::vector<Meanwhile>& meanwhiles() {
    static const std::vector<Meanwhile> all{
        {"nothing", [](const State&, const Page&) {}},
        {"another page changes",
         [](const State& bus, const Page&) { bus.page("a").update(pattern(200, 5)); }},
        {"the part that was read changes",
         [](const State&, const Page& page) { page.write(10, pattern(300, 5)); }},
        {"the part that was not read changes",
         [](const State&, const Page& page) { page.write(large - 500, pattern(300, 6)); }},
        {"both change, and more than the ring holds",
         [](const State& bus, const Page& page) {
             for (unsigned n = 0; n < 400; ++n) {
                 bus.transact([&](Transaction& tx) {
                     tx.write(page, 5 + n, pattern(300, n));
                     tx.write(page, large / 2 + n, pattern(300, n + 1));
                     tx.write(page, large - 1000 + n, pattern(300, n + 2));
                 });
             }
         }},
        {"it grows", [](const State&, const Page& page) { page.resize(large + limits::mib); }},
        {"it shrinks",
         [](const State&, const Page& page) {
             page.write(3, pattern(300, 7));
             page.resize(large / 2);
         }},
        {"it becomes small", [](const State&, const Page& page) { page.resize(100); }},
    };
    return all;
}

class ALargePage : public testing::TestWithParam<unsigned> {};

TEST_P(ALargePage, IsReadAsOfOneMoment) {
    for (const auto& [name, what] : meanwhiles()) {
        SCOPED_TRACE(name);
        const BusPlace place;
        {
            const auto bus = place.open();
            bus.create_page(200, {.name = "a"});
            bus.create_page(large, {.name = "l", .contents = pattern(large)});
        }
        const Pipe found;
        Child reader([&] {
            const auto mine = place.open(place.config(Open::read_only));
            const auto there = mine.page("l");
            arm({.action = Action::stop, .step = "read.chunk", .nth = GetParam()});
            const auto read = there.read_versioned();
            disarm();
            Bytes part(limits::mib * 2);
            if (read.value.size() >= part.size() + 7) there.read_into(part, 7);
            found.write(number(read.version.epoch));
            found.write(hash_of(read.value));
            found.write(hash_of(part));
            std::_Exit(0);
            return 0;
        });
        ASSERT_TRUE(reader.wait_until_stopped());
        const auto bus = place.open();
        const auto page = bus.page("l");
        what(bus, page);
        reader.signal(SIGCONT);
        const auto now = page.read_versioned();
        EXPECT_EQ(found.read<std::uint64_t>(), number(now.version.epoch));
        EXPECT_EQ(found.read<std::size_t>(), hash_of(now.value));
        Bytes part(limits::mib * 2);
        if (now.value.size() >= part.size() + 7)
            std::copy_n(now.value.begin() + 7, part.size(), part.begin());
        EXPECT_EQ(found.read<std::size_t>(), hash_of(part));
        ASSERT_EQ(reader.wait(), 0);
    }
}

INSTANTIATE_TEST_SUITE_P(StoppedBehindChunk, ALargePage, testing::Values(1U, 2U, 4U));

// Its new place lies behind the old one, where the memory ends sooner than its old size says.
TEST(APageThatShrinks, IsReadWhileItsWriterIsStoppedInTheMiddle) {
    for (const auto* step : {"apply.moved", "apply.smaller", "apply.place", "apply.bytes"}) {
        SCOPED_TRACE(step);
        const BusPlace place;
        {
            const auto bus = place.open();
            bus.create_page(200 * limits::mib, {.name = "p", .contents = pattern(5000)});
        }
        Child writer([&] {
            let_timer_rest();
            const auto bus = place.open();
            arm({.action = Action::stop, .step = step});
            bus.page("p").resize(5000);
            std::_Exit(0);
            return 0;
        });
        ASSERT_TRUE(writer.wait_until_stopped());
        for (const auto open : {Open::read_only, Open::existing}) {
            const auto bus = place.open(place.config(open));
            EXPECT_EQ(bus.page("p").size(), 5000U);
            EXPECT_EQ(bus.page("p").read(), pattern(5000));
        }
        writer.signal(SIGCONT);
        ASSERT_EQ(writer.wait(), 0);
        EXPECT_EQ(place.open().page("p").read(), pattern(5000));
    }
}

// The last one that leaves has the bus for himself alone for a moment. Whoever comes then waits for
// him, and does not take him for somebody in another container.
TEST(WhoeverLeaves, IsNeverTakenForSomebodyElsewhere) {
    const BusPlace place;
    {
        const auto bus = place.open();
    }
    const auto come_and_go = [&] {
        for (int n = 0; n < 150; ++n) {
            auto bus = place.open();
            stop(std::move(bus));
        }
        return 0;
    };
    Child one(come_and_go), other(come_and_go), third(come_and_go);
    EXPECT_EQ(one.wait(), 0);
    EXPECT_EQ(other.wait(), 0);
    EXPECT_EQ(third.wait(), 0);
}

// Whoever has looked past a writer knows an edge that is not applied yet: no page tells of it.
TEST(Verify, IsGoodBesideAWriterThatIsStoppedInAStructuralCommit) {
    for (const auto* step : {"commit.logged", "commit.allocated", "commit.structure_idle",
                             "commit.sealed", "commit.applied"}) {
        SCOPED_TRACE(step);
        const BusPlace place;
        const auto bus = place.open();
        const auto a = bus.create_page(100, {.name = "a"});
        static_cast<void>(bus.create_page(100, {.name = "b"}));
        Child stops([&] {
            let_timer_rest();
            const auto theirs = place.open();
            arm({.action = Action::stop, .step = step});
            theirs.graph().add_dependency(theirs.page("a"), theirs.page("b"), EdgeType::data);
            std::_Exit(0);
            return 0;
        });
        ASSERT_TRUE(stops.wait_until_stopped());
        EXPECT_FALSE(bus.find_page("absent"));
        EXPECT_EQ(bus.graph().children(a.id()).size(), 1U);
        EXPECT_TRUE(bus.verify().good);
        stops.signal(SIGKILL);
        EXPECT_EQ(stops.wait(), -SIGKILL);
    }
}

// A deletion that is logged and not applied may be in a catalog already, of whoever read past its
// dead writer: not in a checkpoint before it is applied, else who joins there could not redo it.
TEST(TheStructureOfACheckpoint, IsNotAheadOfThePages) {
    const TempFolder folder;
    const auto bus = start_with(at(folder));
    const auto page = bus.create_page(100, {.name = "page"});
    static_cast<void>(bus.create_page(100, {.name = "doomed"}));
    Child deletes([&] {
        const auto theirs = start_with(at(folder));
        let_timer_rest();
        arm({.action = Action::kill, .step = "commit.logged"});
        theirs.delete_page(theirs.page("doomed"));
        return 0;
    });
    EXPECT_EQ(deletes.wait(), -SIGKILL);
    Child looks([&] {
        const auto theirs = start_with(at(folder));
        if (theirs.find_page("doomed")) return 1;
        theirs.checkpoint();
        std::_Exit(0);
    });
    EXPECT_EQ(looks.wait(), 0);
    Child joins([&] {
        const auto theirs = start_with(at(folder));
        theirs.page("page").update(filled(100, 7));
        return theirs.verify().good && !theirs.find_page("doomed") ? 0 : 1;
    });
    EXPECT_EQ(joins.wait(), 0);
    page.update(filled(100, 8));
    EXPECT_TRUE(bus.verify().good);
}

// Whoever is about to open a bus has read its header; then others, who had it, drop some of the
// past and die.
TEST(WhereThePastBegins, IsReadAgainByWhoFindsHimselfAlone) {
    const TempFolder folder;
    const Pipe ready, go;
    Child other([&] {
        const auto theirs = start_with(at(folder));
        const auto page = theirs.create_page(9'000, {.name = "page"});
        for (unsigned i = 0; i < 30; ++i) {
            page.update(pattern(9'000, i + 1));
            if (i % 10 == 9) theirs.compact(theirs.sequence());
        }
        ready.write('r');
        static_cast<void>(go.read<char>());
        for (unsigned i = 0; i < 30; ++i) {
            page.update(pattern(9'000, i + 100));
            if (i % 10 == 9) theirs.compact(theirs.sequence());
        }
        ::raise(SIGKILL);
        return 0;
    });
    ASSERT_TRUE(ready.read<char>());
    arm({.action = Action::call, .step = "attach.header", .called = [&](unsigned) {
             go.write('g');
             EXPECT_EQ(other.wait(), -SIGKILL);
         }});
    const auto bus = start_with(at(folder));
    disarm();
    EXPECT_GT(number(bus.oldest()), 30U);
    EXPECT_EQ(bus.at(bus.oldest()).pages().size(), 1U);
    EXPECT_TRUE(bus.verify().good);
}

}  // namespace
}  // namespace mmsb::test
