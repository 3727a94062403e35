/// log/segment_index: which records of one segment say something of which page, in a file beside
/// the segment: so that one page's history reads only its records. Pure.
///
/// A cache. It is made from the segment by whoever wants to know first, once the log has gone on
/// into the next one, and may be missing, damaged or of a longer segment (one that was cut short
/// since): then it is not used, and made anew. docs/FORMAT.md, "Index of a segment", is the layout:
/// a header, blocks of a table by page, and for each page the places of its records.
///
/// Invariants: (1) what encode_index writes, find_in_index finds; (2) find_in_index believes
/// nothing: it reads O(log pages) blocks and one list, each with a checksum of its own, and what it
/// answers ascends inside the segment.
#pragma once

#include "log/format.hpp"

#include <optional>
#include <span>
#include <vector>

namespace mmsb::log {

/// That a record says something of a page.
struct Mention {
    PageId page = PageId::none;
    Lsn record = 0;  ///< Where it starts.
    friend bool operator==(const Mention&, const Mention&) = default;
};

/// A whole file, but for `pages`, which are counted here. REQUIRES mentions inside [start, end), of
/// each page in the log's order and of each record once. Linear where the pages' ids lie close.
[[nodiscard]] std::vector<std::byte> encode_index(IndexHeader header,
                                                  std::vector<Mention> mentions);

/// Fills `out` from the file's byte `offset` on; how many bytes there were.
using ReadIndex = FunctionRef<std::size_t(std::uint64_t offset, std::span<std::byte> out)>;
/// Where the page's records start, ascending; none: it is not mentioned. Nothing: the file (of
/// `file_size` bytes) is damaged where that would be.
[[nodiscard]] std::optional<std::vector<Lsn>> find_in_index(const IndexHeader& header,
                                                            std::uint64_t file_size, PageId page,
                                                            ReadIndex read);

}  // namespace mmsb::log
