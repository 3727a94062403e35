/// Observing: events, callbacks, and a file descriptor for poll, epoll, asio or a coroutine's
/// executor.
///
///     auto subscription = bus.subscribe({.pages = {alarm}}, [](const Event& event) { ... });
///
///     auto watch = bus.watch({page});
///     pollfd ready{.fd = watch.fd(), .events = POLLIN, .revents = 0};
///     while (poll(&ready, 1, -1) > 0)
///         for (const auto& change : watch.take()) std::cout << change.page << '\n';
///
/// All of it comes after the commit, and can neither fail nor delay one.
#pragma once

#include <mmsb/event.hpp>
#include <mmsb/page.hpp>

namespace mmsb {

/// Which events. Each field narrows.
struct EventFilter {
    std::vector<PageId> pages{};     ///< Of these; empty: of all, and those that are of no page.
    std::vector<EventType> types{};  ///< Empty: all.
    /// From that commit on, which has to be kept (HistoryDropped); empty: from now on.
    std::optional<Sequence> from{};
    std::optional<Sequence> to{};  ///< Up to that one, inclusive; empty: without an end.
};
/// Events that follow from the log, in its order; `next` waits for what is not yet committed. Who
/// remembers Event::sequence resumes with `{.from = remembered + 1}` and misses nothing.
using Events = detail::Stream<Event>;

/// A function that is told of events. Ends with its object: when the destructor returns, the
/// function is not running and will not run, unless it is the function that destroys it.
///
/// All functions of one State run on one thread of it, which begins with the first and ends with
/// the last: after the commit, in commit order, and one after the other, so that one that takes
/// long delays the others, and no writer. What a function throws is a notice (Config::on_notice),
/// and it is told of the next event all the same. Where retention overtakes it, it is told of a
/// `gap`, whatever its filter says, and goes on from there. A function may use the bus, commit, and
/// end subscriptions; it must not stop the State. Threads: wait_for() from any. Lifetime: may
/// outlive its State.
class Subscription {
public:
    Subscription(Subscription&&) noexcept;
    Subscription& operator=(Subscription&&) noexcept;
    ~Subscription();
    /// Until the function has been told of everything up to `sequence`; `newest`: that is committed
    /// now. false: timeout, or it has ended since the log could not be read. BusClosed
    /// when the State is stopped meanwhile; WrongContext inside a function that is told.
    bool wait_for(Sequence sequence, Timeout timeout = forever) const;

    struct Impl;

private:
    friend struct detail::Bus;
    explicit Subscription(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

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
