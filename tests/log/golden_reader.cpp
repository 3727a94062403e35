#include "log/golden_reader.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>

#include <fmt/format.h>

namespace mmsb::log::testing {
namespace {

constexpr std::size_t header_bytes = 4096;

void put_u64(std::uint8_t* out, std::uint64_t v) {
    for (int i = 0; i < 8; ++i) out[i] = static_cast<std::uint8_t>(v >> (8 * i));
}

}  // namespace

std::uint32_t plain_crc32c(std::uint32_t seed, const std::uint8_t* bytes, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
        seed ^= bytes[i];
        for (int bit = 0; bit < 8; ++bit)
            seed = (seed & 1U) != 0 ? seed >> 1U ^ 0x82f63b78U : seed >> 1U;
    }
    return seed;
}

void GoldenReader::refuse(const std::string& what) const {
    throw std::runtime_error(fmt::format("at {:#x}: {}", at_, what));
}
void GoldenReader::expect(bool good, const std::string& what) const {
    if (!good) refuse("not " + what);
}

std::uint64_t GoldenReader::peek(std::size_t at, std::size_t size) const {
    expect(at + size <= file_.size(), "enough bytes");
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < size; ++i) v |= std::uint64_t{file_[at + i]} << (8 * i);
    return v;
}
std::uint64_t GoldenReader::fixed(std::size_t size, std::string_view what, bool hex) {
    const auto v = peek(at_, size);
    lines_.push_back(
        {at_, size, hex ? fmt::format("{} {:#x}", what, v) : fmt::format("{} {}", what, v)});
    at_ += size;
    return v;
}
std::uint64_t GoldenReader::varint(std::string_view what) {
    std::uint64_t v = 0;
    std::size_t n = 0;
    for (bool more = true; more; ++n) {
        const auto b = peek(at_ + n, 1);
        expect(n < 10, "a varint of at most ten bytes");
        v |= (b & 0x7fU) << (7 * n);
        more = (b & 0x80U) != 0;
        expect(more || b != 0 || n == 0, "a varint without needless bytes");
    }
    lines_.push_back({at_, n, fmt::format("{} {}", what, v)});
    at_ += n;
    return v;
}
void GoldenReader::bytes(std::size_t size, std::string_view what) {
    expect(at_ + size <= file_.size(), "enough bytes");
    lines_.push_back({at_, size, std::string(what)});
    at_ += size;
}
std::string GoldenReader::text(std::string_view what) {
    const auto size = varint(fmt::format("{}: length", what));
    const auto from = at_;
    bytes(size, "");
    const std::string value(file_.begin() + static_cast<std::ptrdiff_t>(from),
                            file_.begin() + static_cast<std::ptrdiff_t>(at_));
    lines_.back().text = fmt::format("{} \"{}\"", what, value);
    if (size == 0) lines_.pop_back();
    return value;
}
void GoldenReader::zeros(std::size_t size, std::string_view what) {
    if (size == 0) return;
    bytes(size, what);
    for (std::size_t i = at_ - size; i < at_; ++i) expect(file_[i] == 0, "zero");
}

void GoldenReader::header() {
    expect(file_.size() > header_bytes, "a file with a header");
    expect(std::string_view(reinterpret_cast<const char*>(file_.data()), 8) == "MMSBSEGM",
           "the magic");
    bytes(8, "magic \"MMSBSEGM\"");
    expect(fixed(2, "major version") == 1, "version 1");
    fixed(2, "minor version");
    auto sum = plain_crc32c(~0U, file_.data(), 12);
    sum = plain_crc32c(sum, file_.data() + 16, header_bytes - 16);
    expect(fixed(4, "CRC32C of the other 4092 bytes", true) == sum, "the header's checksum");
    bytes(16, "uuid of the bus");
    fixed(8, "id");
    salt_ = fixed(8, "salt", true);
    start_ = fixed(8, "start (LSN)", true);
    capacity_ = fixed(8, "capacity");
    fixed(8, "base time, ns");
    zeros(header_bytes - at_, "zero");
}

void GoldenReader::record() {
    static constexpr const char* kinds[] = {"",      "commit",    "filler", "source", "incarnation",
                                            "close", "retention", "clock"};
    const auto first = at_;
    const auto lsn = start_ + first - header_bytes;
    const auto kind = static_cast<unsigned>(peek(first + 6, 1));
    const auto flags = static_cast<unsigned>(peek(first + 7, 1));
    const auto size = static_cast<std::size_t>(peek(first + 8, 4));
    expect(kind >= 1 && kind <= 7 && flags < 32 && size >= 12, "a record's kind, flags and size");
    const auto padded = (size + 7) / 8 * 8;
    expect(first + padded <= file_.size(), "a whole record");

    std::uint8_t seed_bytes[16];
    put_u64(seed_bytes, salt_);
    put_u64(seed_bytes + 8, lsn);
    const auto seed = plain_crc32c(~0U, seed_bytes, 16);
    const auto checksum = plain_crc32c(seed, file_.data() + first + 4, padded - 4);
    const auto check = plain_crc32c(seed ^ 0x5bd1e995U, file_.data() + first + 6, 6) & 0xffffU;
    expect(fixed(4, fmt::format("LSN {:#x}: CRC32C", lsn), true) == checksum,
           "the record's checksum");
    expect(fixed(2, "  check of the next six bytes", true) == check, "the head's check");
    bytes(1, fmt::format("  kind: {}", kinds[kind]));
    bytes(1, "  flags");
    std::string names;
    static constexpr const char* flag_names[] = {"structural", "tag", "label", "durable", "blob"};
    for (unsigned i = 0; i < 5; ++i) {
        if ((flags >> i & 1U) != 0)
            names += std::string(names.empty() ? ": " : ", ") + flag_names[i];
    }
    lines_.back().text += names;
    fixed(4, "  size");
    if (kind == 2) {
        expect(flags == 0 && size == padded && size >= 16, "a filler's head");
        zeros(size - 12, "  zero");
        return;
    }
    fields(kind, flags, static_cast<std::size_t>(lsn), static_cast<std::size_t>(lsn) + padded);
    body(kind, flags, first + size);
    expect(at_ == first + size, "the body's end");
    zeros(padded - size, "  padding");
}

void GoldenReader::fields(unsigned kind, unsigned flags, std::size_t start,
                          std::size_t padded_end) {
    varint("  sequence");
    varint("  time - base time, ns");
    varint("  source");
    varint("  process");
    const auto position = [&](std::string_view what, std::uint64_t eighths) {
        expect(8 * eighths <= start, "a position in the log");
        lines_.back().text = fmt::format("  {} {:#x}: this one's {:#x} - 8 x {}", what,
                                         start - 8 * eighths, start, eighths);
    };
    expect(kind != 5 || (flags & 8U) == 0, "a close record, which is durable up to its own end");
    if (kind == 5) lines_.back().text += fmt::format("; durable is its end, {:#x}", padded_end);
    if ((flags & 8U) != 0) position("durable", varint("durable"));
    if ((flags & 1U) != 0) {
        const auto back = varint("  structural record before: none,");
        if (back != 0) position("structural record before", back);
    }
    if ((flags & 2U) != 0) expect(varint("  tag") != 0, "a tag");
    if ((flags & 4U) != 0) expect(!text("  label").empty(), "a label");
}

void GoldenReader::body(unsigned kind, unsigned flags, std::size_t end) {
    if (kind == 1 && (flags & 16U) != 0) {
        varint("  blob: id");
        varint("  blob: size");
        fixed(4, "  blob: CRC32C of its bytes", true);
    } else if (kind == 1) {
        while (at_ < end) entry();
    } else if (kind == 3) {
        varint("  number");
        text("  name");
    } else if (kind == 4) {
        bytes(16, "  random id");
    } else if (kind == 6) {
        for (const char* limit : {"  bytes of log", "  commits", "  seconds"}) varint(limit);
    } else if (kind == 7) {
        expect(fixed(8, "  ns that the clock is ahead", true) != 0, "a jump");
    }
}

void GoldenReader::entry() {
    const auto first = static_cast<unsigned>(peek(at_, 1));
    if (first < 0x80) {
        page_entry(first);
    } else {
        expect(first >= 0x80 && first <= 0x83, "an entry");
        graph_entry(first & 3U);
    }
}

void GoldenReader::page_entry(unsigned flags) {
    static constexpr const char* flag_names[] = {"delta",   "created",  "deleted", "resized",
                                                 "renamed", "metadata", "stale"};
    bytes(1, "  page entry:");
    for (unsigned i = 0; i < 7; ++i) {
        if ((flags >> i & 1U) != 0) lines_.back().text += std::string(" ") + flag_names[i];
    }
    expect((flags & 4U) == 0 || flags == 4, "a page that is deleted and nothing else");
    expect(varint("    page") != 0, "a page");
    varint("    epoch");
    const auto size = varint("    size");
    expect((flags & 4U) == 0 || size == 0, "a deleted page's size");
    if ((flags & 2U) != 0) {
        varint("    line");
        expect(fixed(1, "    location") <= 2, "a location");
    }
    if ((flags & 16U) != 0) text("    name");
    if ((flags & 32U) != 0) {
        const auto end = at_ + varint("    metadata: length") + 1;
        while (at_ < end) {
            text("      key");
            text("      value");
        }
        expect(at_ == end, "the metadata's end");
    }
    if ((flags & 1U) != 0) {
        const auto length = varint("    delta: length");
        delta(at_ + length, size);
    }
}

void GoldenReader::graph_entry(unsigned kind) {
    static constexpr const char* kinds[] = {"edge added", "edge removed", "formula added",
                                            "formula removed"};
    bytes(1, fmt::format("  graph entry: {}", kinds[kind]));
    if (kind < 2) {
        varint("    parent");
        varint("    child");
        fixed(1, "    type");
        return;
    }
    varint("    child");
    if (kind == 3) return;
    text("    function");
    bytes(varint("    arguments: length"), "    arguments");
    const auto end = at_ + varint("    parents: length") + 1;
    while (at_ < end) varint("      parent");
    expect(at_ == end, "the parents' end");
}

void GoldenReader::delta(std::size_t end, std::uint64_t page_size) {
    static constexpr const char* encodings[] = {"offsets", "runs", "masks", "whole"};
    const auto first = peek(at_, 1);
    const auto encoding = first & 15U, code = first >> 4U;
    const auto right = page_size <= 1U << 16U ? 1U : page_size <= std::uint64_t{1} << 32U ? 2U : 3U;
    expect(encoding <= 3 && (code == right || (code == 0 && (encoding == 0 || encoding == 3))),
           "an encoding and a width");
    expect(encoding != 3 || code == 0, "whole, without positions");
    const auto width = code == 0 ? std::size_t{0} : std::size_t{1} << code;
    bytes(1, fmt::format("      {}, {}", encodings[encoding],
                         width != 0      ? fmt::format("positions of {} bytes", width)
                         : encoding == 3 ? "all bytes"
                                         : "in buckets of 256 bytes"));
    std::uint64_t n = 0;
    if (encoding == 3) {
        n = page_size;
    } else if (encoding == 1) {
        n = runs(width);
    } else if (encoding == 2) {
        n = masks(width);
    } else if (width == 0) {
        n = buckets(page_size, end);
    } else {
        n = (end - at_) / (width + 1);
        for (std::uint64_t i = 0; i < n; ++i)
            expect(fixed(width, "      offset") < page_size, "inside");
    }
    expect(n > 0 && at_ + n == end, "as many values as bytes change");
    bytes(static_cast<std::size_t>(n), "      values");
}

std::uint64_t GoldenReader::buckets(std::uint64_t page_size, std::size_t end) {
    std::uint64_t n = 0;
    const auto count = (page_size + 255) / 256;
    for (std::uint64_t i = 0; i < count; ++i) n += fixed(1, fmt::format("      in bucket {}:", i));
    expect(at_ + 2 * n == end, "as many offsets as values");
    bytes(static_cast<std::size_t>(n), "      offsets in their buckets");
    return n;
}

std::uint64_t GoldenReader::runs(std::size_t width) {
    std::uint64_t n = 0;
    for (auto left = varint("      runs:"); left > 0; --left) {
        fixed(width, "      offset");
        n += fixed(width, "      length");
    }
    return n;
}

std::uint64_t GoldenReader::masks(std::size_t width) {
    std::uint64_t n = 0;
    for (auto left = varint("      windows:"); left > 0; --left) {
        fixed(width, "      offset");
        n += static_cast<std::uint64_t>(std::popcount(fixed(8, "      mask", true)));
    }
    return n;
}

std::string GoldenReader::rows(const Line& line) const {
    constexpr std::size_t a_row = 16;
    const auto begin = file_.begin() + static_cast<std::ptrdiff_t>(line.at);
    const bool all_zero = std::all_of(begin, begin + static_cast<std::ptrdiff_t>(line.size),
                                      [](std::uint8_t b) { return b == 0; });
    if (line.size > a_row && all_zero) {
        return fmt::format("{:04x}  {:<47}  {}\n", line.at, fmt::format("00 x {}", line.size),
                           line.text);
    }
    std::string out;
    for (std::size_t row = 0; row < line.size; row += a_row) {
        std::string hex;
        for (auto i = row; i < std::min(row + a_row, line.size); ++i) {
            hex += fmt::format("{}{:02x}", hex.empty() ? "" : " ", file_[line.at + i]);
        }
        out += row == 0 ? fmt::format("{:04x}  {:<47}  {}\n", line.at, hex, line.text)
                        : fmt::format("{:04x}  {}\n", line.at + row, hex);
    }
    return out;
}

std::string GoldenReader::annotate() {
    header();
    const auto end = header_bytes + capacity_;
    expect(end <= file_.size(), "a file of the segment's capacity");
    while (end - at_ >= 16) record();
    zeros(end - at_, "zero: too little for a record");
    expect(at_ == file_.size(), "the file's end");
    std::string out;
    for (const auto& line : lines_) out += rows(line);
    return out;
}

}  // namespace mmsb::log::testing
