/// os/fork: telling a forked child from the process that opened a bus.
#pragma once

#include <cstdint>

namespace mmsb::os {

/// Which process made this: how a handle knows that it is used in a forked child.
///
/// A number in a page that fork() wipes (MADV_WIPEONFORK). A child that makes a token of its own
/// gets another number: it may go on by itself, and what its parent made stays foreign to it.
/// Threads: any. Cost of same_process(): one load.
class ForkToken {
public:
    ForkToken();  ///< Of this process. Throws Io where there is no memory for the page.
    [[nodiscard]] bool same_process() const noexcept { return *page_ == number_; }

private:
    static inline volatile std::uint64_t* page_ = nullptr;
    std::uint64_t number_ = 0;
};

}  // namespace mmsb::os
