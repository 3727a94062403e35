/// tests/support/tap: short transfers, and seeing what is written and synced.
#pragma once

#include "os/error.hpp"

#include <algorithm>
#include <cstdint>

namespace mmsb::test {

/// While it lives, `tap` sees every call. One at a time.
class Tapped {
public:
    explicit Tapped(os::Tap& tap) { os::set_tap(&tap); }
    ~Tapped() { os::set_tap(nullptr); }
    Tapped(const Tapped&) = delete;
    Tapped& operator=(const Tapped&) = delete;
};

/// Each pread and pwrite moves `most` bytes.
class ShortTransfers final : public os::Tap {
public:
    explicit ShortTransfers(std::uint64_t most) : most_(most) {}
    std::uint64_t transfer(const os::Operation& what) override {
        return std::min(what.size, most_);
    }

private:
    std::uint64_t most_;
};

}  // namespace mmsb::test
