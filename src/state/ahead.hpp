/// state/ahead: parts of something long (a log), made some ahead of who takes them: by the taker
/// itself at first, later by a thread of their own, so that making and taking go on side by side.
///
/// A thread that the system refuses is done without. A forked child, where it is not, must not
/// wait for it, nor go on with what it was at.
#pragma once

#include "base/limits.hpp"
#include "log/format.hpp"
#include "os/error.hpp"
#include "os/fork.hpp"

#include <mmsb/error.hpp>

#include <array>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace mmsb::state {

inline constexpr std::size_t parts_ahead = 4;
/// Where there is so much of a log, that thread pays for being made.
inline constexpr log::Lsn worth_a_thread = 256 * limits::kib;
/// A Part, and what its maker keeps, lie so far apart from what the taker writes (processors fetch
/// lines of 64 bytes in pairs): else each write of one takes the line from under the other.
inline constexpr std::size_t apart = 128;
/// What os::fault() is asked with for that thread, which has no path.
inline constexpr char thread_ahead[] = "(what parses a log ahead)";

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
        if (worker_ || stays_alone_ || error_ || is_foreign_) return;
        stays_alone_ = os::fault(os::Call::thread, thread_ahead) != 0;
        if (stays_alone_) return;
        try {
            worker_ = std::make_unique<Worker>();
            worker_->thread = std::thread([this, worker = worker_.get()] { run(*worker); });
        } catch (const std::exception&) {
            worker_.reset();
            stays_alone_ = true;
        }
    }
    /// No other thread makes them any more. What it has made is still taken.
    void stop() noexcept {
        if (!worker_) return;
        if (!worker_->token.same_process()) {
            static_cast<void>(worker_.release());  // of the parent's, and nothing ends it here
            is_foreign_ = true;
            return;
        }
        {
            const std::lock_guard lock(worker_->mutex);
            worker_->is_stopping = true;
        }
        worker_->room.notify_one();
        worker_->thread.join();
        worker_.reset();
    }
    /// start(), or stop() for good, by what the part at hand has: of large records there are few,
    /// and handing them over takes as long as making them.
    void start_if_worth(std::size_t records, std::size_t bytes) {
        constexpr std::size_t few = 64, many = 128, large = 2 * limits::kib;
        if (records >= many) start();
        if (records >= few || bytes < few * large) return;
        stop();
        stays_alone_ = true;
    }

    /// The next part; it stays as it is until the next call. None: there is no more, unless `make`
    /// comes to another view later. Throws what `make` threw, when all before that were taken, and
    /// WrongContext in a forked child of who called start().
    Part* next() {
        if (worker_) {
            if (!worker_->token.same_process()) stop();
            if (is_foreign_) throw_foreign();
            std::unique_lock lock(worker_->mutex);
            give_back();
            worker_->changed.wait(lock, [this] { return made_ != taken_ || worker_->has_ended; });
            if (made_ != taken_) return hold();
            lock.unlock();
            stop();
        }
        if (is_foreign_) throw_foreign();
        give_back();
        if (made_ == taken_) {
            if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
            if (!make_(parts_[made_ % parts_ahead])) return nullptr;
            ++made_;
        }
        return hold();
    }

private:
    struct Worker {
        os::ForkToken token{};
        std::mutex mutex{};  ///< Of all below, and of what is counted.
        std::condition_variable room{}, changed{};
        bool is_stopping = false, has_ended = false;
        std::thread thread{};
    };

    // `taken_` counts the one that is held only when it is given back: so its place is not free.
    Part* hold() noexcept {
        holds_ = true;
        return &parts_[taken_ % parts_ahead];
    }
    void give_back() noexcept {
        if (!std::exchange(holds_, false)) return;
        ++taken_;
        if (worker_) {
            // It is woken for several at once: waking costs as much as a part of them.
            if (made_ - taken_ <= parts_ahead / 2) worker_->room.notify_one();
        } else if (taken_ == made_) {
            --taken_;  // the same place again: it is in the cache
            --made_;
        }
    }

    void run(Worker& worker) noexcept {
        std::unique_lock lock(worker.mutex);
        while (!worker.is_stopping) {
            if (made_ - taken_ == parts_ahead) {
                worker.room.wait(lock);
                continue;
            }
            auto& part = parts_[made_ % parts_ahead];
            lock.unlock();
            bool is_made = false;
            std::exception_ptr error;
            try {
                is_made = make_(part);
            } catch (...) {
                error = std::current_exception();
            }
            lock.lock();
            if (!is_made) {
                error_ = std::move(error);
                break;
            }
            ++made_;
            worker.changed.notify_one();
        }
        worker.has_ended = true;
        worker.changed.notify_one();
    }

    [[noreturn]] static void throw_foreign() {
        throw WrongContext(ErrorCode::wrong_context,
                           "the log is read by a thread of the process before fork()",
                           {.expected = "the process that began to read", .found = "its child"});
    }

    Parts& parts_;
    const std::function<bool(Part&)> make_;
    std::size_t made_ = 0, taken_ = 0;
    bool holds_ = false;
    std::exception_ptr error_{};
    std::unique_ptr<Worker> worker_{};
    bool stays_alone_ = false;  ///< A thread was refused, or is of no use.
    bool is_foreign_ = false;   ///< It was begun by the parent.
};

}  // namespace mmsb::state
