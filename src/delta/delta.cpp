#include <mmsb/delta.hpp>

#include "base/bytes.hpp"
#include "base/checksum.hpp"
#include "base/limits.hpp"
#include "delta/codec.hpp"

#include <mmsb/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace mmsb {

namespace detail {

struct DeltaAccess {
    static Delta make(PageId page, Epoch epoch, std::size_t page_size, Bytes encoded,
                      std::uint64_t changed) {
        Delta delta;
        delta.page_ = page;
        delta.epoch_ = epoch;
        delta.page_size_ = page_size;
        delta.changed_bytes_ = static_cast<std::size_t>(changed);
        delta.encoded_ = std::move(encoded);
        return delta;
    }
    static std::span<const std::byte> encoded(const Delta& delta) noexcept {
        return delta.encoded_;
    }
};

}  // namespace detail

using detail::DeltaAccess;

namespace delta {

Delta make_delta(PageId page, Epoch epoch, std::size_t page_size,
                 std::span<const std::byte> encoded, std::uint64_t changed_bytes) {
    return DeltaAccess::make(page, epoch, page_size, {encoded.begin(), encoded.end()},
                             changed_bytes);
}

std::span<const std::byte> encoded_of(const Delta& delta) noexcept {
    return DeltaAccess::encoded(delta);
}

}  // namespace delta

namespace {

// The first bytes of a Delta file; neither is text.
constexpr std::uint8_t file_magic = 0xD3;
constexpr std::uint8_t file_version = 1;

// The usual CRC-32C, so that any tool can recompute it.
std::uint32_t file_checksum(std::span<const std::byte> head, std::span<const std::byte> encoded) {
    return ~base::crc32c(base::crc32c(~0U, head), encoded);
}

[[noreturn]] void refuse(const std::string& what, std::string expected, std::string found,
                         PageId page = PageId::none) {
    const auto message = fmt::format("{}: expected {}, found {}", what, expected, found);
    throw InvalidDelta(ErrorCode::invalid_delta, message,
                       {.page = page, .expected = std::move(expected), .found = std::move(found)});
}

using Run = Delta::Run;

std::size_t end_of(const Run& run) { return run.offset + run.bytes.size(); }

/// What both write, ascending and disjoint; where both write a byte, it is `over`'s.
std::vector<Run> overlay(const std::vector<Run>& under, const std::vector<Run>& over) {
    std::vector<Run> both;
    both.reserve(under.size() + 2 * over.size());
    auto next = over.begin();
    for (Run rest : under) {
        while (!rest.bytes.empty()) {
            while (next != over.end() && end_of(*next) <= rest.offset) both.push_back(*next++);
            const auto limit = next == over.end() ? end_of(rest) : next->offset;
            if (rest.offset < limit) {
                const auto size = std::min(limit - rest.offset, rest.bytes.size());
                both.push_back({rest.offset, rest.bytes.first(size)});
                rest = {rest.offset + size, rest.bytes.subspan(size)};
            } else {
                // The beginning lies under *next, which is put in when its turn comes.
                const auto size = std::min(end_of(*next) - rest.offset, rest.bytes.size());
                rest = {rest.offset + size, rest.bytes.subspan(size)};
            }
        }
    }
    both.insert(both.end(), next, over.end());
    return both;
}

}  // namespace

std::vector<Delta::Run> Delta::runs() const {
    std::vector<Run> all;
    if (empty()) return all;
    delta::for_each_run(encoded_, page_size_,
                        [&all](std::size_t offset, std::span<const std::byte> bytes) {
                            all.push_back({offset, bytes});
                        });
    return all;
}

Bytes Delta::mask() const {
    Bytes bits(page_size_ / 8 + (page_size_ % 8 != 0 ? 1 : 0));
    for (const auto& run : runs()) {
        for (std::size_t i = run.offset; i < end_of(run); ++i) {
            bits[i / 8] |= static_cast<std::byte>(1U << i % 8);
        }
    }
    return bits;
}

Bytes Delta::dense() const {
    Bytes page(page_size_);
    if (!empty()) delta::apply(encoded_, page);
    return page;
}

void Delta::apply_to(std::span<std::byte> page) const {
    if (page.size() != page_size_) {
        refuse("a delta for a page of another size", std::to_string(page_size_),
               std::to_string(page.size()), page_);
    }
    if (!empty()) delta::apply(encoded_, page);
}

Bytes Delta::encode() const {
    Bytes file;
    base::ByteWriter writer(file);
    writer.fixed(file_magic);
    writer.fixed(file_version);
    writer.varint(number(page_));
    writer.varint(number(epoch_));
    writer.varint(page_size_);
    writer.fixed(file_checksum(file, encoded_));
    writer.bytes(encoded_);
    return file;
}

Delta Delta::decode(std::span<const std::byte> bytes) {
    base::ByteReader reader(bytes);
    if (const auto magic = reader.fixed<std::uint8_t>(); magic != file_magic) {
        refuse("not a Delta file", fmt::format("first byte {:#x}", file_magic),
               bytes.empty() ? "no bytes" : fmt::format("{:#x}", magic));
    }
    if (const auto version = reader.fixed<std::uint8_t>(); version != file_version) {
        refuse("a Delta file of another version", std::to_string(file_version),
               reader.failed() ? "no more bytes" : std::to_string(version));
    }
    const PageId page{reader.varint()};
    const Epoch epoch{reader.varint()};
    const auto page_size = reader.varint();
    const auto head = bytes.first(reader.position());
    const auto checksum = reader.fixed<std::uint32_t>();
    if (reader.failed()) {
        refuse("a cut Delta file", "a whole header", fmt::format("{} bytes", bytes.size()), page);
    }
    const auto encoded = reader.rest();
    if (const auto found = file_checksum(head, encoded); found != checksum) {
        refuse("a damaged Delta file", fmt::format("checksum {:#010x}", checksum),
               fmt::format("{:#010x}", found), page);
    }
    if (page_size > limits::page_size) {
        refuse("a Delta file of too large a page", fmt::format("at most {}", limits::page_size),
               std::to_string(page_size), page);
    }
    const auto size = static_cast<std::size_t>(page_size);
    if (encoded.empty()) return DeltaAccess::make(page, epoch, size, {}, 0);
    const auto summary = delta::check(encoded, size);
    if (!summary) {
        refuse("a malformed delta", fmt::format("changes of a page of {} bytes", size),
               fmt::format("{} bytes that are none", encoded.size()), page);
    }
    return DeltaAccess::make(page, epoch, size, {encoded.begin(), encoded.end()},
                             summary->changed_bytes);
}

Delta diff(std::span<const std::byte> before, std::span<const std::byte> after) {
    if (before.size() != after.size()) {
        throw InvalidArgument(
            ErrorCode::invalid_argument,
            fmt::format("diff of {} bytes and {} bytes", before.size(), after.size()),
            {.expected = std::to_string(before.size()), .found = std::to_string(after.size())});
    }
    const delta::Part part{.offset = 0, .before = before, .after = after};
    Bytes encoded;
    const auto changed = delta::encode({&part, 1}, after.size(), encoded);
    return DeltaAccess::make(PageId::none, Epoch::zero, after.size(), std::move(encoded), changed);
}

Delta merge(const Delta& first, const Delta& second) {
    if (first.page_size() != second.page_size()) {
        refuse("a merge of deltas for pages of two sizes", std::to_string(first.page_size()),
               std::to_string(second.page_size()), second.page());
    }
    Bytes encoded;
    const auto changed =
        delta::encode_runs(overlay(first.runs(), second.runs()), second.page_size(), encoded);
    return DeltaAccess::make(second.page(), second.epoch(), second.page_size(), std::move(encoded),
                             changed);
}

}  // namespace mmsb
