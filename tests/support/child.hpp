/// tests/support/child: another process of the same program, and talking with it over pipes.
#pragma once

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <type_traits>

#include <sys/wait.h>
#include <unistd.h>

namespace mmsb::test {

/// A pipe of values; the end that is not used is closed by its owner or at the end.
class Pipe {
public:
    Pipe() {
        if (::pipe(ends_) != 0) std::abort();
    }
    ~Pipe() {
        close_reading();
        close_writing();
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;

    template <class T>
    void write(const T& value) const {
        static_assert(std::is_trivially_copyable_v<T>);
        if (::write(ends_[1], &value, sizeof value) != sizeof value) std::abort();
    }
    /// Nothing: the other end was closed.
    template <class T>
    [[nodiscard]] std::optional<T> read() const {
        T value{};
        std::size_t have = 0;
        while (have < sizeof value) {
            const auto n =
                ::read(ends_[0], reinterpret_cast<char*>(&value) + have, sizeof value - have);
            if (n <= 0) return std::nullopt;
            have += static_cast<std::size_t>(n);
        }
        return value;
    }
    [[nodiscard]] int reading() const noexcept { return ends_[0]; }  ///< For poll().
    void close_reading() { close_end(0); }
    void close_writing() { close_end(1); }

private:
    void close_end(int i) {
        if (ends_[i] >= 0) ::close(ends_[i]);
        ends_[i] = -1;
    }
    int ends_[2] = {-1, -1};
};

/// Do all threads of this process but the caller sleep?
inline bool other_threads_sleep() {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        if (task.path().filename() == std::to_string(::gettid())) continue;
        std::ifstream in(task.path() / "stat");
        std::string text;
        std::getline(in, text);
        const auto name_end = text.rfind(')');
        if (name_end != std::string::npos && text.substr(name_end + 2, 1) != "S") return false;
    }
    return true;
}

/// A thread that allocates while another one forks leaves the child a locked allocator: libc mends
/// its own, the address sanitizer of gcc 12 does not. So a fork waits until threads that have just
/// been started (a bus has some) are asleep; at most a second, for tests that keep theirs busy.
inline void let_threads_settle() {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    if (std::distance(begin(tasks), end(tasks)) == 1) return;
    constexpr int tries = 1000, in_a_row = 3;
    for (int i = 0, asleep = 0; i < tries && asleep < in_a_row; ++i) {
        asleep = other_threads_sleep() ? asleep + 1 : 0;
        ::usleep(1000);
    }
}

/// Runs `body` in a forked child, whose exit code is what it returns; 99 where it throws.
class Child {
public:
    template <class F>
    explicit Child(F&& body) {
        std::fflush(nullptr);
        let_threads_settle();
        pid_ = ::fork();
        if (pid_ < 0) std::abort();
        if (pid_ != 0) return;
        int code = 99;
        try {
            code = body();
        } catch (const std::exception& e) {
            std::fprintf(stderr, "child: %s\n", e.what());
        }
        std::_Exit(code);
    }
    ~Child() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        wait();
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// REQUIRES that it was not waited for: kill(-1) is everybody's.
    void signal(int number) const {
        if (pid_ <= 0) std::abort();
        ::kill(pid_, number);
    }
    /// Until it is stopped by a signal; false where it ended instead.
    [[nodiscard]] bool wait_until_stopped() {
        int status = 0;
        if (::waitpid(pid_, &status, WUNTRACED) == pid_ && WIFSTOPPED(status)) return true;
        pid_ = -1;
        return false;
    }
    /// As wait(), but nothing where it still runs.
    std::optional<int> try_wait() {
        int status = 0;
        if (pid_ <= 0) return -1;
        if (::waitpid(pid_, &status, WNOHANG) == 0) return std::nullopt;
        pid_ = -1;
        return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    }
    /// Its exit code, or minus the signal that ended it.
    int wait() {
        int status = 0;
        if (pid_ <= 0 || ::waitpid(pid_, &status, 0) < 0) return -1;
        pid_ = -1;
        return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    }

private:
    pid_t pid_ = -1;
};

}  // namespace mmsb::test
