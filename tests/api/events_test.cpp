// Events: what follows from the log is told to every reader alike, however late it comes; functions
// that are told run on one thread, in order, and harm nobody.
#include "api/derived.hpp"
#include "support/child.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <sstream>
#include <thread>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using Type = EventType;

std::vector<Event> all_of(Events events) {
    std::vector<Event> all;
    for (const auto& event : events) all.push_back(event);
    return all;
}
std::vector<Type> types_of(const std::vector<Event>& events) {
    std::vector<Type> types;
    for (const auto& event : events) types.push_back(event.type);
    return types;
}

/// What was told, from the thread that tells.
class Told {
public:
    void operator()(const Event& event) {
        const std::lock_guard lock(mutex_);
        events_.push_back(event);
    }
    std::vector<Event> events() {
        const std::lock_guard lock(mutex_);
        return events_;
    }

private:
    std::mutex mutex_{};
    std::vector<Event> events_{};
};

// Something of everything.
void work(const State& bus) {
    const auto a = bus.create_page(4, {.name = "a", .contents = bytes_of("abcd")});
    const auto b = bus.create_page(4), c = bus.create_page(4), d = bus.create_page(4);
    bus.graph().derive(b, {a}, formula::copy());
    bus.graph().derive(c, {b}, formula::call("nobody.has/1"));
    bus.graph().add_dependency(a, d, EdgeType::compiler);
    bus.graph().add_dependency(b, d, EdgeType::gpu_sync);
    a.write(0, bytes_of("x"), {.source = "someone", .tag = 7});
    d.write(0, bytes_of("made"));
    d.resize(2);
    bus.delete_page(d);
}

TEST(Events, FollowFromTheLogInItsOrder) {
    const auto bus = start({.source = "test"});
    work(bus);
    const auto all = all_of(bus.events({.from = Sequence{1}}));
    EXPECT_THAT(types_of(all),
                ElementsAre(Type::page_created, Type::page_changed, Type::page_created,
                            Type::page_created, Type::page_created,  // a, b, c, d
                            Type::page_changed, Type::propagated,    // b from a
                            Type::page_stale,                        // c
                            Type::page_changed, Type::page_changed, Type::page_stale,
                            Type::artefact_invalidated, Type::device_sync_needed,
                            Type::propagated,                      // a, b, d
                            Type::page_changed, Type::page_fresh,  // d
                            Type::page_resized, Type::page_deleted));
    const auto& written = all.at(8);
    EXPECT_EQ(written.page, bus.page("a").id());
    EXPECT_EQ(written.source, "someone");
    EXPECT_EQ(written.tag, 7U);
    EXPECT_EQ(written.epoch, Epoch{1});
    EXPECT_EQ(all.at(7).source, "test");
    EXPECT_EQ(all_of(bus.events({.from = Sequence{1}})), all);
    const auto some = all_of(bus.events({.pages = {written.page},
                                         .types = {Type::page_changed},
                                         .from = Sequence{2},
                                         .to = written.sequence}));
    EXPECT_THAT(some, ElementsAre(written));
}

TEST(Events, AreTheSameHoweverLateTheyAreRead) {
    const TempFolder folder;
    std::vector<Event> first;
    {
        const auto bus = start(at(folder));
        work(bus);
        first = all_of(bus.events({.from = Sequence{1}}));
        EXPECT_GT(first.size(), 10U);
    }
    remove_arena(folder.path());
    const auto bus = start(at(folder));
    EXPECT_EQ(all_of(bus.events({.from = Sequence{1}})), first);
    bus.checkpoint();
    for (std::uint64_t from = 1; from <= number(bus.sequence()); ++from) {
        auto expected = first;
        std::erase_if(expected, [&](const Event& e) { return number(e.sequence) < from; });
        EXPECT_EQ(all_of(bus.events({.from = Sequence{from}})), expected) << from;
    }
    bus.create_page(1);
    bus.checkpoint();
    bus.compact(bus.sequence());
    EXPECT_THROW(static_cast<void>(bus.events({.from = Sequence{1}})), HistoryDropped);
}

TEST(Events, AreWaitedFor) {
    const auto bus = start();
    const auto page = bus.create_page(1);
    auto events = bus.events();
    EXPECT_FALSE(events.next(1ms).has_value());
    std::thread writer([&] { page.update(byte(1)); });
    const auto event = events.next(10s);
    writer.join();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event->type, Type::page_changed);
    auto upto = bus.events({.from = Sequence{1}, .to = Sequence{1}});
    EXPECT_TRUE(upto.next().has_value());
    EXPECT_FALSE(upto.next().has_value());
}

TEST(ASubscription, IsToldInCommitOrderAfterTheCommit) {
    const auto bus = start();
    const auto source = bus.create_page(1), derived = bus.create_page(1);
    bus.graph().derive(derived, {source}, formula::copy());
    Told told;
    std::atomic<int> seen{-1};
    const auto subscription = bus.subscribe({.pages = {derived}}, [&](const Event& event) {
        told(event);
        seen = byte_of(derived);
    });
    Committed last;
    for (int i = 1; i <= 100; ++i) last = source.update(byte(i));
    EXPECT_TRUE(subscription.wait_for(last.sequence, 20s));
    const auto events = told.events();
    ASSERT_EQ(events.size(), 100U);
    for (std::size_t i = 0; i != events.size(); ++i)
        EXPECT_EQ(events[i].sequence, last.sequence - 99 + i);
    EXPECT_EQ(seen, 100);
    EXPECT_FALSE(subscription.wait_for(last.sequence + 1, 1ms));
}

TEST(ASubscription, FromThePastMissesNothingAndIsToldOfCheckpoints) {
    const TempFolder folder;
    const auto bus = start(at(folder));
    work(bus);
    Told told;
    const auto subscription = bus.subscribe({.from = Sequence{1}}, std::ref(told));
    EXPECT_TRUE(subscription.wait_for(bus.sequence(), 20s));
    EXPECT_EQ(told.events(), all_of(bus.events({.from = Sequence{1}})));
    const auto before = told.events().size();
    const auto kept = bus.checkpoint();
    while (told.events().size() == before) std::this_thread::sleep_for(1ms);
    EXPECT_EQ(told.events().back().type, Type::checkpoint_done);
    EXPECT_EQ(told.events().back().sequence, kept);
}

TEST(ASubscription, ThatThrowsHarmsNobody) {
    std::atomic<int> notices{0};
    const auto bus = start({.on_notice = [&](const Notice&) { ++notices; }});
    const auto page = bus.create_page(1);
    Told told;
    const auto bad = bus.subscribe({}, [](const Event&) { throw std::runtime_error("no"); });
    const auto good = bus.subscribe({}, std::ref(told));
    page.update(byte(1));
    const auto second = page.update(byte(2));
    EXPECT_TRUE(bad.wait_for(second.sequence, 20s));
    EXPECT_TRUE(good.wait_for(second.sequence, 20s));
    EXPECT_EQ(told.events().size(), 2U);
    EXPECT_EQ(notices, 2);
    EXPECT_THROW(static_cast<void>(bus.subscribe({}, nullptr)), InvalidArgument);
}

TEST(AnEvent, SaysInALineWhatItKnows) {
    const auto said = [](Event event) {
        event.sequence = Sequence{7};
        std::ostringstream out;
        out << event;
        return out.str();
    };
    const Event changed{.page = PageId{3}, .epoch = Epoch{2}, .source = "robot"};
    EXPECT_EQ(said(changed), "sequence 7 page_changed page 3 epoch 2 robot");
    EXPECT_EQ(said({.type = Type::device_sync_needed, .page = PageId{3}}),
              "sequence 7 device_sync_needed page 3");
    EXPECT_EQ(said({.type = Type::propagated}), "sequence 7 propagated");
}

TEST(ASubscription, EndsWithItsObject) {
    const auto bus = start();
    const auto page = bus.create_page(1);
    Told told;
    {
        const auto subscription = bus.subscribe({}, std::ref(told));
        EXPECT_TRUE(subscription.wait_for(page.update(byte(1)).sequence, 20s));
    }
    page.update(byte(2));
    EXPECT_EQ(told.events().size(), 1U);
    // One that ends itself; commits from inside; and may not wait or stop.
    std::optional<Subscription> self;
    std::atomic<int> calls{0};
    std::atomic<bool> ready{false}, refused{false}, ended{false};
    self = bus.subscribe({.types = {Type::page_changed}}, [&](const Event& event) {
        while (!ready) std::this_thread::yield();
        try {
            static_cast<void>(self->wait_for(event.sequence));
        } catch (const WrongContext&) {
            refused = true;
        }
        ++calls;
        bus.create_page(1);
        self.reset();
        ended = true;
    });
    ready = true;
    page.update(byte(3));
    page.update(byte(4));
    while (!ended) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(calls, 1);
    EXPECT_TRUE(refused);
}

TEST(ASubscription, EndsWithItsState) {
    auto bus = start();
    const auto page = bus.create_page(1);
    Told told;
    auto subscription = bus.subscribe({}, std::ref(told));
    std::thread waiter(
        [&] { EXPECT_THROW(static_cast<void>(subscription.wait_for(Sequence{1000})), BusClosed); });
    page.update(byte(1));
    std::this_thread::sleep_for(20ms);
    stop(std::move(bus));
    waiter.join();
    EXPECT_THROW(static_cast<void>(subscription.wait_for(Sequence{1})), BusClosed);
}

TEST(ASubscription, ThatIsBeingStoppedIsNotDestroyedWhileItsFunctionRuns) {
    auto bus = start();
    const auto page = bus.create_page(1);
    std::atomic<bool> runs{false}, done{false};
    std::optional<Subscription> subscription = bus.subscribe({}, [&](const Event&) {
        runs = true;
        std::this_thread::sleep_for(50ms);
        done = true;
    });
    page.update(byte(1));
    while (!runs) std::this_thread::yield();
    std::thread stopper([&] { stop(std::move(bus)); });
    std::this_thread::sleep_for(10ms);
    subscription.reset();
    EXPECT_TRUE(done);
    stopper.join();
}

TEST(ASubscription, MayEndItselfAndBeginAnotherWhileTheLastOneEnds) {
    const auto bus = start();
    const auto page = bus.create_page(1);
    std::optional<Subscription> first, second;
    std::atomic<bool> inside{false}, begun{false};
    first = bus.subscribe({}, [&](const Event&) {
        if (inside.exchange(true)) return;
        std::this_thread::sleep_for(30ms);  // until the other one is being ended
        first.reset();
        second = bus.subscribe({}, [](const Event&) {});
        begun = true;
    });
    std::optional<Subscription> other = bus.subscribe({}, [](const Event&) {});
    page.update(byte(1));
    while (!inside) std::this_thread::yield();
    other.reset();
    while (!begun) std::this_thread::sleep_for(1ms);
    EXPECT_TRUE(second->wait_for(page.update(byte(2)).sequence, 20s));
}

TEST(ASubscription, WithAnEndHasToldEverythingBehindIt) {
    const auto bus = start();
    const auto page = bus.create_page(1);
    page.update(byte(1));
    const auto subscription =
        bus.subscribe({.from = Sequence{1}, .to = Sequence{1}}, [](const Event&) {});
    EXPECT_TRUE(subscription.wait_for(Sequence{100}, 20s));
}

TEST(ASubscription, IsToldOfAGapWhereThePastIsDroppedBeforeIt) {
    const auto bus = start_with({.max_tlog_records = 4});
    const auto page = bus.create_page(1);
    Told told;
    std::atomic<bool> go{false};
    const auto subscription = bus.subscribe({}, [&](const Event& event) {
        told(event);
        while (!go) std::this_thread::sleep_for(1ms);
    });
    Committed last;
    for (int i = 0; i < 20'000; ++i) last = page.update(byte(i % 251));
    go = true;
    EXPECT_TRUE(subscription.wait_for(last.sequence, 20s));
    EXPECT_THAT(types_of(told.events()), testing::Contains(Type::gap));
}

TEST(ASubscription, IsToldOfAGapWhateverItsFilterSays) {
    const auto bus = start_with({.max_tlog_records = 4});
    const auto page = bus.create_page(1);
    for (const EventFilter& filter :
         {EventFilter{.pages = {page.id()}}, EventFilter{.types = {Type::page_changed}},
          EventFilter{.to = Sequence{1'000'000}}}) {
        Told told;
        std::atomic<bool> go{false};
        const auto subscription = bus.subscribe(filter, [&](const Event& event) {
            told(event);
            while (!go) std::this_thread::sleep_for(1ms);
        });
        Committed last;
        for (int i = 0; i < 20'000; ++i) last = page.update(byte(i % 251));
        go = true;
        EXPECT_TRUE(subscription.wait_for(Sequence::newest, 20s));
        EXPECT_THAT(types_of(told.events()), testing::Contains(Type::gap));
    }
}

TEST(SubscriptionsAcrossProcesses, AreToldOfWhatOthersCommit) {
    const TempFolder folder;
    const auto bus = start(at(folder));
    const auto page = bus.create_page(1, {.name = "p"});
    Pipe ready;
    Child child([&] {
        const auto theirs = start(at(folder));
        Told told;
        const auto subscription = theirs.subscribe({}, std::ref(told));
        ready.write<int>(1);
        if (!subscription.wait_for(Sequence{11}, 20s)) return 1;
        return told.events().size() == 10 ? 0 : 2;
    });
    EXPECT_TRUE(ready.read<int>().has_value());
    for (int i = 1; i <= 10; ++i) page.update(byte(i));
    EXPECT_EQ(child.wait(), 0);
}

// As State::register_recompute says.
TEST(SubscriptionsAcrossProcesses, KeepFreshWhatOthersHaveNoFunctionFor) {
    const TempFolder folder;
    Pipe ready;
    Child other([&] {
        if (!ready.read<int>()) return 1;
        const auto theirs = start(at(folder));
        const auto a = theirs.page("a"), c = theirs.page("c");
        for (int i = 1; i <= 20; ++i) {
            auto seen = a.update(byte(i)).sequence;
            while (c.info().stale)
                if (const auto newer = theirs.wait(seen, 20s); newer)
                    seen = *newer;
                else
                    return 2;
            if (byte_of(c) != i + 1) return 3;
        }
        return 0;
    });
    const auto bus = start(at(folder));
    add_next(bus);
    const auto a = bus.create_page(1, {.name = "a"}), b = bus.create_page(1),
               c = bus.create_page(1, {.name = "c"});
    bus.graph().derive(b, {a}, formula::call("test.next/1"));
    bus.graph().derive(c, {b}, formula::copy());
    const auto fresh = bus.subscribe({.types = {Type::page_stale}},
                                     [&](const Event&) { bus.graph().propagate(); });
    ready.write<int>(1);
    EXPECT_EQ(other.wait(), 0);
    EXPECT_FALSE(b.info().stale || c.info().stale);
    EXPECT_TRUE(bus.verify({.recompute_every = 1}).good);
}

}  // namespace
}  // namespace mmsb::test
