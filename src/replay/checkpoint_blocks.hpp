/// replay/checkpoint_blocks: a checkpoint file's header and blocks, checked, as they are read.
#pragma once

#include "replay/checkpoint.hpp"
#include "replay/checkpoint_layout.hpp"

struct ZSTD_DCtx_s;

namespace mmsb::replay {

/// Each step says whether to go on; the first that does not has filled refusal().
class BlockReader {
public:
    explicit BlockReader(ReadSome read);
    ~BlockReader();
    BlockReader(const BlockReader&) = delete;
    BlockReader& operator=(const BlockReader&) = delete;

    bool read_header();
    /// The next block's items: items().
    bool read_block();
    /// Nothing follows.
    bool read_end();

    [[nodiscard]] const layout::Header& header() const noexcept { return header_; }
    [[nodiscard]] std::span<const std::byte> items() const noexcept { return raw_; }
    /// The block as it is in the file.
    [[nodiscard]] std::span<const std::byte> stored() const noexcept { return in_; }
    /// How many blocks were read.
    [[nodiscard]] std::uint64_t blocks() const noexcept { return blocks_; }
    [[nodiscard]] log::Refusal& refusal() noexcept { return refusal_; }

    /// Refuses what is at hand; false.
    bool refuse(std::string expected, std::string found);
    bool refuse_number(std::string_view what, std::uint64_t expected, std::uint64_t found);

private:
    bool unpack(std::span<const std::byte> stored, const layout::Block& block);
    std::span<const std::byte> fill(std::size_t size);

    ReadSome read_;
    std::unique_ptr<ZSTD_DCtx_s, void (*)(ZSTD_DCtx_s*)> context_;
    log::Refusal refusal_{};
    layout::Header header_{};
    std::uint64_t at_ = 0;    // file offset of the header or block at hand
    std::uint64_t next_ = 0;  // file offset of what is read next
    std::uint64_t blocks_ = 0;
    Bytes in_{};   // a block as it is stored
    Bytes raw_{};  // its items
};

}  // namespace mmsb::replay
