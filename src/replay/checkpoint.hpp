/// replay/checkpoint: an Image as one self-contained file, written and read as a stream of blocks.
/// Pure: the bytes go through callables. docs/FORMAT.md, "Checkpoint".
///
///     header   0  char[8]  magic "MMSBCHK\0"
///              8  u16      major version, 1       10  u16  minor version, 0
///             12  u32      CRC32C over the other 60 bytes, seeded with ~0
///             16  u8[16]   uuid of the bus
///             32  u64      sequence               40  i64  time, ns
///             48  u64      LSN: end of the last record that is in it
///             56  u64      next page id
///     block    0  u32      CRC32C over the rest of this header and the stored bytes, seeded with
///                          that over the block's number (u64, from 0) seeded with the header's
///              4  u32      stored size            8  u32  raw size, 1 to 1 MiB
///             12  u8       compression: 0 none (stored = raw), 1 one zstd frame (stored < raw)
///             13  u8[3]    zero
///             16  u8[]     stored bytes
///     items    u8 tag, then varints (LEB128) and texts (varint length, bytes); none is cut by a
///              block's end; in this order: sources by number, pages by id, end
///              1 source    number, text
///              2 page      id, line, epoch, sequence, LSN, size; u8 location; name text; number of
///                          metadata, each a key text and a value text; then its bytes in pieces
///              3 bytes     n > 0, then the page's next n bytes
///              4 zeros     n > 0: the page's next n bytes are zero
///              5 end       number of pages, sum of their sizes, number of blocks; nothing follows
///
/// Every bit of the file is under a checksum; a cut file is refused, as are blocks that are
/// swapped, repeated, left out or another checkpoint's. A newer major version is refused by name.
#pragma once

#include "log/format.hpp"
#include "replay/image.hpp"

#include <mmsb/types.hpp>

namespace mmsb::replay {

/// Streams `image` of the bus `bus` into `write`, which may throw. Memory: a few blocks.
/// REQUIRES an image that keeps all bytes, and whose pages are not newer than it is: throws
/// std::logic_error otherwise.
void write_checkpoint(const Image& image, const log::Uuid& bus,
                      FunctionRef<void(std::span<const std::byte>)> write);

struct Checkpoint {
    log::Uuid bus{};
    Image image{};
};
/// Fills as much of the span as there is and returns how many bytes; 0 at the end of the file.
using ReadSome = FunctionRef<std::size_t(std::span<std::byte>)>;
struct ReadOptions {
    Keep keep{};  ///< Of which pages the image keeps the bytes.
    /// More bytes of pages than this are refused before they are allocated: a page of zeros takes
    /// no room in the file, whatever its size.
    std::uint64_t most_bytes = ~std::uint64_t{0};
};
/// All of it, or why not. Allocates no more than the pages it announces, and only as bytes arrive.
/// Throws what `read` throws, and std::bad_alloc.
[[nodiscard]] log::Decoded<Checkpoint> read_checkpoint(ReadSome read, ReadOptions options = {});

}  // namespace mmsb::replay
