// Parts that are made ahead, by the taker or by another thread: in order, once each, and none that
// changes while it is held.
#include "state/ahead.hpp"

#include "support/faults.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <stdexcept>

#include <sys/wait.h>
#include <unistd.h>

namespace mmsb::state {
namespace {

// Numbers, as many as there are.
class AheadOfNumbers : public testing::Test {
protected:
    using Numbers = Ahead<unsigned>;

    bool make(unsigned& part) {
        if (made == throws_at) {
            throws_at = never;
            throw std::runtime_error("one that cannot be made");
        }
        if (made == upto) return false;
        part = ++made;
        return true;
    }
    void expect_next(unsigned number) {
        const auto* const part = ahead.next();
        ASSERT_NE(part, nullptr) << "instead of " << number;
        EXPECT_EQ(*part, number);
    }

    static constexpr unsigned never = ~0U;
    std::atomic<unsigned> made{0};  // also looked at while another thread makes them
    unsigned upto = 1000, throws_at = never;
    Numbers::Parts parts{};
    Numbers ahead{parts, [this](unsigned& part) { return make(part); }};
};

TEST_F(AheadOfNumbers, ByTheTakerAreMadeAsTheyAreTaken) {
    for (unsigned n = 1; n <= upto; ++n) {
        expect_next(n);
        EXPECT_EQ(made, n);
    }
    EXPECT_EQ(ahead.next(), nullptr);
    EXPECT_EQ(ahead.next(), nullptr);
}

TEST_F(AheadOfNumbers, ByAThreadAreInOrderAndComplete) {
    for (unsigned n = 1; n <= upto; ++n) {
        if (n == 3) ahead.start();
        expect_next(n);
    }
    EXPECT_EQ(ahead.next(), nullptr);
}

TEST_F(AheadOfNumbers, StandStillWhileTheyAreHeld) {
    ahead.start();
    const auto* const held = ahead.next();
    ASSERT_NE(held, nullptr);
    while (made != parts_ahead) std::this_thread::yield();  // there is no more room
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    EXPECT_EQ(made, parts_ahead);
    EXPECT_EQ(*held, 1U);
    for (unsigned n = 2; n <= upto; ++n) expect_next(n);
}

TEST_F(AheadOfNumbers, ThatWereMadeAreTakenAfterAStop) {
    for (unsigned taken = 0; taken != 20; ++taken) {
        const auto before = made.load();
        ahead.start();
        for (unsigned n = 1; n <= taken; ++n) expect_next(before + n);
        while (taken == 0 && made == before) std::this_thread::yield();
        ahead.stop();
        ahead.stop();
        const auto last = made.load();
        for (unsigned n = before + taken + 1; n <= last; ++n) expect_next(n);
        EXPECT_EQ(made, last) << "made by nobody while there were some";
        expect_next(last + 1);
    }
}

TEST_F(AheadOfNumbers, GoOnWhereMoreOfThemCameLater) {
    upto = 10;
    for (int round = 0; round < 5; ++round) {
        ahead.start();
        for (auto n = upto - 9; n <= upto; ++n) expect_next(n);
        EXPECT_EQ(ahead.next(), nullptr);
        upto += 10;
    }
}

TEST_F(AheadOfNumbers, ComeBeforeWhatTheOneBehindThemThrows) {
    for (const bool by_thread : {false, true}) {
        throws_at = made + 6;
        const auto before = made.load();
        if (by_thread) ahead.start();
        for (unsigned n = 1; n <= 6; ++n) expect_next(before + n);
        EXPECT_THROW(ahead.next(), std::runtime_error);
        expect_next(before + 7);  // it can be made now
    }
}

TEST_F(AheadOfNumbers, ThatNobodyTakesHoldUpNobody) {
    ahead.start();
    expect_next(1);
}

TEST_F(AheadOfNumbers, AreMadeByTheTakerWhereAThreadIsRefused) {
    const test::Faults refused(test::always(os::Call::thread, EAGAIN));
    for (unsigned n = 1; n <= upto; ++n) {
        ahead.start();
        expect_next(n);
        EXPECT_EQ(made, n);
    }
    EXPECT_EQ(ahead.next(), nullptr);
}

TEST_F(AheadOfNumbers, OfFewRecordsAPartAreMadeByTheTakerAgain) {
    constexpr std::size_t many = 1000, large = limits::mib;
    ahead.start_if_worth(10, 100);  // few, but no large ones
    expect_next(1);
    EXPECT_EQ(made, 1U);
    ahead.start_if_worth(many, large);
    expect_next(2);
    while (made == 2) std::this_thread::yield();
    ahead.start_if_worth(10, large);
    ahead.start_if_worth(many, large);
    const auto last = made.load();
    for (unsigned n = 3; n <= last; ++n) expect_next(n);
    expect_next(last + 1);
    EXPECT_EQ(made, last + 1);
}

// In the child that thread is not.
TEST(AheadAcrossProcesses, IsRefusedInAForkedChild) {
    Ahead<unsigned>::Parts parts{};
    unsigned made = 0;
    const auto make = [&](unsigned& part) { return (part = ++made) != 0; };
    Ahead<unsigned> ahead(parts, make);
    ahead.start();
    for (unsigned n = 1; n < 100; ++n) ASSERT_EQ(*ahead.next(), n);
    const auto child = ::fork();
    if (child == 0) {
        for (int i = 0; i < 2; ++i) {
            try {
                static_cast<void>(ahead.next());
                ::_exit(1);
            } catch (const WrongContext&) {
            }
        }
        ahead.~Ahead();  // waits for nobody
        ::_exit(0);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(*ahead.next(), 100U);
}

}  // namespace
}  // namespace mmsb::state
