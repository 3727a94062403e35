// A commit is killed at every named step of it, in every kind of commit; then whoever recovers is
// killed, or fails, at every step of that. Each time another process finds the bytes, epochs, names
// and metadata of before, or of after, and which of them is no matter of luck.
#include "crash/scenes.hpp"
#include "crash/seed.hpp"
#include "log/record.hpp"

#include <gtest/gtest.h>

#include <set>

namespace mmsb::test {
namespace {

std::string told(const Stage& stage, std::size_t step) {
    return "at " + std::string(name_of(stage.trace()[step])) + ", step " + std::to_string(step);
}

// Each page changes, one is new, one has another size: whatever was left wrong in the allocator,
// the lines or the ring comes to light.
void change_all(const State& bus) {
    bus.transact([&](Transaction& tx) {
        for (const auto& page : bus.pages())
            if (const auto size = tx.size(page); size > 0 && !page.info().derived)
                tx.update(page, pattern(size, 4711));
        tx.create_page(5000, {.contents = pattern(5000, 4712)});
        tx.resize(bus.page("b"), 3000);
    });
}

// The bus as another process finds it, and that it goes on from there. Thorough: also from its log
// alone.
void check(const BusPlace& place, const Contents& expected, bool thorough) {
    Contents last;
    {
        auto bus = place.open();
        EXPECT_TRUE(bus.recovery().needed);
        ASSERT_EQ(contents_of(bus), expected);
        ASSERT_TRUE(bus.verify().good);
        const auto [blobs, owners] = blobs_and_owners(bus);
        ASSERT_EQ(blobs, owners);
        if (!thorough) return;
        change_all(bus);
        ASSERT_TRUE(bus.verify().good);
        last = contents_of(bus);
        stop(std::move(bus));
    }
    place.lose_arena();
    const auto bus = place.open();
    ASSERT_EQ(contents_of(bus), last);
    const auto [blobs, owners] = blobs_and_owners(bus);
    ASSERT_EQ(blobs, owners);
}

std::vector<Scene> special_scenes() {
    auto some = scenes();
    if (!is_long()) std::erase_if(some, [](const Scene& scene) { return !is_special(scene); });
    return some;
}
class AtEachStep : public testing::TestWithParam<Scene> {};

TEST_P(AtEachStep, AKilledCommitIsThereWholeOrNotAtAll) {
    const auto& stage = stage_of(GetParam());
    ASSERT_NE(stage.before(), stage.after());
    const std::size_t stride = every(is_special(GetParam()) ? 2 : 4);
    for (auto step = seed() % stride; step < stage.trace().size(); step += stride) {
        SCOPED_TRACE("killed " + told(stage, step));
        ASSERT_EQ(stage.play({.action = Action::kill, .nth = static_cast<unsigned>(step) + 1}),
                  -SIGKILL);
        check(stage.place(), stage.seen_at(step), is_long() || (step + seed()) % 4 == 0);
        if (HasFailure()) return;
    }
    std::printf("%zu steps\n", stage.trace().size());
}

// A commit that fails (there is no memory) has changed nothing, unless it was logged before. (One
// that waits for the disk then tries again.)
class AtEachStepOfSome : public AtEachStep {};

TEST_P(AtEachStepOfSome, AFailedCommitIsThereWholeOrNotAtAll) {
    const auto& stage = stage_of(GetParam());
    unsigned failures = 0;
    for (std::size_t step = 0; step < stage.trace().size(); ++step) {
        if (!base::step_names.at(stage.trace()[step]).may_throw) continue;
        SCOPED_TRACE("failed " + told(stage, step));
        ++failures;
        stage.restore();
        Child child([&] {
            let_timer_rest();
            const auto bus = stage.place().open();
            try {
                arm({.action = Action::fail, .nth = failures});
                stage.scene().commit(bus);
            } catch (const std::bad_alloc&) {
            }
            disarm();
            if (contents_of(bus) != stage.seen_at(step)) return 2;
            const auto& words = attachment_of(bus).words();
            if (words.applied.load() != words.logged.load()) return 3;
            const auto c = bus.page(PageId{3});
            const auto old = c.read();
            c.update(pattern(old.size(), 12));
            c.update(old);
            std::_Exit(0);
        });
        ASSERT_EQ(child.wait(), 0);
        const auto bus = stage.place().open();
        auto found = contents_of(bus);
        EXPECT_EQ(found.pages.at(3).epoch, 2U);
        found.pages.at(3).epoch = 0;
        found.sequence -= 2;
        ASSERT_EQ(found, stage.seen_at(step));
        ASSERT_TRUE(bus.verify().good);
    }
    std::printf("%u failures\n", failures);
}

INSTANTIATE_TEST_SUITE_P(Of, AtEachStep, testing::ValuesIn(scenes()), name_of_scene);
INSTANTIATE_TEST_SUITE_P(Of, AtEachStepOfSome, testing::ValuesIn(special_scenes()), name_of_scene);

// ---- recovery -----------------------------------------------------------------------------------

// Opens the bus in a process that is killed at its n-th step. True: it was through before.
bool recover_and_die(const BusPlace& place, unsigned nth) {
    Child child([&] {
        let_timer_rest();
        arm({.action = Action::kill, .nth = nth});
        const auto bus = place.open();
        std::_Exit(0);
        return 0;
    });
    const auto status = child.wait();
    EXPECT_TRUE(status == 0 || status == -SIGKILL) << status;
    return status != -SIGKILL;
}

// Opens it in a process in which recovery throws at its first step, then at its second, and so on
// until it is through. How often that was.
int recover_and_fail(const BusPlace& place) {
    Child child([&] {
        let_timer_rest();
        for (int nth = 1;; ++nth) {
            try {
                arm({.action = Action::fail, .nth = static_cast<unsigned>(nth)});
                const auto bus = place.open();
                std::_Exit(nth - 1);
            } catch (const std::bad_alloc&) {
                if (nth > 90) return 98;
            }
        }
    });
    return child.wait();
}

class WhoeverRecovers : public testing::TestWithParam<Scene> {
protected:
    // Plays the scene, killed at one step after the other; a sample of them in CI.
    template <class F>
    void after_each_death(const F& recover) {
        const auto& stage = stage_of(GetParam());
        const std::size_t stride = every(10);
        int count = 0;
        for (auto step = seed() % stride; step < stage.trace().size(); step += stride) {
            SCOPED_TRACE("killed " + told(stage, step));
            ASSERT_EQ(stage.play({.action = Action::kill, .nth = static_cast<unsigned>(step) + 1}),
                      -SIGKILL);
            count += recover(stage.place());
            if (HasFailure()) return;
            check(stage.place(), stage.seen_at(step), true);
            if (HasFailure()) return;
        }
        std::printf("%d interrupted recoveries\n", count);
    }
};

TEST_P(WhoeverRecovers, MayBeKilledAtEachStepOfIt) {
    after_each_death([](const BusPlace& place) {
        unsigned nth = 1;
        while (!recover_and_die(place, nth) && !HasFailure()) ++nth;
        return static_cast<int>(nth) - 1;
    });
}

TEST_P(WhoeverRecovers, MayFailAtEachStepOfIt) {
    after_each_death([](const BusPlace& place) {
        const auto failures = recover_and_fail(place);
        EXPECT_GT(failures, 0);
        EXPECT_LT(failures, 90);
        return failures;
    });
}

INSTANTIATE_TEST_SUITE_P(From, WhoeverRecovers, testing::ValuesIn(special_scenes()), name_of_scene);

// ---- what is left in a file
// -----------------------------------------------------------------------

// What was not in the files is lost with the shared memory; the blob is, and nobody's.
TEST(ABlobOfACommitThatDied, IsRemovedAfterAReboot) {
    const Stage stage(*std::ranges::find(scenes(), std::string_view("blob"), &Scene::name));
    const auto named = std::ranges::find(stage.trace(), std::string_view("blob.named"), name_of) -
                       stage.trace().begin();
    ASSERT_EQ(stage.play({.action = Action::kill, .nth = static_cast<unsigned>(named) + 1}),
              -SIGKILL);
    const auto files = [&] {
        return std::ranges::count_if(fs::directory_iterator(stage.place().root() / "bus" / "log"),
                                     [](const auto& e) { return e.path().extension() == ".blob"; });
    };
    ASSERT_EQ(files(), 2);
    stage.place().lose_arena();
    const auto bus = stage.place().open();
    EXPECT_EQ(blobs_and_owners(bus), std::pair(std::size_t{1}, std::size_t{1}));
    EXPECT_EQ(files(), 1);
}

// ---- what is left in the ring -------------------------------------------------------------------

// A commit of two records (a source is named first) dies before it is logged. The next one is just
// as long as the first of the two: behind it in the ring lies the other, whole, and it names a page
// that is not there any more.
TEST(AnOldAttempt, IsNoRecordOfTheOneThatCameAfterIt) {
    const BusPlace place;
    {
        const auto bus = place.open();
        make_pages(bus);
    }
    const SavedBus saved(place);
    int met = 0;
    for (std::size_t length = 1; length < 120; length += 7) {
        saved.restore();
        Child dies([&] {
            const auto bus = place.open();
            arm({.action = Action::kill, .step = "commit.line_busy"});
            bus.page("doomed").write(0, pattern(100, 2), {.source = std::string(length, 's')});
            return 0;
        });
        ASSERT_EQ(dies.wait(), -SIGKILL);
        const auto bus = place.open();
        bus.delete_page(bus.page("doomed"));
        auto& at = attachment_of(bus);
        const auto logged = at.words().logged.load();
        const auto left =
            log::parse_record(std::span(at.arena->ring(logged), at.arena->ring_size()), logged,
                              at.segments->find(logged)->context());
        met += left.status == log::ParseStatus::good ? 1 : 0;
        bus.page("a").write(0, pattern(150, 3));
        ASSERT_TRUE(bus.verify().good);
    }
    EXPECT_GT(met, 0) << "none was as long as it should have been";
}

// ---- the steps themselves -----------------------------------------------------------------------

TEST(TheNamedSteps, OfCommitsAndRecoveriesAreAllMet) {
    std::set<std::string_view> met;
    for (const auto& scene : scenes()) {
        const auto& stage = stage_of(scene);
        for (const auto step : stage.trace()) met.insert(name_of(step));
        for (const auto* at : {"commit.line_busy", "apply.line_busy", "flush.unsure"}) {
            if (stage.play({.action = Action::kill, .step = at}) == 0) continue;
            Pipe steps;
            Child child([&] {
                arm({});
                const auto bus = stage.place().open();
                bus.page(PageId{3}).write(0, pattern(9, 12), {.durability = Durability::sync});
                for (const auto step : disarm()) steps.write(step);
                std::_Exit(0);
                return 0;
            });
            steps.close_writing();
            while (const auto step = steps.read<std::uint16_t>()) met.insert(name_of(*step));
            ASSERT_EQ(child.wait(), 0);
        }
    }
    for (const auto& step : base::step_names) {
        const auto room = step.name.substr(0, step.name.find('.'));
        const bool elsewhere = room == "attach" || room == "leave" || room == "rebuild" ||
                               room == "read" || room == "timer" || room == "checkpoint" ||
                               room == "compact" || room == "header" || room == "retention" ||
                               room == "clock" || step.name == "segment.removed";
        EXPECT_TRUE(elsewhere || met.contains(step.name)) << step.name;
    }
}

}  // namespace
}  // namespace mmsb::test
