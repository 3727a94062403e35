/// state/staged_states: pages as they are and as a commit will make them, read once each; and
/// whether all that was read still goes together.
#pragma once

#include "base/spare.hpp"
#include "delta/codec.hpp"
#include "state/prefetch.hpp"
#include "state/stage.hpp"

#include <cassert>
#include <unordered_map>

namespace mmsb::state {

/// What was read does not go together any more: once more.
struct Moved {};

/// Lives in Made::memory, as what it points to does.
struct PageState {
    PageId page = PageId::none;
    std::uint32_t line = unknown_line;
    std::uint32_t made = not_made;  ///< Which of Made::pages is its.
    StagedPage* staged = nullptr;   ///< The user's, where he changes it.
    arena::LineCopy line_then{};    ///< As it was read,
    bool stood = false;             ///< and stood still then.
    ByteRange whole{};              ///< All of it.
    bool was_stale = false, is_stale = false, is_new = false;
    bool is_resized = false;
    bool has_bytes = false;  ///< `now` is there; `before` where it was read.
    std::span<const std::byte> before{}, now{};
    std::span<std::byte> room{};  ///< Of `now`. Of what was computed: how many will still read it,
    std::uint32_t readers = 0;    ///< and who did last.
    graph::Node read_by = graph::no_node;
    ByteRange one{};  ///< What `changed` mostly is.
    std::span<const ByteRange> changed{};

    static constexpr std::uint32_t not_made = 0xffff'ffff;
};

/// What was found where a page comes out otherwise. Whoever keeps it keeps its memory.
struct FoundDelta {
    std::vector<ByteRange> ranges{};  ///< As changed_ranges() says them.
    /// Of all of that, with room in front for what a record says of a page; empty: of large pages,
    /// or none. In `memory`.
    std::span<std::byte> delta{};
    std::uint64_t changed_bytes = 0;  ///< By the delta.
    Bytes memory{};
    std::vector<delta::Part> parts{};
    Bytes scratch{};
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

    /// Reads its line at the first call, and remembers that (Made::reads); its bytes are there
    /// where the user changes them. Stays where it is. Throws Moved, and PageNotFound of a page
    /// that the user changes.
    [[nodiscard]] PageState& of(graph::Node node) {
        auto* const known = memory_->by_node[node];
        return known != nullptr ? *known : read_node(node);
    }
    /// It will be asked for soon: asks for its line and bytes, if this thread knows where they lie.
    void look_ahead(graph::Node node) const noexcept {
        graph_.prefetch(node);
        const auto& [line, hint] = memory_->places[node];
        if (hint == 0) return;
        __builtin_prefetch(bus_.arena->line(line));
        prefetch(bus_, hint);
    }
    /// Of one that may be no node of the graph.
    [[nodiscard]] PageState& of(PageId page);
    /// Its bytes as they will be; read at the first call. Throws Moved.
    [[nodiscard]] std::span<const std::byte> bytes_of(PageState& page) {
        if (!page.has_bytes) read_bytes(page);
        assert(page.now.size() == page.whole.size);
        return page.now;
    }
    /// Room for a version of it, and its bytes copied there. Throws Moved.
    [[nodiscard]] std::span<std::byte> room_for(const PageState& page) {
        auto& rooms = memory_->rooms;
        if (rooms.empty() || rooms.back().size() != page.whole.size)
            return staged_.made.memory.take(page.whole.size);
        const auto room = rooms.back();
        rooms.pop_back();
        return room;
    }
    /// Nobody needs the bytes that were computed of it any more: the next page has their room,
    /// while it is in the processor's caches.
    void let_go(PageState& page) {
        memory_->rooms.push_back(page.room);
        page.now = {};
    }
    void copy_bytes(PageState& page, std::span<std::byte> out);
    /// Where `now` differs from the page as it was, which is nowhere but `within`. From any thread,
    /// if each has a `found` of its own. Throws Moved.
    void compare(const PageState& page, std::span<const std::byte> now,
                 std::span<const ByteRange> within, FoundDelta& found) const;
    /// Throws Moved where something that was read has changed: a user's function never sees pages
    /// of two different moments.
    void look_again();
    /// That is what has changed of it: a copy, which lives as long as the states do.
    void keep_changed(PageState& page, std::span<const ByteRange> ranges) {
        if (ranges.size() == 1) {
            page.one = ranges.front();
            page.changed = {&page.one, 1};
        } else {
            page.changed = copy(ranges);
        }
    }

private:
    [[nodiscard]] inline Lsn logged() const;
    [[nodiscard]] std::span<const ByteRange> copy(std::span<const ByteRange> ranges);
    PageState& read_node(graph::Node node);
    inline void read(PageState& to);
    void stage_over(PageState& to);
    void write_in_place(PageState& to);
    void write_to_copy(PageState& to, std::size_t size);
    inline void read_line(PageState& to);
    void read_bytes(PageState& to);
    [[nodiscard]] inline bool copy_still(const PageState& page, std::span<std::byte> out) const;
    [[nodiscard]] inline bool stands(const PageState& page) const;
    void read_moving(PageState& to, arena::LineCopy& info);

    struct Place {
        std::uint32_t line = unknown_line;
        PlaceHint hint = 0;
    };
    // A thread keeps it for its next propagation.
    struct Memory {
        std::vector<PageState*> by_node{};  // all null where nobody uses it
        std::vector<Place> places{};        // by node: where it was found last, on whatever bus
        std::vector<graph::Node> read{};
        std::vector<ByteRange> ranges{};
        std::vector<std::span<std::byte>> rooms{};  // of Made::memory
    };

    Attachment& bus_;
    Staged& staged_;
    const StagedById& by_id_;
    const graph::Graph& graph_;
    Lsn as_of_;
    base::Spare<Memory> memory_{};
    std::unordered_map<PageId, PageState*> others_{};
};

}  // namespace mmsb::state
