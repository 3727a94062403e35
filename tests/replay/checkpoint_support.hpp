/// tests/replay/checkpoint_support: checkpoints in memory, and their blocks in pieces.
#pragma once

#include "base/bytes.hpp"
#include "replay/checkpoint.hpp"
#include "replay/checkpoint_layout.hpp"
#include "replay/support.hpp"

namespace mmsb::replay::test {

inline log::Uuid some_bus() {
    log::Uuid bus{};
    for (std::size_t i = 0; i != bus.size(); ++i) bus[i] = static_cast<std::byte>(0xb0 + i);
    return bus;
}

inline Bytes written(const Image& image) {
    Bytes out;
    write_checkpoint(image, some_bus(), [&](std::span<const std::byte> bytes) {
        out.insert(out.end(), bytes.begin(), bytes.end());
    });
    return out;
}

/// Reads from memory, at most `step` bytes a call.
inline log::Decoded<Checkpoint> read_back(std::span<const std::byte> file, ReadOptions options = {},
                                          std::size_t step = ~std::size_t{0}) {
    const auto read = [&](std::span<std::byte> out) {
        const auto n = std::min({file.size(), out.size(), step});
        std::copy_n(file.begin(), n, out.begin());
        file = file.subspan(n);
        return n;
    };
    return read_checkpoint(read, std::move(options));
}

inline void expect_refused(std::span<const std::byte> file, std::string_view expected,
                           log::Refusal::Kind kind = log::Refusal::Kind::damaged) {
    const auto result = read_back(file);
    ASSERT_FALSE(result.value) << "accepted, though it should have " << expected;
    EXPECT_EQ(result.refusal.kind, kind);
    EXPECT_NE(result.refusal.expected.find(expected), std::string::npos)
        << "expected " << result.refusal.expected << ", found " << result.refusal.found;
}

/// The file's header and its blocks, each with its own header.
struct Parts {
    Bytes header{};
    std::vector<Bytes> blocks{};
    [[nodiscard]] Bytes joined() const {
        Bytes out = header;
        for (const auto& block : blocks) out.insert(out.end(), block.begin(), block.end());
        return out;
    }
};
inline Parts parts_of(std::span<const std::byte> file) {
    Parts parts;
    auto in = file;
    const auto take = [&](std::size_t n) {
        Bytes out(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(n));
        in = in.subspan(n);
        return out;
    };
    parts.header = take(sizeof(layout::Header));
    while (!in.empty()) {
        layout::Block block;
        std::memcpy(&block, in.data(), sizeof block);
        parts.blocks.push_back(take(sizeof block + block.stored_size));
    }
    return parts;
}

/// A checkpoint file whose checksums are right, of items that need not make sense.
class Forger {
public:
    Forger() {
        header = {.magic = layout::magic,
                  .major = 1,
                  .minor = 0,
                  .checksum = 0,
                  .bus = some_bus(),
                  .lsn = 96,
                  .structure = 8,
                  .time_ns = 5,
                  .nonce = 0};
        seal_header();
    }
    void seal_header() { header.checksum = layout::checksum_of(header); }
    /// Items as they are, uncompressed, or what `block` says of them.
    void add_block(std::span<const std::byte> stored, layout::Block block) {
        Bytes bytes(sizeof block);
        std::memcpy(bytes.data(), &block, sizeof block);
        bytes.insert(bytes.end(), stored.begin(), stored.end());
        block.checksum = layout::checksum_of(header.checksum, blocks_++,
                                             std::span(bytes).subspan(sizeof block.checksum));
        std::memcpy(bytes.data(), &block.checksum, sizeof block.checksum);
        body_.insert(body_.end(), bytes.begin(), bytes.end());
    }
    void add_block(std::span<const std::byte> items) {
        const auto size = static_cast<std::uint32_t>(items.size());
        add_block(items, {.checksum = 0,
                          .stored_size = size,
                          .raw_size = size,
                          .compression = layout::stored_raw,
                          .zero = {}});
    }
    [[nodiscard]] Bytes file() const {
        const auto head = std::as_bytes(std::span(&header, 1));
        Bytes out(head.begin(), head.end());
        out.insert(out.end(), body_.begin(), body_.end());
        return out;
    }
    layout::Header header{};

private:
    Bytes body_{};
    std::uint64_t blocks_ = 0;
};

/// Items one behind the other.
class Items {
public:
    struct Page {
        std::uint64_t id = 1, line = 0;
        std::uint8_t location = 0;
        std::string_view name{};
        std::vector<std::pair<std::string_view, std::string_view>> metadata{};
    };
    struct Contents {
        std::uint64_t id = 1, epoch = 0, sequence = 1, lsn = 48, size = 0;
        std::uint8_t stale = 0;
    };
    struct Change {
        log::RecordKind kind = log::RecordKind::commit;
        std::uint64_t start = 96, end = 104, sequence = 10, size = 0;
    };
    struct End {
        std::uint64_t contents = 0, changes = 0, blocks = 1;
        std::uint64_t sequence = 10, time = 5, lsn = 104, next_page = 20, structure = 8;
    };
    Items& source(std::uint64_t number, std::string_view name) {
        tag(layout::Item::source).varint(number);
        base::ByteWriter(bytes).text(name);
        return *this;
    }
    Items& page(const Page& p) {
        auto out = tag(layout::Item::page);
        for (const auto n : {p.id, p.line}) out.varint(n);
        out.fixed(p.location);
        out.text(p.name);
        out.varint(p.metadata.size());
        for (const auto& [key, value] : p.metadata) {
            out.text(key);
            out.text(value);
        }
        return *this;
    }
    Items& edge(std::uint64_t parent, std::uint64_t child, std::uint8_t type = 0) {
        auto out = tag(layout::Item::edge);
        for (const auto n : {parent, child}) out.varint(n);
        out.fixed(type);
        return *this;
    }
    Items& formula(std::uint64_t child, std::string_view function,
                   std::initializer_list<std::uint64_t> parents) {
        auto out = tag(layout::Item::formula);
        out.varint(child);
        out.text(function);
        out.text("arguments");
        out.varint(parents.size());
        for (const auto parent : parents) out.varint(parent);
        return *this;
    }
    Items& contents(const Contents& c) {
        auto out = tag(layout::Item::contents);
        for (const auto n : {c.id, c.epoch, c.sequence, c.lsn, c.size}) out.varint(n);
        out.fixed(c.stale);
        return *this;
    }
    /// A record's body, in one piece.
    Items& change(Change c, std::span<const std::byte> body) {
        c.size = body.size();
        auto out = tag(layout::Item::change);
        out.fixed(static_cast<std::uint8_t>(c.kind));
        for (const auto n : {c.start, c.end, c.sequence, c.size}) out.varint(n);
        if (!body.empty()) {
            tag(layout::Item::bytes).varint(body.size());
            base::ByteWriter(bytes).bytes(body);
        }
        return *this;
    }
    Items& change(const Change& c, const log::PageEntry& entry) {
        std::vector<std::byte> body;
        log::write_entry(entry, body);
        return change(c, body);
    }
    Items& piece(std::string_view text) {
        tag(layout::Item::bytes).text(text);
        return *this;
    }
    Items& zeros(std::uint64_t n) {
        tag(layout::Item::zeros).varint(n);
        return *this;
    }
    Items& end(const End& e) {
        auto out = tag(layout::Item::end);
        for (const auto n :
             {e.sequence, e.time, e.lsn, e.next_page, e.structure, e.contents, e.changes, e.blocks})
            out.varint(n);
        return *this;
    }
    base::ByteWriter tag(layout::Item item) {
        base::ByteWriter out(bytes);
        out.fixed(static_cast<std::uint8_t>(item));
        return out;
    }
    Bytes bytes{};
};

}  // namespace mmsb::replay::test
