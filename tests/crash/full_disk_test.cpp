// Full file systems for real: small tmpfs, mounted where only this test's child sees them (a mount
// namespace of its own; where that is not allowed the tests say so). The bus's folder, and its
// shared memory, fill up to the last block: typed errors, nothing acknowledged lost, and work goes
// on once there is room.
#include "os/process.hpp"
#include "support/child.hpp"
#include "support/contents.hpp"
#include "support/mounts.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace mmsb::test {
namespace {

constexpr int not_allowed = 77;

// `body(file_system)` in a child that has a file system of these options.
template <class F>
void on_a_small_file_system(const std::string& options, F body) {
    const TempFolder say;  // why not, for the skip
    Child child([&] {
        if (!be_alone_with_mounts()) {
            write_file(say.path(), std::string("no mount namespace: ") + std::strerror(errno));
            return not_allowed;
        }
        const SmallFileSystem small_one(options);
        if (!small_one.mounted()) {
            write_file(say.path(), std::string("no mount: ") + std::strerror(small_one.reason()));
            return not_allowed;
        }
        try {
            body(small_one);
        } catch (const std::exception& e) {
            ADD_FAILURE() << e.what();
        }
        std::fflush(nullptr);
        return testing::Test::HasFailure() ? 1 : 0;
    });
    const int code = child.wait();
    if (code == not_allowed) {
        const auto why = read_file(say.path());
        fs::remove(say.path());
        GTEST_SKIP() << "small file systems cannot be mounted here: " << why;
    }
    ASSERT_EQ(code, 0);
}

Config config_of(const std::string& path) {
    Config config;
    config.path = path;
    config.on_notice = [](const Notice&) {};
    config.checkpoint_interval = std::chrono::seconds(0);
    return config;
}

// Commits until there is no room; the error names the place. What was there before is unchanged.
unsigned fill_until_full(const State& bus, const Page& page, const std::string& where,
                         Durability durability) {
    for (unsigned i = 1; i < 1'000'000; ++i) {
        try {
            page.update(pattern(page.size(), i), {.durability = durability});
        } catch (const OutOfSpace& e) {
            EXPECT_EQ(e.where().substr(0, where.size()), where);
            EXPECT_EQ(e.system_error(), ENOSPC);
            EXPECT_EQ(page.read(), pattern(page.size(), i - 1));
            EXPECT_TRUE(bus.verify().good);
            return i - 1;
        }
    }
    ADD_FAILURE() << "it was never full";
    return 0;
}

// The bus asks for room in steps; what is less than a step is taken here.
void fill_the_rest(const std::string& path) {
    std::ofstream out(path, std::ios::binary);
    const std::string block(4096, 'x');
    while (out.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
}

void expect_after_reopening(const Config& config, const Contents& all, bool keep_arena) {
    if (!keep_arena) remove_arena(config.path);
    auto bus = start_with(config);
    EXPECT_EQ(contents_of(bus), all);
    EXPECT_TRUE(bus.verify().good);
    bus.open_page("afterwards", 8).update(pattern(8, 3), {.durability = Durability::sync});
    stop(std::move(bus));
}

class AFullFileSystem : public testing::TestWithParam<Durability> {};

TEST_P(AFullFileSystem, RefusesCommitsAndGoesOnOnceThereIsRoom) {
    on_a_small_file_system("size=4m", [](const SmallFileSystem& disk) {
        const auto config = config_of(disk.path() + "/bus");
        write_file(disk.path() + "/ballast", std::string(1U << 20U, 'x'));
        auto bus = start_with(config);
        const auto page = bus.create_page(5000, {.name = "p", .contents = pattern(5000, 0)});
        const auto done = fill_until_full(bus, page, disk.path(), GetParam());
        EXPECT_GT(done, 100U);
        fill_the_rest(disk.path() + "/more ballast");
        EXPECT_THROW(bus.create_page(100'000, {.contents = pattern(100'000)}), OutOfSpace);
        EXPECT_THROW(static_cast<void>(bus.checkpoint(disk.path() + "/checkpoint")), OutOfSpace);
        EXPECT_FALSE(fs::exists(disk.path() + "/checkpoint"));
        // What was committed can be made durable: its room was there before it was logged.
        EXPECT_TRUE(bus.wait_durable(Sequence::newest));
        fs::remove(disk.path() + "/ballast");
        fs::remove(disk.path() + "/more ballast");
        for (unsigned i = 0; i < 100; ++i)
            page.update(pattern(5000, 1000 + i), {.durability = GetParam()});
        EXPECT_TRUE(bus.verify().good);
        const auto all = contents_of(bus);
        stop(std::move(bus));
        expect_after_reopening(config, all, false);
    });
}

TEST_P(AFullFileSystem, LosesNothingThatWasAcknowledgedWhenTheProcessDies) {
    on_a_small_file_system("size=3m", [](const SmallFileSystem& disk) {
        const auto config = config_of(disk.path() + "/bus");
        write_file(disk.path() + "/ballast", std::string(1U << 20U, 'x'));
        Pipe told;
        Child child([&] {
            auto bus = start_with(config);
            const auto page = bus.create_page(5000, {.name = "p", .contents = pattern(5000, 0)});
            told.write(fill_until_full(bus, page, disk.path(), GetParam()));
            std::_Exit(testing::Test::HasFailure() ? 1 : 0);
            return 0;
        });
        told.close_writing();
        const auto done = told.read<unsigned>();
        ASSERT_EQ(child.wait(), 0);
        ASSERT_TRUE(done);
        const auto expect_all = [&](const State& bus) {
            EXPECT_EQ(bus.page("p").read(), pattern(5000, *done));
            EXPECT_TRUE(bus.verify().good);
        };
        // Full as it is, it can be read; and written as soon as there is room.
        auto only = config;
        only.open = Open::read_only;
        expect_all(start_with(only));
        try {
            auto bus = start_with(config);
            expect_all(bus);
            stop(std::move(bus));
        } catch (const OutOfSpace&) {
        }
        fs::remove(disk.path() + "/ballast");
        if (GetParam() == Durability::sync) remove_arena(config.path);
        auto bus = start_with(config);
        expect_all(bus);
        bus.page("p").update(pattern(5000, 7), {.durability = Durability::sync});
        const auto all = contents_of(bus);
        stop(std::move(bus));
        expect_after_reopening(config, all, true);
    });
}

TEST_P(AFullFileSystem, WithSeveralWritersHasWhatEachOfThemHadAcknowledged) {
    on_a_small_file_system("size=4m", [](const SmallFileSystem& disk) {
        constexpr unsigned writers = 4;
        const auto config = config_of(disk.path() + "/bus");
        auto bus = start_with(config);
        std::vector<Page> pages;
        for (unsigned i = 0; i < writers; ++i)
            pages.push_back(bus.create_page(3000, {.contents = pattern(3000, i)}));
        std::atomic<unsigned> refused{0};
        std::vector<unsigned> done(writers);
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < writers; ++i)
            threads.emplace_back([&, i] {
                for (unsigned n = 1;; ++n) {
                    try {
                        pages[i].update(pattern(3000, n * writers + i), {.durability = GetParam()});
                        done[i] = n;
                    } catch (const OutOfSpace&) {
                        ++refused;
                        return;
                    } catch (const std::exception& e) {
                        ADD_FAILURE() << e.what();
                        return;
                    }
                }
            });
        for (auto& thread : threads) thread.join();
        EXPECT_EQ(refused, writers);
        const auto all = contents_of(bus);
        for (unsigned i = 0; i < writers; ++i)
            EXPECT_EQ(pages[i].read(), pattern(3000, done[i] * writers + i));
        EXPECT_TRUE(bus.verify().good);
        ASSERT_TRUE(disk.remount("size=8m"));
        pages[0].update(pattern(3000, 1));
        pages[0].update(pattern(3000, done[0] * writers));
        stop(std::move(bus));
        remove_arena(config.path);
        bus = start_with(config);
        for (unsigned i = 0; i < writers; ++i)
            EXPECT_EQ(bus.page(pages[i].id()).read(), pattern(3000, done[i] * writers + i));
        EXPECT_GT(number(bus.sequence()), all.sequence);
        stop(std::move(bus));
    });
}

// The jump is a record of the log, and there is no room for one: nothing is dropped for its age,
// neither then nor once it could be written.
TEST_P(AFullFileSystem, OnWhichTheClockJumpsTenYearsDropsNoPast) {
    on_a_small_file_system("size=4m", [](const SmallFileSystem& disk) {
        const auto config = config_of(disk.path() + "/bus");
        auto bus = start_with(config);
        const auto page = bus.create_page(5000, {.name = "p", .contents = pattern(5000, 0)});
        bus.set_retention({.age = std::chrono::hours(24)});
        fill_until_full(bus, page, disk.path(), GetParam());
        const auto all = contents_of(bus);
        const auto then = contents_of(bus.at(Sequence{20}));
        stop(std::move(bus));
        remove_arena(config.path);
        fill_the_rest(disk.path() + "/ballast");
        constexpr std::chrono::nanoseconds ten_years = std::chrono::hours(24 * 3652);
        os::shift_clock(ten_years.count());
        const auto expect_all = [&](const State& seen) {
            EXPECT_EQ(contents_of(seen), all);
            EXPECT_EQ(seen.oldest(), Sequence::zero);
            EXPECT_EQ(contents_of(seen.at(Sequence{20})), then);
        };
        for (int i = 0; i < 3; ++i) {
            try {
                bus = start_with(config);
                expect_all(bus);
                stop(std::move(bus));
            } catch (const OutOfSpace& e) {
                EXPECT_EQ(e.system_error(), ENOSPC);
            }
            auto only = config;
            only.open = Open::read_only;
            expect_all(start_with(only));
        }
        fs::remove(disk.path() + "/ballast");
        bus = start_with(config);
        static_cast<void>(bus.checkpoint());
        expect_all(bus);
        bus.compact();
        expect_all(bus);
        EXPECT_TRUE(bus.verify().good);
        stop(std::move(bus));
        os::shift_clock(0);
    });
}

INSTANTIATE_TEST_SUITE_P(All, AFullFileSystem,
                         testing::Values(Durability::process, Durability::sync),
                         [](const auto& made) {
                             return made.param == Durability::sync ? "Sync" : "Process";
                         });

TEST(AFileSystem, WithoutAnotherInodeRefusesWhatNeedsAFileAndNothingElse) {
    on_a_small_file_system("size=8m,nr_inodes=16", [](const SmallFileSystem& disk) {
        const auto config = config_of(disk.path() + "/bus");
        auto bus = start_with(config);
        const auto page = bus.create_page(5000, {.name = "p", .contents = pattern(5000, 0)});
        for (unsigned i = 0;; ++i) {  // ballast of empty files
            std::ofstream file(disk.path() + "/empty" + std::to_string(i));
            if (!file) break;
        }
        const auto done = fill_until_full(bus, page, disk.path(), Durability::sync);
        EXPECT_GT(done, 10U);  // as far as the first segment goes
        EXPECT_THROW(static_cast<void>(bus.checkpoint()), OutOfSpace);
        EXPECT_THROW(bus.create_page(100'000, {.contents = pattern(100'000)}), OutOfSpace);
        EXPECT_EQ(page.read(), pattern(5000, done));
        for (unsigned i = 0; i < 4; ++i) fs::remove(disk.path() + "/empty" + std::to_string(i));
        static_cast<void>(bus.checkpoint());
        page.update(pattern(5000, 5));
        const auto all = contents_of(bus);
        stop(std::move(bus));
        expect_after_reopening(config, all, false);
    });
}

TEST(AFullSharedMemory, RefusesPagesAndGoesOnWithThoseThereAre) {
    on_a_small_file_system("size=6m", [](const SmallFileSystem& shm) {
        const TempFolder folder;
        auto config = config_of(folder.path());
        config.arena_folder = shm.path();
        auto bus = start_with(config);
        const auto page = bus.create_page(5000, {.name = "p", .contents = pattern(5000, 0)});
        unsigned pages = 0;
        try {
            for (; pages < 10'000; ++pages)
                bus.create_page(50'000, {.contents = pattern(50'000, pages)});
            ADD_FAILURE() << "it was never full";
        } catch (const OutOfSpace& e) {
            EXPECT_EQ(e.where().substr(0, shm.path().size()), shm.path());
            EXPECT_EQ(e.system_error(), ENOSPC);
        }
        EXPECT_GT(pages, 10U);
        EXPECT_EQ(bus.pages().size(), pages + 1);
        EXPECT_THROW(page.resize(5'000'000), OutOfSpace);
        // No page is touched for the first time by a commit to it: nothing of this is SIGBUS.
        for (unsigned i = 0; i < 300; ++i) page.update(pattern(5000, i));
        for (const auto& each : bus.pages())
            each.write(each.size() - 8, bytes_of("the end!"), {.durability = Durability::sync});
        EXPECT_TRUE(bus.verify().good);
        bus.delete_page(bus.pages().back());
        static_cast<void>(bus.create_page(40'000));  // in its place
        auto all = contents_of(bus);
        stop(std::move(bus));
        // Rebuilt where there is no room for it: a typed error. With room: all of it.
        remove_arena(folder.path());
        const auto ballast = shm.path() + "/ballast";
        write_file(ballast, std::string(4U << 20U, 'x'));
        EXPECT_THROW(static_cast<void>(start_with(config)), OutOfSpace);
        fs::remove(ballast);
        expect_after_reopening(config, all, true);
    });
}

TEST(AFullSharedMemory, InWhichABusIsMadeIsATypedErrorThatLeavesNothingThere) {
    on_a_small_file_system("size=64k", [](const SmallFileSystem& shm) {
        const TempFolder folder;
        auto config = config_of(folder.path());
        config.arena_folder = shm.path();
        EXPECT_THROW(static_cast<void>(start_with(config)), OutOfSpace);
        ASSERT_TRUE(shm.remount("size=16m"));
        auto bus = start_with(config);
        bus.create_page(100);
        stop(std::move(bus));
        EXPECT_EQ(std::distance(fs::directory_iterator(shm.path()), fs::directory_iterator()), 1);
    });
}

}  // namespace
}  // namespace mmsb::test
