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

}  // namespace
}  // namespace mmsb::test
