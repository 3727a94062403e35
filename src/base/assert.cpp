#include "base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace mmsb::base {

void assertion_failed(const char* expression, const char* file, int line) noexcept {
    std::fprintf(stderr, "mmsb: assertion failed: %s, at %s:%d\n", expression, file, line);
    std::fflush(stderr);
    std::abort();
}

}  // namespace mmsb::base
