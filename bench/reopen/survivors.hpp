/// bench/reopen/survivors: two processes commit on one bus and one of them is killed, again and
/// again: how long until the other one's next commit has returned.
#pragma once

#include <string>
#include <vector>

namespace bench {

/// One of each a kill, in microseconds; ascending.
struct Survivors {
    std::vector<double> since_kill{};   ///< From before kill(); the other one may still live.
    std::vector<double> since_death{};  ///< From when waitpid() has returned.
};

/// Each time a new process commits to a page of 1 KiB without pause, until it is killed at a random
/// instant. Throws where a page then is not what it should be.
Survivors kill_beside(const std::string& folder, int kills);

}  // namespace bench
