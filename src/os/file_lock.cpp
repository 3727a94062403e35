#include "os/call.hpp"

#include <sys/file.h>

#include <algorithm>
#include <thread>

namespace mmsb::os {
namespace {

constexpr std::chrono::microseconds shortest_sleep{100}, longest_sleep{5000};

}  // namespace

FileLock::FileLock(FileLock&& o) noexcept
    : file_(std::move(o.file_)), held_(std::exchange(o.held_, false)), token_(o.token_) {}

FileLock& FileLock::operator=(FileLock&& o) noexcept {
    std::swap(file_, o.file_);
    std::swap(held_, o.held_);
    std::swap(token_, o.token_);
    return *this;
}

FileLock::~FileLock() { release(); }

bool FileLock::try_lock(int operation) {
    const auto made =
        call(Call::lock, file_.path(), [&] { return ::flock(file_.fd(), operation | LOCK_NB); });
    // A conversion that fails loses what was held before.
    held_ = made == 0;
    if (!held_ && errno != EWOULDBLOCK) fail(errno, "flock", file_.path());
    return held_;
}

bool FileLock::try_exclusive() { return try_lock(LOCK_EX); }
bool FileLock::try_shared() { return try_lock(LOCK_SH); }

bool FileLock::exclusive(std::chrono::milliseconds timeout) {
    const auto started = std::chrono::steady_clock::now();
    for (auto sleep = shortest_sleep;; sleep = std::min(2 * sleep, longest_sleep)) {
        if (try_exclusive()) return true;
        const auto waited = std::chrono::steady_clock::now() - started;
        if (waited >= timeout) return false;
        std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(sleep, timeout - waited));
    }
}

void FileLock::to_shared() {
    if (call(Call::lock, file_.path(), [&] { return ::flock(file_.fd(), LOCK_SH); }) < 0) {
        fail(errno, "flock", file_.path());
    }
}

void FileLock::release() noexcept {
    // Closing is not enough: a forked child of ours may keep the same open file.
    if (held_ && token_.same_process()) ::flock(file_.fd(), LOCK_UN);
    held_ = false;
}

}  // namespace mmsb::os
