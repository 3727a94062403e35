/// state/ahead: parts of something long (a log), made some ahead of who takes them: by the taker
/// itself at first, later by a thread of their own, so that making and taking go on side by side.
///
/// A thread that the system refuses is done without.
#pragma once

#include "os/call.hpp"

#include <array>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace mmsb::state {

inline constexpr std::size_t parts_ahead = 4;

/// Threads: one, but for the one of its own.
template <class Part>
class Ahead {
public:
    using Parts = std::array<Part, parts_ahead>;

    /// `make` makes the next part; false: there is none. While start() is in effect another thread
    /// calls it, but never two do at once. `parts` and what it uses outlive this.
    Ahead(Parts& parts, std::function<bool(Part&)> make) : parts_(parts), make_(std::move(make)) {}
    ~Ahead() { stop(); }
    Ahead(const Ahead&) = delete;
    Ahead& operator=(const Ahead&) = delete;

    /// From here on another thread makes them, until there is none.
    void start() {
        if (thread_.joinable() || os::fault(os::Call::thread, "") != 0) return;
        stopping_ = ended_ = false;
        try {
            thread_ = std::thread([this] { run(); });
        } catch (const std::system_error&) {  // it goes on as it was
        }
    }
    /// No other thread makes them any more. What it has made is still taken.
    void stop() noexcept {
        if (!thread_.joinable()) return;
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        room_.notify_one();
        thread_.join();
    }

    /// The next part; it stays as it is until the next call. None: there is no more, unless `make`
    /// comes to another view later. Throws what `make` threw, when all before that were taken.
    Part* next() {
        std::unique_lock lock(mutex_);
        give_back();
        if (thread_.joinable()) {
            made_or_ended_.wait(lock, [this] { return made_ != taken_ || ended_; });
            if (made_ != taken_) return hold();
            lock.unlock();
            thread_.join();
        }
        if (made_ == taken_) {
            if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
            if (!make_(parts_[made_ % parts_ahead])) return nullptr;
            ++made_;
        }
        return hold();
    }

private:
    // `taken_` counts the one that is held only when it is given back: so its place is not free.
    Part* hold() noexcept {
        holds_ = true;
        return &parts_[taken_ % parts_ahead];
    }
    void give_back() noexcept {
        if (!std::exchange(holds_, false)) return;
        if (thread_.joinable()) {
            ++taken_;
            // It is woken for several at once: waking costs as much as a part of them.
            if (made_ - taken_ <= parts_ahead / 2) room_.notify_one();
        } else if (++taken_ == made_) {
            --taken_;  // the same place again: it is in the cache
            --made_;
        }
    }

    void run() noexcept {
        std::unique_lock lock(mutex_);
        while (!stopping_) {
            if (made_ - taken_ == parts_ahead) {
                room_.wait(lock);
                continue;
            }
            auto& part = parts_[made_ % parts_ahead];
            lock.unlock();
            bool made = false;
            std::exception_ptr error;
            try {
                made = make_(part);
            } catch (...) {
                error = std::current_exception();
            }
            lock.lock();
            if (!made) {
                error_ = std::move(error);
                break;
            }
            ++made_;
            made_or_ended_.notify_one();
        }
        ended_ = true;
        made_or_ended_.notify_one();
    }

    Parts& parts_;
    const std::function<bool(Part&)> make_;
    std::mutex mutex_{};
    std::condition_variable room_{}, made_or_ended_{};
    std::size_t made_ = 0, taken_ = 0;
    bool holds_ = false, stopping_ = false, ended_ = false;
    std::exception_ptr error_{};
    std::thread thread_{};
};

}  // namespace mmsb::state
