/// os/lock: a robust mutex in shared memory that keeps no pointer where a neighbour can write.
///
/// glibc's pthread mutex lies across the end of a shared page and a private one: its first 16 bytes
/// (lock word, count, owner, users) are the last 16 of the shared page; kind and list pointers are
/// in a private page mapped right behind. static_asserts guard the layout (glibc on x86-64 and
/// aarch64). A process that scribbles over the shared page can make lock() time out, not crash us.
///
/// Threads: of one process, all through one object. unlock() by the thread that locked.
#pragma once

#include "os/file.hpp"

#include <pthread.h>

namespace mmsb::os {

class RobustLock {
public:
    RobustLock() = default;
    /// `page_offset`: of a page of `file` of which the last 16 bytes are the lock; zero: unlocked.
    RobustLock(const File& file, std::uint64_t page_offset);
    RobustLock(RobustLock&&) noexcept;
    RobustLock& operator=(RobustLock&&) noexcept;
    ~RobustLock();

    enum class Outcome : std::uint8_t {
        locked,
        owner_died,  ///< Locked, and made consistent: what it guards is the caller's to mend.
        /// Locked, but another thread of this process is inside: somebody wrote over the word. The
        /// caller unlocks and does nothing. (One that takes it within the same few nanoseconds is
        /// not seen.)
        twice,
        timed_out,
    };
    [[nodiscard]] Outcome lock(std::chrono::nanoseconds timeout) noexcept;
    [[nodiscard]] bool try_lock(Outcome& outcome) noexcept;
    void unlock() noexcept;
    /// Nobody has it, whatever its word says: where it says otherwise, whoever takes it next is
    /// told that its owner died. REQUIRES that this is so: no other process may be using it.
    void disown() noexcept;
    /// The thread id in the lock word, 0 where free: a hint for Busy.
    [[nodiscard]] std::int32_t holder() const noexcept;
    /// The page of the file, as it is mapped; empty where there is no lock.
    [[nodiscard]] std::span<std::byte> shared_page() const noexcept;

private:
    Outcome took(int error) noexcept;

    ForkToken token_{};
    pthread_mutex_t* mutex_ = nullptr;
    std::byte* pages_ = nullptr;
};

}  // namespace mmsb::os
