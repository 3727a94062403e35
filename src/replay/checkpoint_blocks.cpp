#include "replay/checkpoint_blocks.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace mmsb::replay {

BlockReader::BlockReader(ReadSome read)
    : read_(read), context_(ZSTD_createDCtx(), [](ZSTD_DCtx* context) { ZSTD_freeDCtx(context); }) {
    if (context_ == nullptr) throw std::bad_alloc();
}

BlockReader::~BlockReader() = default;

bool BlockReader::refuse(std::string expected, std::string found) {
    refusal_ = {log::Refusal::Kind::damaged, at_, std::move(expected), std::move(found)};
    return false;
}

bool BlockReader::refuse_number(std::string_view what, std::uint64_t expected,
                                std::uint64_t found) {
    return refuse(fmt::format("{} {}", what, expected), fmt::format("{}", found));
}

// Appends up to `size` bytes of the file to in_; fewer only at its end. Returns all of in_.
std::span<const std::byte> BlockReader::fill(std::size_t size) {
    const auto before = in_.size();
    in_.resize(before + size);
    std::size_t got = 0;
    while (got < size) {
        const auto n = std::min(read_(std::span(in_).subspan(before + got)), size - got);
        if (n == 0) break;
        got += n;
    }
    in_.resize(before + got);
    next_ += got;
    return in_;
}

bool BlockReader::read_header() {
    const auto in = fill(sizeof header_);
    if (!in.empty()) std::memcpy(&header_, in.data(), in.size());
    // One of ours in which only its name is damaged: else it would pass for a foreign file, or a
    // newer one.
    auto mended = header_;
    mended.magic = layout::magic;
    mended.major = log::format_major;
    const bool is_ours =
        in.size() == sizeof header_ && mended.checksum == layout::checksum_of(mended);
    const auto magic = std::min(in.size(), layout::magic.size());
    if (!std::equal(layout::magic.begin(),
                    layout::magic.begin() + static_cast<std::ptrdiff_t>(magic),
                    header_.magic.begin())) {
        refusal_ = {is_ours ? log::Refusal::Kind::damaged : log::Refusal::Kind::foreign, 0,
                    "the magic of a checkpoint, MMSBCHK", "another one"};
        return false;
    }
    if (in.size() >= offsetof(layout::Header, minor) && header_.major > log::format_major) {
        refusal_ = {is_ours ? log::Refusal::Kind::damaged : log::Refusal::Kind::newer,
                    offsetof(layout::Header, major),
                    fmt::format("format {} or older", log::format_major),
                    fmt::format("format {}.{}", header_.major, header_.minor)};
        return false;
    }
    if (in.size() != sizeof header_) return refuse_number("a header of", sizeof header_, in.size());
    if (const auto right = layout::checksum_of(header_); header_.checksum != right) {
        return refuse_number("a header with checksum", right, header_.checksum);
    }
    if (header_.major != log::format_major) {
        return refuse_number("format", log::format_major, header_.major);
    }
    return true;
}

bool BlockReader::read_block() {
    at_ = next_;
    in_.clear();
    layout::Block block{};
    if (const auto head = fill(sizeof block); head.size() != sizeof block) {
        return refuse("a block, before the file's end", fmt::format("{} bytes", head.size()));
    }
    std::memcpy(&block, in_.data(), sizeof block);
    const bool compressed = block.compression == layout::one_zstd_frame;
    if (block.raw_size == 0 || block.raw_size > layout::block_size || block.stored_size == 0 ||
        block.compression > layout::one_zstd_frame ||
        (compressed ? block.stored_size >= block.raw_size : block.stored_size != block.raw_size)) {
        return refuse(fmt::format("a block of 1 to {} bytes", layout::block_size),
                      fmt::format("{} bytes, stored as {} by compression {}", block.raw_size,
                                  block.stored_size, block.compression));
    }
    const auto all = fill(block.stored_size);
    if (all.size() != sizeof block + block.stored_size) {
        return refuse_number("a block of", sizeof block + block.stored_size, all.size());
    }
    const auto right =
        layout::checksum_of(header_.checksum, blocks_, all.subspan(sizeof block.checksum));
    if (block.checksum != right) {
        return refuse(fmt::format("block {} with checksum {:08x}", blocks_, right),
                      fmt::format("{:08x}", block.checksum));
    }
    if (block.zero != decltype(block.zero){}) return refuse("padding of zeros", "other bytes");
    ++blocks_;
    return unpack(all.subspan(sizeof block), block);
}

bool BlockReader::read_end() {
    at_ = next_;
    in_.clear();
    return fill(1).empty() || refuse("the file's end", "more bytes");
}

bool BlockReader::unpack(std::span<const std::byte> stored, const layout::Block& block) {
    if (block.compression == layout::stored_raw) {
        raw_.assign(stored.begin(), stored.end());
        return true;
    }
    if (ZSTD_getFrameContentSize(stored.data(), stored.size()) != block.raw_size ||
        ZSTD_findFrameCompressedSize(stored.data(), stored.size()) != stored.size()) {
        return refuse(fmt::format("one zstd frame of {} bytes", block.raw_size), "another one");
    }
    raw_.resize(block.raw_size);
    const auto got =
        ZSTD_decompressDCtx(context_.get(), raw_.data(), raw_.size(), stored.data(), stored.size());
    if (ZSTD_isError(got) != 0U) return refuse("a zstd frame", ZSTD_getErrorName(got));
    if (got != block.raw_size) return refuse_number("a zstd frame of", block.raw_size, got);
    return true;
}

}  // namespace mmsb::replay
