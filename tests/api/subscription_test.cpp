// Subscriptions beside each other, and what their functions have.
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

TEST(ASubscription, ThatIsFarBehindTakesTurnsWithOthers) {
    constexpr unsigned commits = 20'000;
    const auto bus = start();
    const auto page = bus.create_page(4);
    const auto first = bus.sequence() + 1;
    for (unsigned i = 0; i != commits; ++i) page.write(0, pattern(4, i + 1));
    std::atomic<bool> are_both_there{false};
    std::atomic<unsigned> told{0}, when_the_other_was_told{0};
    std::atomic<bool> in_order{true};
    const auto behind = bus.subscribe({.pages = {page}, .from = first}, [&](const Event& event) {
        while (!are_both_there.load()) std::this_thread::yield();
        if (event.sequence != first + told.fetch_add(1)) in_order = false;
    });
    const auto other = bus.subscribe({.pages = {page}, .from = bus.sequence()},
                                     [&](const Event&) { when_the_other_was_told = told.load(); });
    are_both_there = true;
    EXPECT_TRUE(other.wait_for(bus.sequence(), 60s));
    EXPECT_LT(when_the_other_was_told, commits);
    EXPECT_TRUE(behind.wait_for(bus.sequence(), 60s));
    EXPECT_EQ(told, commits);
    EXPECT_TRUE(in_order);
}

TEST(ASubscription, MayHaveTheStateThatItIsOf) {
    auto bus = std::make_shared<State>(start());
    const std::weak_ptr<State> seen = bus;
    std::optional<Subscription> subscription = bus->subscribe({}, [bus](const Event&) {});
    bus.reset();
    EXPECT_FALSE(seen.expired());
    subscription.reset();
    EXPECT_TRUE(seen.expired());
}

}  // namespace
}  // namespace mmsb::test
