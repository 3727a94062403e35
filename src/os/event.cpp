#include "os/event.hpp"

#include "os/error.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace mmsb::os {

Event::Event() {
    const int refused = fault(Call::event, "eventfd");
    fd_ = refused != 0 ? -1 : ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd_ < 0) fail(refused != 0 ? refused : errno, "eventfd", "a descriptor to wait for");
}

Event::Event(Event&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Event::~Event() {
    if (fd_ >= 0) ::close(fd_);
}

// Neither can fail on a descriptor of ours but by being readable, or not, already.
void Event::set() const noexcept { static_cast<void>(::eventfd_write(fd_, 1)); }

void Event::clear() const noexcept {
    eventfd_t count = 0;
    static_cast<void>(::eventfd_read(fd_, &count));
}

}  // namespace mmsb::os
