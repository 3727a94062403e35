/// api/watcher: what the Watches of one State have told, and the thread that makes their
/// descriptors readable.
///
/// A Watched knows the version of each page that its last take() has seen. Whether something
/// differs from that, and whether the descriptor is readable, change together under its mutex: the
/// descriptor is readable exactly where the newest look has found a difference that was not taken.
/// Who takes announces himself that the Watch is to be told again (state/wait), so that he need not
/// wake the thread for it, which sleeps in shared memory for the commits of all Watches.
/// Lock order: Watcher, then Watched. No user's code runs under either.
#pragma once

#include "api/bus.hpp"
#include "os/event.hpp"

#include <map>

namespace mmsb::detail {

/// One Watch's part.
class Watched {
public:
    /// From now on. Throws PageNotFound, InvalidArgument, Io.
    Watched(state::Attachment& bus, const Handle& handle, PageList pages);
    [[nodiscard]] int fd() const noexcept { return event_.fd(); }
    /// Commits that may change something,
    [[nodiscard]] state::WakeBits wakes() const noexcept { return wakes_; }
    /// and those that it has to be told of: none while it is readable.
    [[nodiscard]] state::WakeBits awaits() const noexcept { return readable_.load() ? 0 : wakes_; }
    /// Makes the descriptor readable where something has changed; also where it cannot be told:
    /// then take() throws why.
    void look(state::Attachment& bus) noexcept;
    /// Appends what has changed. True where the descriptor was readable: then Watcher::rearm().
    [[nodiscard]] bool take(state::Attachment& bus, std::vector<PageChange>& changes);
    /// Readable from now on: its bus is stopped, and take() says so.
    void close() const noexcept { event_.set(); }

private:
    struct Seen {
        std::uint32_t line = state::unknown_line;
        log::Lsn lsn = 0;
        Epoch epoch = Epoch::zero;
    };
    [[nodiscard]] bool changed(state::Attachment& bus);
    void take_pages(state::Attachment& bus, std::vector<PageChange>& changes);
    void take_all(state::Attachment& bus, std::vector<PageChange>& changes);

    os::Event event_{};
    const bool all_;
    state::WakeBits wakes_ = 0;
    std::mutex mutex_{};
    std::atomic<bool> readable_{false};
    std::map<PageId, Seen> pages_{};  ///< Without those that were told as deleted.
    state::Position seen_{};          ///< Where every commit is watched.
};

/// The Watches of one State and their thread, which runs while there are some.
class Watcher {
public:
    explicit Watcher(Bus& bus) : bus_(bus) {}
    /// Throws OutOfSpace where no thread can be started.
    void add(const std::shared_ptr<Watched>& watched);
    void remove(const std::shared_ptr<Watched>& watched) noexcept;
    /// It is to be told again.
    void rearm(Watched& watched) noexcept;
    /// All are closed, and the thread has ended.
    void end() noexcept;

private:
    void start();
    void look_again() noexcept;
    void forget_all() noexcept;
    void stop_thread() noexcept;
    void run() noexcept;
    /// What is to be slept for, after a look at all that are not readable.
    [[nodiscard]] state::Sleep look_at_all() noexcept;

    Bus& bus_;
    std::mutex control_{};  ///< Of starting and stopping the thread; before `mutex_`.
    std::mutex mutex_{};    ///< Of the list.
    std::vector<std::shared_ptr<Watched>> watched_{};
    std::atomic<std::uint32_t> changes_{0};  ///< futex: of the list, and of what is readable.
    std::atomic<bool> at_bell_{false};       ///< The thread is in shared memory, or on its way.
    std::atomic<bool> stopping_{false};
    std::thread thread_{};
};

}  // namespace mmsb::detail
