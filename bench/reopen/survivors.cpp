#include "reopen/survivors.hpp"

#include "crash/shared.hpp"
#include "stores/model.hpp"
#include "support/child.hpp"

#include <mmsb/mmsb.hpp>

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <random>
#include <stdexcept>
#include <thread>

namespace bench {

namespace {

using Clock = std::chrono::steady_clock;
using Numbers = std::array<std::uint64_t, page_size / sizeof(std::uint64_t)>;
using Acknowledged = mmsb::test::Shared<std::atomic<std::uint64_t>>;

double us_since(Clock::time_point began) {
    return std::chrono::duration<double, std::micro>(Clock::now() - began).count();
}

Numbers all_of(std::uint64_t number) {
    Numbers numbers{};
    numbers.fill(number);
    return numbers;
}

// Every byte range of the page changes with each commit, so that most of its time it is in one.
[[noreturn]] void commit_for_ever(const std::string& folder, std::uint64_t from,
                                  const Acknowledged& acknowledged) {
    const auto bus = mmsb::start({.path = folder});
    const auto page = bus.page<Numbers>("theirs");
    for (auto number = from + 1;; ++number) {
        page.update(all_of(number));
        acknowledged->store(number);
    }
}

void require(bool right, const char* what) {
    if (!right) throw std::runtime_error(fmt::format("after a kill: {}", what));
}

}  // namespace

Survivors kill_beside(const std::string& folder, int kills) {
    const auto bus = mmsb::start({.path = folder});
    const auto mine = bus.open<Numbers>("mine"), theirs = bus.open<Numbers>("theirs");
    const Acknowledged acknowledged;
    std::mt19937 random(7);
    Survivors took;
    std::uint64_t number = 0;
    for (int i = 0; i < kills; ++i) {
        const auto from = theirs.read().front();
        acknowledged->store(from);
        mmsb::test::Child victim([&]() -> int { commit_for_ever(folder, from, acknowledged); });
        while (acknowledged->load() == from && !victim.try_wait())
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
        const auto killed = Clock::now();
        victim.signal(SIGKILL);
        mine.update(all_of(++number));
        took.since_kill.push_back(us_since(killed));
        require(victim.wait() == -SIGKILL, "it had ended before");
        const auto dead = Clock::now();
        mine.update(all_of(++number));
        took.since_death.push_back(us_since(dead));
        const auto last = theirs.read();
        require(last == all_of(last.front()), "half a commit");
        require(last.front() == acknowledged->load() || last.front() == acknowledged->load() + 1,
                "a commit that was acknowledged is missing");
        require(mine.read() == all_of(number), "the survivor's commit is missing");
    }
    require(bus.verify().good, "the log says something else than the pages");
    std::ranges::sort(took.since_kill);
    std::ranges::sort(took.since_death);
    return took;
}

}  // namespace bench
