/// replay/checkpoint: an Image as one self-contained file (magic "MMSBCHK"), written and read as a
/// stream of blocks of at most 1 MiB, each zstd-compressed where that helps and checksummed. Pure: the
/// bytes go through callables. docs/FORMAT.md, "Checkpoint".
///
/// Every bit of the file is under a checksum; a cut file is refused (it ends with a block that counts
/// pages and bytes). A newer major version is refused by name.
#pragma once

#include "log/format.hpp"
#include "replay/image.hpp"

#include <mmsb/types.hpp>

namespace mmsb::replay {

/// Streams `image` of the bus `bus` into `write`, which may throw.
void write_checkpoint(const Image& image, const log::Uuid& bus,
                      FunctionRef<void(std::span<const std::byte>)> write);

struct Checkpoint {
    log::Uuid bus{};
    Image image{};
};
/// Fills as much of the span as there is and returns how many bytes; 0 at the end of the file.
using ReadSome = FunctionRef<std::size_t(std::span<std::byte>)>;
/// All of it, or why not. Allocates no more than the pages it announces, and only as bytes arrive.
[[nodiscard]] log::Decoded<Checkpoint> read_checkpoint(ReadSome read);

}  // namespace mmsb::replay
