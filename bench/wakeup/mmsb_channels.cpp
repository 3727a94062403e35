// MMSB through its public face: a commit to a page, and who waits for it.
#include "wakeup/channel.hpp"

#include <mmsb/mmsb.hpp>

#include <poll.h>

#include <array>
#include <optional>

namespace bench {

namespace {

// The pages are there before either side opens them; the bus is left in between, so that neither
// inherits an open one.
std::string make_bus(const std::string& folder) {
    auto bus = mmsb::start({.path = folder});
    static_cast<void>(bus.open<std::uint64_t>("0"));
    static_cast<void>(bus.open<std::uint64_t>("1"));
    mmsb::stop(std::move(bus));
    return folder;
}

class Page : public Channel {
public:
    Page(const std::string& folder, int side)
        : bus_(mmsb::start({.path = folder})),
          out_(bus_.page<std::uint64_t>(side == 0 ? "0" : "1")),
          in_(bus_.page<std::uint64_t>(side == 0 ? "1" : "0")) {}
    void send(std::uint64_t number) override { out_.update(number); }
    void receive(std::uint64_t number) override {
        static_cast<void>(in_.wait(mmsb::Epoch{number - 1}));
    }
    std::uint64_t arrived() override { return in_.read(); }

protected:
    mmsb::State bus_;
    mmsb::TypedPage<std::uint64_t> out_, in_;
};

class Watch final : public Page {
public:
    Watch(const std::string& folder, int side) : Page(folder, side), watch_(bus_.watch({in_})) {}
    void receive(std::uint64_t number) override {
        pollfd ready{.fd = watch_.fd(), .events = POLLIN, .revents = 0};
        while (in_.epoch() < mmsb::Epoch{number}) {
            ::poll(&ready, 1, -1);
            static_cast<void>(watch_.take());
        }
    }

private:
    mmsb::Watch watch_;
};

}  // namespace

Way mmsb_page(const std::string& folder) {
    return {"MMSB, Page::wait",
            [at = make_bus(folder)](int side) { return std::make_unique<Page>(at, side); }};
}
Way mmsb_watch(const std::string& folder) {
    return {"MMSB, Watch and poll",
            [at = make_bus(folder)](int side) { return std::make_unique<Watch>(at, side); }};
}

}  // namespace bench
