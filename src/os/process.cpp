#include "os/process.hpp"

#include "os/call.hpp"

#include <fcntl.h>
#include <gnu/libc-version.h>
#include <linux/futex.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <ctime>
#include <limits>

namespace mmsb::os {
namespace {

#if defined(__x86_64__)
constexpr const char* machine = "x86_64";
#elif defined(__aarch64__)
constexpr const char* machine = "aarch64";
#else
#error "os/process: name this machine's architecture"
#endif

/// The beginning of a small file of /proc or /sys, with what is left of it zero; noexcept.
using Text = std::array<char, 4096>;
bool read_text(const char* path, Text& text) noexcept {
    text.fill(0);
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    std::size_t size = 0;
    while (size < text.size() - 1) {
        const auto n = ::read(fd, text.data() + size, text.size() - 1 - size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        size += static_cast<std::size_t>(n);
    }
    ::close(fd);
    return size > 0;
}

using ProcPath = std::array<char, 48>;
ProcPath proc_path(std::int32_t id, std::string_view leaf) noexcept {
    constexpr std::string_view root = "/proc/";
    ProcPath path{};
    auto* at = root.copy(path.data(), root.size()) + path.data();
    at = std::to_chars(at, path.data() + 24, id).ptr;
    leaf.copy(at, leaf.size());
    return path;
}

/// Base name of what the link of /proc names; empty where it is not told.
std::string executable(const char* link) {
    Text target{};
    const auto n = ::readlink(link, target.data(), target.size() - 1);
    if (n <= 0) return {};
    std::string_view name(target.data(), static_cast<std::size_t>(n));
    constexpr std::string_view deleted = " (deleted)";
    if (name.ends_with(deleted)) name.remove_suffix(deleted.size());
    return std::string(name.substr(name.find_last_of('/') + 1));
}

std::string first_line(const char* path) {
    Text text{};
    if (!read_text(path, text)) return {};
    const std::string_view all(text.data());
    return std::string(all.substr(0, all.find('\n')));
}

}  // namespace

std::int32_t process_id() noexcept { return ::getpid(); }

std::int32_t process_of_thread(std::int32_t thread_id) noexcept {
    Text text{};
    if (thread_id <= 0 || !read_text(proc_path(thread_id, "/status").data(), text))
        return thread_id;
    constexpr std::string_view field = "\nTgid:\t";
    const std::string_view all(text.data());
    const auto at = all.find(field);
    if (at == std::string_view::npos) return thread_id;
    std::int32_t process = thread_id;
    std::from_chars(all.data() + at + field.size(), all.data() + all.size(), process);
    return process;
}

std::string program_name() {
    auto name = executable("/proc/self/exe");
    return name.empty() ? program_invocation_short_name : name;
}

std::string process_name(std::int32_t process) {
    if (process <= 0) return {};
    auto name = executable(proc_path(process, "/exe").data());
    return name.empty() ? first_line(proc_path(process, "/comm").data()) : name;
}

bool process_is_alive(std::int32_t process) noexcept {
    if (process <= 0 || (::kill(process, 0) != 0 && errno != EPERM)) return false;
    // A process that nobody has waited for yet still has its number.
    Text text{};
    if (!read_text(proc_path(process, "/stat").data(), text)) return true;
    const std::string_view all(text.data());
    const auto name_end = all.rfind(") ");
    if (name_end == std::string_view::npos || name_end + 2 >= all.size()) return true;
    const char state = all[name_end + 2];
    return state != 'Z' && state != 'X';
}

unsigned user_id() noexcept { return ::geteuid(); }

std::string boot_id() {
    const std::string path = "/proc/sys/kernel/random/boot_id";
    const int fd =
        call(Call::open, path, [&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); });
    // Without /proc nobody here has a boot id, and all agree. Another failure must not pass for
    // another boot: what the shared memory holds would be given up.
    if (fd < 0 && errno == ENOENT) return {};
    if (fd < 0) fail(errno, "open", path);
    const File file(fd, path);
    std::array<std::byte, 64> text{};
    const auto size = file.read(0, text);
    const auto all = text_of(std::span(text).first(size));
    return all.substr(0, all.find('\n'));
}

std::uint64_t boot_number() {
    constexpr int digits = 16, base = 16;
    auto text = boot_id();
    std::erase(text, '-');
    std::uint64_t number = 0;
    const auto* const end = text.data() + std::min<std::size_t>(text.size(), digits);
    const auto [stop, error] = std::from_chars(text.data(), end, number, base);
    return error == std::errc{} && stop == end ? number : 0;
}

namespace {

std::uint64_t namespace_of(const std::string& path) {
    struct stat s{};
    const int found = call(Call::stat, path, [&] { return ::stat(path.c_str(), &s); });
    if (found < 0 && errno != ENOENT) fail(errno, "stat", path);
    return found < 0 ? 0 : s.st_ino;
}

}  // namespace

std::uint64_t pid_namespace() { return namespace_of("/proc/self/ns/pid"); }
std::uint64_t mount_namespace() { return namespace_of("/proc/self/ns/mnt"); }

std::string platform() { return std::string("glibc ") + ::gnu_get_libc_version() + ' ' + machine; }

void random_bytes(std::span<std::byte> out) {
    while (!out.empty()) {
        const std::string path = "random bytes";
        const auto n =
            call(Call::random, path, [&] { return ::getrandom(out.data(), out.size(), 0); });
        if (n < 0) fail(errno, "getrandom", path);
        out = out.subspan(static_cast<std::size_t>(n));
    }
}

std::string random_name() {
    constexpr std::string_view digits = "0123456789abcdef";
    std::array<std::byte, 8> random{};
    random_bytes(random);
    std::string name;
    for (const auto b : random) {
        name += digits[std::to_integer<unsigned>(b) >> 4U];
        name += digits[std::to_integer<unsigned>(b) & 15U];
    }
    return name;
}

void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t value,
                std::chrono::nanoseconds timeout) noexcept {
    static_assert(sizeof word == sizeof(std::uint32_t));
    if (timeout.count() <= 0) return;
    const timespec relative{timeout.count() / 1'000'000'000, timeout.count() % 1'000'000'000};
    ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &relative, nullptr, 0);
}

void futex_wake(const std::atomic<std::uint32_t>& word) noexcept {
    ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t value,
                std::chrono::nanoseconds timeout, std::uint32_t bits) noexcept {
    if (timeout.count() <= 0) return;
    // This one takes a moment of CLOCK_MONOTONIC, not a duration.
    const auto now = steady_ns();
    const auto end = timeout.count() < std::numeric_limits<std::int64_t>::max() - now
                         ? now + timeout.count()
                         : std::numeric_limits<std::int64_t>::max();
    const timespec at{end / 1'000'000'000, end % 1'000'000'000};
    ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, value, &at, nullptr, bits);
}

void futex_wake(const std::atomic<std::uint32_t>& word, std::uint32_t bits) noexcept {
    ::syscall(SYS_futex, &word, FUTEX_WAKE_BITSET, INT_MAX, nullptr, nullptr, bits);
}

}  // namespace mmsb::os
