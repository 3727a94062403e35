/// os/process: who we are, where we run, what time it is; waiting for and waking other threads.
#pragma once

#include <mmsb/types.hpp>

#include <atomic>
#include <string>

namespace mmsb::os {

[[nodiscard]] std::int32_t process_id() noexcept;  ///< Right after fork, too.
/// The process of a thread id, as far as /proc tells (of its own group: the id itself).
[[nodiscard]] std::int32_t process_of_thread(std::int32_t thread_id) noexcept;
[[nodiscard]] std::string program_name();                      ///< Base name of the executable.
[[nodiscard]] std::string process_name(std::int32_t process);  ///< Empty where there is none.
[[nodiscard]] bool process_is_alive(std::int32_t process) noexcept;
[[nodiscard]] unsigned user_id() noexcept;
/// Another one after each boot; empty where there is no /proc. Throws Io, OutOfSpace.
[[nodiscard]] std::string boot_id();
/// Its first 64 bits; 0 where there is none. Throws what that throws.
[[nodiscard]] std::uint64_t boot_number();
/// 0 where there is no /proc. Throws Io, OutOfSpace.
[[nodiscard]] std::uint64_t pid_namespace();
/// Likewise, of which file systems are mounted where.
[[nodiscard]] std::uint64_t mount_namespace();
/// "glibc 2.36 x86_64": what must agree between those who share a lock.
[[nodiscard]] std::string platform();
void random_bytes(std::span<std::byte> out);
[[nodiscard]] std::string random_name();  ///< 16 hexadecimal digits.
/// System clock, ns since 1970; a step of it is seen within a millisecond. As cheap as reading the
/// processor's counter, where that counts steadily.
[[nodiscard]] std::int64_t clock_ns() noexcept;
[[nodiscard]] std::int64_t boot_clock_ns() noexcept;  ///< CLOCK_BOOTTIME.
/// For tests: clock_ns() answers as if somebody had set the system clock ahead by so much.
void shift_clock(std::int64_t ns) noexcept;
[[nodiscard]] std::int64_t steady_ns() noexcept;

/// futex on a shared word. wait returns at a wake, a change of the value, or the timeout;
/// spuriously too.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t value,
                std::chrono::nanoseconds timeout) noexcept;
void futex_wake(const std::atomic<std::uint32_t>& word) noexcept;  ///< All.
/// The same with a set of bits, not empty: a wake ends only waits that share a bit with it.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t value,
                std::chrono::nanoseconds timeout, std::uint32_t bits) noexcept;
void futex_wake(const std::atomic<std::uint32_t>& word, std::uint32_t bits) noexcept;

/// For loops that look at a word until it changes: leaves the core to its other thread for a
/// moment.
inline void pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace mmsb::os
