#include "os_stream.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace mmsb::tool {

bool is_terminal(int file) noexcept { return ::isatty(file) == 1; }

int write_to(int file, std::string_view text) noexcept {
    while (!text.empty()) {
        const ssize_t written = ::write(file, text.data(), text.size());
        if (written >= 0) {
            text.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

void reserve_standard_files() noexcept {
    for (int file = 0; file <= standard_error; ++file)
        if (::fcntl(file, F_GETFD) == -1)
            static_cast<void>(::open("/dev/null", file == 0 ? O_WRONLY : O_RDONLY));
}

void survive_broken_pipes() noexcept { std::signal(SIGPIPE, SIG_IGN); }

}  // namespace mmsb::tool
