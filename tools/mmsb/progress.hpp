/// progress: a line on the terminal's stderr for whatever takes over a second; nothing elsewhere.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace mmsb::tool {

/// Shows itself from a thread of its own, so that it also lives where the library tells nothing.
class Progress {
public:
    explicit Progress(std::string what);
    ~Progress() { end(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    /// Takes its line away: before something else is written.
    void end() noexcept;
    /// 0..1; until the first call only the time that has passed is shown. From any thread.
    void set(double fraction) noexcept { fraction_.store(fraction, std::memory_order_relaxed); }

private:
    void show();

    std::string what_;
    std::atomic<double> fraction_{-1};
    std::mutex mutex_;
    std::condition_variable ended_;
    bool end_ = false;
    std::thread thread_;
};

}  // namespace mmsb::tool
