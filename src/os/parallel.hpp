/// os/parallel: independent calls on all of the machine's processors, by oneTBB.
#pragma once

#include <mmsb/types.hpp>

#include <cstddef>

namespace mmsb::os {

/// Calls `call(0)` to `call(n - 1)`, each once, from this thread and others, and returns when all
/// have returned. REQUIRES that `call` throws nothing. Waking the others takes tens of µs: for
/// calls that take longer. In a forked child of a process that has done so: one behind the other,
/// because the threads are not there.
void in_parallel(std::size_t n, FunctionRef<void(std::size_t)> call);

}  // namespace mmsb::os
