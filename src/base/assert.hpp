/// base/assert: invariants of our own private state, checked in every build type.
///
/// Never for the contents of files, shared memory or arguments: those are errors (error.hpp).
/// Cheap checks only; on the commit path they stand before the append.
#pragma once

namespace mmsb::base {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;
}

#define MMSB_ASSERT(expression)    \
    (static_cast<bool>(expression) \
         ? void(0)                 \
         : ::mmsb::base::assertion_failed(#expression, __FILE__, __LINE__))
