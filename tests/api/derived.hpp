/// tests/api/derived: functions and pages of one byte for the tests of derived pages.
#pragma once

#include "support/temp_bus.hpp"

#include <numeric>

namespace mmsb::test {

inline void add_mean(const State& bus) {
    bus.register_recompute("test.mean/1", [](Recompute& r) {
        const auto in = r.parent<double>(0);
        r.out<double>()[0] =
            std::accumulate(in.begin(), in.end(), 0.0) / static_cast<double>(in.size());
    });
}

// The parent's first byte, plus one.
inline void add_next(const State& bus, int* calls = nullptr) {
    bus.register_recompute("test.next/1", [calls](Recompute& r) {
        if (calls != nullptr) ++*calls;
        r.out()[0] = static_cast<std::byte>(std::to_integer<int>(r.parent(0)[0]) + 1);
    });
}

inline int byte_of(const Page& page) { return std::to_integer<int>(page.read().at(0)); }
inline Bytes byte(int value) { return filled(1, value); }

}  // namespace mmsb::test
