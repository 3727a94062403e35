/// state/encode_writes: the delta of what a commit writes to a page.
#pragma once

#include "state/stage.hpp"

namespace mmsb::state {

/// What the page's writes change of `old`, as an encoded delta of a page of `size` bytes; behind
/// `old` there are zeros. `shared`: `old` is the bus's memory. `room` as in delta::encode_to.
/// Returns how many bytes differ.
std::uint64_t encode_writes(const StagedPage& page, std::span<const std::byte> old,
                            std::uint64_t size, bool shared,
                            FunctionRef<std::byte*(std::size_t)> room);

/// Do all writes lie within a page of `size` bytes?
[[nodiscard]] bool are_inside(const StagedPage& page, std::uint64_t size);
/// Throws InvalidArgument where they were made for another size (StagedPage::size_then).
void require_size_then(const StagedPage& page, std::uint64_t size);
/// How many bytes are written, whatever they are.
[[nodiscard]] std::uint64_t bytes_written(const StagedPage& page);

}  // namespace mmsb::state
