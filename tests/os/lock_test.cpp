#include "os/lock.hpp"

#include "os/helpers.hpp"
#include "os/mapping.hpp"

#include <csignal>
#include <random>
#include <thread>

namespace mmsb::os {
namespace {

using namespace std::chrono_literals;
using test::Failing;
using test::in_child;
using Outcome = RobustLock::Outcome;

constexpr std::uint64_t page = 4096;

class RobustLocks : public ::testing::Test {
protected:
    RobustLocks() {
        file_.allocate(0, 3 * page);
        lock_ = RobustLock(file_, page);
    }
    /// The 16 bytes that a neighbour can write.
    std::byte* shared_bytes() { return mapping_.data() + 2 * page - 16; }
    std::atomic_ref<std::uint64_t> counter() {
        return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(mapping_.data()));
    }
    /// A child that has the lock until it is killed.
    pid_t child_that_holds() {
        const auto before = counter().load();
        const auto child = ::fork();
        if (child == 0) {
            RobustLock own(file_, page);
            static_cast<void>(own.lock(forever));
            ++counter();
            for (;;) ::pause();
        }
        while (counter() == before) std::this_thread::yield();
        return child;
    }
    static void kill_and_wait(pid_t child) {
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
    }

    File file_ = memory_file("arena");
    Mapping mapping_ = Mapping::shared(file_, 0, 3 * page, 3 * page, true);
    RobustLock lock_{};
};

TEST_F(RobustLocks, LockAndUnlockInTheLastBytesOfTheirPageOnly) {
    EXPECT_EQ(lock_.holder(), 0);
    EXPECT_EQ(lock_.lock(forever), Outcome::locked);
    EXPECT_EQ(lock_.holder(), ::gettid());
    lock_.unlock();
    EXPECT_EQ(lock_.holder(), 0);
    auto outcome = Outcome::timed_out;
    EXPECT_TRUE(lock_.try_lock(outcome));
    EXPECT_EQ(outcome, Outcome::locked);
    lock_.unlock();
    for (std::uint64_t i = 0; i < 3 * page; ++i) {
        if (i < 2 * page - 16 || i >= 2 * page) {
            ASSERT_EQ(mapping_.data()[i], std::byte{0}) << i;
        }
    }
}

TEST_F(RobustLocks, TimeOutWhileAnotherThreadHoldsAndSayWhich) {
    ASSERT_EQ(lock_.lock(0ns), Outcome::locked);
    const auto tid = ::gettid();
    std::thread([&] {
        auto outcome = Outcome::locked;
        EXPECT_FALSE(lock_.try_lock(outcome));
        EXPECT_EQ(lock_.lock(0ns), Outcome::timed_out);
        EXPECT_EQ(lock_.lock(-5ns), Outcome::timed_out);
        EXPECT_EQ(lock_.lock(5ms), Outcome::timed_out);
        EXPECT_EQ(lock_.holder(), tid);
    }).join();
    lock_.unlock();
}

TEST_F(RobustLocks, WaitForEverForWhoUnlocks) {
    ASSERT_EQ(lock_.lock(forever), Outcome::locked);
    std::thread other([&] {
        EXPECT_EQ(lock_.lock(forever), Outcome::locked);
        lock_.unlock();
    });
    std::this_thread::sleep_for(20ms);
    lock_.unlock();
    other.join();
}

TEST_F(RobustLocks, ExcludeThreadsAndProcesses) {
    constexpr std::uint64_t rounds = 5000;
    auto* const plain = reinterpret_cast<volatile std::uint64_t*>(mapping_.data() + 64);
    const auto work = [&](RobustLock& lock) {
        for (std::uint64_t i = 0; i < rounds; ++i) {
            if (lock.lock(forever) != Outcome::locked) return 1;
            *plain = *plain + 1;
            lock.unlock();
        }
        return 0;
    };
    const auto child = ::fork();
    if (child == 0) {
        RobustLock own(file_, page);
        ::_exit(work(own));
    }
    std::thread other([&] { work(lock_); });
    EXPECT_EQ(work(lock_), 0);
    other.join();
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(*plain, 3 * rounds);
}

TEST_F(RobustLocks, TellTheNextThatTheOwnerWasKilledTwoHundredTimes) {
    for (int i = 0; i < 200; ++i) {
        const auto child = child_that_holds();
        if (i % 2 == 0) {
            kill_and_wait(child);
            ASSERT_EQ(lock_.lock(forever), Outcome::owner_died) << i;
        } else {
            // Somebody waits already when it happens.
            std::thread killer([&] { kill_and_wait(child); });
            ASSERT_EQ(lock_.lock(forever), Outcome::owner_died) << i;
            killer.join();
        }
        lock_.unlock();
        ASSERT_EQ(lock_.lock(forever), Outcome::locked);
        lock_.unlock();
    }
}

TEST_F(RobustLocks, TellTheNextThatTheOwningThreadEnded) {
    for (int i = 0; i < 20; ++i) {
        std::thread([&] { ASSERT_EQ(lock_.lock(forever), Outcome::locked); }).join();
        auto outcome = Outcome::locked;
        ASSERT_TRUE(lock_.try_lock(outcome));
        ASSERT_EQ(outcome, Outcome::owner_died);
        lock_.unlock();
    }
}

TEST_F(RobustLocks, AreHeldByAStoppedProcessUntilItGoesOn) {
    const auto child = child_that_holds();
    ::kill(child, SIGSTOP);
    EXPECT_EQ(lock_.lock(20ms), Outcome::timed_out);
    EXPECT_EQ(lock_.holder(), child);
    kill_and_wait(child);
    EXPECT_EQ(lock_.lock(forever), Outcome::owner_died);
    lock_.unlock();
}

TEST_F(RobustLocks, AreNeverLostWhenLockersAreKilledAtAnyInstant) {
    std::mt19937 random(20261123);
    for (int i = 0; i < 100; ++i) {
        const auto before = counter().load();
        const auto child = ::fork();
        if (child == 0) {
            RobustLock own(file_, page);
            for (;;) {
                static_cast<void>(own.lock(forever));
                ++counter();
                own.unlock();
            }
        }
        while (counter() == before) std::this_thread::yield();
        const auto until = steady_ns() + static_cast<std::int64_t>(random() % 150'000);
        while (steady_ns() < until) {
        }
        ::kill(child, SIGKILL);
        ASSERT_NE(lock_.lock(60s), Outcome::timed_out) << i;
        lock_.unlock();
        ::waitpid(child, nullptr, 0);
    }
}

/// Runs `body`, which may time out but must neither crash nor hang, in a child.
template <class F>
void survives(F body) {
    const int status = in_child([&] {
        ::signal(SIGSEGV, SIG_DFL);
        ::alarm(60);
        body();
        return 0;
    });
    EXPECT_EQ(status, 0) << (WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit code");
}

TEST_F(RobustLocks, SurviveAnyBytesInTheirSharedPart) {
    for (const unsigned seed : {1U, 2U, 3U}) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        survives([&] {
            std::mt19937 random(seed);
            const auto scribble = [&] {
                for (unsigned n = random() % 4; n > 0; --n) {
                    const auto at = random() % 16;
                    shared_bytes()[at] = static_cast<std::byte>(random());
                }
            };
            for (int i = 0; i < 1000; ++i) {
                // Objects come and go, and share this thread's list of robust mutexes.
                RobustLock own(file_, page), other(file_, 0);
                scribble();
                static_cast<void>(own.holder());
                if (own.lock(50us) != Outcome::timed_out) {
                    scribble();
                    const bool both = other.lock(50us) != Outcome::timed_out;
                    own.unlock();
                    if (both) other.unlock();
                }
                if (random() % 4 == 0) std::memset(shared_bytes(), 0, 16);
                std::memset(mapping_.data() + page - 16, 0, 16);
            }
            std::memset(shared_bytes(), 0, 16);
            if (lock_.lock(forever) != Outcome::locked) std::abort();
            lock_.unlock();
        });
    }
}

TEST_F(RobustLocks, SurviveANeighbourWhoWritesWithoutEnd) {
    const auto neighbour = ::fork();
    if (neighbour == 0) {
        std::mt19937 random(7);
        for (;;) shared_bytes()[random() % 16] = static_cast<std::byte>(random() % 3);
    }
    survives([&] {
        const auto until = steady_ns() + 200'000'000;
        while (steady_ns() < until) {
            RobustLock own(file_, page);
            if (own.lock(50us) != Outcome::timed_out) own.unlock();
        }
    });
    kill_and_wait(neighbour);
    std::memset(shared_bytes(), 0, 16);
    EXPECT_EQ(lock_.lock(forever), Outcome::locked);
    lock_.unlock();
}

TEST_F(RobustLocks, MayBeDestroyedWhileTheyAreHeld) {
    survives([&] {
        {
            RobustLock own(file_, page);
            static_cast<void>(own.lock(forever));
        }
        std::memset(shared_bytes(), 0, 16);
        for (int i = 0; i < 3; ++i) {
            RobustLock own(file_, page);
            static_cast<void>(own.lock(forever));
            own.unlock();
        }
    });
}

TEST_F(RobustLocks, MoveTheirHold) {
    ASSERT_EQ(lock_.lock(forever), Outcome::locked);
    RobustLock moved = std::move(lock_);
    moved.unlock();
    EXPECT_EQ(moved.holder(), 0);
    lock_ = std::move(moved);
    EXPECT_EQ(lock_.lock(forever), Outcome::locked);
    lock_.unlock();
}

TEST_F(RobustLocks, SayThatTheyCannotBeMapped) {
    const Failing failing(ENOMEM, Call::map);
    EXPECT_THROW(RobustLock(file_, page), OutOfSpace);
}

}  // namespace
}  // namespace mmsb::os
