#include "state/derivation.hpp"

#include "state/redo.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <exception>

namespace mmsb::state {

// REQUIRES that the catalog follows.
Derivation::Outdated Derivation::what_is_outdated() {
    if (const auto conflict = validate(bus_, staged_)) {
        conflict_ = conflict->page;
        return Outdated::reads;
    }
    return bus_.catalog.graph_head() == staged_.made.graph_head ? Outdated::nothing
                                                                : Outdated::graph;
}

// Is nobody in the middle of a commit, and has nothing changed that this was made of?
bool Derivation::is_as_it_was() {
    const auto& words = bus_.words();
    const auto logged = words.logged.load();
    const auto at_rest = [&] {
        return words.applied.load() == logged && words.logged.load() == logged;
    };
    if (!at_rest()) return false;
    bus_.catalog.follow_logged(bus_);
    return what_is_outdated() == Outdated::nothing && at_rest();
}

// Who has the lock is waited for, and mended where he died in the middle: else what he has logged,
// and not applied, would be a conflict for ever.
Derivation::Outdated Derivation::look_under_lock() {
    const WriterLock lock(bus_, handle_.lock_timeout);
    bus_.require_memory();
    bus_.catalog.follow(bus_, bus_.tail.structure);
    return what_is_outdated();
}

Derivation::Result Derivation::run() {
    std::exception_ptr failure;
    try {
        if (derive(bus_, staged_, options_.propagation)) {
            encode_ahead(bus_, staged_.made.pages);
            return Result::done;
        }
    } catch (const std::exception&) {
        failure = std::current_exception();
    }
    bus_.require_memory();
    // What is refused waits for nobody.
    if (failure && is_as_it_was()) std::rethrow_exception(failure);
    const auto found = look_under_lock();
    if (found == Outdated::reads) return Result::conflict;
    if (failure && found == Outdated::nothing) std::rethrow_exception(failure);
    moved();
    return Result::moved;
}

void Derivation::moved() {
    if (++moves_ >= options_.attempts)
        throw Conflict(ErrorCode::conflict,
                       fmt::format("what derived pages are computed from changed during each of {} "
                                   "attempts",
                                   moves_),
                       {.expected = "what was read", .found = "a newer version"});
    // What is stale need not be computed at once, and less of it takes less time.
    constexpr int few = 3;
    if (auto& refresh = staged_.refresh; refresh && moves_ >= few)
        refresh->most = std::max<std::size_t>(std::min(refresh->most, refresh->chosen) / 2, 1);
    turn_.conflicted();
}

}  // namespace mmsb::state
