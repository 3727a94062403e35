// A power cut at every moment of a bus's life, simulated: from what was recorded below the file
// calls, states are built in which what was not synced is missing, there by half, or out of order.
// Each opens, without a word of damage, to a prefix of the history that has every commit that had
// been acknowledged as durable.
#include "crash/disk_trace.hpp"
#include "state/flush.hpp"
#include "support/child.hpp"
#include "support/contents.hpp"
#include "support/tap.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <memory>

namespace mmsb::test {
namespace {

unsigned seed() {
    const char* given = std::getenv("MMSB_SEED");
    return given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                            : std::random_device{}();
}
bool is_long() { return std::getenv("MMSB_LONG") != nullptr; }

// What the bus held after each sequence.
using Past = std::map<std::uint64_t, Contents>;

Config quiet(const TempFolder& folder) {
    auto config = at(folder);
    config.on_notice = [](const Notice&) {};
    config.checkpoint_interval = std::chrono::seconds(0);
    return config;
}

// One life of a bus, recorded: what it does between two openings.
class Life {
public:
    Life(const TempFolder& folder, Recorder& recorder, Past& past)
        : bus_(start_with(quiet(folder))), recorder_(recorder), past_(past) {
        note();
    }
    void note() { past_[number(bus_.sequence())] = contents_of(bus_); }
    // As the timer thread does, but when the test says so: many small writes, none of them synced.
    void write_out() {
        auto& attachment = detail::Bus::get(detail::Bus::handle_of(bus_)).at();
        state::flush(attachment, state::Flush::write, attachment.words().logged.load(),
                     attachment.lock_timeout);
    }
    void synced() { recorder_.promise(number(bus_.durable_sequence())); }
    const State& bus() const { return bus_; }

    void commit(unsigned i, Durability how = Durability::process) {
        const auto name = "page " + std::to_string(i % 5);
        const auto size = i % 11 == 3 ? 40'000U : 200U + i % 7 * 150U;  // some are blobs
        auto page = bus_.find_page(name);
        if (page && i % 13 == 5) {
            bus_.delete_page(*page, {.durability = how});
        } else if (!page) {
            bus_.create_page(size, {.name = name, .contents = pattern(size / 2, i)});
        } else if (page->size() != size) {
            page->resize(size, {.durability = how});
        } else {
            page->update(pattern(size, i), {.durability = how});
        }
        note();
        synced();
    }
    void stop_it() {
        stop(std::move(bus_));
        recorder_.promise(past_.rbegin()->first);  // stop() returned: all of it is on the disk
    }

private:
    State bus_;
    Recorder& recorder_;
    Past& past_;
};

// Of the past, all but the last few commits.
void let_go(const State& bus) {
    const auto now = number(bus.sequence());
    try {
        if (now > 4) bus.compact(Sequence{now - 4});
    } catch (const HistoryDropped&) {
        return;  // less is kept already
    }
}

void live(const TempFolder& folder, Recorder& recorder, Past& past, std::mt19937& random) {
    unsigned i = 0;
    for (int life = 0; life < 4; ++life) {
        if (life == 2) remove_arena(folder.path());  // as after a reboot: rebuilt from the files
        Life one(folder, recorder, past);
        for (const unsigned end = i + 45; i < end; ++i) {
            const bool sync = random() % 10 == 0;
            one.commit(i, sync ? Durability::sync : Durability::process);
            if (random() % 3 != 0) one.write_out();
            if (random() % 20 == 0) {
                one.bus().wait_durable(Sequence::newest);
                one.synced();
            }
            if (i % 40 == 20) {
                static_cast<void>(one.bus().checkpoint());
                one.synced();
            }
            if (i % 40 == 30) {
                let_go(one.bus());
                one.synced();
            }
        }
        {
            auto ids = one.bus().transaction();
            for (int n = 0; n < 1100; ++n) static_cast<void>(ids.create_page(1));
        }
        one.stop_it();
    }
}

// Puts trees of a recorded folder into it again. The bus file keeps its inode: it is in the header.
class Stage {
public:
    explicit Stage(const TempFolder& folder)
        : folder_(folder.path()), kept_(folder.path() + ".inode") {
        fs::remove(kept_);
        fs::create_hard_link(folder_ / "bus", kept_);
    }
    ~Stage() { fs::remove(kept_); }
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;

    void set(const Tree& tree) {
        remove_arena(folder_);
        fs::remove_all(folder_);
        fs::create_directories(folder_);
        for (const auto& [path, bytes] : tree) {
            const auto at = folder_ / path;
            if (path.ends_with('/')) {
                fs::create_directories(at);
            } else if (path == "bus") {
                write_file(kept_, bytes);
                fs::create_hard_link(kept_, at);
            } else {
                write_file(at, bytes);
            }
        }
    }

private:
    fs::path folder_, kept_;
};

struct Counts {
    int states = 0, torn = 0, no_bus = 0;
    std::uint64_t beyond = 0;
};

// Opens what the cut left, and goes on with it.
void check(const TempFolder& folder, const Past& past, std::uint64_t promised, Counts& counts) {
    auto bus = start_with(quiet(folder));
    const auto sequence = number(bus.sequence());
    ASSERT_GE(sequence, promised) << "a commit that was acknowledged as durable is gone";
    const auto then = past.find(sequence);
    ASSERT_NE(then, past.end());
    ASSERT_EQ(contents_of(bus), then->second);
    ASSERT_TRUE(bus.verify().good);
    ASSERT_EQ(bus.recovery().damaged_checkpoint, "");
    counts.torn += bus.recovery().dropped_bytes != 0 ? 1 : 0;
    counts.beyond += sequence - promised;
    const auto page = bus.open_page("after the cut", 100);
    page.update(pattern(100, static_cast<unsigned>(counts.states)),
                {.durability = Durability::sync});
    const auto now = contents_of(bus);
    stop(std::move(bus));
    remove_arena(folder.path());
    bus = start_with(quiet(folder));
    ASSERT_EQ(contents_of(bus), now);
    stop(std::move(bus));
}

// One state and what it must hold; says how to have it again where it does not.
void check_cut(const Recorder& recorder, std::size_t cut, Loss loss, const TempFolder& folder,
               Stage& stage, const Past& past, std::mt19937& random, Counts& counts) {
    const auto& steps = recorder.steps();
    // What had been promised when the first step that is missing was begun.
    const auto promised = cut == steps.size() ? recorder.promised() : steps[cut].promised;
    const auto tree = tree_after(recorder, cut, loss, random);
    counts.no_bus += tree.contains("bus") ? 0 : 1;
    ASSERT_TRUE(tree.contains("bus") || promised == 0);
    stage.set(tree);
    try {
        check(folder, past, promised, counts);
    } catch (const Error& e) {
        ADD_FAILURE() << e.what();
    }
    ++counts.states;
    ASSERT_FALSE(testing::Test::HasFailure()) << "cut before step " << cut << " of " << steps.size()
                                              << ", loss " << static_cast<int>(loss);
}

void print(unsigned first, const Counts& counts) {
    std::cout << "MMSB_SEED=" << first << ": " << counts.states << " states; " << counts.torn
              << " with a torn tail, " << counts.no_bus << " before there was a bus; "
              << counts.beyond << " commits beyond the promised\n";
}

TEST(APowerCut, AtAnyMomentLeavesAPrefixWithAllThatWasAcknowledged) {
    const auto first = seed();
    SCOPED_TRACE("MMSB_SEED=" + std::to_string(first));
    std::mt19937 random(first);
    const TempFolder folder;
    Recorder recorder(folder.path());
    Past past;
    past[0] = {};
    {
        const Tapped tapped(recorder);
        live(folder, recorder, past, random);
    }
    const int wanted = is_long() ? 10'000 : 200;
    Counts counts;
    Stage stage(folder);
    while (counts.states < wanted && !HasFailure())
        check_cut(recorder, random() % (recorder.steps().size() + 1),
                  static_cast<Loss>(random() % 6), folder, stage, past, random, counts);
    print(first, counts);
    EXPECT_GT(counts.torn, 0);
}

// The processes are killed and their shared memory is gone, the machine goes on: what they had
// written is read back, whether the disk has it or not. A bus that goes on from there, and
// promises, must not have built on what the disk has not.
TEST(APowerCut, AfterARecoveryFromFilesThatWereNeverSyncedLeavesAPrefixToo) {
    const auto first = seed();
    SCOPED_TRACE("MMSB_SEED=" + std::to_string(first));
    std::mt19937 random(first);
    const TempFolder folder;
    Recorder before(folder.path());
    Past past;
    past[0] = {};
    {
        const Tapped tapped(before);
        live(folder, before, past, random);
    }
    const int trials = is_long() ? 1000 : 25, cuts = 6;
    Counts counts;
    Stage stage(folder);
    for (int trial = 0; trial < trials && !HasFailure(); ++trial) {
        const auto cut = random() % before.steps().size();
        const auto certain = tree_after(before, cut, Loss::all, random);
        const auto bytes = tree_after(before, cut, Loss::bytes, random);
        const auto seen = tree_after(before, cut, Loss::none, random);
        if (!seen.contains("bus")) continue;
        stage.set(seen);
        Recorder after(folder.path());
        after.begin_from(certain, bytes, seen, before.steps()[cut].promised);
        const auto already = after.steps().size();
        auto longer = past;
        {
            const Tapped tapped(after);
            Life life(folder, after, longer);
            longer.erase(longer.upper_bound(number(life.bus().sequence())), longer.end());
            after.promise(number(life.bus().durable_sequence()));
            for (unsigned i = 0; i < 6; ++i)
                life.commit(static_cast<unsigned>(trial) * 7 + i,
                            i % 3 == 2 ? Durability::sync : Durability::process);
            if (random() % 2 == 0) {
                let_go(life.bus());
                life.synced();
            }
            if (random() % 2 == 0) life.stop_it();
            longer.insert(past.begin(), past.lower_bound(longer.rbegin()->first));
        }
        // (What was there at a sequence before the recovery stays in `longer` as it was.)
        for (int n = 0; n < cuts && !HasFailure(); ++n)
            check_cut(after, already + random() % (after.steps().size() - already + 1),
                      static_cast<Loss>(random() % 6), folder, stage, longer, random, counts);
    }
    print(first, counts);
}

// A log that ends with a close record says that nothing is missing. Where commits came behind it
// that no disk has, it must not, and their page ids must not be given again.
TEST(APowerCut, AfterACleanLeaveAndALaterCommitIsToldOf) {
    const auto first = seed();
    SCOPED_TRACE("MMSB_SEED=" + std::to_string(first));
    std::mt19937 random(first);
    const TempFolder folder;
    Recorder recorder(folder.path());
    Past past;
    past[0] = {};
    PageId lost{};
    std::size_t cut = 0;  // before the second life could leave
    {
        const Tapped tapped(recorder);
        Life clean(folder, recorder, past);
        clean.commit(0);
        clean.stop_it();
        Life killed(folder, recorder, past);
        killed.commit(1);
        killed.write_out();
        lost = killed.bus().page("page 1").id();
        cut = recorder.steps().size();
    }
    Stage stage(folder);
    for (const auto loss : {Loss::all, Loss::sectors, Loss::writes, Loss::one, Loss::ordered}) {
        stage.set(tree_after(recorder, cut, loss, random));
        auto bus = start_with(quiet(folder));
        const bool whole = number(bus.sequence()) == past.rbegin()->first;
        EXPECT_TRUE(whole || bus.recovery().needed) << "loss " << static_cast<int>(loss);
        EXPECT_TRUE(whole || bus.create_page(1).id() > lost) << "loss " << static_cast<int>(loss);
        stop(std::move(bus));
    }
    stage.set(tree_after(recorder, cut, Loss::all, random));
    stop(start_with(quiet(folder)));
    remove_arena(folder.path());
    EXPECT_FALSE(start_with(quiet(folder)).recovery().needed);
}

// Ids of commits that were lost stay lost: each recovery begins above the ceiling. There must be
// ids for more recoveries than a machine sees.
TEST(APowerCut, AndManyMoreDoNotUseUpThePageIds) {
    const TempFolder folder;
    constexpr int cuts = 70;
    for (int cut = 0; cut < cuts; ++cut) {
        Child child([&] {
            const auto bus = start_with(quiet(folder));
            bus.create_page(1);
            std::_Exit(0);
            return 0;
        });
        ASSERT_EQ(child.wait(), 0) << "after " << cut << " cuts";
        remove_arena(folder.path());
    }
    const auto bus = start_with(quiet(folder));
    EXPECT_LT(number(bus.create_page(1).id()), std::uint64_t{1} << 32);
}

}  // namespace
}  // namespace mmsb::test
