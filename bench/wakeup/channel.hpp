/// bench/wakeup/channel: how one process tells another that there is something new. One file per
/// way.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace bench {

/// One process's end. Side 0 tells side 1 the numbers 1, 2, 3... of direction 0; side 1 answers in
/// direction 1.
class Channel {
public:
    virtual ~Channel() = default;
    /// Makes `number` known to the other side, and wakes it.
    virtual void send(std::uint64_t number) = 0;
    /// Sleeps until the other side has sent `number`.
    virtual void receive(std::uint64_t number) = 0;
    /// What has arrived; checked behind each receive().
    [[nodiscard]] virtual std::uint64_t arrived() = 0;
};

/// What both sides share is made before the fork by the first call, each end after it by the
/// second.
struct Way {
    std::string name{};
    std::function<std::unique_ptr<Channel>(int side)> open{};
};

Way bare_futex();
Way eventfds();
Way pipes();
Way mmsb_page(const std::string& folder);
Way mmsb_watch(const std::string& folder);

}  // namespace bench
