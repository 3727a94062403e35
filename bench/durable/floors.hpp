/// bench/durable/floors: what no store can beat where each commit waits for the disk.
#pragma once

#include "stores/store.hpp"

namespace bench {

Way bare_sync();    ///< pwrite of 128 bytes into a prewritten file, fdatasync: one for each commit.
Way shared_sync();  ///< The same, but one fdatasync for all who wait.

}  // namespace bench
