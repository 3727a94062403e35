#include "os/parallel.hpp"

#include "os/process.hpp"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

namespace mmsb::os::detail {

namespace {

// The process that the threads are of; 0: none yet.
std::atomic<std::int32_t> owner{0};

bool may_use_threads() noexcept {
    const auto self = process_id();
    std::int32_t expected = 0;
    return owner.compare_exchange_strong(expected, self) || expected == self;
}

}  // namespace

void spread(std::size_t n, FunctionRef<void(std::size_t)> call) {
    if (n < 2 || !may_use_threads()) {
        for (std::size_t i = 0; i != n; ++i) call(i);
        return;
    }
    using Range = tbb::blocked_range<std::size_t>;
    const auto work = [call](const Range& range) {
        for (auto i = range.begin(); i != range.end(); ++i) call(i);
    };
    // Isolated: this thread does not take up other work of the program's while it waits, which may
    // wait for this one.
    tbb::this_task_arena::isolate(
        [&] { tbb::parallel_for(Range(0, n, 1), work, tbb::simple_partitioner()); });
}

}  // namespace mmsb::os::detail
