// read_checkpoint on any bytes: as they are, and as items in blocks whose checksums are right. What
// it accepts is an image that holds its invariants, and that is the same when written and read
// again.
#include "replay/checkpoint.hpp"
#include "replay/checkpoint_layout.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace {

using namespace mmsb;
using namespace mmsb::replay;

log::Decoded<Checkpoint> read(std::span<const std::byte> file) {
    const auto some = [&](std::span<std::byte> out) {
        const auto n = std::min(file.size(), out.size());
        std::copy_n(file.begin(), n, out.begin());
        file = file.subspan(n);
        return n;
    };
    return read_checkpoint(some, {.keep = {}, .most_bytes = std::uint64_t{1} << 24U});
}

Bytes as_blocks(std::span<const std::byte> items) {
    layout::Header header{.magic = layout::magic,
                          .major = log::format_major,
                          .minor = 0,
                          .checksum = 0,
                          .bus = {},
                          .lsn = 64,
                          .structure = 16,
                          .time_ns = 1,
                          .nonce = 0};
    header.checksum = layout::checksum_of(header);
    const auto head = std::as_bytes(std::span(&header, 1));
    Bytes file(head.begin(), head.end());
    constexpr std::size_t step = 200;
    for (std::uint64_t number = 0; !items.empty(); ++number) {
        const auto part = items.first(std::min(step, items.size()));
        items = items.subspan(part.size());
        const auto size = static_cast<std::uint32_t>(part.size());
        layout::Block block{.checksum = 0,
                            .stored_size = size,
                            .raw_size = size,
                            .compression = layout::stored_raw,
                            .zero = {}};
        const auto at = file.size();
        const auto bytes = std::as_bytes(std::span(&block, 1));
        file.insert(file.end(), bytes.begin(), bytes.end());
        file.insert(file.end(), part.begin(), part.end());
        block.checksum = layout::checksum_of(header.checksum, number,
                                             std::span(file).subspan(at + sizeof block.checksum));
        std::memcpy(file.data() + at, &block.checksum, sizeof block.checksum);
    }
    return file;
}

void check(const log::Decoded<Checkpoint>& result) {
    if (!result.value) {
        if (result.refusal.expected.empty()) std::abort();
        return;
    }
    const auto& image = result.value->image;
    image.check_invariants();
    Bytes file;
    write_checkpoint(image, result.value->bus, [&](std::span<const std::byte> bytes) {
        file.insert(file.end(), bytes.begin(), bytes.end());
    });
    const auto again = read(file);
    if (!again.value || first_difference(image, again.value->image)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto input = std::as_bytes(std::span(data, size));
    check(read(input));
    check(read(as_blocks(input)));
    return 0;
}
