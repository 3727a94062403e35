#include "base/bytes.hpp"
#include "base/limits.hpp"
#include "replay/checkpoint.hpp"
#include "replay/checkpoint_layout.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <utility>

namespace mmsb::replay {

namespace {

struct FreeContext {
    void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
};

// One pass over the file. Each step says whether to go on; the first that does not has filled
// refusal_.
class Reader {
public:
    Reader(ReadSome read, ReadOptions options)
        : read_(read),
          most_bytes_(options.most_bytes),
          context_(ZSTD_createDCtx()),
          image_(std::move(options.keep)) {
        if (context_ == nullptr) throw std::bad_alloc();
    }

    log::Decoded<Checkpoint> read_all();

private:
    // A page of which bytes are still to come.
    struct Pending {
        PageId id{};
        ImagePage page{};
        std::uint64_t missing = 0;
        bool kept = true;
    };

    bool read_header();
    bool read_block();
    bool unpack(std::span<const std::byte> stored, const layout::Block& block);
    bool read_items();
    bool read_source(base::ByteReader& in);
    bool read_page(base::ByteReader& in);
    bool read_piece(base::ByteReader& in, layout::Item item);
    bool read_end(base::ByteReader& in);
    bool put_page();
    std::span<const std::byte> fill(std::size_t size);

    bool refuse(std::string expected, std::string found) {
        refusal_ = {log::Refusal::Kind::damaged, at_, std::move(expected), std::move(found)};
        return false;
    }
    bool refuse_number(std::string_view what, std::uint64_t expected, std::uint64_t found) {
        return refuse(fmt::format("{} {}", what, expected), fmt::format("{}", found));
    }

    ReadSome read_;
    std::uint64_t most_bytes_;
    std::unique_ptr<ZSTD_DCtx, FreeContext> context_;
    Image image_;
    log::Refusal refusal_{};
    layout::Header header_{};
    std::uint64_t at_ = 0;    // file offset of the header or block at hand
    std::uint64_t next_ = 0;  // file offset of what is read next
    std::uint64_t block_ = 0;
    std::uint64_t bytes_ = 0;  // sum of the pages' sizes
    std::uint64_t kept_bytes_ = 0;
    std::uint32_t last_source_ = 0;
    PageId last_page_ = PageId::none;
    Pending pending_{};
    bool ended_ = false;
    Bytes in_{};   // a block as it is stored
    Bytes raw_{};  // its items
};

// Appends up to `size` bytes of the file to in_; fewer only at its end. Returns all of in_.
std::span<const std::byte> Reader::fill(std::size_t size) {
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

bool Reader::read_header() {
    const auto in = fill(sizeof header_);
    if (!in.empty()) std::memcpy(&header_, in.data(), in.size());
    const auto magic = std::min(in.size(), layout::magic.size());
    if (!std::equal(layout::magic.begin(),
                    layout::magic.begin() + static_cast<std::ptrdiff_t>(magic),
                    header_.magic.begin())) {
        refusal_ = {log::Refusal::Kind::foreign, 0, "the magic of a checkpoint, MMSBCHK",
                    "another one"};
        return false;
    }
    if (in.size() >= offsetof(layout::Header, minor) && header_.major > log::format_major) {
        refusal_ = {log::Refusal::Kind::newer, offsetof(layout::Header, major),
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
    if (header_.next_page == 0) return refuse("a next page id", "0");
    image_.set_position(Sequence{header_.sequence}, header_.time_ns, header_.lsn,
                        header_.next_page);
    return true;
}

bool Reader::read_block() {
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
        layout::checksum_of(header_.checksum, block_, all.subspan(sizeof block.checksum));
    if (block.checksum != right) {
        return refuse(fmt::format("block {} with checksum {:08x}", block_, right),
                      fmt::format("{:08x}", block.checksum));
    }
    if (block.zero != decltype(block.zero){}) return refuse("padding of zeros", "other bytes");
    return unpack(all.subspan(sizeof block), block);
}

bool Reader::unpack(std::span<const std::byte> stored, const layout::Block& block) {
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

bool Reader::read_items() {
    base::ByteReader in(raw_);
    while (!in.at_end()) {
        if (ended_) return refuse("nothing behind the end", "more items");
        const auto tag = in.fixed<std::uint8_t>();
        const auto item = static_cast<layout::Item>(tag);
        const bool piece = item == layout::Item::bytes || item == layout::Item::zeros;
        if (piece != (pending_.missing != 0)) {
            return refuse(piece ? "no more bytes" : "the rest of a page",
                          fmt::format("item {}", tag));
        }
        bool good = false;
        switch (item) {
            case layout::Item::source:
                good = read_source(in);
                break;
            case layout::Item::page:
                good = read_page(in);
                break;
            case layout::Item::bytes:
            case layout::Item::zeros:
                good = read_piece(in, item);
                break;
            case layout::Item::end:
                good = read_end(in);
                break;
            default:
                return refuse("an item", fmt::format("tag {}", tag));
        }
        if (!good) return false;
    }
    return true;
}

bool Reader::read_source(base::ByteReader& in) {
    const auto number = in.varint();
    const auto name = in.text(limits::name_size);
    if (in.failed()) return refuse("a source's number and name", "other bytes");
    if (number <= last_source_ || number > limits::source_names || last_page_ != PageId::none ||
        !image_.set_source(static_cast<std::uint32_t>(number), name)) {
        return refuse(fmt::format("a source above {}, before all pages", last_source_),
                      fmt::format("{}, '{}'", number, name));
    }
    last_source_ = static_cast<std::uint32_t>(number);
    return true;
}

bool Reader::read_page(base::ByteReader& in) {
    pending_ = {};
    auto& page = pending_.page;
    pending_.id = PageId{in.varint()};
    const auto line = in.varint();
    page.epoch = Epoch{in.varint()};
    page.sequence = Sequence{in.varint()};
    page.lsn = in.varint();
    page.size = in.varint();
    page.location = static_cast<Location>(in.fixed<std::uint8_t>());
    page.name = in.text(limits::name_size);
    auto count = in.varint();
    for (; count != 0 && !in.failed(); --count) {
        const auto key = in.text(limits::metadata_size);
        const auto value = in.text(limits::metadata_size);
        if (!page.metadata.try_emplace(std::string(key), value).second) in.fail();
    }
    if (in.failed() || line > std::numeric_limits<std::uint32_t>::max()) {
        return refuse("a page's fields", "other bytes");
    }
    page.line = static_cast<std::uint32_t>(line);
    const auto of_page = fmt::format("page {}", number(pending_.id));
    if (pending_.id <= last_page_) return refuse("pages by id", of_page);
    if (const auto* problem = layout::page_problem(header_, pending_.id, page)) {
        return refuse(problem, of_page);
    }
    if (page.size > limits::page_size) {
        return refuse_number("a page of at most", limits::page_size, page.size);
    }
    last_page_ = pending_.id;
    pending_.missing = page.size;
    pending_.kept = image_.keeps(pending_.id);
    bytes_ += page.size;
    kept_bytes_ += pending_.kept ? page.size : 0;
    if (kept_bytes_ > most_bytes_) {
        return refuse_number("bytes of pages, at most", most_bytes_, kept_bytes_);
    }
    return page.size != 0 || put_page();
}

bool Reader::read_piece(base::ByteReader& in, layout::Item item) {
    const auto size = in.varint();
    const auto bytes = in.bytes(item == layout::Item::bytes ? size : 0);
    if (in.failed() || size == 0 || size > pending_.missing) {
        return refuse_number("bytes, at most", pending_.missing, size);
    }
    pending_.missing -= size;
    if (pending_.kept) {
        auto& to = pending_.page.bytes;
        const auto n = static_cast<std::size_t>(size);
        if (to.capacity() - to.size() < n) {
            // As vectors grow, but never beyond the page.
            to.reserve(std::min<std::size_t>(static_cast<std::size_t>(pending_.page.size),
                                             std::max(2 * to.size(), to.size() + n)));
        }
        if (item == layout::Item::bytes) {
            to.insert(to.end(), bytes.begin(), bytes.end());
        } else {
            to.resize(to.size() + n);
        }
    }
    return pending_.missing != 0 || put_page();
}

bool Reader::put_page() {
    const auto id = pending_.id;
    if (image_.insert(id, std::move(pending_.page))) return true;
    return refuse("a page with a line and a name of its own, within the limits",
                  fmt::format("page {}", number(id)));
}

bool Reader::read_end(base::ByteReader& in) {
    const auto pages = in.varint();
    const auto bytes = in.varint();
    const auto blocks = in.varint();
    if (in.failed()) return refuse("the end's three counts", "other bytes");
    if (pages != image_.pages().size())
        return refuse_number("pages:", pages, image_.pages().size());
    if (bytes != bytes_) return refuse_number("bytes of pages:", bytes, bytes_);
    if (blocks != block_ + 1) return refuse_number("blocks:", blocks, block_ + 1);
    ended_ = true;
    return true;
}

log::Decoded<Checkpoint> Reader::read_all() {
    bool good = read_header();
    while (good && !ended_) {
        good = read_block() && read_items();
        ++block_;
    }
    if (good) {
        at_ = next_;
        in_.clear();
        if (!fill(1).empty()) good = refuse("the file's end", "more bytes");
    }
    if (!good) return {.value = std::nullopt, .refusal = std::move(refusal_)};
    return {.value = Checkpoint{.bus = header_.bus, .image = std::move(image_)}, .refusal = {}};
}

}  // namespace

log::Decoded<Checkpoint> read_checkpoint(ReadSome read, ReadOptions options) {
    return Reader(read, std::move(options)).read_all();
}

}  // namespace mmsb::replay
