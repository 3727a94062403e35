/// state/staged_states: pages as they are and as a commit will make them, read once each; and
/// whether all that was read still goes together.
#pragma once

#include "state/stage.hpp"

#include <unordered_map>

namespace mmsb::state {

/// What was read does not go together any more: once more.
struct Moved {};

/// Lives in Made::memory, as what it points to does.
struct PageState {
    PageId page = PageId::none;
    std::uint32_t line = unknown_line;
    StagedPage* staged = nullptr;   ///< The user's, where he changes it.
    std::uint32_t made = not_made;  ///< Which of Made::pages is its.
    std::span<const std::byte> before{}, now{};
    bool was_stale = false, is_stale = false, is_new = false;
    std::span<const ByteRange> changed{};
    ByteRange whole{};  ///< Of `now`.

    static constexpr std::uint32_t not_made = 0xffff'ffff;
};

/// The pages that the user changes, by id.
class StagedById {
public:
    explicit StagedById(Staged& staged);
    [[nodiscard]] StagedPage* find(PageId page) const noexcept;

private:
    std::span<StagedPage> few_;
    std::unordered_map<PageId, StagedPage*> many_{};
};

class StagedStates {
public:
    /// REQUIRES that all outlive it, and the staged pages stay where they are.
    StagedStates(Attachment& bus, Staged& staged, const StagedById& by_id,
                 const graph::Graph& graph);
    ~StagedStates();
    StagedStates(const StagedStates&) = delete;
    StagedStates& operator=(const StagedStates&) = delete;

    /// Reads it at the first call, and remembers that (Made::reads). Stays where it is. Throws
    /// Moved, and PageNotFound of a page that the user changes.
    [[nodiscard]] PageState& of(graph::Node node) {
        auto* const known = by_node_[node];
        return known != nullptr ? *known : read_node(node);
    }
    /// Of one that may be no node of the graph.
    [[nodiscard]] PageState& of(PageId page);
    /// Throws Moved where something that was read has changed: a user's function never sees pages
    /// of two different moments.
    void look_again();
    /// A copy that lives as long as the states do.
    [[nodiscard]] std::span<const ByteRange> keep(std::span<const ByteRange> ranges);

private:
    [[nodiscard]] Lsn logged() const;
    PageState& read_node(graph::Node node);
    void read(PageState& to);
    void stage_over(PageState& to);
    void read_live(PageState& to);
    [[nodiscard]] bool read_still(PageState& to, arena::LineCopy& info);
    void read_moving(PageState& to, arena::LineCopy& info);

    // All null where nobody uses it: so a thread keeps it for its next propagation.
    static thread_local std::vector<PageState*> spare_;

    Attachment& bus_;
    Staged& staged_;
    const StagedById& by_id_;
    const graph::Graph& graph_;
    Lsn as_of_;
    std::vector<PageState*> by_node_;
    std::vector<graph::Node> read_{};
    std::unordered_map<PageId, PageState*> others_{};
    std::vector<ByteRange> ranges_{};
};

}  // namespace mmsb::state
