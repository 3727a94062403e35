/// tests/api/unlogged: for the tests of unlogged pages of 64 bits.
#pragma once

#include "support/temp_bus.hpp"

namespace mmsb::test {

inline std::uint64_t value_of(const UnloggedPage& page) { return page.read_as<std::uint64_t>(); }

/// The parents' sum, counted.
inline RecomputeFunction adding(int* calls = nullptr) {
    return [calls](Recompute& r) {
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i != r.parents(); ++i) sum += r.parent<std::uint64_t>(i)[0];
        r.out<std::uint64_t>()[0] = sum;
        if (calls != nullptr) ++*calls;
    };
}

}  // namespace mmsb::test
