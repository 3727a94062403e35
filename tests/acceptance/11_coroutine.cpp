// A page awaited in a coroutine. MMSB has no executor of its own: a descriptor is all that one
// needs (with asio: posix::stream_descriptor(io, dup(watch.fd())).async_wait(wait_read)).
#include <mmsb/mmsb.hpp>

#include <poll.h>

#include <coroutine>
#include <iostream>
#include <thread>

struct Loop {  // somebody's executor, in eight lines
    std::vector<std::pair<int, std::coroutine_handle<>>> waiting;
    void run() {
        while (!waiting.empty()) {
            const auto [fd, coroutine] = waiting.back();
            pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
            if (poll(&p, 1, 5000) != 1) return;
            waiting.pop_back();
            coroutine.resume();
        }
    }
};
struct Task {
    struct promise_type {
        Task get_return_object() { return {}; }
        std::suspend_never initial_suspend() { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
};
struct Changed {  // co_await Changed{loop, watch}: the pages that changed
    Loop& loop;
    mmsb::Watch& watch;
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> c) { loop.waiting.emplace_back(watch.fd(), c); }
    std::vector<mmsb::PageChange> await_resume() { return watch.take(); }
};

Task follow(Loop& loop, mmsb::Watch& watch, mmsb::TypedPage<std::uint64_t> page) {
    while (page.read() < 3) {
        for (const auto& change : co_await Changed{loop, watch})
            std::cout << "page " << change.page << " has epoch " << change.version.epoch << '\n';
    }
    std::cout << "done at " << page.read() << '\n';
}

int main() {
    auto bus = mmsb::start();
    auto page = bus.create<std::uint64_t>({.name = "n"});
    auto watch = bus.watch({page});
    Loop loop;
    follow(loop, watch, page);
    std::thread writer([&] {
        for (int i = 0; i < 3; ++i) page.update([](std::uint64_t& n) { ++n; });
    });
    loop.run();
    writer.join();
}
