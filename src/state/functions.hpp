/// state/functions: the code that this process has for functions' names, for all handles of a bus.
#pragma once

#include "graph/function.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <shared_mutex>
#include <string>

namespace mmsb::state {

/// Does a function take long?
class FunctionCost {
public:
    /// Is this call to be timed? Now and then one is.
    [[nodiscard]] bool is_sample() noexcept {
        constexpr std::uint32_t first = 4, every = 16;
        const auto n = calls_.load(std::memory_order_relaxed);
        calls_.store(n + 1, std::memory_order_relaxed);
        return n < first || n % every == 0;
    }
    void add(std::int64_t ns) noexcept;
    /// Several calls that were timed one after the other took so long that waking other threads is
    /// worth it: one may have been interrupted.
    [[nodiscard]] bool is_heavy() const noexcept {
        constexpr std::uint32_t several = 3;
        return long_calls_.load(std::memory_order_relaxed) >= several;
    }

private:
    std::atomic<std::uint32_t> calls_{0};
    std::atomic<std::uint32_t> long_calls_{0};  // since the last one that was not
};

struct RegisteredFunction {
    graph::Function call{};
    bool stale_on_throw = false;  ///< Else the commit fails.
    bool accumulates = false;     ///< Never deferred: it needs each step.
    int priority = 0;             ///< Of what is stale, the highest first.
    Locality locality = Locality::opaque;
    bool one_thread = false;  ///< It is called by the committing thread only.
    std::shared_ptr<FunctionCost> cost = std::make_shared<FunctionCost>();
};
using FunctionPointer = std::shared_ptr<const RegisteredFunction>;

/// Threads: everything from any. What was found stays while it is held, also when it is replaced.
class Functions {
public:
    /// In place of the one that the name has. REQUIRES that it is no built-in function's.
    void put(std::string_view name, RegisteredFunction function);
    /// Built-in ones, too; nullptr: this process has none of that name.
    [[nodiscard]] FunctionPointer find(std::string_view name) const;
    /// Those of `other` whose names have none here.
    void add(const Functions& other);
    /// Has there been one whose calls take so long that several threads are worth it?
    [[nodiscard]] bool has_heavy() const noexcept {
        return has_heavy_.load(std::memory_order_relaxed);
    }
    void note_heavy() noexcept { has_heavy_.store(true, std::memory_order_relaxed); }

private:
    std::atomic<bool> has_heavy_{false};
    mutable std::shared_mutex mutex_;
    mutable std::map<std::string, FunctionPointer, std::less<>>
        all_{};  // built-in ones, once found
};

}  // namespace mmsb::state
