/// state/read: bytes of pages, as of one version, without a lock and without waiting.
///
/// The quick way is a copy under the page's line. Where the line does not stand still (its writer
/// is busy, stopped or dead, or the page is large and never rests): a fuzzy copy, then redo of the
/// log over the private copy (PROTOCOL, read; rules 2 and 21). Deltas carry values, so that is
/// exact. Errors: PageNotFound, InvalidArgument (range), Corrupt, Io (a lapped reader reads
/// segments).
#pragma once

#include "state/prefetch.hpp"

#include <memory>

namespace mmsb::state {

/// Copies [offset, offset + out.size()) of the page. `line` is a hint, and is set, unless it and
/// `place` are right.
Version read_into(Attachment& bus, PageId page, std::uint32_t& line, PlaceHint place,
                  std::span<std::byte> out, std::uint64_t offset);
/// All of it. The bytes of a Versioned<Bytes> as of its version.
[[nodiscard]] Versioned<Bytes> read_page(Attachment& bus, PageId page, std::uint32_t& line);

/// A page's line while it stood still, or as redo says it is.
[[nodiscard]] arena::LineCopy read_line(Attachment& bus, PageId page, std::uint32_t& line);

/// One of several pages read as of one sequence.
struct Wanted {
    PageId page = PageId::none;
    std::uint32_t line = unknown_line;
    bool found = false;  ///< False: it was not there at that sequence.
    arena::LineCopy info{};
    std::span<const std::byte> bytes{};  ///< In ReadMany::memory.
};
struct ReadMany {
    Position position{};
    std::unique_ptr<std::byte[]> memory{};
};
/// All of them as of the position that is returned, without stopping writers.
[[nodiscard]] ReadMany read_many(Attachment& bus, std::span<Wanted> wanted);

/// Shows `fn` the live bytes; true if no commit touched the page meanwhile.
bool peek(Attachment& bus, PageId page, std::uint32_t& line, PlaceHint place,
          FunctionRef<void(std::span<const std::byte>)> fn);

}  // namespace mmsb::state
