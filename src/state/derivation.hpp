/// state/derivation: what a commit computes besides what was asked for, until it is of what is
/// committed then.
///
/// derive() runs users' functions without the writers' lock, and others commit meanwhile. Here is
/// who decides between what it says: done, once more, a conflict for who read, or an error of the
/// function's. An error counts only where all that it was made of stands: what was computed from
/// halves of two states, or did not fit them, is none, nor what a formula of before says to a page
/// of now.
#pragma once

#include "state/derive.hpp"
#include "state/turn.hpp"

#include <cstdint>

namespace mmsb::state {

/// Of one call that commits. Takes the writers' lock for a moment where the pages moved.
class Derivation {
public:
    /// REQUIRES that all of these outlive it.
    Derivation(Attachment& bus, Staged& staged, const HandleOptions& handle,
               const CommitOptions& options) noexcept
        : bus_(bus), staged_(staged), handle_(handle), options_(options) {}

    enum class Result : std::uint8_t {
        done,      ///< Staged::made is filled, and encoded ahead.
        moved,     ///< Others committed meanwhile: once more.
        conflict,  ///< What was read for this commit has changed: see conflict().
    };
    /// Throws what derive() throws, Busy, and Conflict as moved() does.
    [[nodiscard]] Result run();
    /// The page, after Result::conflict.
    [[nodiscard]] PageId conflict() const noexcept { return conflict_; }
    /// It was computed for nothing. Throws Conflict where that was so CommitOptions::attempts
    /// times.
    void moved();

private:
    enum class Outdated : std::uint8_t { nothing, graph, reads };
    [[nodiscard]] Outdated what_is_outdated();
    [[nodiscard]] bool is_as_it_was();
    [[nodiscard]] Outdated look_under_lock();

    Attachment& bus_;
    Staged& staged_;
    const HandleOptions& handle_;
    const CommitOptions& options_;
    Turn turn_{bus_};
    int moves_ = 0;
    PageId conflict_ = PageId::none;
};

}  // namespace mmsb::state
