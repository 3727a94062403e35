/// os_watch: what record waits for: changes of files, signals, the end of a child process.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace mmsb::tool {

/// Watches the folders of files, so that a file that is replaced by a rename, deleted or made is
/// seen as well as one that is written.
class Watch {
public:
    explicit Watch(std::vector<std::string> files);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    /// To poll for reading.
    [[nodiscard]] int file() const noexcept { return file_; }
    struct Seen {
        std::set<std::size_t> settled{};  ///< Closed, renamed or deleted: worth a look now.
        std::set<std::size_t> busy{};     ///< Being written: worth a look when it is quiet.
    };
    /// What happened since the last call; indices into `files`.
    [[nodiscard]] Seen read();
    /// Looks again for folders that were not there. True where all are watched. What lies in a
    /// folder that has appeared may have been written before: it is news, told by the next read().
    bool complete();
    /// read() has something to tell that no event will.
    [[nodiscard]] bool has_news() const noexcept { return !appeared_.empty(); }

private:
    struct Place {
        std::size_t index;
        std::string folder, name;
        int watch = -1;
    };
    void watch(Place& place);

    int file_ = -1;
    std::size_t count_;
    std::vector<Place> places_{};
    std::set<std::size_t> appeared_{};  ///< Files whose folder is watched since the last read().
};

/// SIGINT, SIGTERM, SIGHUP and SIGCHLD as readable events. REQUIRES that it is made before any
/// thread, which then inherits the mask.
class Signals {
public:
    Signals();
    ~Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;
    [[nodiscard]] int file() const noexcept { return file_; }
    struct Signal {
        int number = 0;
        bool of_child = false;       ///< A child process has changed its state.
        bool from_terminal = false;  ///< Then the whole process group got it.
    };
    [[nodiscard]] std::optional<Signal> next();

private:
    int file_ = -1;
};

/// Waits until one of the two has something to read.
void wait_for(const Watch& watch, const Signals& signals, std::chrono::milliseconds at_most);

/// A command that runs beside this program.
class Child {
public:
    /// Throws Io where it cannot be started. With `to_stderr` its output goes there.
    Child(const std::vector<std::string>& words, bool to_stderr);
    ~Child();
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    /// Its exit code (128 + the signal that ended it), once it has ended.
    [[nodiscard]] std::optional<int> ended();
    /// Waits for the end.
    int wait();
    void send(int signal) const;

private:
    int process_ = -1;
    std::optional<int> code_{};
};

}  // namespace mmsb::tool
