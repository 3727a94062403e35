/// tests/crash/seed: short in CI, long by hand, and a seed that repeats what a test did.
#pragma once

#include "support/sanitizers.hpp"

#include <cstdio>
#include <cstdlib>
#include <random>

namespace mmsb::test {

[[nodiscard]] inline bool is_long() { return std::getenv("MMSB_LONG") != nullptr; }

/// All of them by hand; in CI every n-th, from a random one on.
[[nodiscard]] inline std::size_t every(std::size_t nth) {
    return is_long() ? 1 : cases(nth, 4 * nth);
}

/// MMSB_SEED, or another one each run; printed.
[[nodiscard]] inline unsigned seed() {
    static const unsigned value = [] {
        const auto* given = std::getenv("MMSB_SEED");
        const auto chosen = given != nullptr
                                ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                : std::random_device{}();
        std::printf("MMSB_SEED=%u repeats this\n", chosen);
        return chosen;
    }();
    return value;
}

}  // namespace mmsb::test
