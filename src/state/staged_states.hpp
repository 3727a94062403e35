/// state/staged_states: pages as they are and as a commit will make them, read once each; and
/// whether all that was read still goes together.
#pragma once

#include "state/stage.hpp"

#include <unordered_map>

namespace mmsb::state {

/// What was read does not go together any more: once more.
struct Moved {};

struct PageState {
    std::uint32_t line = unknown_line;
    StagedPage* staged = nullptr;                ///< The user's, where he changes it.
    std::optional<std::size_t> made{};           ///< Which of Made::pages is its.
    std::span<const std::byte> before{}, now{};  ///< In Made::memory.
    bool was_stale = false, is_stale = false, is_new = false;
    std::vector<ByteRange> changed{};
};

class StagedStates {
public:
    /// REQUIRES that `staged` outlives it, and its pages stay where they are.
    StagedStates(Attachment& bus, Staged& staged);
    /// Reads it at the first call, and remembers that (Made::reads). Stays where it is. Throws
    /// Moved, and PageNotFound of a page that the user changes.
    [[nodiscard]] PageState& of(PageId page);
    [[nodiscard]] StagedPage* staged(PageId page) const noexcept;
    /// Throws Moved where something that was read has changed: a user's function never sees pages
    /// of two different moments.
    void look_again();

private:
    [[nodiscard]] Lsn logged() const;
    void read(PageId page, PageState& to);
    void read_live(PageId page, PageState& to);
    [[nodiscard]] bool read_still(PageId page, PageState& to, arena::LineCopy& info);
    void read_moving(PageId page, PageState& to, arena::LineCopy& info);

    Attachment& bus_;
    Staged& staged_;
    Lsn as_of_;
    std::unordered_map<PageId, StagedPage*> by_id_{};
    std::unordered_map<PageId, PageState> states_{};
};

}  // namespace mmsb::state
