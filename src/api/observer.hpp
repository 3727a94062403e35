/// api/observer: the subscriptions of one State and the thread that tells them.
///
/// Lock order: control, then list. No lock is held while a user's function runs.
#pragma once

#include "api/event_source.hpp"

#include <condition_variable>
#include <thread>

namespace mmsb::detail {

class Subscriber {
public:
    Subscriber(state::Attachment& bus, const EventFilter& filter,
               std::function<void(const Event&)> function);
    /// Tells of what is committed by now, some thousand records at a time. True: there may be more.
    bool tell(state::Attachment& bus) noexcept;
    /// Of an event that is not in the log.
    void tell_now(state::Attachment& bus, const Event& event) noexcept;
    /// It is not told any more. `wait`: nor does its function run when this returns.
    void end(bool wait) noexcept;
    /// With all that it has captured. REQUIRES that it has ended, and does not run.
    void drop_function() noexcept;
    [[nodiscard]] bool is_ended() const noexcept { return ended_.load(); }
    /// False: timeout, or it has ended.
    [[nodiscard]] bool wait_for(Sequence sequence, const state::Deadline& end) const;

private:
    void call(state::Attachment& bus, const Event& event) noexcept;
    void called() noexcept;
    void told(Sequence sequence) noexcept;

    EventSource source_;
    const bool endless_;
    std::function<void(const Event&)> function_;
    std::atomic<bool> ended_{false};
    mutable std::mutex mutex_{};  ///< Of what follows; not held while the function runs.
    mutable std::condition_variable changed_{};
    Sequence told_ = Sequence::zero;
    bool calling_ = false;
};

class Observer {
public:
    explicit Observer(Bus& bus) : bus_(bus) {}
    /// Throws OutOfSpace where no thread can be started.
    void add(const std::shared_ptr<Subscriber>& subscriber);
    void remove(const std::shared_ptr<Subscriber>& subscriber) noexcept;
    /// All have ended, and so has the thread. REQUIRES another thread.
    void end() noexcept;
    [[nodiscard]] bool is_this_thread() const noexcept {
        return id_.load() == std::this_thread::get_id();
    }

private:
    void wake() noexcept;
    void stop_thread() noexcept;
    void run() noexcept;
    void round();
    bool forget_ended();
    void tell_of_checkpoint(state::Attachment& bus);
    [[nodiscard]] std::vector<std::shared_ptr<Subscriber>> all();

    Bus& bus_;
    std::mutex control_{};  ///< Of starting and stopping the thread.
    std::mutex list_{};
    std::vector<std::shared_ptr<Subscriber>> subscribers_{};
    std::atomic<std::uint32_t> changes_{0};  ///< futex: of the list.
    std::atomic<bool> stopping_{false};
    std::uint64_t checkpoint_ = 0;  ///< The newest that was told.
    std::thread thread_{};
    std::atomic<std::thread::id> id_{};
};

}  // namespace mmsb::detail
