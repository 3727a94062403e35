/// os/event: a descriptor that can be made readable, for poll and epoll.
#pragma once

namespace mmsb::os {

/// Move-only; not readable at first. Threads: set() and clear() from any.
class Event {
public:
    Event();  ///< Throws Io where the process or the system has no descriptor left.
    Event(Event&& other) noexcept;
    Event& operator=(Event&&) = delete;
    ~Event();
    [[nodiscard]] int fd() const noexcept { return fd_; }
    void set() const noexcept;    ///< Readable, until clear().
    void clear() const noexcept;  ///< Not readable any more.

private:
    int fd_ = -1;
};

}  // namespace mmsb::os
