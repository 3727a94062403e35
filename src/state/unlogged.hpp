/// state/unlogged: pages that are computed when they are read, in this process's memory alone
/// (PROTOCOL, rule 20).
///
/// A graph without a lock on anything shared: each unlogged page has its parents when it is made,
/// so there is no cycle, and the order is that of a walk from the page to its sources. A source is
/// a private copy of a page of the bus, as of one of its versions; whether it still is that one,
/// its line says. That all sources of one walk are as of one sequence is known because nothing was
/// logged meanwhile, or because none of their lines has moved when the last had been read; where
/// others write all the time, they are read together by redo (read_many).
#pragma once

#include "state/functions.hpp"
#include "state/read.hpp"

#include <mutex>
#include <unordered_map>

namespace mmsb::state {

struct UnloggedNode {
    UnloggedNode() = default;
    ~UnloggedNode();  ///< Of a long chain: one behind the other, not one inside the other.
    UnloggedNode(const UnloggedNode&) = delete;
    UnloggedNode& operator=(const UnloggedNode&) = delete;

    // -- of a source
    PageId page = PageId::none;
    std::uint32_t line = unknown_line;
    Lsn lsn = 0;    ///< 0: not read yet.
    Bytes spare{};  ///< Where the next version is read to.

    // -- of what is computed
    std::vector<std::shared_ptr<UnloggedNode>> parents{};
    FunctionPointer function{};
    std::string name{};  ///< The function's, for errors.
    Bytes arguments{};
    std::vector<std::uint64_t> seen{};  ///< Versions of the parents that it was computed from.
    bool is_spoiled = false;            ///< Its function, or what came then, failed half way.

    // -- of both
    Bytes bytes{};
    std::vector<ByteRange> changed{};  ///< By the last change of `version`.
    ByteRange whole{};
    std::uint64_t version = 0;  ///< 0: no bytes yet.
    std::uint64_t resized = 0;  ///< The version that has another size than the one before.
    bool stale = false;
    Lsn as_of = 0;           ///< `logged` when it was last known to be up to date,
    std::uint64_t walk = 0;  ///< and in which walk.
};
using UnloggedPointer = std::shared_ptr<UnloggedNode>;

class UnloggedGraph {
public:
    /// The source of that page.
    [[nodiscard]] UnloggedPointer source(PageId page, std::uint32_t line);
    /// Of `size` bytes, all zero for the function at first. REQUIRES a parent.
    [[nodiscard]] static UnloggedPointer make(std::size_t size,
                                              std::vector<UnloggedPointer> parents,
                                              FunctionPointer function, std::string name,
                                              Bytes arguments);
    /// Brings it up to date and shows it; no other call happens meanwhile. Throws PageNotFound,
    /// RecomputeFailed, WrongContext inside a function of this graph, and what reading throws.
    void read(Attachment& bus, UnloggedNode& node, FunctionRef<void(const UnloggedNode&)> show);

    /// Forgets all sources: for another opening of a bus. REQUIRES that no page of before is read.
    void clear();

private:
    class Walk;
    void read_now(Attachment& bus, UnloggedNode& node, FunctionRef<void(const UnloggedNode&)> show);
    void go_over_to(const Attachment& bus);

    std::mutex sources_mutex_{};  // of the next two; taken last
    std::unordered_map<PageId, std::weak_ptr<UnloggedNode>> sources_{};
    std::size_t sweep_at_ = 0;        // as many of them
    std::mutex mutex_{};              // of nodes, and of the rest
    const Attachment* of_ = nullptr;  // what the sources were read from,
    std::uint64_t first_walk_ = 0;    // by walks from this one on
    std::uint64_t walks_ = 0;
    // A walk's, kept for their memory.
    std::vector<std::pair<UnloggedNode*, std::size_t>> way_{};
    std::vector<UnloggedNode*> read_{};
    std::vector<std::span<const std::byte>> parents_{};
    std::vector<std::span<const ByteRange>> changed_{};
    std::vector<ByteRange> reached_{}, differs_{};
    Bytes room_{};  // of the largest page: what the one at hand will be, or was
};

}  // namespace mmsb::state
