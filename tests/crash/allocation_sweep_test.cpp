// Every allocation that the bus makes fails in turn: the first, the second, ... until the work is
// done before it comes to the one that would; once, or from there on. This program's operator new
// does it. (std::bad_alloc is the heap's typed error: nothing was changed then, either.)
#include "crash/trial_work.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <new>
#include <random>

namespace {

mmsb::test::Trip allocations;

void* allocate(std::size_t size, std::size_t alignment) {
    if (allocations.next()) throw std::bad_alloc();
    const auto whole = (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment;
    void* const at = alignment <= alignof(std::max_align_t) ? std::malloc(whole)
                                                            : std::aligned_alloc(alignment, whole);
    if (at == nullptr) throw std::bad_alloc();
    return at;
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new[](std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
    return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete[](void* at) noexcept { std::free(at); }
void operator delete(void* at, std::size_t) noexcept { std::free(at); }
void operator delete[](void* at, std::size_t) noexcept { std::free(at); }
void operator delete(void* at, std::align_val_t) noexcept { std::free(at); }
void operator delete[](void* at, std::align_val_t) noexcept { std::free(at); }
void operator delete(void* at, std::size_t, std::align_val_t) noexcept { std::free(at); }
void operator delete[](void* at, std::size_t, std::align_val_t) noexcept { std::free(at); }

namespace mmsb::test {
namespace {

class EveryAllocationThatFails : public testing::TestWithParam<bool> {
protected:
    // All of them with MMSB_LONG; else `sample` of them. `one(n)` makes a trial.
    template <class One>
    void sweep(int sample, One one) {
        const char* const given = std::getenv("MMSB_SEED");
        const auto first = given != nullptr
                               ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                               : std::random_device{}();
        const bool all = std::getenv("MMSB_LONG") != nullptr;
        std::mt19937 random(first);
        int trials = 0;
        std::int64_t most = 0;
        const auto at = [&](std::int64_t n) {
            const auto which = "allocation " + std::to_string(n) +
                               (GetParam() ? " and all behind it" : "") +
                               ", MMSB_SEED=" + std::to_string(first);
            SCOPED_TRACE(which);
            last_words() = which;  // where it ends the program
            allocations.set(n, GetParam());
            one(n);
            most = std::max(most, allocations.count());
            ++trials;
            return allocations.fired() && !HasFailure();
        };
        at(0);
        for (std::int64_t n = 1; all && at(n); ++n) {
        }
        while (!all && trials <= sample && !HasFailure())
            at(1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most)));
        std::cout << trials << " trials over " << most << " allocations, MMSB_SEED=" << first
                  << '\n';
    }
    void SetUp() override {
        std::set_terminate([] {
            std::fprintf(stderr, "terminated at %s\n", last_words().c_str());
            std::abort();
        });
    }

private:
    static std::string& last_words() {
        static std::string words;
        return words;
    }
};

TEST_P(EveryAllocationThatFails, InTheLifeOfABusIsATypedErrorAndLosesNothing) {
    sweep(20, [](std::int64_t n) {
        const TempFolder folder;
        Trial trial(folder, allocations);
        work(trial, folder);
        trial.settle(n % 2 == 0);
    });
}

TEST_P(EveryAllocationThatFails, InARecoveryIsATypedErrorAndLosesNothing) {
    for (const auto& deaths : all_deaths) {
        sweep(5, [&](std::int64_t n) {
            try_recovery(deaths, allocations, n % 2 == 0, [](auto recover) { recover(); });
        });
    }
}

INSTANTIATE_TEST_SUITE_P(All, EveryAllocationThatFails, testing::Bool(), [](const auto& made) {
    return std::string(made.param ? "FromThereOn" : "Once");
});

}  // namespace
}  // namespace mmsb::test
