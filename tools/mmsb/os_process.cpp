#include "os_files.hpp"
#include "os_watch.hpp"

#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace mmsb::tool {
namespace {

sigset_t awaited() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) ::sigaddset(&set, signal);
    return set;
}

}  // namespace

Signals::Signals() {
    const sigset_t set = awaited();
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    file_ = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (file_ < 0) throw_io("cannot wait for", "signals", errno);
}

Signals::~Signals() {
    ::close(file_);
    const sigset_t set = awaited();
    ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

std::optional<Signals::Signal> Signals::next() {
    signalfd_siginfo info{};
    if (::read(file_, &info, sizeof info) != sizeof info) return std::nullopt;
    return Signal{.number = static_cast<int>(info.ssi_signo),
                  .of_child = info.ssi_signo == SIGCHLD,
                  .from_terminal = info.ssi_code == SI_KERNEL};
}

Child::Child(const std::vector<std::string>& words, bool to_stderr) {
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);

    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t unblocked;
    sigset_t defaults = awaited();
    ::sigemptyset(&unblocked);
    ::sigaddset(&defaults, SIGPIPE);
    ::posix_spawnattr_setsigmask(&attributes, &unblocked);
    ::posix_spawnattr_setsigdefault(&attributes, &defaults);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    if (to_stderr) ::posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    const int error = ::posix_spawnp(&process_, arguments.front(), &actions, &attributes,
                                     arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    if (error != 0) {
        process_ = -1;
        throw_io("cannot run", words.front(), error);
    }
}

Child::~Child() {
    if (process_ > 0 && !code_) wait();
}

std::optional<int> Child::ended() {
    if (code_) return code_;
    int status = 0;
    if (::waitpid(process_, &status, WNOHANG) == process_)
        code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return code_;
}

int Child::wait() {
    siginfo_t info{};
    // It only waits; what the child says at its end is taken by ended().
    while (!ended()) ::waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOWAIT);
    return *code_;
}

void Child::send(int signal) const {
    if (!code_) ::kill(process_, signal);
}

}  // namespace mmsb::tool
