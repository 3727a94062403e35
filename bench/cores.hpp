/// bench/cores: which cores there are, and staying on one: where the scheduler puts two processes
/// is chance, and what passes between cores costs several times as much.
#pragma once

#include <sched.h>
#include <stdexcept>
#include <vector>

namespace bench {

/// Those that this process may run on.
inline std::vector<int> cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    ::sched_getaffinity(0, sizeof set, &set);
    std::vector<int> all;
    for (int i = 0; i < CPU_SETSIZE; ++i)
        if (CPU_ISSET(i, &set)) all.push_back(i);
    return all;
}

/// The calling thread, and those that it starts.
inline void stay_on(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (::sched_setaffinity(0, sizeof set, &set) != 0)
        throw std::runtime_error("sched_setaffinity failed");
}

}  // namespace bench
