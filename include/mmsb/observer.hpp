/// Observing: a file descriptor for poll, epoll, asio or a coroutine's executor.
///
///     auto watch = bus.watch({page});
///     pollfd ready{.fd = watch.fd(), .events = POLLIN, .revents = 0};
///     while (poll(&ready, 1, -1) > 0)
///         for (const auto& change : watch.take()) std::cout << change.page << '\n';
///
/// All of it comes after the commit, and can neither fail nor delay one.
#pragma once

#include <mmsb/page.hpp>

namespace mmsb {

/// What has become of a page. A deleted one is told once, with its last epoch and the sequence that
/// deleted it; reading it is PageNotFound.
struct PageChange {
    PageId page = PageId::none;
    Version version{};
};
/// Tells that watched pages changed, without saying how often: what counts is what they are now. A
/// page has changed when a commit names it: bytes, size, name, metadata, deletion.
///
/// A thread of the State's, started with its first Watch and ended with its last, waits and makes
/// the descriptors readable; where the bus is open read-only it looks every 10 ms. Threads: take()
/// and fd() from any. Moving or destroying it: while no other call on it runs. Lifetime: may
/// outlive its State; once that is stopped the descriptor is readable and take() throws BusClosed.
/// In a forked child take() throws WrongContext.
class Watch {
public:
    Watch(Watch&&) noexcept;
    Watch& operator=(Watch&&) noexcept;
    ~Watch();
    /// Readable while there is something to take. Owned by the Watch; dup() it for asio.
    [[nodiscard]] int fd() const noexcept;
    /// What changed since the last call (the first one: since State::watch), each page once, in id
    /// order, with its newest version; makes the descriptor unreadable. Looks itself, so that it
    /// needs no poll before it. Where every commit is watched it reads the log since the last call,
    /// and where a private bus has folded that away, what was deleted there is not told.
    std::vector<PageChange> take();

    struct Impl;

private:
    friend struct detail::Bus;
    explicit Watch(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace mmsb
