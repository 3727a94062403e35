#include "state/functions.hpp"

#include <mutex>

namespace mmsb::state {

void FunctionCost::add(std::int64_t ns) noexcept {
    constexpr std::int64_t long_ns = 20'000;  // about what waking other threads takes
    const auto n = long_calls_.load(std::memory_order_relaxed);
    long_calls_.store(ns < long_ns ? 0 : n + 1, std::memory_order_relaxed);
}

void Functions::put(std::string_view name, RegisteredFunction function) {
    auto made = std::make_shared<const RegisteredFunction>(std::move(function));
    const std::unique_lock lock(mutex_);
    all_.insert_or_assign(std::string(name), std::move(made));
}

void Functions::add(const Functions& other) {
    const std::scoped_lock lock(mutex_, other.mutex_);
    all_.insert(other.all_.begin(), other.all_.end());
}

FunctionPointer Functions::find(std::string_view name) const {
    {
        const std::shared_lock lock(mutex_);
        if (const auto found = all_.find(name); found != all_.end()) return found->second;
    }
    const auto* function = graph::built_in(name);
    if (function == nullptr) return nullptr;
    auto made = std::make_shared<const RegisteredFunction>(
        RegisteredFunction{.call = function->call, .locality = function->locality});
    const std::unique_lock lock(mutex_);
    return all_.emplace(std::string(name), std::move(made)).first->second;
}

}  // namespace mmsb::state
