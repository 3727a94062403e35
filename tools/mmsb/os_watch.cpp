#include "os_watch.hpp"

#include "os_files.hpp"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace mmsb::tool {
namespace {

constexpr std::uint32_t settled_events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE;
constexpr std::uint32_t busy_events = IN_MODIFY | IN_CREATE | IN_ATTRIB;

}  // namespace

Watch::Watch(std::vector<std::string> files) : count_(files.size()) {
    file_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (file_ < 0) throw_io("cannot watch", files.front(), errno);
    for (std::size_t i = 0; i < files.size(); ++i) {
        const std::filesystem::path path(files[i]);
        const auto add = [&](const std::filesystem::path& at) {
            const std::string folder = at.parent_path().string();
            places_.push_back({i, folder.empty() ? "." : folder, at.filename().string()});
        };
        add(path);
        // The contents of a symbolic link change in another folder than the link does.
        std::error_code error;
        const auto target = std::filesystem::canonical(path, error);
        if (!error && std::filesystem::is_symlink(path, error)) add(target);
    }
    complete();
    appeared_.clear();  // whoever watches looks at all of them first
}

Watch::~Watch() { ::close(file_); }

void Watch::watch(Place& place) {
    if (place.watch >= 0) return;
    // The same folder gives the same number each time.
    place.watch =
        ::inotify_add_watch(file_, place.folder.c_str(), settled_events | busy_events | IN_ONLYDIR);
    if (place.watch < 0 && errno != ENOENT && errno != ENOTDIR)
        throw_io("cannot watch the folder", place.folder, errno);
    if (place.watch >= 0) appeared_.insert(place.index);
}

bool Watch::complete() {
    bool all = true;
    for (Place& place : places_) {
        watch(place);
        all = all && place.watch >= 0;
    }
    return all;
}

Watch::Seen Watch::read() {
    Seen seen{.settled = std::exchange(appeared_, {})};
    alignas(inotify_event) std::array<char, std::size_t{16} * 1024> buffer{};
    for (;;) {
        const ssize_t got = ::read(file_, buffer.data(), buffer.size());
        if (got <= 0) return seen;
        for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
            inotify_event event{};
            std::memcpy(&event, buffer.data() + at, sizeof event);
            const std::string_view name = event.len == 0 ? "" : buffer.data() + at + sizeof event;
            at += sizeof event + event.len;
            if ((event.mask & IN_Q_OVERFLOW) != 0) {
                for (std::size_t i = 0; i < count_; ++i) seen.settled.insert(i);
            }
            for (Place& place : places_) {
                if (place.watch != event.wd) continue;
                if ((event.mask & IN_IGNORED) != 0) {  // The folder itself is gone.
                    place.watch = -1;
                    seen.settled.insert(place.index);
                } else if (place.name == name) {
                    const bool now = (event.mask & settled_events) != 0;
                    (now ? seen.settled : seen.busy).insert(place.index);
                }
            }
        }
    }
}

void wait_for(const Watch& watch, const Signals& signals, std::chrono::milliseconds at_most) {
    std::array<pollfd, 2> wait{pollfd{watch.file(), POLLIN, 0}, pollfd{signals.file(), POLLIN, 0}};
    const auto limit = std::clamp<std::int64_t>(at_most.count(), 0, 3'600'000);
    ::poll(wait.data(), wait.size(), static_cast<int>(limit));
}

}  // namespace mmsb::tool
