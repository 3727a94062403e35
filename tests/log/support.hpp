/// Words for tests of the log: bytes, a seeded source of values, a small log that can be built,
/// cut and flipped in a line each.
#pragma once

#include "base/bytes.hpp"
#include "delta/codec.hpp"
#include "log/record.hpp"
#include "log/scan.hpp"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace mmsb::log::testing {

using Buffer = std::vector<std::byte>;

/// MMSB_SEED, or the one given: print it where a test fails.
inline std::uint64_t seed_or(std::uint64_t fallback) {
    const char* text = std::getenv("MMSB_SEED");
    return text == nullptr ? fallback : std::strtoull(text, nullptr, 0);
}

class Random {
public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}
    std::uint64_t below(std::uint64_t n) { return engine_() % n; }
    bool coin() { return below(2) == 0; }
    /// Of every length in bits alike, so that varints of every length come up.
    std::uint64_t value(unsigned bits = 64) {
        const auto n = below(bits + 1);
        return n == 0 ? 0 : engine_() >> (64 - n);
    }
    Buffer bytes(std::size_t size) {
        Buffer out(size);
        for (auto& b : out) b = static_cast<std::byte>(engine_());
        return out;
    }
    std::string text(std::size_t size) {
        std::string out(size, '\0');
        for (auto& c : out) c = static_cast<char>(engine_());
        return out;
    }

private:
    std::mt19937_64 engine_;
};

/// The encoded change that writes `value` at `offset` of a page of zeros.
inline Buffer delta_of(std::size_t page_size, std::size_t offset,
                       std::span<const std::byte> value) {
    const Buffer before(page_size);
    Buffer after = before;
    std::ranges::copy(value, after.begin() + static_cast<std::ptrdiff_t>(offset));
    Buffer out;
    const delta::Part part{.offset = 0, .before = before, .after = after};
    delta::encode(std::span(&part, 1), page_size, out);
    return out;
}

/// A commit's body that changes page 1 of 64 bytes, of about `size` bytes.
inline Buffer some_body(std::size_t size, Random& random) {
    auto value = random.bytes(std::max<std::size_t>(size, 1));
    std::ranges::replace(value, std::byte{0}, std::byte{1});
    const auto page_size = value.size() + 64;
    Buffer out;
    const auto delta = delta_of(page_size, 3, value);
    write_entry(PageEntry{.page = PageId{1}, .epoch = Epoch{7}, .size = page_size, .delta = delta},
                out);
    return out;
}

/// One segment in memory, written as the library writes it.
class SmallLog {
public:
    explicit SmallLog(std::uint64_t capacity, Lsn start = 4096, std::uint64_t salt = 0x5a17)
        : header{.bus = {},
                 .id = 3,
                 .salt = salt,
                 .start = start,
                 .capacity = capacity,
                 .base_time_ns = 1'000} {}

    [[nodiscard]] Context context() const {
        return {.salt = header.salt, .base_time_ns = header.base_time_ns};
    }
    [[nodiscard]] Lsn end() const { return header.start + bytes.size(); }
    [[nodiscard]] Lsn limit() const { return header.start + header.capacity; }

    SmallLog& add(RecordFields fields, std::span<const std::byte> body) {
        starts.push_back(end());
        write_record(fields, body, end(), context(), bytes);
        return *this;
    }
    SmallLog& commit(std::uint64_t sequence, std::span<const std::byte> body,
                     std::optional<Lsn> durable = {}) {
        return add({.sequence = Sequence{sequence}, .time_ns = 2'000, .durable = durable}, body);
    }
    SmallLog& filler() {
        starts.push_back(end());
        write_filler(static_cast<std::size_t>(limit() - end()), end(), context(), bytes);
        return *this;
    }
    /// Zeros up to the segment's end, as in a file with room reserved.
    SmallLog& reserve() {
        bytes.resize(static_cast<std::size_t>(header.capacity));
        return *this;
    }

    SegmentHeader header;
    Buffer bytes{};
    std::vector<Lsn> starts{};  ///< Of each record, fillers too.
};

struct Scanned {
    ScanResult result{};
    std::vector<std::uint64_t> sequences{};
};
inline Scanned scan(std::span<const std::byte> bytes, const SegmentHeader& header) {
    Scanned out;
    out.result = scan_segment(bytes, header, header.start + header.capacity, header.start,
                              [&](const Record& record) {
                                  out.sequences.push_back(number(record.sequence));
                                  return true;
                              });
    return out;
}
inline Scanned scan(const SmallLog& log) { return scan(log.bytes, log.header); }

inline void flip(std::span<std::byte> bytes, std::size_t bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
}

}  // namespace mmsb::log::testing
