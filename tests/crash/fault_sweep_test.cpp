// Every system call that the bus makes fails in turn: the first, the second, ... until the work is
// done before it comes to the one that would; once, or from there on.
#include "crash/trial_work.hpp"
#include "support/faults.hpp"
#include "support/tap.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <iostream>
#include <random>

namespace mmsb::test {
namespace {

// What fails with which errno; 0: this call does not.
using ErrorOf = int (*)(os::Call);

int broken(os::Call) { return EIO; }
int interrupted(os::Call) { return EINTR; }
int full(os::Call call) {
    switch (call) {
        case os::Call::pwrite:
        case os::Call::allocate:
        case os::Call::truncate:
        case os::Call::link:
        case os::Call::rename:
        case os::Call::make_folder:
        case os::Call::open:
            return ENOSPC;
        case os::Call::map:
        case os::Call::memory_file:
            return ENOMEM;
        default:
            return 0;
    }
}
int out_of_handles(os::Call call) {
    switch (call) {
        case os::Call::open:
        case os::Call::list:
        case os::Call::memory_file:
        case os::Call::event:
            return EMFILE;
        case os::Call::map:
            return ENOMEM;
        case os::Call::thread:
            return EAGAIN;
        default:
            return 0;
    }
}
int full_when_writing(os::Call call) { return call == os::Call::pwrite ? ENOSPC : 0; }

struct Way {
    const char* name;
    ErrorOf error_of;
    bool onward;
    bool shortened = false;  ///< Transfers move half of what is asked, too.
};
void PrintTo(const Way& way, std::ostream* out) { *out << way.name; }

constexpr Way ways[] = {
    {"one call of a broken disk", broken, false},
    {"a broken disk", broken, true},
    {"a disk that is full for a moment", full, false},
    {"a full disk", full, true},
    {"no handle for a moment", out_of_handles, false},
    {"no handles", out_of_handles, true},
    {"an interrupted call", interrupted, false},
    {"short writes and a full disk", full_when_writing, true, true},
};

// Half, but never less than a byte.
class Halves final : public os::Tap {
public:
    std::uint64_t transfer(const os::Operation& what) override {
        return what.call == os::Call::pwrite && what.size > 64 ? what.size / 2 : what.size;
    }
};

// While it runs, the call that `trip` is set to fails.
template <class Scene>
void with_faults(const Way& way, Trip& trip, Scene scene) {
    Halves halves;
    std::optional<Tapped> tapped;
    if (way.shortened) tapped.emplace(halves);
    const Faults faults([&](os::Call call, std::string_view) {
        const int error = way.error_of(call);
        return error != 0 && trip.next() ? error : 0;
    });
    scene();
}

unsigned seed() {
    const char* given = std::getenv("MMSB_SEED");
    return given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                            : std::random_device{}();
}
bool is_long() { return std::getenv("MMSB_LONG") != nullptr; }

// All of them with MMSB_LONG; else `sample` of them. `one(trip, n)` makes a trial.
template <class One>
void sweep(const Way& way, int sample, One one) {
    const auto first = seed();
    std::mt19937 random(first);
    int trials = 0;
    std::int64_t calls = 0;
    Trip trip;
    const auto at = [&](std::int64_t n) {
        SCOPED_TRACE(std::string(way.name) + ", call " + std::to_string(n) +
                     ", MMSB_SEED=" + std::to_string(first));
        trip.set(n, way.onward);
        one(trip, n);
        calls = std::max(calls, trip.count());
        ++trials;
        return trip.fired() && !testing::Test::HasFailure();
    };
    at(0);
    for (std::int64_t n = 1; is_long() && at(n); ++n) {
    }
    while (!is_long() && trials <= sample && !testing::Test::HasFailure())
        at(1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(calls)));
    std::cout << way.name << ": " << trials << " trials over " << calls
              << " calls, MMSB_SEED=" << first << '\n';
}

class EveryCallThatFails : public testing::TestWithParam<Way> {};

TEST_P(EveryCallThatFails, InTheLifeOfABusIsATypedErrorAndLosesNothing) {
    sweep(GetParam(), 5, [](Trip& trip, std::int64_t n) {
        const TempFolder folder;
        Trial trial(folder, trip);
        with_faults(GetParam(), trip, [&] { work(trial, folder); });
        trial.settle(n % 2 == 0);
    });
}

TEST_P(EveryCallThatFails, InARecoveryIsATypedErrorAndLosesNothing) {
    for (const auto& deaths : all_deaths) {
        sweep(GetParam(), 2, [&](Trip& trip, std::int64_t n) {
            try_recovery(deaths, trip, n % 2 == 0,
                         [&](auto recover) { with_faults(GetParam(), trip, recover); });
        });
    }
}

INSTANTIATE_TEST_SUITE_P(All, EveryCallThatFails, testing::ValuesIn(ways), [](const auto& made) {
    std::string name(made.param.name);
    std::ranges::replace_if(name, [](char c) { return c == ' '; }, '_');
    return name;
});

}  // namespace
}  // namespace mmsb::test
