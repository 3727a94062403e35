// Whoever opens or leaves a bus is killed at every named step of it: a new bus, one that was closed
// or whose last process was killed, with its shared memory or without. The next one opens it and
// finds everything.
#include "crash/saved_bus.hpp"
#include "crash/seed.hpp"
#include "crash/steps.hpp"
#include "support/child.hpp"
#include "support/contents.hpp"

#include <gtest/gtest.h>

namespace mmsb::test {
namespace {

// A few pages, some of them gone again; all of it is in the files.
void make_some(const State& bus) {
    const auto a = bus.create_page(100, {.name = "a", .contents = pattern(100)});
    const auto b = bus.create_page(6000, {.name = "b", .metadata = {{"k", "v"}}});
    bus.delete_page(bus.create_page(10, {.name = "c"}));
    b.resize(300);
    for (unsigned n = 2; n < 6; ++n)
        bus.transact([&](Transaction& tx) {
            tx.update(a, pattern(100, n));
            tx.update(b, pattern(300, n));
        });
    bus.wait_durable(Sequence::newest);
}

fs::path newest_segment(const BusPlace& place) {
    fs::path newest;
    for (const auto& entry : fs::directory_iterator(place.root() / "bus" / "log"))
        if (entry.path().extension() == ".seg") newest = std::max(newest, entry.path());
    return newest;
}

// What a power cut may leave behind the last record: other bytes.
void tear_tail(const BusPlace& place) {
    const auto file = newest_segment(place);
    auto bytes = read_file(file);
    bytes.resize(bytes.find_last_not_of('\0') / 8 * 8 + 16);
    write_file(file, bytes + std::string(100, '\x5a'));
}

struct Kind {
    const char* name;
    std::function<void(const BusPlace&)> make;
};

void make_and_close(const BusPlace& place) {
    auto bus = place.open();
    make_some(bus);
    stop(std::move(bus));
}
void make_and_die(const BusPlace& place) {
    Child child([&] {
        const auto bus = place.open();
        make_some(bus);
        std::_Exit(0);
        return 0;
    });
    ASSERT_EQ(child.wait(), 0);
}

const std::vector<Kind>& kinds() {
    static const std::vector<Kind> all = {
        {"ANewBus", [](const BusPlace&) {}},
        {"AClosedBus", make_and_close},
        {"AKilledBus", make_and_die},
        {"AClosedBusWithoutItsArena",
         [](const BusPlace& place) {
             make_and_close(place);
             place.lose_arena();
         }},
        {"AKilledBusWithoutItsArena",
         [](const BusPlace& place) {
             make_and_die(place);
             place.lose_arena();
         }},
        {"ATornBusWithoutItsArena",
         [](const BusPlace& place) {
             make_and_die(place);
             place.lose_arena();
             tear_tail(place);
         }},
    };
    return all;
}

class Opening : public testing::TestWithParam<Kind> {};

// Opens, looks, leaves; killed at the nth step, if there are so many. Its exit code, or -SIGKILL.
int open_and_leave(const BusPlace& place, unsigned nth, const Pipe* trace = nullptr) {
    Child child([&] {
        let_timer_rest();
        arm({.action = Action::kill, .nth = nth});
        auto bus = place.open();
        stop(std::move(bus));
        const auto met = disarm();
        if (trace != nullptr)
            for (const auto step : met) trace->write(step);
        return 0;
    });
    return child.wait();
}

// Everything is there, and the bus goes on from here.
void check(const BusPlace& place, const Contents& expected) {
    Contents last;
    {
        auto bus = place.open();
        ASSERT_EQ(contents_of(bus), expected);
        ASSERT_TRUE(bus.verify().good);
        bus.create_page(700, {.name = "later", .contents = pattern(700)});
        if (const auto a = bus.find_page("a")) a->write(3, pattern(90, 9));
        last = contents_of(bus);
        stop(std::move(bus));
    }
    {
        const auto bus = place.open();
        ASSERT_EQ(contents_of(bus), last);
    }
    place.lose_arena();
    const auto bus = place.open();
    ASSERT_EQ(contents_of(bus), last);
    ASSERT_TRUE(bus.verify().good);
}

Contents contents_at(const BusPlace& place) {
    const auto bus = place.open();
    return contents_of(bus);
}

TEST_P(Opening, IsCutShortAtEachStepAndTheNextOneFindsEverything) {
    const BusPlace place;
    GetParam().make(place);
    const SavedBus saved(place);
    const auto expected = contents_at(place);
    saved.restore();
    Pipe steps;
    ASSERT_EQ(open_and_leave(place, 0, &steps), 0);
    steps.close_writing();
    unsigned nth = 0;
    std::map<std::uint16_t, unsigned> met;
    while (const auto step = steps.read<std::uint16_t>()) {
        ++nth;
        // One record replayed is like another.
        if (++met[*step] > cases(3U, 1U) && (nth + seed()) % every(8) != 0) continue;
        SCOPED_TRACE("killed at " + std::string(name_of(*step)) + ", step " + std::to_string(nth));
        saved.restore();
        ASSERT_EQ(open_and_leave(place, nth), -SIGKILL);
        check(place, expected);
        if (HasFatalFailure()) return;
    }
    std::printf("%u steps\n", nth);
}

TEST_P(Opening, IsCutShortAgainAndAgain) {
    const BusPlace place;
    GetParam().make(place);
    const SavedBus saved(place);
    const auto expected = contents_at(place);
    saved.restore();
    // Each death leaves more to recover, so that it does not end by itself.
    const unsigned most = is_long() ? 300 : cases(60U, 20U);
    unsigned nth = 1;
    while (nth < most && open_and_leave(place, nth) == -SIGKILL) ++nth;
    check(place, expected);
    std::printf("%u deaths\n", nth - 1);
}

// The same beside a process that has the bus open and goes on.
TEST_P(Opening, IsCutShortBesideAProcessThatGoesOn) {
    const BusPlace place;
    GetParam().make(place);
    Pipe ready, go;
    Child other([&] {
        go.close_writing();
        const auto bus = place.open();
        const auto page = bus.open_page("counter", 8);
        ready.write('r');
        for (std::uint64_t n = 1; go.read<char>(); ++n) {
            page.update(std::as_bytes(std::span(&n, 1)));
            ready.write('d');
        }
        return 0;
    });
    go.close_reading();
    ready.close_writing();
    ASSERT_TRUE(ready.read<char>());
    unsigned nth = 1;
    const unsigned most = 200;
    while (nth < most && open_and_leave(place, nth) == -SIGKILL) {
        go.write('g');
        ASSERT_TRUE(ready.read<char>()) << "it does not go on behind step " << nth;
        ++nth;
    }
    go.close_writing();
    EXPECT_EQ(other.wait(), 0);
    const auto bus = place.open();
    EXPECT_FALSE(bus.recovery().needed);
    std::uint64_t count = 0;
    bus.page("counter").read_into(std::as_writable_bytes(std::span(&count, 1)));
    EXPECT_EQ(count, nth - 1);
    EXPECT_TRUE(bus.verify().good);
    std::printf("%u deaths\n", nth - 1);
}

INSTANTIATE_TEST_SUITE_P(Of, Opening, testing::ValuesIn(kinds()),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace mmsb::test
