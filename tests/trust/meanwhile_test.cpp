// One or two words of the shared memory are written over in the middle of a commit, a flush, a
// close or an open: at a named step of it, as chance has it, with values that could pass for right
// ones. They may stay so, or be put right a moment later. Calls may fail. What was promised to be
// on the disk is in the log, and the log is good.
#include "crash/seed.hpp"
#include "crash/steps.hpp"
#include "support/child.hpp"
#include "support/in_memory.hpp"
#include "support/sanitizers.hpp"
#include "support/temp_bus.hpp"
#include "trust/arena_words.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

constexpr auto first_word = offsetof(arena::Control, reserve);

/// What is written over, when, with what, for how long.
struct Slip {
    unsigned step = 0, lasts = 0;
    std::uint64_t at = 0, value = 0;
    std::optional<std::uint64_t> old{};

    // At every step: may this be the one?
    void at_step(const ForeignMap& map, unsigned nth) {
        auto& word = *map.word(at);
        if (nth == step) {
            old = word.load();
            word.store(value);
        }
        if (old && lasts != 0 && nth == step + lasts) word.store(*std::exchange(old, std::nullopt));
    }
};
using Slips = std::vector<Slip>;

std::ostream& operator<<(std::ostream& out, const Slips& slips) {
    for (const auto& slip : slips)
        out << "\nthe word at " << slip.at << " is " << slip.value << " from step " << slip.step
            << " on, for " << slip.lasts;
    return out;
}

Config quiet(const TempFolder& folder) {
    auto config = at(folder);
    config.lock_timeout = 20ms;
    config.on_notice = [](const Notice&) {};
    return config;
}

class Trial {
public:
    Trial() {
        auto bus = start_with(quiet(folder_));
        bus.create_page(64, {.name = "p"});
        before_ = end_of_log();
        synced_write(bus);
        stop(std::move(bus));
    }

    // Some commits, a close, and the same again; returns how many steps it had.
    unsigned live(std::mt19937_64& random, unsigned steps) {
        const auto first = 1 + unsigned(random() % steps);
        Slips slips{choose(random, first)};
        if (random() % 2 == 0) slips.push_back(choose(random, first + unsigned(random() % 4)));
        const ForeignMap map(arena_of(folder_.path()));
        EXPECT_TRUE(map);
        unsigned met = 0;
        arm({.action = Action::call, .called = [&](unsigned nth) {
                 met = nth;
                 for (auto& slip : slips) slip.at_step(map, nth);
             }});
        for (int i = 0; i < 2; ++i) {
            try {
                auto bus = start_with(quiet(folder_));
                for (int n = 0; n < 2; ++n) {
                    try {
                        synced_write(bus);
                    } catch (const Error&) {
                    }
                }
                stop(std::move(bus));
            } catch (const Error&) {
            }
        }
        disarm();
        look(slips);
        return met;
    }

private:
    std::uint64_t end_of_log() const {
        const ForeignMap map(arena_of(folder_.path()));
        return map.control().logged.load();
    }

    void synced_write(const State& bus) {
        const auto done =
            bus.page("p").write(0, pattern(64, ++version_), {.durability = Durability::sync});
        promised_.emplace_back(done.sequence, version_);
    }

    Slip choose(std::mt19937_64& random, unsigned step) const {
        const auto below = [&](std::uint64_t n) { return random() % n; };
        Slip slip{.step = step, .lasts = unsigned(below(4)) * 2};
        // Mostly one of those that say how far the log is, or of the page.
        constexpr std::size_t of_the_log[]{offsetof(arena::Control, reserve),
                                           offsetof(arena::Control, logged),
                                           offsetof(arena::Control, applied),
                                           offsetof(arena::Control, sequence),
                                           offsetof(arena::Control, time),
                                           offsetof(arena::Control, structure),
                                           offsetof(arena::Control, sources),
                                           offsetof(arena::Control, seal),
                                           offsetof(arena::Control, flushed),
                                           offsetof(arena::Control, durable),
                                           offsetof(arena::Control, durable_sequence),
                                           offsetof(arena::Control, prepared),
                                           offsetof(arena::Control, unsure),
                                           offsetof(arena::Control, poison),
                                           offsetof(arena::Control, files_seal),
                                           offsetof(arena::Control, files_next)};
        constexpr auto words = (sizeof(arena::Control) - first_word) / 8;
        constexpr auto holders = offsetof(arena::Control, writer_pid) / 64;
        do {
            const auto of = below(8);
            slip.at = of == 0  ? first_word + below(words) * 8
                      : of < 6 ? of_the_log[below(std::size(of_the_log))]
                               : arena::table_at + below(sizeof(arena::PageLine) / 8) * 8;
        } while (slip.at / 64 == holders);
        const auto end = end_of_log();
        const auto commit = end - before_;
        switch (below(8)) {
            case 0:
                slip.value = below(4);
                break;
            case 1:
                slip.value = ~std::uint64_t{0};
                break;
            case 2:
                slip.value = random() >> below(64);
                break;
            case 3:  // where it was
                slip.value = before_;
                break;
            case 4:
                slip.value = end;
                break;
            default:  // where it may come to
                slip.value = end + commit / 8 * below(40);
        }
        return slip;
    }

    void look(const Slips& slips) const {
        remove_arena(folder_.path());
        try {
            const auto bus = start_with(quiet(folder_));
            EXPECT_TRUE(bus.verify().good) << slips;
            for (const auto& [sequence, version] : promised_)
                EXPECT_TRUE(
                    std::ranges::equal(bus.at(sequence).bytes(bus.page("p")), pattern(64, version)))
                    << "a synced commit is missing: " << slips;
        } catch (const Error& e) {
            ADD_FAILURE() << e.what() << ": " << slips;
        }
    }

    TempFolder folder_{};
    std::uint64_t before_ = 0;
    unsigned version_ = 0;
    std::vector<std::pair<Sequence, unsigned>> promised_{};  ///< And what was written.
};

TEST(AWordThatIsWrittenOverMeanwhile, SpoilsNothingThatIsOnDisk) {
    if (!temporary_folders_in_memory) std::printf("no room in memory: this takes long\n");
    let_timer_rest();
    std::mt19937_64 random(seed());
    unsigned steps = 1;
    for (int i = 0; i < (is_long() ? 100'000 : cases(1500, 500)) && !testing::Test::HasFailure();
         ++i)
        steps = std::max(steps, Trial().live(random, steps));
    EXPECT_GT(steps, 100U);
}

// What redo makes of a line it knows from the log, as far as the log says it.
TEST(ALineThatIsWrittenOverBehindADeath, IsNotTakenIntoTheLog) {
    for (const auto* step : {"commit.logged", "apply.line_busy"}) {
        SCOPED_TRACE(step);
        const TempFolder folder;
        auto config = quiet(folder);
        config.lock_timeout = 60s;  // nothing here is in the way
        {
            const auto bus = start_with(config);
            bus.create_page(64, {.name = "p"});
        }
        Child dies([&] {
            let_timer_rest();
            const auto bus = start_with(config);
            arm({.action = Action::kill, .step = step});
            bus.page("p").write(0, pattern(64, 2));
            return 0;
        });
        ASSERT_EQ(dies.wait(), -SIGKILL);
        {
            const ForeignMap map(arena_of(folder.path()));
            map.line(0).size = 128;
        }
        Child goes_on([&] {
            const auto bus = start_with(config);
            for (unsigned n = 3; n < 5; ++n)
                bus.page("p").write(0, pattern(64, n), {.durability = Durability::sync});
            return 0;
        });
        EXPECT_EQ(goes_on.wait(), 0);
        remove_arena(folder.path());
        const auto bus = start_with(config);
        EXPECT_TRUE(bus.verify().good);
        EXPECT_EQ(bus.page("p").read(), pattern(64, 4));
    }
}

TEST(ALineThatIsWrittenOverInARebuild, IsNotMadeToPassForRight) {
    const TempFolder folder, arenas;
    auto config = quiet(folder);
    fs::create_directory(arenas.path());
    config.arena_folder = arenas.path();
    {
        const auto bus = start_with(config);
        const auto page = bus.create_page(64);
        bus.create_page(64);
        bus.delete_page(bus.create_page(64));  // its place is free
        for (unsigned n = 1; n < 20; ++n) page.write(0, pattern(64, n));
    }
    remove_arena(folder.path());
    Child opens([&] {
        bool met = false;
        const auto scribble = [&](unsigned nth) {
            if (nth != 12) return;
            for (const auto& file : fs::directory_iterator(arenas.path())) {
                const ForeignMap map(file.path());
                if (!map) continue;
                map.line(0).offset = map.line(0).offset + 128;
                met = true;
            }
        };
        arm({.action = Action::call, .step = "rebuild.record", .called = scribble});
        try {
            static_cast<void>(start_with(config));
        } catch (const Corrupt&) {
            return met ? 0 : 2;
        }
        return 1;
    });
    EXPECT_EQ(opens.wait(), 0);
    EXPECT_TRUE(start_with(config).verify().good);
}

}  // namespace
}  // namespace mmsb::test
