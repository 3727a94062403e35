// Schedules of several processes that the commit protocol has a rule for, each set up on purpose:
// somebody is stopped or killed at a named step while others go on.
#include "crash/scenes.hpp"
#include "crash/seed.hpp"

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
        arm({.action = Action::kill, .step = "flush.flushed"});
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

}  // namespace
}  // namespace mmsb::test
