#include "base/bytes.hpp"
#include "delta/codec.hpp"
#include "delta/compare.hpp"
#include "delta/layout.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#if defined(__SANITIZE_THREAD__)
#define MMSB_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MMSB_THREAD_SANITIZER 1
#endif
#endif

namespace mmsb::delta {

namespace {

constexpr std::size_t last_bit(std::uint64_t mask) {
    return static_cast<std::size_t>(std::bit_width(mask)) - 1;
}
constexpr std::size_t first_bit(std::uint64_t mask) {
    return static_cast<std::size_t>(std::countr_zero(mask));
}

// ---- check: nothing is known about the bytes ----------------------------------------------------

/// Behind byte 0. All of these return the number of changed bytes, 0 where they refuse.
using Body = std::span<const std::byte>;

template <class Position>
std::uint64_t check_offsets(Body body, std::size_t page_size) noexcept {
    const std::size_t n = body.size() / (sizeof(Position) + 1);
    if (n == 0 || n * (sizeof(Position) + 1) != body.size()) return 0;
    const std::byte* at = body.data();
    std::uint64_t last = load<Position>(at);
    bool good = true;
    for (std::size_t i = 1; i < n; ++i) {
        at += sizeof(Position);
        const std::uint64_t next = load<Position>(at);
        good &= next > last;
        last = next;
    }
    return good && last < page_size ? n : 0;
}

// Bit i: is at[i] not above at[i - 1]? As many values are behind them as there are places.
std::uint64_t falls_of(const std::byte* at, std::size_t n) noexcept {
    std::uint64_t falls = 0;
#if defined(__x86_64__)
    constexpr std::size_t lanes = 16;
    if (2 * n > lanes) {  // what is read beyond the places lies in the values
        for (std::size_t i = 0; i + 1 < n; i += lanes) {
            const auto* const from = reinterpret_cast<const __m128i*>(at + i);
            const auto low = _mm_loadu_si128(from);
            const auto high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + i + 1));
            const auto some = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(low, high), low));
            falls |= std::uint64_t{static_cast<std::uint32_t>(some)} << i;
        }
        return falls << 1U & ((std::uint64_t{2} << (n - 1)) - 1);
    }
#endif
    for (std::size_t i = 1; i < n; ++i) falls |= std::uint64_t{at[i] <= at[i - 1]} << i;
    return falls;
}

// Do they ascend within each bucket? As many as there are bits, without a branch that depends on
// them: which place is not above the one before, and which begins a bucket.
bool few_ascend(const std::byte* at, Body counts, std::size_t n) noexcept {
    const auto falls = falls_of(at, n);
    std::uint64_t begins = 0;
    std::size_t begin = 0;
    for (const auto count : counts) {
        begins |= std::uint64_t{1} << (begin % window);  // n itself at most: bit 0 is no fall
        begin += std::to_integer<std::size_t>(count);
    }
    return (falls & ~begins) == 0;
}

bool ascend(const std::byte* at, Body counts) noexcept {
    bool good = true;
    for (const auto count : counts) {
        const auto n = std::to_integer<std::size_t>(count);
        for (std::size_t i = 1; i < n; ++i) good &= at[i] > at[i - 1];
        at += n;
    }
    return good;
}

std::uint64_t check_buckets(Body body, std::size_t page_size) noexcept {
    const std::size_t buckets = buckets_of(page_size);
    if (page_size > small_page || body.size() <= buckets) return 0;
    const auto counts = body.first(buckets);
    std::size_t n = 0;
    for (const auto count : counts) n += std::to_integer<std::size_t>(count);
    if (n == 0 || body.size() != buckets + 2 * n) return 0;
    const auto at = body.subspan(buckets, n);
    bool good = n <= window ? few_ascend(at.data(), counts, n) : ascend(at.data(), counts);
    // Only the last bucket may be cut by the page's end.
    if (counts.back() != std::byte{0}) {
        const auto last = std::to_integer<std::size_t>(at.back());
        good &= (buckets - 1) * bucket_size + last < page_size;
    }
    return good ? n : 0;
}

template <class Position>
std::uint64_t check_runs(Body body, std::size_t page_size) noexcept {
    base::ByteReader reader(body);
    const auto runs = reader.varint();
    if (reader.failed() || runs == 0 || runs > reader.left() / (2 * sizeof(Position))) return 0;
    std::uint64_t n = 0, free = 0;  // The next run may begin at `free`.
    for (std::uint64_t i = 0; i < runs; ++i) {
        const std::uint64_t offset = reader.fixed<Position>();
        const std::uint64_t size = reader.fixed<Position>();
        if (offset < free || offset >= page_size || size == 0 || size > page_size - offset)
            return 0;
        n += size;
        free = offset + size + 1;
    }
    return n == reader.left() ? n : 0;
}

template <class Position>
std::uint64_t check_masks(Body body, std::size_t page_size) noexcept {
    base::ByteReader reader(body);
    const auto windows = reader.varint();
    constexpr std::size_t head = sizeof(Position) + sizeof(std::uint64_t);
    if (reader.failed() || windows == 0 || windows > reader.left() / head) return 0;
    std::uint64_t n = 0, free = 0, start = 0;  // The next window begins at `start` or behind it.
    for (std::uint64_t i = 0; i < windows; ++i) {
        const std::uint64_t offset = reader.fixed<Position>();
        const auto mask = reader.fixed<std::uint64_t>();
        if (mask == 0 || offset < start || offset >= page_size) return 0;
        if (last_bit(mask) >= page_size - offset || offset + first_bit(mask) < free) return 0;
        n += static_cast<std::uint64_t>(std::popcount(mask));
        free = offset + last_bit(mask) + 1;
        start = offset + 1;
    }
    return n == reader.left() ? n : 0;
}

// ---- visit: checked bytes -----------------------------------------------------------------------

template <class Position, class Sink>
void visit_offsets(Body body, Sink& sink) {
    const std::size_t n = body.size() / (sizeof(Position) + 1);
    const std::byte* const values = body.data() + n * sizeof(Position);
    for (std::size_t i = 0; i < n; ++i) {
        sink.one(load<Position>(body.data() + i * sizeof(Position)), values + i);
    }
}

// Of few changed bytes in few buckets: no branch depends on how they are spread. Each bucket's
// number is written from where it begins, and the next one's over what is too much.
// REQUIRES n <= most.
template <std::size_t most, class Sink>
void visit_few(const std::byte* at, Body counts, std::size_t n, Sink& sink) {
    std::array<std::uint8_t, 2 * most> bucket_of;
    std::size_t begin = 0;
    for (std::size_t b = 0; b != counts.size(); ++b) {
        std::memset(bucket_of.data() + begin, static_cast<int>(b), most);
        begin += std::to_integer<std::size_t>(counts[b]);
    }
    for (std::size_t i = 0; i != n; ++i)
        sink.one(bucket_of[i] * bucket_size + std::to_integer<std::size_t>(at[i]), at + n + i);
}

template <class Sink>
void visit_buckets(Body body, std::size_t page_size, Sink& sink) {
    const std::size_t buckets = buckets_of(page_size);
    const std::size_t n = (body.size() - buckets) / 2;
    const std::byte* at = body.data() + buckets;
    constexpr std::size_t few_buckets = 16;
    constexpr std::size_t very_few = 16;
    if (buckets <= few_buckets) {
        const auto counts = body.first(buckets);
        if (n <= very_few) return visit_few<very_few>(at, counts, n, sink);
        if (n <= window) return visit_few<window>(at, counts, n, sink);
    }
    for (std::size_t b = 0; b < buckets; ++b) {
        for (auto left = std::to_integer<unsigned>(body[b]); left != 0; --left, ++at) {
            sink.one(b * bucket_size + std::to_integer<std::size_t>(*at), at + n);
        }
    }
}

template <class Position, class Sink>
void visit_runs(Body body, Sink& sink) {
    base::ByteReader reader(body);
    const auto runs = reader.varint();
    const std::byte* at = body.data() + reader.position();
    const std::byte* values = at + runs * 2 * sizeof(Position);
    for (std::uint64_t i = 0; i < runs; ++i, at += 2 * sizeof(Position)) {
        const std::size_t size = load<Position>(at + sizeof(Position));
        sink.many(load<Position>(at), {values, size});
        values += size;
    }
}

template <class Position, class Sink>
void visit_masks(Body body, Sink& sink) {
    base::ByteReader reader(body);
    const auto windows = reader.varint();
    const std::byte* at = body.data() + reader.position();
    constexpr std::size_t head = sizeof(Position) + sizeof(std::uint64_t);
    const std::byte* values = at + windows * head;
    for (std::uint64_t i = 0; i < windows; ++i, at += head) {
        const std::size_t offset = load<Position>(at);
        auto mask = load<std::uint64_t>(at + sizeof(Position));
        if (mask == ~std::uint64_t{0}) {
            sink.many(offset, {values, window});
            values += window;
            continue;
        }
        for (; mask != 0; mask &= mask - 1) sink.one(offset + first_bit(mask), values++);
    }
}

/// Gives every changed byte to `sink`, in the page's order: one(offset, pointer to the value), or
/// many(offset, values).
template <class Sink>
void visit(std::span<const std::byte> encoded, std::size_t page_size, Sink& sink) {
    const auto first = std::to_integer<unsigned>(encoded[0]);
    const Body body = encoded.subspan(1);
    const auto encoding = static_cast<Encoding>(first & 0x0FU);
    if (first == 0) return visit_buckets(body, page_size, sink);
    if (encoding == Encoding::whole) return sink.many(0, body);
    with_position(page_size, [&](auto position) {
        using Position = decltype(position);
        if (encoding == Encoding::offsets) return visit_offsets<Position>(body, sink);
        if (encoding == Encoding::runs) return visit_runs<Position>(body, sink);
        visit_masks<Position>(body, sink);
    });
}

struct PageSink {
    std::byte* page;
    void one(std::size_t offset, const std::byte* value) noexcept { page[offset] = *value; }
    void many(std::size_t offset, std::span<const std::byte> values) noexcept {
        std::memcpy(page + offset, values.data(), values.size());
    }
};

#if defined(MMSB_THREAD_SANITIZER)
struct SharedSink {
    std::byte* page;
    void one(std::size_t offset, const std::byte* value) noexcept {
        std::atomic_ref<std::byte>(page[offset]).store(*value, std::memory_order_relaxed);
    }
    void many(std::size_t offset, std::span<const std::byte> values) noexcept {
        for (const auto& value : values) one(offset++, &value);
    }
};
#else
using SharedSink = PageSink;
#endif

struct PrefetchSink {
    const std::byte* page;
    void one(std::size_t offset, const std::byte*) noexcept {
        __builtin_prefetch(page + offset, 1);
    }
    void many(std::size_t offset, std::span<const std::byte>) noexcept {
        __builtin_prefetch(page + offset, 1);  // the processor foresees the rest
    }
};

struct PartSink {
    std::size_t offset;
    std::span<std::byte> part;
    void one(std::size_t at, const std::byte* value) noexcept {
        // A place before the part wraps round to a large number.
        if (at - offset < part.size()) part[at - offset] = *value;
    }
    void many(std::size_t at, std::span<const std::byte> values) noexcept {
        const auto begin = std::max(at, offset);
        const auto end = std::min(at + values.size(), offset + part.size());
        if (begin >= end) return;
        std::memcpy(part.data() + (begin - offset), values.data() + (begin - at), end - begin);
    }
};

struct RunSink {
    FunctionRef<void(std::size_t, std::span<const std::byte>)> fn;
    std::size_t begin = 0, size = 0;
    const std::byte* values = nullptr;

    void one(std::size_t offset, const std::byte* value) { many(offset, {value, 1}); }
    void many(std::size_t offset, std::span<const std::byte> more) {
        if (size != 0 && offset == begin + size) {
            size += more.size();
            return;
        }
        flush();
        begin = offset;
        size = more.size();
        values = more.data();
    }
    void flush() {
        if (size != 0) fn(begin, {values, size});
    }
};

}  // namespace

std::optional<Summary> check(std::span<const std::byte> encoded, std::size_t page_size) noexcept {
    if (encoded.size() < 2) return std::nullopt;
    const auto first = std::to_integer<unsigned>(encoded[0]);
    const Body body = encoded.subspan(1);
    const auto encoding = static_cast<Encoding>(first & 0x0FU);
    const unsigned width = first >> 4U;
    std::uint64_t n = 0;
    if (first == 0) {
        n = check_buckets(body, page_size);
    } else if (encoding == Encoding::whole) {
        n = width == 0 && body.size() == page_size ? page_size : 0;
    } else if (width == width_code(page_size) && encoding < Encoding::whole) {
        n = with_position(page_size, [&](auto position) noexcept {
            using Position = decltype(position);
            if (encoding == Encoding::offsets) return check_offsets<Position>(body, page_size);
            if (encoding == Encoding::runs) return check_runs<Position>(body, page_size);
            return check_masks<Position>(body, page_size);
        });
    }
    if (n == 0) return std::nullopt;
    return Summary{encoding, n};
}

void apply(std::span<const std::byte> encoded, std::span<std::byte> page) noexcept {
    PageSink sink{page.data()};
    visit(encoded, page.size(), sink);
}

void apply_shared(std::span<const std::byte> encoded, std::span<std::byte> page) noexcept {
    // The processor's order is the caller's business; this keeps the compiler from moving stores
    // over the caller's writes of the lock word.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    SharedSink sink{page.data()};
    visit(encoded, page.size(), sink);
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

void prefetch(std::span<const std::byte> encoded, std::span<const std::byte> page) noexcept {
    PrefetchSink sink{page.data()};
    visit(encoded, page.size(), sink);
}

void apply_part(std::span<const std::byte> encoded, std::size_t page_size, std::size_t offset,
                std::span<std::byte> part) noexcept {
    PartSink sink{offset, part};
    visit(encoded, page_size, sink);
}

void for_each_run(std::span<const std::byte> encoded, std::size_t page_size,
                  FunctionRef<void(std::size_t, std::span<const std::byte>)> fn) {
    RunSink sink{.fn = fn};
    visit(encoded, page_size, sink);
    sink.flush();
}

}  // namespace mmsb::delta
