#include "progress.hpp"

#include "os_stream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string_view>

namespace mmsb::tool {
namespace {

// A progress line that cannot be written is not worth an error.
void to_terminal(std::string_view text) { static_cast<void>(write_to(standard_error, text)); }

std::string bar(double fraction) {
    constexpr double width = 30;
    const auto full = static_cast<std::size_t>(std::clamp(fraction, 0.0, 1.0) * width);
    return fmt::format("[{:<30}] {:3.0f} %", std::string(full, '#'), fraction * 100);
}

}  // namespace

Progress::Progress(std::string what) : what_(std::move(what)) {
    if (is_terminal(standard_error)) thread_ = std::thread([this] { show(); });
}

void Progress::end() noexcept {
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        end_ = true;
    }
    ended_.notify_all();
    thread_.join();
}

void Progress::show() {
    using std::chrono::steady_clock;
    const auto start = steady_clock::now();
    std::unique_lock lock(mutex_);
    auto next = start + std::chrono::seconds(1);
    bool shown = false;
    while (!ended_.wait_until(lock, next, [this] { return end_; })) {
        const double fraction = fraction_.load(std::memory_order_relaxed);
        const auto passed =
            std::chrono::duration_cast<std::chrono::seconds>(steady_clock::now() - start);
        to_terminal(fmt::format("\r\x1b[Kmmsb: {} {}{} s", what_,
                                fraction < 0 ? "" : bar(fraction) + ", ", passed.count()));
        shown = true;
        next = steady_clock::now() + std::chrono::milliseconds(100);
    }
    if (shown) to_terminal("\r\x1b[K");
}

}  // namespace mmsb::tool
