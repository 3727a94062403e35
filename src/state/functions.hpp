/// state/functions: the code that this process has for functions' names, for all handles of a bus.
#pragma once

#include "graph/function.hpp"

#include <map>
#include <memory>
#include <shared_mutex>
#include <string>

namespace mmsb::state {

struct RegisteredFunction {
    graph::Function call{};
    bool stale_on_throw = false;  ///< Else the commit fails.
    bool accumulates = false;     ///< Never deferred: it needs each step.
    int priority = 0;             ///< Of what is stale, the highest first.
    Locality locality = Locality::opaque;
};
using FunctionPointer = std::shared_ptr<const RegisteredFunction>;

/// Threads: everything from any. What was found stays while it is held, also when it is replaced.
class Functions {
public:
    /// In place of the one that the name has. REQUIRES that it is no built-in function's.
    void put(std::string_view name, RegisteredFunction function);
    /// Built-in ones, too; nullptr: this process has none of that name.
    [[nodiscard]] FunctionPointer find(std::string_view name) const;

private:
    mutable std::shared_mutex mutex_;
    mutable std::map<std::string, FunctionPointer, std::less<>>
        all_{};  // built-in ones, once found
};

}  // namespace mmsb::state
