#include "os/lock.hpp"

#include "os/process.hpp"

#include <linux/futex.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <limits>

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define MMSB_THREAD_SANITIZER 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define MMSB_THREAD_SANITIZER 1
#endif

namespace mmsb::os {
namespace {

#ifndef __GLIBC__
#error "os/lock: the layout of this libc's pthread_mutex_t is not known"
#endif
#if defined(__x86_64__)
static_assert(sizeof(pthread_mutex_t) == 40);
#elif defined(__aarch64__)
static_assert(sizeof(pthread_mutex_t) == 48);
#else
#error "os/lock: the layout of pthread_mutex_t is not known here"
#endif
using Layout = decltype(pthread_mutex_t::__data);
static_assert(offsetof(Layout, __lock) == 0 && offsetof(Layout, __owner) == 8);
static_assert(offsetof(Layout, __nusers) == 12 && offsetof(Layout, __kind) == 16);
static_assert(offsetof(Layout, __list) == 24 && sizeof(__pthread_list_t) == 16);

constexpr std::size_t page_size = 4096;
constexpr std::size_t shared_part = 16;

/// In the private page: the rest of the mutex, and behind it what this object remembers.
struct Private {
    std::byte rest[sizeof(pthread_mutex_t) - shared_part];
    /// The thread of this process that has the lock; by this, not by the shared word, it knows that
    /// it may take the mutex off its list.
    std::atomic<const char*> owner;
    /// A thread's robust list may lead here for ever: the pages must stay.
    std::atomic<bool> listed_for_ever;
};

Private& private_part(std::byte* pages) { return *reinterpret_cast<Private*>(pages + page_size); }

/// Its address is the thread's identity: gettid is a system call.
thread_local const char this_thread = 0;

std::atomic_ref<int> word_of(pthread_mutex_t* mutex) {
    return std::atomic_ref<int>(mutex->__data.__lock);
}

/// A mutex as one would initialise it in shared memory. Robust, not recursive.
pthread_mutex_t fresh_mutex(const std::string& path) {
    pthread_mutexattr_t attributes{};
    pthread_mutex_t mutex{};
    int error = ::pthread_mutexattr_init(&attributes);
    if (error == 0) error = ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (error == 0) error = ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (error == 0) error = ::pthread_mutex_init(&mutex, &attributes);
    if (error != 0) fail(error, "pthread_mutex_init", path);
    ::pthread_mutexattr_destroy(&attributes);
    return mutex;
}

int lock_until(pthread_mutex_t* mutex, std::chrono::nanoseconds timeout) {
    const auto now = steady_ns();
    const auto left = std::numeric_limits<std::int64_t>::max() - now;
    const auto end = now + std::min<std::int64_t>(timeout.count(), left);
#ifdef MMSB_THREAD_SANITIZER
    // It does not see that a timed lock with a dead owner is locked, and takes the unlock for an
    // error.
    for (;;) {
        const int error = ::pthread_mutex_trylock(mutex);
        if (error != EBUSY || steady_ns() >= end) return error;
        const timespec pause{0, 20'000};
        ::nanosleep(&pause, nullptr);
    }
#else
    const timespec at{end / 1'000'000'000, end % 1'000'000'000};
    return ::pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &at);
#endif
}

void relax() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    asm volatile("yield");
#endif
}

/// A few microseconds: what a wake-up costs more.
void spin(pthread_mutex_t* mutex) {
    const auto held = [&] {
        const auto word = static_cast<unsigned>(word_of(mutex).load(std::memory_order_relaxed));
        return word != 0 && (word & FUTEX_OWNER_DIED) == 0;
    };
    for (int i = 0; i < 100 && held(); ++i) relax();
}

}  // namespace

RobustLock::RobustLock(const File& file, std::uint64_t page_offset) {
    if (::sysconf(_SC_PAGESIZE) != long{page_size})
        fail(ENOTSUP, "lock with large pages", file.path());
    const auto mutex = fresh_mutex(file.path());
    const int refused = fault(Call::map, file.path().c_str());
    if (refused != 0) fail(refused, "mmap", file.path());
    void* const both =
        ::mmap(nullptr, 2 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (both == MAP_FAILED) fail(errno, "mmap", file.path());
    const int second = fault(Call::map, file.path().c_str());
    if (second != 0 || ::mmap(both, page_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                              file.fd(), static_cast<off_t>(page_offset)) == MAP_FAILED) {
        const int reason = second != 0 ? second : errno;
        ::munmap(both, 2 * page_size);
        fail(reason, "mmap", file.path());
    }
    pages_ = static_cast<std::byte*>(both);
    mutex_ = reinterpret_cast<pthread_mutex_t*>(pages_ + page_size - shared_part);
    std::memcpy(private_part(pages_).rest, reinterpret_cast<const std::byte*>(&mutex) + shared_part,
                sizeof mutex - shared_part);
}

RobustLock::RobustLock(RobustLock&& o) noexcept
    : token_(o.token_),
      mutex_(std::exchange(o.mutex_, nullptr)),
      pages_(std::exchange(o.pages_, nullptr)) {}

RobustLock& RobustLock::operator=(RobustLock&& o) noexcept {
    std::swap(token_, o.token_);
    std::swap(mutex_, o.mutex_);
    std::swap(pages_, o.pages_);
    return *this;
}

RobustLock::~RobustLock() {
    if (pages_ == nullptr) return;
    // glibc empties the links of a mutex that it takes off a list.
    const bool listed = mutex_->__data.__list.__next != nullptr;
    if (!listed && !private_part(pages_).listed_for_ever.load()) ::munmap(pages_, 2 * page_size);
}

RobustLock::Outcome RobustLock::took(int error) noexcept {
    if (error != 0 && error != EOWNERDEAD) return Outcome::timed_out;
    auto& owner = private_part(pages_).owner;
    const bool inside = owner.load(std::memory_order_relaxed) != nullptr;
    owner.store(&this_thread, std::memory_order_relaxed);
    if (error == 0) return inside ? Outcome::twice : Outcome::locked;
    ::pthread_mutex_consistent(mutex_);
    return Outcome::owner_died;
}

bool RobustLock::try_lock(Outcome& outcome) noexcept {
    outcome = took(::pthread_mutex_trylock(mutex_));
    return outcome != Outcome::timed_out;
}

RobustLock::Outcome RobustLock::lock(std::chrono::nanoseconds timeout) noexcept {
    auto outcome = Outcome::timed_out;
    if (try_lock(outcome) || timeout.count() <= 0) return outcome;
    spin(mutex_);
    if (try_lock(outcome)) return outcome;
    return took(lock_until(mutex_, timeout));
}

void RobustLock::unlock() noexcept {
    auto& mine = private_part(pages_);
    if (mine.owner.load(std::memory_order_relaxed) != &this_thread) {
        // Somebody scribbled over the word, and another thread of ours got the lock as well: it is
        // that thread's list which the mutex is on now.
        mine.listed_for_ever.store(true);
        return;
    }
    mine.owner.store(nullptr, std::memory_order_relaxed);
    // Likewise glibc refuses where the word does not name us, and leaves the mutex on our list: the
    // word is set right, so that the list is too.
    for (int attempt = 0; attempt < 1000; ++attempt) {
        if (::pthread_mutex_unlock(mutex_) == 0) return;
        if (!token_.same_process()) break;
        auto word = word_of(mutex_);
        const auto waiters = static_cast<unsigned>(word.load()) & unsigned{FUTEX_WAITERS};
        word.store(static_cast<int>(static_cast<unsigned>(::gettid()) | waiters));
    }
    mine.listed_for_ever.store(true);
}

std::span<std::byte> RobustLock::shared_page() const noexcept {
    if (pages_ == nullptr) return {};
    return {pages_, page_size};
}

void RobustLock::disown() noexcept {
    auto word = word_of(mutex_);
    if (const auto now = static_cast<unsigned>(word.load());
        now != 0 && (now & unsigned{FUTEX_OWNER_DIED}) == 0)
        word.store(static_cast<int>(unsigned{FUTEX_OWNER_DIED}));
}

std::int32_t RobustLock::holder() const noexcept {
    const auto word = static_cast<unsigned>(word_of(mutex_).load(std::memory_order_relaxed));
    return static_cast<std::int32_t>(word & unsigned{FUTEX_TID_MASK});
}

}  // namespace mmsb::os
