// A checkpoint as one of another bus: its header says which, and seals each block.
#include "replay/checkpoint.hpp"
#include "replay/checkpoint_blocks.hpp"

#include <cstring>

namespace mmsb::replay {
namespace {

// Knows whether there is more, which only the last block's items would tell.
class Ahead {
public:
    explicit Ahead(ReadSome read) : read_(read) {}
    std::size_t read(std::span<std::byte> out) {
        if (out.empty() || !more()) return 0;
        out[0] = next_;
        has_next_ = false;
        return 1 + (out.size() > 1 ? read_(out.subspan(1)) : 0);
    }
    bool more() {
        if (!has_next_) has_next_ = read_(std::span(&next_, 1)) == 1;
        return has_next_;
    }

private:
    ReadSome read_;
    std::byte next_{};
    bool has_next_ = false;
};

}  // namespace

std::optional<log::Refusal> readdress_checkpoint(ReadSome read, const log::Uuid& bus,
                                                 const CheckpointWriter::Write& write) {
    Ahead ahead(read);
    const auto read_ahead = [&](std::span<std::byte> out) { return ahead.read(out); };
    BlockReader in(read_ahead);
    if (!in.read_header()) return std::move(in.refusal());
    auto header = in.header();
    header.bus = bus;
    header.checksum = layout::checksum_of(header);
    write(std::as_bytes(std::span(&header, 1)));
    Bytes block;
    for (std::uint64_t n = 0; ahead.more(); ++n) {
        if (!in.read_block()) return std::move(in.refusal());
        block.assign(in.stored().begin(), in.stored().end());
        const auto checksum = layout::checksum_of(header.checksum, n,
                                                  std::span(block).subspan(sizeof(std::uint32_t)));
        std::memcpy(block.data(), &checksum, sizeof checksum);
        write(block);
    }
    return std::nullopt;
}

}  // namespace mmsb::replay
