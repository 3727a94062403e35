// What the kernel offers, bare.
#include "wakeup/channel.hpp"

#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <climits>
#include <new>
#include <stdexcept>

namespace bench {

namespace {

using FutexWord = std::atomic<std::uint32_t>;

struct alignas(64) Line {
    FutexWord word{0};
};

class Futex final : public Channel {
public:
    Futex(Line* lines, int side) : out_(lines[side].word), in_(lines[1 - side].word) {}
    void send(std::uint64_t number) override {
        out_.store(static_cast<std::uint32_t>(number));
        ::syscall(SYS_futex, &out_, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    }
    void receive(std::uint64_t number) override {
        for (auto now = in_.load(); now != static_cast<std::uint32_t>(number); now = in_.load())
            ::syscall(SYS_futex, &in_, FUTEX_WAIT, now, nullptr, nullptr, 0);
    }
    std::uint64_t arrived() override { return in_.load(); }

private:
    FutexWord &out_, &in_;
};

// An eventfd adds up, a pipe queues: here each carries one number at a time.
class Descriptors final : public Channel {
public:
    Descriptors(int in, int out, bool counts) : in_(in), out_(out), counts_(counts) {}
    void send(std::uint64_t number) override {
        const std::uint64_t value = counts_ ? 1 : number;
        if (::write(out_, &value, sizeof value) != sizeof value)
            throw std::runtime_error("write failed");
    }
    void receive(std::uint64_t) override {
        std::uint64_t value = 0;
        if (::read(in_, &value, sizeof value) != sizeof value)
            throw std::runtime_error("read failed");
        arrived_ = counts_ ? arrived_ + value : value;
    }
    std::uint64_t arrived() override { return arrived_; }

private:
    int in_, out_;
    bool counts_;
    std::uint64_t arrived_ = 0;
};

}  // namespace

Way bare_futex() {
    void* const page =
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) throw std::runtime_error("mmap failed");
    auto* const lines = new (page) Line[2];
    return {"bare futex", [lines](int side) { return std::make_unique<Futex>(lines, side); }};
}

Way eventfds() {
    const std::array<int, 2> fds{::eventfd(0, 0), ::eventfd(0, 0)};
    return {"eventfd", [fds](int side) {
                return std::make_unique<Descriptors>(fds[static_cast<std::size_t>(1 - side)],
                                                     fds[static_cast<std::size_t>(side)], true);
            }};
}

Way pipes() {
    std::array<int, 4> fds{};
    if (::pipe(fds.data()) != 0 || ::pipe(fds.data() + 2) != 0)
        throw std::runtime_error("pipe failed");
    return {"pipe", [fds](int side) {
                return side == 0 ? std::make_unique<Descriptors>(fds[2], fds[1], false)
                                 : std::make_unique<Descriptors>(fds[0], fds[3], false);
            }};
}

}  // namespace bench
