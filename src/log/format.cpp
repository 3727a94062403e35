#include "log/format.hpp"

#include "base/checksum.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace mmsb::log {
namespace {

constexpr std::string_view bus_magic{"MMSBBUS\0", 8};
constexpr std::string_view segment_magic = "MMSBSEGM";
constexpr std::string_view blob_magic = "MMSBBLOB";
constexpr std::string_view index_magic = "MMSBINDX";
constexpr Lsn largest_lsn = Lsn{1} << 62U;

// The tables of docs/FORMAT.md as structs. What follows them up to the header's size is zero.
struct Prefix {
    std::array<char, 8> magic;
    std::uint16_t major;
    std::uint16_t minor;
    std::uint32_t checksum;  // CRC32C over the whole header but these four bytes.
};
struct BusLayout {
    Prefix prefix;
    Uuid uuid;
    std::uint64_t inode, generation, ring_size, segment_size, page_id_ceiling;
    std::int64_t created_ns;
    std::uint64_t base_sequence, base_lsn, keep_bytes, keep_records, keep_seconds;
    std::uint64_t age_suspended, log_boot;
};
struct SegmentLayout {
    Prefix prefix;
    Uuid bus;
    std::uint64_t id, salt, start, capacity;
    std::int64_t base_time_ns;
};
struct BlobLayout {
    Prefix prefix;
    Uuid bus;
    std::uint64_t id, size;
    std::uint32_t contents_checksum, zero;
    std::uint64_t log_end;
};
struct IndexLayout {
    Prefix prefix;
    Uuid bus;
    std::uint64_t segment, salt, start, end, pages;
};

static_assert(std::has_unique_object_representations_v<Prefix> && sizeof(Prefix) == 16);
static_assert(offsetof(Prefix, major) == 8 && offsetof(Prefix, minor) == 10);
static_assert(offsetof(Prefix, checksum) == 12);
static_assert(std::has_unique_object_representations_v<BusLayout> && sizeof(BusLayout) == 136);
static_assert(offsetof(BusLayout, uuid) == 16 && offsetof(BusLayout, inode) == 32);
static_assert(offsetof(BusLayout, generation) == 40 && offsetof(BusLayout, ring_size) == 48);
static_assert(offsetof(BusLayout, segment_size) == 56 && offsetof(BusLayout, created_ns) == 72);
static_assert(offsetof(BusLayout, page_id_ceiling) == 64);
static_assert(offsetof(BusLayout, base_sequence) == 80 && offsetof(BusLayout, base_lsn) == 88);
static_assert(offsetof(BusLayout, keep_bytes) == 96 && offsetof(BusLayout, keep_records) == 104);
static_assert(offsetof(BusLayout, keep_seconds) == 112 &&
              offsetof(BusLayout, age_suspended) == 120);
static_assert(offsetof(BusLayout, log_boot) == 128);
static_assert(std::has_unique_object_representations_v<SegmentLayout> &&
              sizeof(SegmentLayout) == 72);
static_assert(offsetof(SegmentLayout, bus) == 16 && offsetof(SegmentLayout, id) == 32);
static_assert(offsetof(SegmentLayout, salt) == 40 && offsetof(SegmentLayout, start) == 48);
static_assert(offsetof(SegmentLayout, capacity) == 56);
static_assert(offsetof(SegmentLayout, base_time_ns) == 64);
static_assert(std::has_unique_object_representations_v<BlobLayout> && sizeof(BlobLayout) == 64);
static_assert(offsetof(BlobLayout, bus) == 16 && offsetof(BlobLayout, id) == 32);
static_assert(offsetof(BlobLayout, size) == 40 && offsetof(BlobLayout, contents_checksum) == 48);
static_assert(offsetof(BlobLayout, log_end) == 56);
static_assert(std::has_unique_object_representations_v<IndexLayout> && sizeof(IndexLayout) == 72);
static_assert(offsetof(IndexLayout, bus) == 16 && offsetof(IndexLayout, segment) == 32);
static_assert(offsetof(IndexLayout, salt) == 40 && offsetof(IndexLayout, start) == 48);
static_assert(offsetof(IndexLayout, end) == 56 && offsetof(IndexLayout, pages) == 64);

std::uint32_t header_checksum(std::span<const std::byte> header) noexcept {
    constexpr auto at = offsetof(Prefix, checksum);
    const auto before = base::crc32c(~std::uint32_t{0}, header.first(at));
    return base::crc32c(before, header.subspan(at + sizeof(Prefix::checksum)));
}

template <std::size_t size, class Layout>
std::array<std::byte, size> encode(Layout layout, std::string_view magic) {
    static_assert(sizeof(Layout) <= size);
    std::ranges::copy(magic, layout.prefix.magic.begin());
    layout.prefix.major = format_major;
    layout.prefix.minor = format_minor;
    std::array<std::byte, size> out{};
    std::memcpy(out.data(), &layout, sizeof layout);
    layout.prefix.checksum = header_checksum(out);
    std::memcpy(out.data(), &layout, sizeof layout);
    return out;
}

/// As text where all of it can be printed, else in hex.
std::string shown(std::span<const std::byte> bytes) {
    const auto printable = [](std::byte b) { return b >= std::byte{0x20} && b < std::byte{0x7f}; };
    std::string out;
    if (std::ranges::all_of(bytes, printable)) {
        std::ranges::transform(bytes, std::back_inserter(out),
                               [](std::byte b) { return static_cast<char>(b); });
        return '"' + out + '"';
    }
    for (const auto b : bytes) out += fmt::format("{:02x}", static_cast<unsigned>(b));
    return out;
}

Refusal damaged(std::size_t offset, std::string expected, std::string found) {
    return {Refusal::Kind::damaged, offset, std::move(expected), std::move(found)};
}

/// A header of ours in which only the magic or the major version is damaged: with those as they
/// should be its checksum is right. Else it would pass for another program's file, or a newer
/// one's.
std::optional<Refusal> refuse_damaged_name(std::span<const std::byte> in, std::string_view magic,
                                           std::size_t size) {
    if (in.size() < size) return {};
    std::vector<std::byte> mended(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(size));
    std::ranges::copy(bytes_of(magic), mended.begin());
    const auto major = format_major;
    std::memcpy(mended.data() + offsetof(Prefix, major), &major, sizeof major);
    Prefix prefix{};
    std::memcpy(&prefix, in.data(), sizeof prefix);
    if (header_checksum(mended) != prefix.checksum) return {};
    const auto begin = in.first(magic.size());
    if (!std::ranges::equal(begin, bytes_of(magic)))
        return damaged(0, "the magic " + shown(bytes_of(magic)), shown(begin));
    return damaged(offsetof(Prefix, major), fmt::format("format {}", format_major),
                   fmt::format("format {}.{}", prefix.major, prefix.minor));
}

/// What all headers begin with, the length and the checksum; nothing: the fields may be read.
std::optional<Refusal> refuse_header(std::span<const std::byte> in, std::string_view magic,
                                     std::size_t size) {
    const auto magic_bytes = bytes_of(magic);
    const auto n = std::min(in.size(), magic.size());
    if (!std::ranges::equal(in.first(n), magic_bytes.first(n))) {
        if (auto refusal = refuse_damaged_name(in, magic, size)) return refusal;
        return Refusal{Refusal::Kind::foreign, 0, "the magic " + shown(magic_bytes),
                       shown(in.first(n))};
    }
    Prefix prefix{};
    if (!in.empty()) std::memcpy(&prefix, in.data(), std::min(in.size(), sizeof prefix));
    if (prefix.major > format_major) {
        if (auto refusal = refuse_damaged_name(in, magic, size)) return refusal;
        return Refusal{Refusal::Kind::newer, offsetof(Prefix, major),
                       fmt::format("format {}.{} or older", format_major, format_minor),
                       fmt::format("format {}.{}", prefix.major, prefix.minor)};
    }
    if (in.size() < size) {
        return damaged(in.size(), fmt::format("a header of {} bytes", size),
                       fmt::format("{} bytes", in.size()));
    }
    if (const auto right = header_checksum(in.first(size)); prefix.checksum != right) {
        return damaged(offsetof(Prefix, checksum), fmt::format("the checksum {:08x}", right),
                       fmt::format("{:08x}", prefix.checksum));
    }
    if (prefix.major != format_major) {
        return damaged(offsetof(Prefix, major), fmt::format("format {}", format_major),
                       fmt::format("format {}.{}", prefix.major, prefix.minor));
    }
    return {};
}

template <class Layout>
Layout load(std::span<const std::byte> in) noexcept {
    Layout layout;
    std::memcpy(&layout, in.data(), sizeof layout);
    return layout;
}

Decoded<BusHeader> decode_slot(std::span<const std::byte> slot) {
    if (auto refusal = refuse_header(slot, bus_magic, bus_header_size)) return {{}, *refusal};
    const auto l = load<BusLayout>(slot);
    if (!std::has_single_bit(l.ring_size) || l.ring_size < 64 * limits::kib ||
        l.ring_size > limits::largest_ring) {
        return {{},
                damaged(offsetof(BusLayout, ring_size), "a ring of 2^n bytes, 64 KiB to 512 MiB",
                        fmt::format("{} bytes", l.ring_size))};
    }
    if (l.segment_size % 4096 != 0 || l.segment_size < l.ring_size ||
        l.segment_size > limits::address_room) {
        return {{},
                damaged(offsetof(BusLayout, segment_size),
                        "segments of a multiple of 4096 bytes, from the ring's size to 1 TiB",
                        fmt::format("{} bytes", l.segment_size))};
    }
    if (l.base_lsn % 8 != 0 || l.base_lsn > largest_lsn) {
        return {{},
                damaged(offsetof(BusLayout, base_lsn), "a multiple of 8, at most 2^62",
                        fmt::format("{}", l.base_lsn))};
    }
    if (l.age_suspended > 1) {
        return {{},
                damaged(offsetof(BusLayout, age_suspended), "0 or 1",
                        fmt::format("{}", l.age_suspended))};
    }
    return {BusHeader{.uuid = l.uuid,
                      .inode = l.inode,
                      .generation = l.generation,
                      .geometry = {.ring_size = l.ring_size, .segment_size = l.segment_size},
                      .page_id_ceiling = l.page_id_ceiling,
                      .created_ns = l.created_ns,
                      .base_sequence = l.base_sequence,
                      .base_lsn = l.base_lsn,
                      .keep_bytes = l.keep_bytes,
                      .keep_records = l.keep_records,
                      .keep_seconds = l.keep_seconds,
                      .age_suspended = l.age_suspended != 0,
                      .log_boot = l.log_boot},
            {}};
}

std::string numbered(std::uint64_t id, std::string_view suffix) {
    return fmt::format("{:016x}{}", id, suffix);
}

std::optional<std::uint64_t> number_in(std::string_view name, std::string_view suffix) {
    if (name.size() != 16 + suffix.size() || !name.ends_with(suffix)) return {};
    std::uint64_t id = 0;
    for (const char c : name.substr(0, 16)) {
        if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) return {};
        id = id << 4U | static_cast<std::uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (id == 0) return {};
    return id;
}

}  // namespace

std::array<std::byte, bus_header_size> encode_bus(const BusHeader& header) {
    BusLayout layout{};
    layout.uuid = header.uuid;
    layout.inode = header.inode;
    layout.generation = header.generation;
    layout.ring_size = header.geometry.ring_size;
    layout.segment_size = header.geometry.segment_size;
    layout.page_id_ceiling = header.page_id_ceiling;
    layout.created_ns = header.created_ns;
    layout.base_sequence = header.base_sequence;
    layout.base_lsn = header.base_lsn;
    layout.keep_bytes = header.keep_bytes;
    layout.keep_records = header.keep_records;
    layout.keep_seconds = header.keep_seconds;
    layout.age_suspended = header.age_suspended ? 1 : 0;
    layout.log_boot = header.log_boot;
    return encode<bus_header_size>(layout, bus_magic);
}

bool begins_a_bus(std::span<const std::byte, magic_size> bytes) noexcept {
    return std::ranges::equal(bytes, bytes_of(bus_magic));
}

DecodedBus decode_bus(std::span<const std::byte> file) {
    const auto first = file.first(std::min(file.size(), bus_header_size));
    const auto second =
        file.subspan(first.size()).first(std::min(file.size() - first.size(), bus_header_size));
    auto a = decode_slot(first);
    auto b = decode_slot(second);
    b.refusal.offset += first.size();
    // A newer program has been here, whatever the other slot says: that one is merely older.
    const auto newer = [](const Decoded<BusHeader>& d, std::span<const std::byte> slot) {
        return !d.value && d.refusal.kind == Refusal::Kind::newer &&
               slot.size() == bus_header_size &&
               header_checksum(slot) == load<Prefix>(slot).checksum;
    };
    if (newer(a, first)) return {std::move(a)};
    if (newer(b, second)) return {std::move(b)};
    if (a.value && b.value) {
        const bool second_counts = b.value->generation > a.value->generation;
        return {second_counts ? std::move(b) : std::move(a), second_counts ? 1U : 0U,
                std::ranges::equal(first, second)};
    }
    // What is not there, or all zero, was never written.
    const auto refusal_of = [](Decoded<BusHeader>& d, std::span<const std::byte> slot) {
        const bool written =
            std::ranges::any_of(slot, [](std::byte x) { return x != std::byte{}; });
        return written ? std::optional(std::move(d.refusal)) : std::nullopt;
    };
    if (a.value) return {std::move(a), 0, false, refusal_of(b, second)};
    if (b.value) return {std::move(b), 1, false, refusal_of(a, first)};
    // Neither: what tells more. A second slot that is not there was never written.
    const auto rank = [](const Refusal& r) {
        return r.kind == Refusal::Kind::newer ? 2 : r.kind == Refusal::Kind::damaged ? 1 : 0;
    };
    return {!second.empty() && rank(b.refusal) > rank(a.refusal) ? std::move(b) : std::move(a)};
}

std::array<std::byte, segment_header_size> encode_segment(const SegmentHeader& header) {
    SegmentLayout layout{};
    layout.bus = header.bus;
    layout.id = header.id;
    layout.salt = header.salt;
    layout.start = header.start;
    layout.capacity = header.capacity;
    layout.base_time_ns = header.base_time_ns;
    return encode<segment_header_size>(layout, segment_magic);
}

Decoded<SegmentHeader> decode_segment(std::span<const std::byte> header) {
    if (auto refusal = refuse_header(header, segment_magic, segment_header_size)) {
        return {{}, *refusal};
    }
    const auto l = load<SegmentLayout>(header);
    if (l.id == 0) return {{}, damaged(offsetof(SegmentLayout, id), "an id from 1", "0")};
    if (l.start % 8 != 0 || l.start > largest_lsn) {
        return {{},
                damaged(offsetof(SegmentLayout, start), "a multiple of 8, at most 2^62",
                        fmt::format("{}", l.start))};
    }
    if (l.capacity % 8 != 0 || l.capacity < 16 || l.capacity > limits::address_room) {
        return {{},
                damaged(offsetof(SegmentLayout, capacity), "a multiple of 8, 16 to 2^40",
                        fmt::format("{}", l.capacity))};
    }
    return {SegmentHeader{.bus = l.bus,
                          .id = l.id,
                          .salt = l.salt,
                          .start = l.start,
                          .capacity = l.capacity,
                          .base_time_ns = l.base_time_ns},
            {}};
}

std::string segment_name(std::uint64_t id) { return numbered(id, ".seg"); }
std::optional<std::uint64_t> segment_id(std::string_view name) { return number_in(name, ".seg"); }

std::array<std::byte, blob_header_size> encode_blob(const BlobHeader& header) {
    BlobLayout layout{};
    layout.bus = header.bus;
    layout.id = header.id;
    layout.size = header.size;
    layout.contents_checksum = header.checksum;
    layout.log_end = header.log_end;
    return encode<blob_header_size>(layout, blob_magic);
}

Decoded<BlobHeader> decode_blob(std::span<const std::byte> header) {
    if (auto refusal = refuse_header(header, blob_magic, blob_header_size)) return {{}, *refusal};
    const auto l = load<BlobLayout>(header);
    if (l.id == 0) return {{}, damaged(offsetof(BlobLayout, id), "an id from 1", "0")};
    return {BlobHeader{.bus = l.bus,
                       .id = l.id,
                       .size = l.size,
                       .checksum = l.contents_checksum,
                       .log_end = l.log_end},
            {}};
}

std::string blob_name(std::uint64_t id) { return numbered(id, ".blob"); }
std::optional<std::uint64_t> blob_id(std::string_view name) { return number_in(name, ".blob"); }

std::array<std::byte, index_header_size> encode_index_header(const IndexHeader& header) {
    const IndexLayout layout{{},           header.bus, header.segment, header.salt,
                             header.start, header.end, header.pages};
    return encode<index_header_size>(layout, index_magic);
}

Decoded<IndexHeader> decode_index_header(std::span<const std::byte> header) {
    if (auto refusal = refuse_header(header, index_magic, index_header_size)) return {{}, *refusal};
    const auto l = load<IndexLayout>(header);
    if (l.start % 8 != 0 || l.end % 8 != 0 || l.start > l.end || l.end > largest_lsn)
        return {{},
                damaged(offsetof(IndexLayout, start), "a range of multiples of 8, at most 2^62",
                        fmt::format("[{}, {})", l.start, l.end))};
    return {IndexHeader{l.bus, l.segment, l.salt, l.start, l.end, l.pages}, {}};
}

std::string index_name(std::uint64_t segment) { return numbered(segment, ".idx"); }
std::optional<std::uint64_t> index_id(std::string_view name) { return number_in(name, ".idx"); }

}  // namespace mmsb::log
