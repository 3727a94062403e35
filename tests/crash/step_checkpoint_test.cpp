// Whoever makes a checkpoint, or lets go of the past, is killed at every named step of it, and so
// is whoever opens the bus afterwards. What is there now is untouched; the past begins where it
// began before, or where it was to begin, and all of it behind that is as it was; nothing is left
// over once somebody has done the same again.
#include "crash/scenes.hpp"
#include "crash/seed.hpp"

#include <gtest/gtest.h>

#include <array>
#include <set>

namespace mmsb::test {
namespace {

// Blobs and pages of a time that is to be let go of, a checkpoint in it, and more behind it.
void make_past(const State& bus) {
    const auto a = bus.page("a"), b = bus.page("b"), large = bus.page("large");
    for (unsigned n = 0; n < 3; ++n) large.update(pattern(40'000, 200 + n));
    bus.create_page(500, {.name = "early", .contents = pattern(500)});
    bus.checkpoint();
    const auto& words = attachment_of(bus).words();
    const auto end = words.logged.load() + 3 * small.segment_size / 2;
    for (unsigned n = 300; words.logged.load() < end; ++n)
        bus.transact([&](Transaction& tx) {
            tx.update(a, pattern(200, n));
            tx.write(b, n % 4000, pattern(900, n));
        });
    bus.delete_page(bus.page("early"));
    large.update(pattern(40'000, 400));
    bus.wait_durable(Sequence::newest);
}

Sequence middle_of(const State& bus) { return bus.sequence() - 20; }

const std::vector<Scene>& keepings() {
    static const std::vector<Scene> all = {
        {"first checkpoint", [](const State& bus) { bus.checkpoint(); },
         [](const State& bus) { bus.wait_durable(Sequence::newest); }},
        {"another checkpoint", [](const State& bus) { bus.checkpoint(); }, make_past},
        {"compact to the middle", [](const State& bus) { bus.compact(middle_of(bus)); }, make_past},
        {"compact to now", [](const State& bus) { bus.compact(bus.sequence()); }, make_past},
        {"compact what is not enough to let go of", [](const State& bus) { bus.compact(); },
         [](const State& bus) {
             for (unsigned n = 0; n < 3; ++n) {
                 bus.page("a").update(pattern(200, 900 + n));
                 bus.checkpoint();
             }
             bus.set_retention({.bytes = limits::gib});
             bus.page("a").update(pattern(200, 999));
             bus.wait_durable(Sequence::newest);
         }},
        {"compact by retention", [](const State& bus) { bus.compact(); },
         [](const State& bus) {
             make_past(bus);
             bus.set_retention({.bytes = 100 * limits::kib});
         }},
        {"set retention",
         [](const State& bus) {
             bus.set_retention({.records = 1'000, .age = std::chrono::hours(1)});
         },
         make_past},
        {"a clock that jumped",
         [](const State& bus) {
             os::shift_clock(std::int64_t{10} * 365 * 86'400 * 1'000'000'000);
             bus.compact();
             os::shift_clock(0);
         },
         [](const State& bus) {
             make_past(bus);
             bus.set_retention({.age = std::chrono::hours(1)});
         }},
    };
    return all;
}

/// What there is of the past: where it begins, and some of it.
struct PastOf {
    explicit PastOf(const State& bus) : oldest(number(bus.oldest())) {
        const auto newest = number(bus.sequence());
        for (const auto at : {oldest, oldest + 1, newest - 20, newest - 3, newest})
            if (at >= oldest && at <= newest) views[at] = contents_of(bus.at(Sequence{at}));
    }
    std::uint64_t oldest;
    std::map<std::uint64_t, Contents> views{};
};

// How many files of each kind there are, and of none. Segments only where they are to be counted:
// each recovery without shared memory begins another one. Not the indexes of segments that are
// there: who looks makes them.
std::map<std::string, int> files_of(const BusPlace& place, bool segments) {
    std::map<std::string, int> count;
    for (const auto* folder : {"log", "checkpoints"})
        for (const auto& entry : fs::directory_iterator(place.root() / "bus" / folder)) {
            const auto kind = entry.path().extension();
            auto segment = entry.path();
            if (kind == ".idx" && fs::exists(segment.replace_extension(".seg"))) continue;
            if (segments || kind != ".seg") ++count[folder + kind.string()];
        }
    return count;
}

class Keeping : public testing::TestWithParam<Scene> {
protected:
    Keeping() : stage_(GetParam()) {
        stage_.restore();
        before_ = past_now();
        stage_.restore();
        EXPECT_EQ(stage_.play({}), 0);
        after_ = past_now();
        files_ = {files_of(stage_.place(), false), files_of(stage_.place(), true)};
        const auto header =
            std::find_if(stage_.trace().begin(), stage_.trace().end(),
                         [](auto step) { return name_of(step) == "compact.header"; });
        moves_at_ = static_cast<std::size_t>(header - stage_.trace().begin());
        // The first of its two copies says it already.
        if (header != stage_.trace().end())
            while (name_of(stage_.trace()[moves_at_ - 1]) == "header.copy") --moves_at_;
    }

    // Where the past begins: the header says so, and what it says is one write.
    [[nodiscard]] std::uint64_t oldest_at(std::size_t step) const {
        return step < moves_at_ ? before_->oldest : after_->oldest;
    }

    void look(const State& bus, std::uint64_t oldest) const {
        ASSERT_EQ(contents_of(bus), stage_.before());
        ASSERT_EQ(number(bus.oldest()), oldest);
        for (const auto* past : {&*before_, &*after_})
            for (const auto& [at, contents] : past->views) {
                if (at < oldest) continue;
                ASSERT_EQ(contents_of(bus.at(Sequence{at})), contents);
            }
        ASSERT_TRUE(bus.verify().good);
    }

    // As the next process finds it, what it comes to when the same is done again, and from its
    // files alone.
    void check(std::uint64_t oldest, bool in_one_arena) {
        std::uint64_t last = 0;
        {
            auto bus = stage_.place().open();
            look(bus, oldest);
            if (HasFatalFailure()) return;
            stage_.scene().commit(bus);
            // What a recovery has logged counts where so many bytes are kept.
            last = number(bus.oldest());
            EXPECT_TRUE(in_one_arena ? last == after_->oldest : last >= after_->oldest) << last;
            look(bus, last);
            if (HasFatalFailure()) return;
            EXPECT_EQ(files_of(stage_.place(), in_one_arena), files_[in_one_arena ? 1 : 0]);
            stop(std::move(bus));
        }
        stage_.place().lose_arena();
        const auto bus = stage_.place().open();
        look(bus, last);
    }

    Stage stage_;
    std::optional<PastOf> before_{}, after_{};
    std::array<std::map<std::string, int>, 2> files_{};  // with segments: the second
    std::size_t moves_at_ = 0;

private:
    PastOf past_now() const {
        const auto bus = stage_.place().open();
        return PastOf(bus);
    }
};

TEST_P(Keeping, MayBeKilledAtEachStepOfIt) {
    std::set<std::string_view> met;
    for (std::size_t step = 0; step < stage_.trace().size(); ++step) {
        const auto name = name_of(stage_.trace()[step]);
        SCOPED_TRACE("killed at " + std::string(name) + ", step " + std::to_string(step));
        // A lock taken once more is like the time before.
        if (!met.insert(name).second && (step + seed()) % every(4) != 0) continue;
        ASSERT_EQ(stage_.play({.action = Action::kill, .nth = static_cast<unsigned>(step) + 1}),
                  -SIGKILL);
        check(oldest_at(step), true);
        if (HasFailure()) return;
    }
    std::printf("%zu steps\n", stage_.trace().size());
}

// The same with the shared memory gone at once: the files alone say where the past begins.
TEST_P(Keeping, MayBeKilledAtEachStepOfItBesideALossOfTheSharedMemory) {
    const std::size_t stride = every(6);
    for (auto step = seed() % stride; step < stage_.trace().size(); step += stride) {
        SCOPED_TRACE("killed at " + std::string(name_of(stage_.trace()[step])) + ", step " +
                     std::to_string(step));
        ASSERT_EQ(stage_.play({.action = Action::kill, .nth = static_cast<unsigned>(step) + 1}),
                  -SIGKILL);
        stage_.place().lose_arena();
        check(oldest_at(step), false);
        if (HasFailure()) return;
    }
}

// Opens the bus in a process that is killed at its n-th step. False: it was through before.
bool opener_dies(const BusPlace& place, unsigned nth) {
    Child child([&] {
        let_timer_rest();
        arm({.action = Action::kill, .nth = nth});
        const auto bus = place.open();
        std::_Exit(0);
        return 0;
    });
    const auto status = child.wait();
    EXPECT_TRUE(status == 0 || status == -SIGKILL) << status;
    return status == -SIGKILL;
}

TEST_P(Keeping, IsFinishedByWhoeverOpensTheBusWhoMayBeKilledToo) {
    const std::size_t stride = every(5);
    int deaths = 0;
    for (auto step = moves_at_ + seed() % stride; step < stage_.trace().size(); step += stride) {
        SCOPED_TRACE("killed at " + std::string(name_of(stage_.trace()[step])) + ", step " +
                     std::to_string(step));
        ASSERT_EQ(stage_.play({.action = Action::kill, .nth = static_cast<unsigned>(step) + 1}),
                  -SIGKILL);
        if (step % 2 == 0) stage_.place().lose_arena();
        // Where there is a log to be replayed every opener does that from its start: there are
        // many steps, each like the one before.
        for (unsigned nth = 1; opener_dies(stage_.place(), nth); nth += nth > 40 ? 17 : 1) ++deaths;
        check(oldest_at(step), step % 2 != 0);
        if (HasFailure()) return;
    }
    std::printf("%d interrupted openings\n", deaths);
}

INSTANTIATE_TEST_SUITE_P(Of, Keeping, testing::ValuesIn(keepings()), name_of_scene);

// Others have the bus open when it happens: they must not take the base for one that nobody needs.
TEST(ABaseMovedByOneWhoDied, IsKeptByThoseWhoLive) {
    const BusPlace place;
    auto bus = place.open();
    const auto page = bus.create_page(100, {.name = "page"});
    auto commit = [&, n = 0U](int times) mutable {
        for (int i = 0; i < times; ++i) page.update(pattern(100, ++n));
    };
    commit(20);
    Child child([&] {
        let_timer_rest();
        const auto mine = place.open();
        arm({.action = Action::kill, .step = "compact.header"});
        mine.compact(Sequence{10});
        return 1;
    });
    ASSERT_EQ(child.wait(), -SIGKILL);
    for (int i = 0; i < 4; ++i) {  // each one makes an older one needless
        commit(5);
        bus.checkpoint();
    }
    bus.compact();
    const auto expected = contents_of(bus);
    EXPECT_EQ(bus.oldest(), Sequence{10});
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
    place.lose_arena();
    const auto again = place.open();
    EXPECT_EQ(contents_of(again), expected);
    EXPECT_NO_THROW(static_cast<void>(contents_of(again.at(Sequence{10}))));
    EXPECT_TRUE(again.verify().good);
}

TEST(TheNamedSteps, OfCheckpointsAndCompactionAreAllMet) {
    std::set<std::string_view> met;
    for (const auto& scene : keepings()) {
        const Stage stage(scene);
        for (const auto step : stage.trace()) met.insert(name_of(step));
    }
    for (const auto& step : base::step_names) {
        const auto room = step.name.substr(0, step.name.find('.'));
        const bool ours = room == "checkpoint" || room == "compact" || room == "header" ||
                          room == "retention" || room == "clock" || step.name == "segment.removed";
        EXPECT_TRUE(!ours || met.contains(step.name)) << step.name;
    }
}

}  // namespace
}  // namespace mmsb::test
