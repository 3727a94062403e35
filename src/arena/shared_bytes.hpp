/// arena/shared_bytes: copying bytes that others may write meanwhile, under a sequence lock.
///
/// The bytes of a copy may be torn; whoever copies looks at the lock word before and after, and
/// believes nothing else. Under the thread sanitizer the accesses are relaxed atomics, because
/// there a plain copy is a data race on paper; elsewhere a plain copy between compiler barriers is
/// three to four times faster.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

namespace mmsb::arena {

#if defined(__SANITIZE_THREAD__)
#define MMSB_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MMSB_TSAN 1
#endif
#endif

/// From memory that others may be writing, into private memory.
inline void copy_from_shared(std::byte* to, const std::byte* from, std::size_t size) noexcept {
#ifdef MMSB_TSAN
    for (std::size_t i = 0; i < size; ++i)
        to[i] = std::atomic_ref(*const_cast<std::byte*>(from + i)).load(std::memory_order_relaxed);
#else
    if (size == 0) return;  // the pointers of an empty span may be null
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::memcpy(to, from, size);
    std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

/// From private memory, into memory that others may be reading.
inline void copy_to_shared(std::byte* to, const std::byte* from, std::size_t size) noexcept {
#ifdef MMSB_TSAN
    for (std::size_t i = 0; i < size; ++i)
        std::atomic_ref(to[i]).store(from[i], std::memory_order_relaxed);
#else
    if (size == 0) return;  // the pointers of an empty span may be null
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::memcpy(to, from, size);
    std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

/// The same bytes in place, to be looked at only: what is seen may be torn. Under the thread
/// sanitizer a copy, in `copy`.
inline std::span<const std::byte> look_at_shared(std::span<const std::byte> shared,
                                                 [[maybe_unused]] std::vector<std::byte>& copy) {
#ifdef MMSB_TSAN
    copy.resize(shared.size());
    copy_from_shared(copy.data(), shared.data(), shared.size());
    return copy;
#else
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return shared;
#endif
}

inline void zero_shared(std::byte* to, std::size_t size) noexcept {
#ifdef MMSB_TSAN
    for (std::size_t i = 0; i < size; ++i)
        std::atomic_ref(to[i]).store(std::byte{0}, std::memory_order_relaxed);
#else
    if (size == 0) return;  // the pointers of an empty span may be null
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::memset(to, 0, size);
    std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

/// Everything read before it is read before everything after it. (The thread sanitizer does not
/// know fences; its accesses are atomics anyway.)
inline void read_fence() noexcept {
#ifndef MMSB_TSAN
    std::atomic_thread_fence(std::memory_order_acquire);
#endif
}
/// Everything stored before it is seen by others before anything after it is read.
inline void full_fence() noexcept {
#ifndef MMSB_TSAN
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}
/// Everything stored before it is seen before everything stored after it.
inline void write_fence() noexcept {
#ifndef MMSB_TSAN
    std::atomic_thread_fence(std::memory_order_release);
#endif
}

}  // namespace mmsb::arena
