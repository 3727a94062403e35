/// replay/checkpoint: all pages as of one moment in one self-contained file, written and read as a
/// stream of blocks. Pure: the bytes go through callables. docs/FORMAT.md, "Checkpoint".
///
/// Pages may be copied one after the other while writers work: each with the record that it is as
/// of, and behind them all the records since the first copy (replay/fuzzy). So a checkpoint needs
/// no memory for the pages, stops nobody, and is exact.
///
///     header   0  char[8]  magic "MMSBCHK\0"
///              8  u16      major version, 1       10  u16  minor version, 0
///             12  u32      CRC32C over the other 60 bytes, seeded with ~0
///             16  u8[16]   uuid of the bus
///             32  u64      LSN from which on records are redone
///             40  u64      start of the newest structural record that the pages' names have
///             48  i64      time when it was begun, ns
///             56  u64      any number that tells checkpoints apart
///     block    0  u32      CRC32C over the rest of this header and the stored bytes, seeded with
///                          that over the block's number (u64, from 0) seeded with the header's
///              4  u32      stored size            8  u32  raw size, 1 to 1 MiB
///             12  u8       compression: 0 none (stored = raw), 1 one zstd frame (stored < raw)
///             13  u8[3]    zero
///             16  u8[]     stored bytes
///     items    u8 tag, then varints (LEB128) and texts (varint length, bytes); none is cut by a
///              block's end; in this order: sources by number, pages by id, edges by parent, child
///              and type, formulas by child, contents by page's id, changes by LSN, end
///              1 source    number, text
///              2 page      id, line; u8 location; name text; number of metadata, each a key text
///                          and a value text
///              3 bytes     n > 0, then the next n bytes of the contents or the change
///              4 zeros     n > 0: the next n bytes are zero
///              5 end       sequence, time, LSN, next page id, start of the newest structural
///                          record, numbers of contents, of changes, of blocks; nothing follows
///              6 contents  page's id, epoch, sequence, LSN, size; u8 1 where it is stale, else 0;
///                          then its bytes in pieces
///              7 change    u8 record kind, start, end, sequence, size of the body; then the
///                          record's body (a blob's contents where it has one) in pieces
///              8 edge      parent, child; u8 type
///              9 formula   child, function text; length of the arguments, the arguments; number of
///                          parents, the parents
///
/// Every bit of the file is under a checksum; a cut file is refused, as are blocks that are
/// swapped, repeated, left out or another checkpoint's. A newer major version is refused by name.
#pragma once

#include "log/format.hpp"
#include "replay/fuzzy.hpp"

#include <functional>
#include <memory>

namespace mmsb::replay {

/// Writes one checkpoint as a stream. Memory: a few blocks. What `write` throws is passed on.
class CheckpointWriter {
public:
    using Write = std::function<void(std::span<const std::byte>)>;
    struct Start {
        log::Uuid bus{};
        log::Lsn lsn = 0;  ///< All records that end at or before it are in all pages given.
        std::int64_t time_ns = 0;
        std::uint64_t nonce = 0;  ///< Another one for each checkpoint of a bus.
    };
    CheckpointWriter(const Start& start, const Structure& structure, Write write);
    ~CheckpointWriter();
    CheckpointWriter(const CheckpointWriter&) = delete;
    CheckpointWriter& operator=(const CheckpointWriter&) = delete;

    /// A page of the structure, in id order; one that is gone by now is left out. Of `page` only
    /// epoch, sequence, lsn and stale are looked at.
    void contents(PageId id, const ImagePage& page, std::span<const std::byte> bytes);
    /// A commit or source record behind start.lsn, in order; `body` are its entries.
    void change(const log::Record& record, std::span<const std::byte> body);
    void finish(const FuzzyImage::End& end);

private:
    void write_dependencies(const Dependencies& dependencies);
    class Blocks;
    std::unique_ptr<Blocks> blocks_;
    std::uint64_t contents_ = 0, changes_ = 0;
};

/// Streams `image` of the bus `bus`. REQUIRES an image that keeps all bytes, and whose pages are
/// not newer than it is: throws std::logic_error otherwise.
void write_checkpoint(const Image& image, const log::Uuid& bus, CheckpointWriter::Write write);

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

/// Writes the same checkpoint as one of the bus `bus`; or says why it is none. What is in its
/// blocks is not looked at. Throws what `read` and `write` throw.
[[nodiscard]] std::optional<log::Refusal> readdress_checkpoint(
    ReadSome read, const log::Uuid& bus, const CheckpointWriter::Write& write);

/// Of a checkpoint the structure only, as of its head; what follows it in the file is not read.
struct CheckpointStructure {
    log::Uuid bus{};
    log::Lsn lsn = 0;  ///< All structural records that end at or before it are in the structure.
    Structure structure{};
};
[[nodiscard]] log::Decoded<CheckpointStructure> read_checkpoint_structure(ReadSome read);

}  // namespace mmsb::replay
