#include "base/bytes.hpp"
#include "replay/checkpoint.hpp"
#include "replay/checkpoint_layout.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>

namespace mmsb::replay {

namespace {

constexpr int compression_level = 3;
constexpr std::size_t zero_unit = 4096;    // stretches of zeros are looked for in such steps
constexpr std::size_t least_piece = 4096;  // smaller ones only where the page or a stretch ends
constexpr std::size_t number_room = 1 + base::varint_max;

// How much of `bytes` from the start is zero units (or is not).
std::size_t stretch(std::span<const std::byte> bytes, bool zero) noexcept {
    std::size_t at = 0;
    while (at < bytes.size()) {
        const auto unit = bytes.subspan(at, std::min(zero_unit, bytes.size() - at));
        if (base::all_zero(unit) != zero) break;
        at += unit.size();
    }
    return at;
}

}  // namespace

// Cuts the stream of items into blocks.
class CheckpointWriter::Blocks {
public:
    Blocks(std::uint32_t header_checksum, Write write)
        : header_checksum_(header_checksum), write_(std::move(write)), context_(ZSTD_createCCtx()) {
        if (context_ == nullptr) throw std::bad_alloc();
        raw_.reserve(layout::block_size);
        out_.resize(sizeof(layout::Block) + layout::block_size);
    }

    // For an item of at most `size` bytes, all in one block.
    base::ByteWriter item(layout::Item tag, std::size_t size) {
        if (raw_.size() + size > layout::block_size) flush();
        base::ByteWriter writer(raw_);
        writer.fixed(static_cast<std::uint8_t>(tag));
        return writer;
    }
    // What the block at hand has left for an item.
    [[nodiscard]] std::size_t room() const noexcept { return layout::block_size - raw_.size(); }
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
    void flush();
    // In pieces, zeros as their number.
    void write_pieces(std::span<const std::byte> bytes);

private:
    struct FreeContext {
        void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
    };
    void write_bytes(std::span<const std::byte> bytes);

    std::uint32_t header_checksum_;
    Write write_;
    std::unique_ptr<ZSTD_CCtx, FreeContext> context_;
    std::uint64_t number_ = 0;
    Bytes raw_{};
    Bytes out_{};  // a block's header, and its bytes
};

void CheckpointWriter::Blocks::flush() {
    if (raw_.empty()) return;
    auto* const stored = out_.data() + sizeof(layout::Block);
    // With less room than the raw bytes take it fails, and they are stored as they are.
    auto size = ZSTD_compressCCtx(context_.get(), stored, raw_.size() - 1, raw_.data(), raw_.size(),
                                  compression_level);
    const bool compressed = ZSTD_isError(size) == 0U;
    if (!compressed) {
        size = raw_.size();
        std::memcpy(stored, raw_.data(), size);
    }
    layout::Block block{.checksum = 0,
                        .stored_size = static_cast<std::uint32_t>(size),
                        .raw_size = static_cast<std::uint32_t>(raw_.size()),
                        .compression = compressed ? layout::one_zstd_frame : layout::stored_raw,
                        .zero = {}};
    std::memcpy(out_.data(), &block, sizeof block);
    const auto all = std::span<const std::byte>(out_).first(sizeof block + size);
    block.checksum =
        layout::checksum_of(header_checksum_, number_, all.subspan(sizeof block.checksum));
    std::memcpy(out_.data(), &block.checksum, sizeof block.checksum);
    write_(all);
    ++number_;
    raw_.clear();
}

void CheckpointWriter::Blocks::write_bytes(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        if (room() < number_room + std::min(bytes.size(), least_piece)) flush();
        const auto piece = bytes.first(std::min(bytes.size(), room() - number_room));
        auto out = item(layout::Item::bytes, number_room + piece.size());
        out.varint(piece.size());
        out.bytes(piece);
        bytes = bytes.subspan(piece.size());
    }
}

void CheckpointWriter::Blocks::write_pieces(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const auto zeros = stretch(bytes, true);
        if (zeros != 0) item(layout::Item::zeros, number_room).varint(zeros);
        bytes = bytes.subspan(zeros);
        const auto others = stretch(bytes, false);
        write_bytes(bytes.first(others));
        bytes = bytes.subspan(others);
    }
}

CheckpointWriter::CheckpointWriter(const Start& start, const Structure& structure, Write write) {
    layout::Header header{.magic = layout::magic,
                          .major = log::format_major,
                          .minor = log::format_minor,
                          .checksum = 0,
                          .bus = start.bus,
                          .lsn = start.lsn,
                          .structure = structure.head,
                          .time_ns = start.time_ns,
                          .nonce = start.nonce};
    header.checksum = layout::checksum_of(header);
    write(std::as_bytes(std::span(&header, 1)));
    blocks_ = std::make_unique<Blocks>(header.checksum, std::move(write));
    for (const auto& [source, name] : structure.sources) {
        auto item = blocks_->item(layout::Item::source, 1 + 2 * base::varint_max + name.size());
        item.varint(source);
        item.text(name);
    }
    for (const auto& [id, page] : structure.pages) {
        std::size_t texts = page.name.size();
        for (const auto& [key, value] : page.metadata)
            texts += key.size() + value.size() + 2 * base::varint_max;
        auto item = blocks_->item(layout::Item::page, 2 + 4 * base::varint_max + texts);
        item.varint(number(id));
        item.varint(page.line);
        item.fixed(static_cast<std::uint8_t>(page.location));
        item.text(page.name);
        item.varint(page.metadata.size());
        for (const auto& [key, value] : page.metadata) {
            item.text(key);
            item.text(value);
        }
    }
    write_dependencies(structure.dependencies);
}

void CheckpointWriter::write_dependencies(const Dependencies& dependencies) {
    for (const auto& edge : dependencies.edges) {
        auto item = blocks_->item(layout::Item::edge, 2 + 2 * base::varint_max);
        item.varint(number(edge.parent));
        item.varint(number(edge.child));
        item.fixed(static_cast<std::uint8_t>(edge.type));
    }
    for (const auto& [child, formula] : dependencies.formulas) {
        const auto texts = formula.function.size() + formula.arguments.size();
        auto item = blocks_->item(layout::Item::formula,
                                  1 + texts + (4 + formula.parents.size()) * base::varint_max);
        item.varint(number(child));
        item.text(formula.function);
        item.varint(formula.arguments.size());
        item.bytes(formula.arguments);
        item.varint(formula.parents.size());
        for (const auto parent : formula.parents) item.varint(number(parent));
    }
}

CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::contents(PageId id, const ImagePage& page,
                                std::span<const std::byte> bytes) {
    auto item = blocks_->item(layout::Item::contents, 2 + 5 * base::varint_max);
    for (const auto n :
         {number(id), number(page.epoch), number(page.sequence), page.lsn, bytes.size()})
        item.varint(n);
    item.fixed(static_cast<std::uint8_t>(page.stale ? 1 : 0));
    blocks_->write_pieces(bytes);
    ++contents_;
}

void CheckpointWriter::change(const log::Record& record, std::span<const std::byte> body) {
    auto item = blocks_->item(layout::Item::change, 2 + 4 * base::varint_max);
    item.fixed(static_cast<std::uint8_t>(record.kind));
    for (const auto n : {record.start, record.end, number(record.sequence), body.size()})
        item.varint(n);
    blocks_->write_pieces(body);
    ++changes_;
}

void CheckpointWriter::finish(const FuzzyImage::End& end) {
    auto item = blocks_->item(layout::Item::end, 1 + 8 * base::varint_max);
    for (const auto n : {number(end.sequence), static_cast<std::uint64_t>(end.time_ns), end.lsn,
                         end.next_page, end.structure, contents_, changes_, blocks_->number() + 1})
        item.varint(n);
    blocks_->flush();
}

void write_checkpoint(const Image& image, const log::Uuid& bus, CheckpointWriter::Write write) {
    const FuzzyImage::End end{.sequence = image.sequence(),
                              .time_ns = image.time_ns(),
                              .lsn = image.lsn(),
                              .next_page = image.next_page(),
                              .structure = image.structure_head()};
    for (const auto& [id, page] : image.pages()) {
        const auto* problem = page_problem(end, id, page);
        if (problem == nullptr && page.bytes.size() != page.size) problem = "all of its bytes";
        if (problem == nullptr) continue;
        throw std::logic_error(
            fmt::format("checkpoint: page {}: expected {}", number(id), problem));
    }
    CheckpointWriter writer({.bus = bus,
                             .lsn = image.lsn(),
                             .time_ns = image.time_ns(),
                             .nonce = number(image.sequence())},
                            structure_of(image), std::move(write));
    for (const auto& [id, page] : image.pages()) writer.contents(id, page, page.bytes);
    writer.finish(end);
}

}  // namespace mmsb::replay
