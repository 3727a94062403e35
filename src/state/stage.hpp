/// state/stage: a change before it is committed: what was read, what shall be written.
///
/// Values only; writes and their bytes belong to whoever stages. Nothing here is seen by others.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

struct Write {
    std::uint64_t offset = 0;
    std::span<const std::byte> bytes{};
};

/// What shall become of one page.
struct StagedPage {
    PageId page = PageId::none;
    std::uint32_t line = unknown_line;  ///< A hint; its id is checked.
    bool created = false, deleted = false;
    Location location = Location::cpu;    ///< Created only.
    std::optional<std::uint64_t> size{};  ///< Created or resized.
    std::optional<std::string> name{};
    std::vector<std::pair<std::string, std::string>> metadata{};  ///< An empty value erases.
    std::span<const Write> writes{};  ///< Ascending, disjoint, inside the size after.
    std::optional<Epoch> expected{};  ///< Else Conflict.
    /// What `writes` were made for: else InvalidArgument. If the size is given here, too, only
    /// where both that and the page are larger: bytes would show that nobody knows of.
    std::uint64_t size_then = any_size;
    static constexpr std::uint64_t any_size = ~std::uint64_t{0};

    /// A delta that was found before the lock, right if the page still has this epoch and size.
    struct Ahead {
        Epoch epoch = Epoch::zero;
        std::uint64_t size = 0;
        std::vector<std::byte> delta{};
        std::uint64_t changed_bytes = 0;
    };
    std::optional<Ahead> ahead{};

    /// Of a page that is computed (state/derive): what differs from before, in place of `writes`.
    std::optional<std::span<const Write>> computed{};
    std::optional<bool> stale{};  ///< Whether it is afterwards; else as it is, or written anew.
    [[nodiscard]] std::span<const Write> all_writes() const noexcept {
        return computed.value_or(writes);
    }

    /// As new, with the memory of before.
    void clear() noexcept {
        page = PageId::none;
        line = unknown_line;
        created = deleted = false;
        location = Location::cpu;
        size.reset();
        name.reset();
        metadata.clear();
        writes = {};
        expected.reset();
        size_then = any_size;
        ahead.reset();
        computed.reset();
        stale.reset();
    }
};

/// What was read and must not have changed.
struct WatchedPage {
    PageId page = PageId::none;
    std::uint32_t line = unknown_line;
    Epoch epoch = Epoch::zero;
};
struct WatchedName {
    std::string name{};
    PageId found = PageId::none;
};

/// A page that was read to compute another one; its line must still say so.
struct ReadPage {
    PageId page = PageId::none;
    std::uint32_t line = unknown_line;
    Lsn lsn = 0;
};
/// Memory for many pieces that are let go of together.
class Pieces {
public:
    /// Aligned to a cache line, as pages are; not set to anything. Stays where it is.
    [[nodiscard]] std::span<std::byte> take(std::size_t size);
    /// `n` of them, as they are by default; nothing destroys them.
    template <class T>
        requires std::is_trivially_destructible_v<T>
    [[nodiscard]] std::span<T> make(std::size_t n) {
        static_assert(alignof(T) <= small_alignment);
        auto* const at = reinterpret_cast<T*>(take_small(n * sizeof(T)).data());
        std::uninitialized_default_construct_n(at, n);
        return {at, n};
    }
    /// The same, aligned to small_alignment only: for what is small.
    [[nodiscard]] std::span<std::byte> take_small(std::size_t size);  // from the other end
    static constexpr std::size_t small_alignment = 16;
    /// How much has been taken: back_to() lets go of all that was taken since.
    struct Mark {
        std::size_t next = 0;
        std::span<std::byte> room{};
    };
    [[nodiscard]] Mark mark() const noexcept { return {next_, room_}; }
    void back_to(const Mark& mark) noexcept {
        next_ = mark.next;
        room_ = mark.room;
    }
    /// Lets go of all of them; some of the memory is kept for the next ones.
    void clear() noexcept;

private:
    struct Block {
        std::unique_ptr<std::byte[]> bytes{};
        std::size_t size = 0;
    };
    void make_room(std::size_t size);

    std::vector<Block> blocks_{};
    std::size_t next_ = 0;  // the first block that is not begun
    std::size_t total_ = 0;
    std::span<std::byte> room_{};
};

/// A page that was computed, of which nothing changes but bytes; its entry is there.
struct ReadyPage {
    BytesChange change{};      ///< Its line has to be so still. The delta is in Made::entries,
    std::size_t entry_at = 0;  ///< as all of the entry is, which begins here and ends with it.
    std::size_t behind = 0;    ///< So many of Made::pages: parents come first in a record.
    [[nodiscard]] std::size_t entry_end() const noexcept {
        return change.delta_at + change.delta_size;
    }
};

/// What derive() makes of a commit.
struct Made {
    std::vector<StagedPage> pages{};   ///< Besides those that the user changes,
    std::vector<ReadyPage> ready{};    ///< and these. Their lines are among `reads`.
    std::vector<std::byte> entries{};  ///< Of those: as the record will have them; or, of a bus
                                       ///< without a log, their deltas.
    std::vector<GraphChange> graph{};
    std::vector<ReadPage> reads{};
    bool is_derived = false;   ///< derive() has looked.
    Lsn graph_head = 0;        ///< Of the graph that it was made with.
    Pieces memory{};           ///< That `pages` point to.
    std::size_t computed = 0;  ///< Functions that ran,
    std::int64_t ns = 0;       ///< and how long all of it took.

    static constexpr std::size_t most_entries_kept = 4 * limits::mib;

    /// As new, with the memory of before.
    void clear() noexcept {
        pages.clear();
        ready.clear();
        entries.clear();
        // (Of a vector `= {}` lets go of nothing.)
        if (entries.capacity() > most_entries_kept) std::vector<std::byte>().swap(entries);
        graph.clear();
        reads.clear();
        memory.clear();
        is_derived = false;
        graph_head = 0;
        computed = 0;
        ns = 0;
    }
};

/// Of what is stale: pages of functions with this priority or more, and what those need.
struct Refresh {
    int priority = 0;
    std::size_t most =
        limits::pages_per_record / 4;  ///< Pages; less where others commit meanwhile.
    std::size_t chosen = 0;            ///< So many it is,
    bool is_part = false;              ///< and there are more.
};

struct Staged {
    std::vector<StagedPage> pages{};
    std::vector<WatchedPage> reads{};
    std::vector<WatchedName> names{};
    std::vector<GraphChange> graph{};
    /// And compute what is stale.
    std::optional<Refresh> refresh{};
    Made made{};

    void clear_made() noexcept {
        if (made.is_derived) made.clear();
    }
};

/// Bytes above which a write's delta is found before the lock.
inline constexpr std::uint64_t large_write = 256 * 1024;

/// Finds deltas of large writes now, without the lock (PROTOCOL, rule 11).
void encode_ahead(Attachment& bus, std::span<StagedPage> pages);

/// Which page kept a commit from happening.
struct ConflictAt {
    PageId page = PageId::none;
};
/// Under the writers' lock, catalog followed: has anything that was read changed?
[[nodiscard]] std::optional<ConflictAt> validate(Attachment& bus, const Staged& staged);

/// What a record will do.
struct Encoded {
    std::uint64_t changed_bytes = 0;
    bool structural = false;
    bool stale_ahead = false;  ///< A large write's delta was for another epoch: stage again.
};
/// Under the writers' lock: writes entries for all that differs into scratch.body, behind
/// `room_in_front`, and into scratch.changes and scratch.bytes_changes; lines and places of created
/// and resized pages are taken (words.allocating is set first). Throws PageNotFound,
/// InvalidArgument, OutOfSpace, Corrupt; undo with release_places(). `under_lock`: also large
/// writes are compared here.
[[nodiscard]] Encoded encode(Attachment& bus, Staged& staged, bool under_lock,
                             std::size_t room_in_front);
/// Gives back what encode() took, for a commit that will not happen.
void release_places(Attachment& bus) noexcept;

/// Throws PageNotFound: by id or name, with where it was deleted and the nearest name.
[[noreturn]] void throw_not_found(Attachment& bus, PageId page);
[[noreturn]] void throw_not_found(Attachment& bus, std::string_view name);
/// Throws InvalidArgument: `what` ("a read") of so many bytes is not inside of the page's `size`.
[[noreturn]] void throw_outside(std::string_view what, PageId page, std::uint64_t size,
                                std::uint64_t offset, std::uint64_t length);
/// Throws InvalidArgument: it has `size` bytes, and is written to as if it had `other`.
[[noreturn]] void throw_other_size(PageId page, std::uint64_t size, std::uint64_t other);

/// The page's line, by the hint or by the catalog. Throws PageNotFound.
[[nodiscard]] arena::PageLine& find_line(Attachment& bus, PageId page, std::uint32_t& line);
/// The line where this thread found the page last; unknown_line: it did not.
[[nodiscard]] std::uint32_t guess_line(const Attachment& bus, PageId page) noexcept;

/// An id that no page has had. Throws Io, OutOfSpace where the ceiling cannot be raised durably.
[[nodiscard]] PageId take_page_id(Attachment& bus);

}  // namespace mmsb::state
