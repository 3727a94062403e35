// A recompute function that does not come to an end, or whose process is stopped or killed in the
// middle of it. It hinders nobody else; and when it goes on, its commit is of what is there then.
#include "support/child.hpp"
#include "support/contents.hpp"
#include "support/sanitizers.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <poll.h>

#include <atomic>
#include <future>
#include <utility>

namespace mmsb::test {
namespace {

using Number = TypedPage<std::uint64_t>;

constexpr std::uint64_t rounds = cases(300U, 30U), late = 1'000'000;
constexpr std::chrono::seconds long_enough{120};  // for whatever does not hang

/// The sum of two, and twice that: by two functions, one behind the other.
struct Pages {
    Number a, b, sum, twice;
};

Pages pages_of(const State& bus) {
    const auto page = [&](const char* name) { return bus.open<std::uint64_t>(name); };
    return {page("a"), page("b"), page("sum"), page("twice")};
}

/// `inside` is called by the second function: the first one's page is computed then, and the commit
/// is half done.
void add_functions(const State& bus, std::function<void()> inside = [] {}) {
    bus.register_recompute("test.sum/1", [](Recompute& r) {
        r.out<std::uint64_t>()[0] = r.parent<std::uint64_t>(0)[0] + r.parent<std::uint64_t>(1)[0];
    });
    bus.register_recompute("test.twice/1", [inside = std::move(inside)](Recompute& r) {
        inside();
        r.out<std::uint64_t>()[0] = 2 * r.parent<std::uint64_t>(0)[0];
    });
}

Pages derive(const State& bus) {
    add_functions(bus);
    const auto pages = pages_of(bus);
    bus.transact([&](Transaction& tx) {
        tx.derive(pages.sum, {pages.a, pages.b}, formula::call("test.sum/1"));
        tx.derive(pages.twice, {pages.sum}, formula::call("test.twice/1"));
    });
    return pages;
}

bool is_whole(const View& view, const Pages& pages) {
    const auto sum = view.get(pages.sum);
    return sum == view.get(pages.a) + view.get(pages.b) && view.get(pages.twice) == 2 * sum &&
           !view.info(pages.sum).stale && !view.info(pages.twice).stale;
}
bool reads_whole(const State& bus, const Pages& pages) {
    return is_whole(bus.snapshot({pages.a, pages.b, pages.sum, pages.twice}), pages);
}

/// Commits to both parents, and looks; true: nothing that was seen was half of a commit.
bool work(const State& bus, const Pages& pages) {
    bool whole = true;
    for (std::uint64_t i = 0; i != rounds; ++i) {
        pages.a.update(i);
        pages.b.update([](std::uint64_t& n) { ++n; });
        whole = whole && reads_whole(bus, pages);
    }
    return whole;
}

// As the late commit leaves it, when `workers` have done their work.
void expect_ended(const State& bus, const Pages& pages, std::uint64_t workers) {
    const auto view = bus.snapshot();
    EXPECT_EQ(view.get(pages.a), late);
    EXPECT_EQ(view.get(pages.b), workers * rounds);
    EXPECT_TRUE(is_whole(view, pages));
    EXPECT_TRUE(bus.verify({.recompute_every = 1}).good);
}

/// Hangs in its first call, until it is let go.
class Hanging {
public:
    void operator()() {
        if (!armed_.exchange(false)) return;
        hangs_.set_value();
        go_.get_future().wait();
    }
    void arm() { armed_ = true; }
    [[nodiscard]] bool wait() {
        return hangs_.get_future().wait_for(long_enough) == std::future_status::ready;
    }
    void go_on() { go_.set_value(); }

private:
    std::atomic<bool> armed_{false};
    std::promise<void> hangs_{}, go_{};
};

TEST(AFunctionThatHangs, IsInNoOtherThreadsWay) {
    const TempFolder folder;
    const auto bus = start(at(folder));
    const auto pages = derive(bus);
    Hanging hanging;
    add_functions(bus, std::ref(hanging));
    hanging.arm();
    auto stuck = std::async(std::launch::async, [&] { return pages.a.update(late); });
    ASSERT_TRUE(hanging.wait());
    constexpr std::uint64_t workers = 2;
    std::vector<std::future<bool>> others;
    for (std::uint64_t i = 0; i != workers; ++i)
        others.push_back(std::async(std::launch::async, [&] { return work(bus, pages); }));
    for (auto& other : others)
        EXPECT_EQ(other.wait_for(long_enough), std::future_status::ready) << "it waits";
    // The graph becomes another, and so does the code.
    const auto copy = bus.create<std::uint64_t>();
    bus.graph().derive(copy, {pages.a}, formula::copy());
    add_functions(bus);
    const auto before = bus.sequence();
    hanging.go_on();
    EXPECT_EQ(stuck.get().sequence, before + 1);
    for (auto& other : others) EXPECT_TRUE(other.get()) << "it saw half of a commit";
    EXPECT_EQ(copy.read(), late);
    expect_ended(bus, pages, workers);
}

TEST(AFunctionThatHangs, WhileStalePagesAreComputedLeavesThemToOthers) {
    const TempFolder folder;
    const auto bus = start(at(folder));
    const auto pages = derive(bus);
    Hanging hanging;
    add_functions(bus, std::ref(hanging));
    pages.b.update(7, {.propagation = Propagation::deferred});
    hanging.arm();
    auto stuck = std::async(std::launch::async, [&] { return bus.graph().propagate(); });
    ASSERT_TRUE(hanging.wait());
    EXPECT_TRUE(pages.sum.page().info().stale && pages.twice.page().info().stale);
    pages.a.update(5);
    EXPECT_TRUE(reads_whole(bus, pages));
    const auto before = bus.sequence();
    hanging.go_on();
    EXPECT_EQ(stuck.get(), 0U);
    EXPECT_EQ(bus.sequence(), before);
    EXPECT_EQ(pages.twice.read(), 24U);
    EXPECT_TRUE(bus.verify({.recompute_every = 1}).good);
}

enum class How : std::uint8_t { sleeps, spins, is_stopped };

/// Another process, in the middle of a function of its commit.
class StuckProcess {
public:
    StuckProcess(const TempFolder& folder, How how)
        : how_(how), child_([&] { return commit(folder); }) {
        stuck_.close_writing();
    }
    [[nodiscard]] bool wait_until_stuck() {
        return how_ == How::is_stopped ? child_.wait_until_stopped() : stuck_.read<char>() == 's';
    }
    void go_on() const {
        if (how_ == How::is_stopped)
            child_.signal(SIGCONT);
        else
            go_.write('g');
    }
    void kill() const { child_.signal(SIGKILL); }
    [[nodiscard]] int wait() { return child_.wait(); }

private:
    [[nodiscard]] int commit(const TempFolder& folder) const {
        ::alarm(long_enough.count());
        const auto bus = start(at(folder));
        bool armed = false;
        add_functions(bus, [&] {
            if (std::exchange(armed, false)) be_stuck();
        });
        const auto pages = pages_of(bus);
        armed = true;
        const auto done = pages.a.update(late);
        const auto view = bus.at(done.sequence);
        return done.changed() && view.get(pages.a) == late && is_whole(view, pages) ? 0 : 1;
    }
    void be_stuck() const {
        if (how_ == How::is_stopped) {
            let_threads_settle();  // The one that writes files has no lock then.
            ::raise(SIGSTOP);
            return;
        }
        stuck_.write('s');
        if (how_ == How::spins) {
            pollfd told{.fd = go_.reading(), .events = POLLIN, .revents = 0};
            while (::poll(&told, 1, 0) == 0) {
            }
        }
        static_cast<void>(go_.read<char>());
    }

    How how_;
    Pipe stuck_{}, go_{};
    Child child_;
};

struct StuckAcrossProcesses : testing::TestWithParam<How> {
    TempFolder folder{};
    State bus = start(at(folder));
    Pages pages = derive(bus);
};
std::string name_of(const testing::TestParamInfo<How>& how) {
    constexpr std::array names{"Sleeps", "Spins", "IsStopped"};
    return names.at(static_cast<std::size_t>(how.param));
}
INSTANTIATE_TEST_SUITE_P(AFunctionThat, StuckAcrossProcesses,
                         testing::Values(How::sleeps, How::spins, How::is_stopped), name_of);

TEST_P(StuckAcrossProcesses, IsInNoOtherProcesssWay) {
    StuckProcess stuck(folder, GetParam());
    ASSERT_TRUE(stuck.wait_until_stuck());
    Child writer([&] {
        ::alarm(long_enough.count());
        const auto theirs = start(at(folder));
        add_functions(theirs);
        return work(theirs, pages_of(theirs)) ? 0 : 1;
    });
    Child reader([&] {
        ::alarm(long_enough.count());
        auto config = at(folder);
        config.open = Open::read_only;
        const auto theirs = start(config);
        const auto seen =
            Pages{theirs.page<std::uint64_t>("a"), theirs.page<std::uint64_t>("b"),
                  theirs.page<std::uint64_t>("sum"), theirs.page<std::uint64_t>("twice")};
        for (std::uint64_t i = 0; i != rounds; ++i)
            if (!reads_whole(theirs, seen)) return 1;
        return 0;
    });
    EXPECT_TRUE(work(bus, pages));
    EXPECT_EQ(writer.wait(), 0);
    EXPECT_EQ(reader.wait(), 0);
    // The disk and the graph are as free as the pages.
    pages.a.update(1, {.durability = Durability::sync});
    bus.checkpoint();
    const auto copy = bus.create<std::uint64_t>();
    bus.graph().derive(copy, {pages.a}, formula::copy());
    const auto before = bus.sequence();
    stuck.go_on();
    EXPECT_EQ(stuck.wait(), 0);
    EXPECT_EQ(bus.sequence(), before + 1);
    EXPECT_EQ(copy.read(), late);
    expect_ended(bus, pages, 2);
}

TEST_P(StuckAcrossProcesses, HasChangedNothingWhenItIsKilled) {
    StuckProcess stuck(folder, GetParam());
    ASSERT_TRUE(stuck.wait_until_stuck());
    const auto before = contents_of(bus);
    stuck.kill();
    EXPECT_EQ(stuck.wait(), -SIGKILL);
    EXPECT_EQ(contents_of(bus), before);
    EXPECT_TRUE(work(bus, pages));
    pages.a.update(late);
    expect_ended(bus, pages, 1);
}

// Others commit during each of its calls, until it has reserved the next turn; then it hangs.
TEST(AFunctionThatHangsInItsTurnAcrossProcesses, KeepsItNoLongerThanATurnLasts) {
    constexpr int conflicts = 8;
    const TempFolder folder;
    const auto bus = start(at(folder));
    const auto pages = derive(bus);
    Pipe called, go;
    Child child([&] {
        ::alarm(long_enough.count());
        const auto theirs = start(at(folder));
        int calls = 0;
        bool armed = false;
        add_functions(theirs, [&] {
            if (!armed || ++calls > conflicts + 1) return;
            called.write('c');
            static_cast<void>(go.read<char>());
        });
        armed = true;
        pages_of(theirs).a.update(late);
        return calls > conflicts + 1 ? 0 : 1;
    });
    called.close_writing();
    for (int i = 0; i != conflicts; ++i) {
        ASSERT_TRUE(called.read<char>());
        pages.a.update(static_cast<std::uint64_t>(i) + 1);
        go.write('g');
    }
    ASSERT_TRUE(called.read<char>());
    const auto& words = detail::Bus::get(detail::Bus::handle_of(bus)).at().words();
    EXPECT_EQ(static_cast<pid_t>(words.turn_of.load() >> 32U), child.pid());
    EXPECT_TRUE(work(bus, pages));
    EXPECT_EQ(words.turn_of.load(), 0U);
    go.write('g');
    EXPECT_EQ(child.wait(), 0);
    expect_ended(bus, pages, 1);
}

}  // namespace
}  // namespace mmsb::test
