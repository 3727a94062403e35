// Any sequence of operations gives the bytes, epochs, names and order of a plain std::map; so do
// opening the bus again, rebuilding it from its log, and looking back at every sequence.
//
// RapidCheck prints its seed; RC_PARAMS="seed=N" repeats a run.
#include "property/driver.hpp"

#include <gtest/gtest.h>

namespace mmsb::test {
namespace {

using Ops = std::vector<Op>;

rc::Gen<Ops> any_ops() { return rc::gen::container<Ops>(any_op()); }

void perform_all(Driver& driver, const Ops& ops) {
    for (const auto& op : ops) driver.perform(op);
}

TEST(AnySequenceOfOperations, GivesWhatAMapGivesOnAPrivateBus) {
    EXPECT_TRUE(rc::check([] {
        const auto ops = *any_ops();
        const auto bus = start_with({});
        Driver driver(bus);
        perform_all(driver, ops);
        driver.check_past();
        RC_ASSERT(bus.verify().good);
    }));
}

TEST(AnySequenceOfOperations, GivesWhatAMapGivesOverOpeningsAndRebuilds) {
    EXPECT_TRUE(rc::check([] {
        const TempFolder folder;
        const auto rounds =
            *rc::gen::resize(4, rc::gen::container<std::vector<std::pair<bool, Ops>>>(rc::gen::pair(
                                    rc::gen::arbitrary<bool>(), rc::gen::resize(30, any_ops()))));
        auto bus = start_with(at(folder));
        Driver driver(bus);
        for (const auto& [rebuild, ops] : rounds) {
            stop(std::move(bus));
            if (rebuild) remove_arena(folder.path());
            bus = start_with(at(folder));
            RC_ASSERT(!bus.recovery().needed);
            driver.check_now();
            perform_all(driver, ops);
        }
        driver.check_past();
        RC_ASSERT(bus.verify().good);
        // And for one who only looks, with and without the shared memory.
        stop(std::move(bus));
        for (const bool rebuild : {false, true}) {
            if (rebuild) remove_arena(folder.path());
            bus = start({.path = folder.path(), .open = Open::read_only});
            driver.check_now();
            RC_ASSERT(bus.verify().good);
        }
        driver.check_past();
    }));
}

TEST(AnySequenceOfOperations, GivesWhatAMapGivesWhereThePastIsFoldedAway) {
    EXPECT_TRUE(rc::check([] {
        const auto ops = *rc::gen::resize(200, any_ops());
        const auto bus = start_with({.max_tlog_size = 20000});
        Driver driver(bus);
        for (const auto& op : ops)
            if (op.kind != Kind::restore) driver.perform(op);
        for (const auto& then : driver.past()) {
            try {
                RC_ASSERT(contents_of(bus.at(Sequence{then.sequence})) == then);
            } catch (const HistoryDropped& e) {
                RC_ASSERT(then.sequence < number(e.oldest()));
            }
        }
        RC_ASSERT(bus.verify().good);
    }));
}

}  // namespace
}  // namespace mmsb::test
