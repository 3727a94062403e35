/// tests/crash/trial: a bus that is worked on while the n-th of something fails, and what it must
/// hold all the same: each failure a typed error that changed nothing, all that was acknowledged
/// there afterwards, nothing left behind in the process.
#pragma once

#include "support/contents.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <new>

namespace mmsb::test {

/// Counts, while it is armed, what may fail; and says which of it does. From any thread.
class Trip {
public:
    /// The n-th, and where `onward` all behind it; 0: none.
    void set(std::int64_t n, bool onward) noexcept {
        at_ = n;
        onward_ = onward;
        count_.store(0);
        fired_.store(false);
    }
    void arm(bool armed) noexcept { armed_.store(armed); }
    [[nodiscard]] bool next() noexcept {
        if (!armed_.load()) return false;
        const auto n = count_.fetch_add(1) + 1;
        const bool hit = at_ != 0 && (onward_ ? n >= at_ : n == at_);
        if (hit) fired_.store(true);
        return hit;
    }
    [[nodiscard]] std::int64_t count() const noexcept { return count_.load(); }
    [[nodiscard]] bool fired() const noexcept { return fired_.load(); }
    /// Nothing more will fail.
    [[nodiscard]] bool spent() const noexcept { return fired() && !onward_; }

private:
    std::int64_t at_ = 0;
    bool onward_ = false;
    std::atomic<std::int64_t> count_{0};
    std::atomic<bool> fired_{false}, armed_{false};
};

inline std::size_t entries_of(const fs::path& folder) {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

/// One life of a bus while `trip` is set.
class Trial {
public:
    Trial(const TempFolder& folder, Trip& trip)
        : folder_(folder), trip_(trip), files_(entries_of("/proc/self/fd")) {
        past_[0] = {};
    }

    Config config() const {
        auto config = at(folder_);
        config.on_notice = [](const Notice&) {};
        config.checkpoint_interval = std::chrono::seconds(0);
        config.lock_timeout = std::chrono::milliseconds(200);
        return config;
    }

    /// The bus as another life left it: `past` of it, durable up to `durable`. Where its shared
    /// memory is lost, so may be what was not durable.
    void begin_with(std::map<std::uint64_t, Contents> past, std::uint64_t durable, bool lost) {
        past_ = std::move(past);
        now_ = past_.rbegin()->second;
        durable_ = durable;
        lost_ = lost;
    }

    void open() {
        const auto config = this->config();
        const auto call = [&] { bus_.emplace(start_with(config)); };
        if (!attempt("open", call) && trip_.spent()) {
            EXPECT_TRUE(attempt("open", call)) << "open: once more";
        }
    }
    /// As a program that may only read.
    void open_read_only() {
        auto config = this->config();
        config.open = Open::read_only;
        Contents seen;
        if (attempt("open read-only", [&] {
                const auto bus = start_with(config);
                seen = contents_of(bus);
            }))
            expect_kept(seen, !lost_);
    }
    [[nodiscard]] bool is_open() const noexcept { return bus_.has_value(); }
    [[nodiscard]] const State& bus() const { return *bus_; }

    /// A call on the bus, with failures. Where only one thing fails it must work the second time.
    template <class F>
    void act(const char* what, F call) {
        if (!bus_ || testing::Test::HasFatalFailure()) return;
        if (attempt(what, call)) return;
        if (trip_.spent() && !poisoned_ && !committed_) {
            EXPECT_TRUE(attempt(what, call)) << what << ": once more";
        }
    }

    void stop_it() {
        if (!bus_) return;
        EXPECT_TRUE(bus_->verify().good);
        const auto last = now_.sequence;
        if (attempt("stop", [&] { stop(std::move(*std::exchange(bus_, {}))); }) && !poisoned_)
            durable_ = last;
    }

    /// At the end, without failures: everything must be there, and work. `keep_arena`: as when all
    /// processes ended; else as after a reboot, too.
    void settle(bool keep_arena) {
        bus_.reset();
        EXPECT_EQ(entries_of("/proc/self/fd"), files_) << "a file was left open";
        // (One that was joined may be seen for a moment longer.)
        for (int i = 0; i < 1000 && entries_of("/proc/self/task") > 1; ++i) ::usleep(1000);
        EXPECT_EQ(entries_of("/proc/self/task"), 1U) << "a thread was left";
        if (!keep_arena) remove_arena(folder_.path());
        auto bus = start_with(config());
        const auto found = contents_of(bus);
        expect_kept(found, keep_arena && !lost_);
        EXPECT_TRUE(bus.verify().good);
        bus.open_page("afterwards", 10)
            .update(pattern(10, static_cast<unsigned>(found.sequence)),
                    {.durability = Durability::sync});
        static_cast<void>(bus.checkpoint());  // what was begun and never finished is swept
        const auto last = contents_of(bus);
        stop(std::move(bus));
        remove_arena(folder_.path());
        bus = start_with(config());
        EXPECT_EQ(contents_of(bus), last);
        stop(std::move(bus));
        for (const char* folder : {"", "log", "checkpoints"})
            for (const auto& entry : fs::directory_iterator(folder_ / folder))
                EXPECT_FALSE(entry.path().filename().string().ends_with(".new")) << entry.path();
    }

private:
    // False: it failed, with a typed error that changed nothing.
    template <class F>
    bool attempt(const char* what, F call) {
        std::exception_ptr failure;
        trip_.arm(true);
        try {
            call();
        } catch (...) {
            failure = std::current_exception();
        }
        trip_.arm(false);
        committed_ = false;
        const bool judged = !failure || is_typed(what, failure);
        EXPECT_TRUE(!failure || trip_.fired()) << what << " failed, and nothing had made it";
        if (bus_) look(what, judged && failure && !committed_);
        return !failure;
    }

    bool is_typed(const char* what, const std::exception_ptr& failure) {
        try {
            std::rethrow_exception(failure);
        } catch (const Poisoned&) {
            poisoned_ = committed_ = true;
        } catch (const NotDurable&) {
            committed_ = true;
        } catch (const Error& e) {
            EXPECT_NE(e.code(), ErrorCode::corrupt) << what << ": " << e.what();
            EXPECT_NE(std::string_view(e.what()), "");
        } catch (const std::bad_alloc&) {  // the heap's own typed error
        } catch (const std::exception& e) {
            ADD_FAILURE() << what << ": not one of ours: " << e.what();
            return false;
        }
        return true;
    }

    // All that was acknowledged, or (not `all`) acknowledged as durable; and nothing else.
    void expect_kept(const Contents& seen, bool all) {
        if (all) {
            EXPECT_EQ(seen, now_);
            return;
        }
        EXPECT_GE(seen.sequence, durable_) << "a commit acknowledged as durable is gone";
        const auto then = past_.find(seen.sequence);
        ASSERT_NE(then, past_.end()) << seen;
        EXPECT_EQ(seen, then->second);
    }

    void look(const char* what, bool unchanged) {
        auto seen = contents_of(*bus_);
        if (std::exchange(lost_, false)) {
            expect_kept(seen, false);
            past_.erase(past_.upper_bound(seen.sequence), past_.end());
        } else if (unchanged) {
            EXPECT_EQ(seen, now_) << what << " failed, and something changed";
        }
        durable_ = std::max(durable_, number(bus_->durable_sequence()));
        past_[seen.sequence] = seen;
        now_ = std::move(seen);
    }

    const TempFolder& folder_;
    Trip& trip_;
    std::size_t files_;
    std::optional<State> bus_{};
    Contents now_{};
    std::map<std::uint64_t, Contents> past_{};
    std::uint64_t durable_ = 0;
    bool poisoned_ = false, committed_ = false, lost_ = false;
};

}  // namespace mmsb::test
