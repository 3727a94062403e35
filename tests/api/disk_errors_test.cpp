// The disk fails, is full or does not answer; another process is stopped while it holds a lock.
#include "support/child.hpp"
#include "support/faults.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <thread>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

Config impatient(const TempFolder& folder) {
    auto config = at(folder);
    config.lock_timeout = 100ms;
    return config;
}

// Opens the bus in a child and commits until `where` is reached, where the child stops itself.
auto stopping_at(const TempFolder& folder, os::Call where, Durability durability) {
    return [&folder, where, durability] {
        auto bus = start_with(at(folder));
        const auto page = bus.create_page(1000, {.name = "child"});
        const Faults stop_there([where](os::Call call, std::string_view) {
            if (call == where) ::raise(SIGSTOP);
            return 0;
        });
        for (unsigned i = 0; i < 100000; ++i)
            page.update(pattern(1000, i), {.durability = durability});
        return 0;
    };
}

TEST(AStoppedProcess, ThatHoldsTheWritersLockMakesWritersBusyButNoReaders) {
    const TempFolder folder;
    Child child(stopping_at(folder, os::Call::allocate, Durability::process));
    ASSERT_TRUE(child.wait_until_stopped());
    auto bus = start_with(impatient(folder));
    const auto page = bus.page("child");
    const auto before = contents_of(bus);
    const auto e = raises<Busy>(bus, [&] { page.write(0, bytes_of("x")); });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->holder(), child.pid());
    EXPECT_EQ(e->code(), ErrorCode::busy);
    raises<Busy>(bus, [&] { bus.create_page(1); });
    auto tx = bus.transaction();
    tx.write(page, 0, bytes_of("x"));
    EXPECT_EQ(tx.try_commit().status, CommitStatus::busy);
    EXPECT_TRUE(bus.verify().good);
    child.signal(SIGKILL);
    EXPECT_EQ(child.wait(), -SIGKILL);
    EXPECT_EQ(contents_of(bus), before);
    page.write(0, bytes_of("mine"));
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
}

TEST(AStoppedProcess, ThatSyncsKeepsNobodyFromStopping) {
    const TempFolder folder;
    Child child(stopping_at(folder, os::Call::sync, Durability::sync));
    ASSERT_TRUE(child.wait_until_stopped());
    auto bus = start_with(impatient(folder));
    bus.create_page(1);
    std::atomic<bool> waits{false};
    std::thread waiting([&] {
        waits = true;
        thrown<BusClosed>([&] { static_cast<void>(bus.wait_durable(Sequence::newest)); });
    });
    while (!waits) std::this_thread::yield();
    std::this_thread::sleep_for(20ms);
    try {
        stop(std::move(bus));
    } catch (const std::exception&) {  // it could not flush
    }
    waiting.join();
    child.signal(SIGKILL);
    child.wait();
}

TEST(AStoppedProcess, ThatSyncsMakesCommitsNotDurableWhichAreThereAllTheSame) {
    const TempFolder folder;
    Child child(stopping_at(folder, os::Call::sync, Durability::sync));
    ASSERT_TRUE(child.wait_until_stopped());
    auto bus = start_with(impatient(folder));
    const auto page = bus.page("child");
    const auto before = bus.sequence();
    const auto e = thrown<NotDurable>(
        [&] { page.write(0, bytes_of("mine"), {.durability = Durability::sync}); });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->sequence(), before + 1);
    EXPECT_EQ(bus.sequence(), before + 1);
    EXPECT_EQ(text_of(page.read()).substr(0, 4), "mine");
    EXPECT_LT(bus.durable_sequence(), e->sequence());
    EXPECT_FALSE(bus.wait_durable(e->sequence(), 50ms));
    child.signal(SIGKILL);
    child.wait();
    EXPECT_TRUE(bus.wait_durable(e->sequence()));
    EXPECT_GE(bus.durable_sequence(), e->sequence());
    stop(std::move(bus));
}

TEST(AStoppedProcess, ThatIsOpeningTheBusMakesTheNextOneBusy) {
    const TempFolder folder;
    stop(start(at(folder)));
    remove_arena(folder.path());
    Child child([&] {
        const Faults stop_there([once = false](os::Call call, std::string_view) mutable {
            if (call == os::Call::map && !std::exchange(once, true)) ::raise(SIGSTOP);
            return 0;
        });
        stop(start(at(folder)));
        return 0;
    });
    ASSERT_TRUE(child.wait_until_stopped());
    const auto e = thrown<Busy>([&] { stop(start(impatient(folder))); });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->holder(), child.pid());
    child.signal(SIGCONT);
    EXPECT_EQ(child.wait(), 0);
    stop(start(impatient(folder)));
}

// ---- a full disk
// ----------------------------------------------------------------------------------

TEST(AFullDisk, RefusesPagesForWhichThereIsNoMemory) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(100, {.name = "p"});
    {
        const Faults full(always(os::Call::allocate, ENOSPC));
        const auto e =
            raises<OutOfSpace>(bus, [&] { bus.create_page(64U << 20U, {.name = "large"}); });
        ASSERT_TRUE(e);
        EXPECT_EQ(e->where(), arena_of(folder.path()));
        EXPECT_GT(e->needed(), 0U);
        raises<OutOfSpace>(bus, [&] { page.resize(64U << 20U); });
        raises<OutOfSpace>(bus, [&] {
            bus.transact([&](Transaction& tx) {
                tx.create_page(100);
                tx.write(page, 0, bytes_of("x"));
                tx.create_page(64U << 20U);
            });
        });
        page.write(0, bytes_of("small ones go on"));
    }
    EXPECT_EQ(bus.create_page(2U << 20U, {.name = "large"}).size(), 2U << 20U);
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
}

TEST(AFullDisk, RefusesCommitsThatTheLogHasNoRoomForAndLosesNothing) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(4000, {.name = "p"});
    unsigned done = 0;
    {
        const Faults full(always(os::Call::allocate, ENOSPC));
        const auto e = thrown<OutOfSpace>([&] {
            for (;; ++done) page.update(pattern(4000, done));
        });
        ASSERT_TRUE(e);
        EXPECT_NE(e->where().find("/log"), std::string::npos) << e->where();
        EXPECT_GT(done, 0U);
        EXPECT_EQ(page.read(), pattern(4000, done - 1));
        raises<OutOfSpace>(bus, [&] { page.update(pattern(4000, 7777)); });
    }
    for (unsigned i = 0; i < 200; ++i) page.update(pattern(4000, 10000 + i));
    EXPECT_TRUE(bus.verify().good);
    const auto before = contents_of(bus);
    stop(std::move(bus));
    remove_arena(folder.path());
    EXPECT_EQ(contents_of(start(at(folder))), before);
}

TEST(AFullDisk, RefusesARecordTooLargeForTheRing) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(500000);
    {
        const Faults full([](os::Call call, std::string_view path) {
            return call == os::Call::allocate && path.find("/log") != path.npos ? ENOSPC : 0;
        });
        const auto e = raises<OutOfSpace>(bus, [&] { page.update(pattern(500000)); });
        ASSERT_TRUE(e);
        EXPECT_GE(e->needed(), 490000U);
    }
    page.update(pattern(500000));
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
}

// ---- a failing disk
// -------------------------------------------------------------------------------

TEST(AFailingDisk, IsAnIoErrorThatNamesFileAndReason) {
    const TempFolder folder;
    {
        const Faults broken(always(os::Call::open, EACCES));
        EXPECT_EQ(thrown<Io>([&] { stop(start(at(folder))); })->system_error(), EACCES);
    }
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(8);
    page.write(0, bytes_of("x"), {.durability = Durability::sync});
    const auto e = raises<Io>(bus, [&] {
        const Faults broken(always(os::Call::pread, EIO));
        static_cast<void>(bus.at(Sequence{1}).bytes(page));
    });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->system_error(), EIO);
    EXPECT_NE(e->file().find("/log/"), std::string::npos) << e->file();
    EXPECT_EQ(thrown<Io>([&] {
                  stop(start({.from_checkpoint = folder.path() + "/none"}));
              })->system_error(),
              ENOENT);
    thrown<Io>([&] { bus.checkpoint(folder.path() + ".no/such/folder/file"); });
    stop(std::move(bus));
}

TEST(AFailingDisk, PoisonsTheBusWhoseCommitIsVisibleAndNotDurable) {
    const TempFolder folder;
    std::vector<std::string> notices;
    auto config = at(folder);
    config.on_notice = [&](const Notice& n) { notices.push_back(n.text); };
    auto bus = start_with(config);
    const auto page = bus.create_page(8, {.name = "p"});
    const auto good = page.write(0, bytes_of("good"), {.durability = Durability::sync});
    {
        const Faults broken(always(os::Call::sync, EIO));
        const auto e = thrown<Poisoned>(
            [&] { page.write(0, bytes_of("lost"), {.durability = Durability::sync}); });
        ASSERT_TRUE(e);
        EXPECT_EQ(e->system_error(), EIO);
        EXPECT_EQ(e->errno_name(), "EIO");
        EXPECT_EQ(e->durable(), good.sequence);
    }
    // The documented exception: it is visible.
    EXPECT_EQ(text_of(page.read()), "lost");
    EXPECT_EQ(bus.sequence(), good.sequence + 1);
    EXPECT_EQ(bus.durable_sequence(), good.sequence);
    // Nothing is retried and believed, though the disk works again.
    raises<Poisoned>(bus, [&] { page.write(0, bytes_of("more")); });
    raises<Poisoned>(bus, [&] { static_cast<void>(bus.wait_durable(bus.sequence())); });
    EXPECT_EQ(text_of(bus.at(good.sequence).bytes(page)), "good");
    EXPECT_EQ(notices.size(), 1U);
    EXPECT_THROW(stop(std::move(bus)), Poisoned);  // it does not say that all is well

    // Whoever opens it next, alone, writes all of it again.
    bus = start_with(config);
    EXPECT_TRUE(bus.recovery().needed);
    EXPECT_EQ(notices.size(), 2U);
    EXPECT_EQ(text_of(bus.page("p").read()), "lost");
    EXPECT_EQ(bus.durable_sequence(), good.sequence + 1);
    bus.page("p").write(0, bytes_of("on."), {.durability = Durability::sync});
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
    remove_arena(folder.path());
    EXPECT_EQ(text_of(start(at(folder)).page("p").read()), "on.t");
}

// Compacting a bus whose newest commits never got to the disk.
TEST(AFailingDisk, LeavesNoCheckpointThatIsAheadOfTheLog) {
    const TempFolder folder;
    auto config = at(folder);
    config.on_notice = [](const Notice&) {};
    auto bus = start_with(config);
    const auto page = bus.create_page(1000, {.name = "p"});
    page.update(pattern(1000, 1), {.durability = Durability::sync});
    const auto durable = bus.sequence();
    {
        std::atomic<bool> go{false};
        const Faults slow_and_broken([&](os::Call call, std::string_view path) {
            if (call != os::Call::pwrite || path.find("/log/") == path.npos) return 0;
            while (!go.load()) ::usleep(100);
            return EIO;
        });
        for (unsigned i = 0; i < 10; ++i) page.update(pattern(1000, 2 + i));
        go.store(true);
        EXPECT_THROW(static_cast<void>(bus.wait_durable(bus.sequence())), Poisoned);
    }
    EXPECT_EQ(bus.durable_sequence(), durable);
    EXPECT_THROW(bus.compact(bus.sequence() - 2), Poisoned);
    EXPECT_THROW(stop(std::move(bus)), Poisoned);
    remove_arena(folder.path());
    bus = start_with(config);
    EXPECT_EQ(bus.sequence(), durable);
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
}

TEST(AFailingDisk, PoisonsTheBusInTheBackgroundToo) {
    const TempFolder folder;
    auto config = at(folder);
    config.on_notice = [](const Notice&) {};
    auto bus = start_with(config);
    const auto page = bus.create_page(8, {.name = "p"});
    {
        const Faults broken(always(os::Call::pwrite, EIO));
        const auto e = thrown<Poisoned>([&] {
            for (unsigned i = 0;; ++i) page.update(pattern(8, i));
        });
        ASSERT_TRUE(e);
        EXPECT_EQ(e->errno_name(), "EIO");
    }
    EXPECT_TRUE(bus.verify().good);
    EXPECT_THROW(stop(std::move(bus)), Poisoned);
    bus = start_with(config);
    bus.page("p").write(0, bytes_of("x"));
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
}

}  // namespace
}  // namespace mmsb::test
