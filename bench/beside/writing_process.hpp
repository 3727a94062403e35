/// bench/beside/writing_process: the process that changes pages, told by the one that reads; and
/// what the pages have to be at a moment, for who reads.
#pragma once

#include "beside/sides.hpp"
#include "crash/shared.hpp"
#include "stores/model.hpp"
#include "support/child.hpp"

#include <atomic>
#include <chrono>

namespace bench {

/// Changes random pages of the model, ten bytes each, while it is told to.
class WritingProcess {
public:
    /// The store is there, nothing changes. From a process without threads; `core`: where to stay.
    WritingProcess(const Sides& sides, const std::string& folder, std::size_t pages, int core);
    void write() { tell(writing); }  ///< Without pause, from now on.
    void pause() { tell(paused); }   ///< It has stopped changing anything when this returns.
    /// Nanoseconds a commit over this time, in which `meanwhile` runs.
    template <class F>
    double ns_a_commit(F&& meanwhile) {
        const auto before = commits();
        const auto began = std::chrono::steady_clock::now();
        meanwhile();
        const std::chrono::duration<double, std::nano> took =
            std::chrono::steady_clock::now() - began;
        return took.count() / static_cast<double>(std::max<std::uint64_t>(commits() - before, 1));
    }
    /// Acknowledged so far; a few may not be counted yet while it writes.
    [[nodiscard]] std::uint64_t commits() const { return shared_->commits.load(); }
    mmsb::test::Child& process() noexcept { return child_; }

private:
    enum Order : int { none, paused, writing };
    struct Orders {
        std::atomic<int> told{none}, done{none};
        std::atomic<std::uint64_t> commits{0};
    };
    [[noreturn]] void obey(const Sides& sides, const std::string& folder, std::size_t pages);
    void tell(Order order);
    mmsb::test::Shared<Orders> shared_{};
    mmsb::test::Child child_;
};

/// The model as of a moment, which only goes on: moments of reads one after the other, while
/// nothing else writes.
class Follower {
public:
    /// `start`: the moment of the pages as they were made.
    Follower(std::size_t pages, Moment start) : model_(pages), at_(start) {}
    /// Is this the page, as read after all that was asked about before?
    [[nodiscard]] bool agrees(Moment moment, std::size_t page, std::span<const std::byte> bytes);
    /// The same of all pages.
    [[nodiscard]] bool agrees(Moment moment, std::span<const std::byte> bytes);

private:
    void follow(Moment moment);
    Model model_;
    Moment at_;
};

}  // namespace bench
