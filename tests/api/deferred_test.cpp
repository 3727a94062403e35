// Derived pages that are computed later: when they are asked for, the urgent ones first.
#include "api/derived.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace mmsb::test {
namespace {

TEST(DeferredPropagation, ComputesEachPageOnceWhenAsked) {
    const auto bus = start();
    int calls = 0;
    add_next(bus, &calls);
    const auto a = bus.create_page(1), b = bus.create_page(1), c = bus.create_page(1);
    bus.graph().derive(b, {a}, formula::call("test.next/1"));
    bus.graph().derive(c, {b}, formula::call("test.next/1"));
    calls = 0;
    for (int i = 1; i <= 10; ++i) a.update(byte(i), {.propagation = Propagation::deferred});
    EXPECT_EQ(calls, 0);
    EXPECT_TRUE(b.info().stale && c.info().stale);
    EXPECT_EQ(b.info().epoch, Epoch{1});
    EXPECT_EQ(bus.graph().propagate(), 2U);
    EXPECT_EQ(calls, 2);
    EXPECT_EQ(byte_of(c), 12);
    const auto seen = bus.sequence();
    EXPECT_EQ(bus.graph().propagate(), 0U);
    EXPECT_EQ(bus.sequence(), seen);
}

TEST(DeferredPropagation, GoesOnBesideAWriterThatIsAlwaysQuicker) {
    const auto bus = start();
    constexpr std::size_t pages = 12;
    std::vector<Page> sources, derived;
    // Whoever computes a page before the one ahead of it is committed is overtaken.
    bus.register_recompute("test.slow/1", [&](Recompute& r) {
        const auto at = std::to_integer<std::size_t>(r.arguments()[0]);
        if (at != 0 && derived[at - 1].read_versioned().version.stale)
            std::thread([&] {
                const auto more = byte(byte_of(sources[at - 1]) + 1);
                sources[at - 1].update(more, {.propagation = Propagation::deferred});
            }).join();
        r.out()[0] = r.parent(0)[0];
    });
    for (std::size_t i = 0; i != pages; ++i) {
        sources.push_back(bus.create_page(1));
        derived.push_back(bus.create_page(1));
        const auto at = byte(static_cast<int>(i));
        bus.graph().derive(derived[i], {sources[i]}, formula::call("test.slow/1", at));
    }
    for (const auto& source : sources)
        source.update(byte(100), {.propagation = Propagation::deferred});
    EXPECT_GE(bus.graph().propagate(), pages);
    for (std::size_t i = 0; i != pages; ++i) {
        EXPECT_FALSE(derived[i].read_versioned().version.stale) << i;
        EXPECT_EQ(derived[i].read(), sources[i].read()) << i;
    }
    EXPECT_EQ(bus.graph().propagate(), 0U);
}

TEST(DeferredPropagation, ComputesWhatIsUrgentFirstAndWhatThatNeeds) {
    const auto bus = start();
    std::string order;
    const auto add = [&](const char* name, char letter, int priority) {
        bus.register_recompute(name,
                               [&order, letter](Recompute& r) {
                                   r.out()[0] = r.parent(0)[0];
                                   order += letter;
                               },
                               {.priority = priority});
    };
    add("test.urgent/1", 'u', 7);
    add("test.needed/1", 'n', -3);
    add("test.usual/1", 'x', 0);
    const auto a = bus.create_page(1), usual = bus.create_page(1), behind = bus.create_page(1),
               needed = bus.create_page(1), urgent = bus.create_page(1);
    bus.graph().derive(usual, {a}, formula::call("test.usual/1"));
    bus.graph().derive(needed, {a}, formula::call("test.needed/1"));
    bus.graph().derive(urgent, {needed}, formula::call("test.urgent/1"));
    bus.graph().derive(behind, {urgent}, formula::call("test.usual/1"));
    order.clear();
    a.update(byte(3), {.propagation = Propagation::deferred});
    const auto before = bus.sequence();
    EXPECT_EQ(bus.graph().propagate(), 4U);
    EXPECT_EQ(order.substr(0, 2), "nu");
    EXPECT_EQ(order.substr(2), "xx");
    EXPECT_EQ(bus.sequence(), before + 2);
    const auto first = bus.at(before + 1);
    for (const auto& page : first.pages())
        EXPECT_EQ(page.stale, page.id == usual.id() || page.id == behind.id()) << page.id;
    EXPECT_EQ(byte_of(behind), 3);
    EXPECT_TRUE(bus.verify().good);
}

TEST(AFunctionThatAccumulates, IsNeverDeferred) {
    const auto bus = start();
    bus.register_recompute(
        "test.sum/1",
        [](Recompute& r) { r.out<std::uint64_t>()[0] += r.parent<std::uint64_t>(0)[0]; },
        {.accumulates = true});
    const auto a = bus.create<std::uint64_t>(), sum = bus.create<std::uint64_t>();
    bus.graph().derive(sum, {a}, formula::call("test.sum/1"));
    for (std::uint64_t i = 1; i <= 10; ++i)
        a.update(i, {.propagation = i % 2 == 0 ? Propagation::deferred : Propagation::immediate});
    EXPECT_EQ(sum.read(), 55U);
}

}  // namespace
}  // namespace mmsb::test
