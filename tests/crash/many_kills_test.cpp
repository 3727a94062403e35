// Several processes commit at once; they are killed with SIGKILL at random instants, one by one and
// all together, and started again, and so is whoever recovers. After each death: every commit that
// was acknowledged is there, none is there by half, the log gives exactly the live pages, and the
// others go on.
#include "crash/saved_bus.hpp"
#include "crash/scenes.hpp"
#include "crash/seed.hpp"
#include "crash/shared.hpp"
#include "os/process.hpp"
#include "support/child.hpp"
#include "support/sanitizers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>

#include <sys/prctl.h>

namespace mmsb::test {
namespace {

constexpr unsigned writers = 4, accounts = 6;
constexpr std::int64_t total = 6000;
constexpr std::size_t large = 40'000;  // a blob of its own in rings of this size

/// What is known outside the bus.
struct Slot {
    std::atomic<std::uint64_t> acknowledged{0};  ///< Commits of this writer.
    std::atomic<std::uint64_t> sequence{0};      ///< Of the last one of them.
    std::atomic<std::int64_t> at_ns{0};          ///< When that was.
};
using Ledger = std::array<Slot, writers>;

std::string name_of(const char* what, unsigned i) { return std::string(what) + std::to_string(i); }

// Everything that writer `me` has in the bus follows from the number of its commits.
std::size_t log_size(std::uint64_t n) {
    return 100 + static_cast<std::size_t>(n / 16 * 977 % 4000);
}
Bytes log_bytes(unsigned me, std::uint64_t n) {
    return pattern(log_size(n), static_cast<unsigned>(n * writers + me));
}
bool has_extra(std::uint64_t n) { return n / 8 % 2 == 1; }
Bytes extra_bytes(unsigned me, std::uint64_t n) {
    return pattern(300, static_cast<unsigned>(n / 8 * writers + me));
}
Bytes large_bytes(unsigned me, std::uint64_t n) {
    return pattern(large, static_cast<unsigned>(n / 32 * writers + me));
}

void make(const BusPlace& place) {
    auto bus = place.open();
    bus.set_retention({.bytes = 512 * limits::kib});
    for (unsigned i = 0; i < accounts; ++i)
        bus.open<std::int64_t>(name_of("account ", i)).update(total / std::int64_t{accounts});
    bus.open<std::uint64_t>("commits");
    for (unsigned me = 0; me < writers; ++me) {
        bus.open<std::uint64_t>(name_of("count ", me));
        bus.create_page(log_size(0), {.name = name_of("log ", me), .contents = log_bytes(me, 0)});
        bus.create_page(large, {.name = name_of("large ", me), .contents = large_bytes(me, 0)});
    }
    // All can compute the one; only some the other, and what is computed from it.
    std::vector<Page> all;
    for (unsigned i = 0; i < accounts; ++i) all.push_back(bus.page(name_of("account ", i)));
    bus.graph().derive(bus.create<std::int64_t>({.name = "sum"}), all,
                       formula::sum<std::int64_t>());
    const auto twice = bus.create<std::uint64_t>({.name = "twice"});
    bus.graph().derive(twice, {bus.page("commits")}, formula::call("test.twice/1"));
    bus.graph().derive(bus.create<std::uint64_t>({.name = "again"}), {twice}, formula::copy());
    stop(std::move(bus));
}

/// One writer: moves an amount between accounts, counts itself and all commits, and brings what it
/// has to where the count says it is.
class Writer {
public:
    Writer(const BusPlace& place, unsigned me, Ledger& ledger)
        : me_(me), slot_(ledger.at(me)), bus_(place.open()) {
        for (unsigned i = 0; i < accounts; ++i)
            accounts_.push_back(bus_.page<std::int64_t>(name_of("account ", i)));
        if (me % 2 == 0)
            bus_.register_recompute("test.twice/1", [](Recompute& r) {
                r.out<std::uint64_t>()[0] = 2 * r.parent<std::uint64_t>(0)[0];
            });
    }

    int run() {
        const auto done = count_.read();
        // The one that was committed when its writer died is known as acknowledged from here on.
        if (done != slot_.acknowledged && done != slot_.acknowledged + 1) return 2;
        slot_.acknowledged = done;
        for (auto n = done + 1;; ++n) {
            const bool sync = n % 64 == 0;
            const auto committed =
                bus_.transact([&](Transaction& tx) { change(tx, n); },
                              {.durability = sync ? Durability::sync : Durability::process});
            slot_.sequence = number(committed.sequence);
            slot_.at_ns = os::steady_ns();
            slot_.acknowledged = n;
            if (n % 128 == me_) compact();
        }
    }

private:
    void change(Transaction& tx, std::uint64_t n) {
        if (tx.read(count_) != n - 1) std::_Exit(3);  // nobody else counts there
        tx.update(count_, n);
        tx.update(commits_, tx.read(commits_) + 1);
        const auto from = random_() % accounts, to = random_() % accounts;
        if (from != to) {
            tx.update(accounts_[from], tx.read(accounts_[from]) - 1);
            tx.update(accounts_[to], tx.read(accounts_[to]) + 1);
        }
        if (log_size(n) != log_size(n - 1)) tx.resize(log_, log_size(n));
        tx.update(log_, log_bytes(me_, n));
        if (n % 32 == 0) tx.update(large_, large_bytes(me_, n));
        const auto extra = name_of("extra ", me_);
        if (has_extra(n) && !has_extra(n - 1))
            tx.create_page(300, {.name = extra, .contents = extra_bytes(me_, n)});
        if (!has_extra(n) && has_extra(n - 1)) tx.delete_page(*tx.find_page(extra));
    }
    void compact() {
        try {
            bus_.compact();
        } catch (const Busy&) {  // another writer is at it
        }
    }

    unsigned me_;
    Slot& slot_;
    State bus_;
    std::vector<TypedPage<std::int64_t>> accounts_{};
    TypedPage<std::uint64_t> count_ = bus_.page<std::uint64_t>(name_of("count ", me_));
    TypedPage<std::uint64_t> commits_ = bus_.page<std::uint64_t>("commits");
    Page log_ = bus_.page(name_of("log ", me_)), large_ = bus_.page(name_of("large ", me_));
    std::mt19937 random_{static_cast<unsigned>(::getpid())};
};

// What went wrong, for a message; empty: nothing.
std::string check_writer(const View& view, unsigned me, std::uint64_t n) {
    const auto bytes_of_page = [&](const char* what) -> Bytes {
        const auto info = view.find_page(name_of(what, me));
        if (!info) return {};
        const auto bytes = view.bytes(info->id);
        return {bytes.begin(), bytes.end()};
    };
    if (bytes_of_page("log ") != log_bytes(me, n)) return "its log is of another commit";
    if (bytes_of_page("large ") != large_bytes(me, n)) return "its large page is of another commit";
    if (bytes_of_page("extra ") != (has_extra(n) ? extra_bytes(me, n) : Bytes{}))
        return "its extra page is of another commit";
    return {};
}

template <class T>
T value_of(const View& view, const std::string& name) {
    T value{};
    const auto bytes = view.bytes(view.find_page(name).value().id);
    if (bytes.size() != sizeof value) throw std::runtime_error(name + " has another size");
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

bool is_stale(const View& view, const char* name) { return view.find_page(name).value().stale; }

/// What a judge has to know: who is dead, and what they all had acknowledged before it looks.
struct Case {
    std::array<std::uint64_t, writers> acknowledged{}, sequence{};
    std::array<bool, writers> alive{};
};
Case take_case(const Ledger& ledger, const std::array<bool, writers>& alive) {
    Case c;
    c.alive = alive;
    for (unsigned me = 0; me < writers; ++me) {
        c.acknowledged[me] = ledger.at(me).acknowledged;
        c.sequence[me] = ledger.at(me).sequence;
    }
    return c;
}

// A view of now, and everything in it, in spite of others who commit and compact meanwhile.
std::string judge(const State& bus, const Case& c) {
    const auto newest = *std::max_element(c.sequence.begin(), c.sequence.end());
    if (number(bus.sequence()) < newest) return "an acknowledged commit is missing";
    std::vector<Page> pages{bus.page("commits"), bus.page("sum"), bus.page("twice"),
                            bus.page("again")};
    for (unsigned i = 0; i < accounts; ++i) pages.push_back(bus.page(name_of("account ", i)));
    for (unsigned me = 0; me < writers; ++me)
        for (const auto* what : {"count ", "log ", "large "})
            pages.push_back(bus.page(name_of(what, me)));
    const auto view = bus.snapshot(pages);
    std::int64_t sum = 0;
    for (unsigned i = 0; i < accounts; ++i)
        sum += value_of<std::int64_t>(view, name_of("account ", i));
    if (sum != total) return "the accounts do not add up: " + std::to_string(sum);
    std::uint64_t commits = 0;
    for (unsigned me = 0; me < writers; ++me) {
        const auto n = value_of<std::uint64_t>(view, name_of("count ", me));
        commits += n;
        const auto who = name_of("writer ", me) + " acknowledged " +
                         std::to_string(c.acknowledged[me]) + ", has " + std::to_string(n) + ": ";
        if (n < c.acknowledged[me]) return who + "an acknowledged commit is missing";
        if (!c.alive[me] && n > c.acknowledged[me] + 1) return who + "more than it committed";
        if (const auto wrong = check_writer(view, me, n); !wrong.empty()) return who + wrong;
    }
    if (value_of<std::uint64_t>(view, "commits") != commits) return "the counts do not add up";
    if (value_of<std::int64_t>(view, "sum") != total || is_stale(view, "sum"))
        return "the derived sum is of another commit";
    if (is_stale(view, "twice") != is_stale(view, "again")) return "stale by half";
    for (const auto* name : {"twice", "again"})
        if (!is_stale(view, name) && value_of<std::uint64_t>(view, name) != 2 * commits)
            return std::string(name) + " is of another commit, and does not say so";
    return {};
}

// What nobody needs any more is gone: nothing grows with the number of deaths.
std::string judge_files(const State& bus) {
    bus.compact();
    const auto [blobs, owners] = blobs_and_owners(bus);
    // One more: where no commit follows the base, a blob before it may still be the next one's.
    if (blobs > owners + 1)
        return std::to_string(blobs) + " blobs of " + std::to_string(owners) + " records";
    return {};
}

// In a process of its own, which then leaves, or dies.
int judge_and_leave(const BusPlace& place, const Case& c, Open open, bool dies) {
    for (int tries = 0;; ++tries) {
        try {
            auto bus = place.open(open);
            auto wrong = judge(bus, c);
            if (wrong.empty() && open != Open::read_only && !bus.verify().good)
                wrong = "the log gives other pages";
            if (wrong.empty() && open != Open::read_only && c.alive == decltype(c.alive){})
                wrong = judge_files(bus);
            if (!wrong.empty()) std::fprintf(stderr, "%s\n", wrong.c_str());
            if (dies) std::_Exit(wrong.empty() ? 0 : 1);
            stop(std::move(bus));
            return wrong.empty() ? 0 : 1;
        } catch (const HistoryDropped&) {  // compacted away while it was looked at
            if (tries == 20) throw;
        }
    }
}

class Crowd {
public:
    Crowd() { make(place_); }

    void start(unsigned me) {
        processes_[me] = std::make_unique<Child>([&] {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            return Writer(place_, me, *ledger_).run();
        });
        alive_[me] = true;
    }
    void start_all() {
        for (unsigned me = 0; me < writers; ++me)
            if (!alive_[me]) start(me);
    }

    void kill_one(unsigned me) {
        const auto killed_at = os::steady_ns();
        processes_[me]->signal(SIGKILL);
        const auto before = take_case(*ledger_, alive_).acknowledged;
        ended(me);
        ++kills;
        wait_for_survivors(killed_at, before);
    }
    void kill_all() {
        for (const auto& process : processes_) process->signal(SIGKILL);
        for (unsigned me = 0; me < writers; ++me) ended(me);
        kills += writers;
        ++together;
    }
    // Whoever opens it now has to recover, and dies of that.
    void kill_recoverer(unsigned us) {
        Child child([&] {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            const auto bus = place_.open();
            ::pause();
            return 0;
        });
        ::usleep(us);
        child.signal(SIGKILL);
        EXPECT_EQ(child.wait(), -SIGKILL);
        ++kills;
    }

    void check(Open open, bool dies) {
        const auto c = take_case(*ledger_, alive_);
        Child child([&] { return judge_and_leave(place_, c, open, dies); });
        ASSERT_EQ(child.wait(), 0) << "after " << kills << " kills";
        ++checks;
    }

    std::uint64_t acknowledged() const {
        std::uint64_t n = 0;
        for (const auto& slot : *ledger_) n += slot.acknowledged;
        return n;
    }

    int kills = 0, together = 0, checks = 0;
    std::vector<double> gaps_ms{};  ///< From a kill to a commit that somebody else began later.

private:
    void ended(unsigned me) {
        EXPECT_EQ(processes_[me]->wait(), -SIGKILL) << "writer " << me << " ended by itself";
        alive_[me] = false;
    }

    // Until somebody has begun and ended a commit since. A hang is a failure.
    void wait_for_survivors(std::int64_t killed_at,
                            const std::array<std::uint64_t, writers>& before) {
        constexpr std::int64_t longest = 20'000'000'000;
        while (os::steady_ns() - killed_at < longest) {
            for (unsigned me = 0; me < writers; ++me) {
                const auto& slot = (*ledger_)[me];
                if (!alive_[me] || slot.acknowledged < before[me] + 2) continue;
                gaps_ms.push_back(static_cast<double>(slot.at_ns - killed_at) / 1e6);
                return;
            }
            ::usleep(20);
        }
        ADD_FAILURE() << "nobody commits any more";
    }

    BusPlace place_{};
    Shared<Ledger> ledger_{};
    std::array<std::unique_ptr<Child>, writers> processes_{};
    std::array<bool, writers> alive_{};
};

TEST(ManyWriters, LoseNothingAndGoOnWhoeverIsKilled) {
    const int kills = is_long() ? 10'000 : cases(210, 60);
    std::mt19937 random(seed());
    const auto pick = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    Crowd crowd;
    while (crowd.kills < kills && !testing::Test::HasFailure()) {
        crowd.start_all();
        ::usleep(pick(8000));
        if (pick(8) != 0) {
            crowd.kill_one(pick(writers));
            crowd.check(pick(3) == 0 ? Open::read_only : Open::existing, pick(2) == 0);
            continue;
        }
        crowd.kill_all();
        // Nobody may write, so nobody recovers: a reader sees everything all the same.
        if (pick(2) == 0) crowd.check(Open::read_only, false);
        for (auto n = pick(3); n > 0; --n) crowd.kill_recoverer(pick(3000));
        crowd.check(Open::existing, pick(2) == 0);
    }
    auto& gaps = crowd.gaps_ms;
    ASSERT_FALSE(gaps.empty());
    std::sort(gaps.begin(), gaps.end());
    std::printf(
        "%d kills (%d times all together), %d checks, %llu commits acknowledged; next commit of a "
        "survivor: median %.2f ms, 99%% %.2f ms, longest %.2f ms\n",
        crowd.kills, crowd.together, crowd.checks,
        static_cast<unsigned long long>(crowd.acknowledged()), gaps[gaps.size() / 2],
        gaps[gaps.size() * 99 / 100], gaps.back());
}

}  // namespace
}  // namespace mmsb::test
