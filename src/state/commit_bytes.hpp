/// state/commit_bytes: the commit that programs make most, on a straight line: bytes of one page
/// that is there, and nothing else.
///
/// commit() does the same, and all besides, in twice the instructions. This one decides nothing:
/// whatever is out of the ordinary (an edge, a label, a page that is not there or not as its line
/// says, words that were written over, a log without room) it leaves as it is, to commit(), which
/// has the rules and the errors. The records and pages of both are the same, byte for byte, and so
/// are the steps between which a process may die (tests/api/commit_bytes_test, tests/crash).
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

struct BytesOfPage {
    PageId page = PageId::none;
    std::uint32_t line = unknown_line;  ///< A hint.
    std::uint64_t offset = 0;
    std::span<const std::byte> bytes{};
    bool whole = false;  ///< The page has to have just this size.
};

/// Commits it, or does nothing: then it is for commit() to do. Throws what that would throw of the
/// lock and of memory that is gone.
[[nodiscard]] std::optional<Committed> commit_bytes(Attachment& bus, const HandleOptions& handle,
                                                    BytesOfPage write,
                                                    const CommitOptions& options);

}  // namespace mmsb::state
