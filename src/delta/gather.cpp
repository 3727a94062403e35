#include "delta/layout.hpp"
#include "delta/windows.hpp"

// The byte-wise compression of VBMI2: Highway builds for it only where it is asked to.
#define HWY_WANT_AVX3_DL
// This file is compiled once for each instruction set: foreach_target.h includes it again.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "delta/gather.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace mmsb::delta::HWY_NAMESPACE {

// No function of the standard library is called in here: see compare.cpp.

// Each moves `to` behind what it has written, and writes nothing beyond.
#if HWY_TARGET == HWY_AVX3_DL
// (Highway's CompressStore knows no lanes of one byte. No branch to mispredict: a loop over the
// bits costs most of a small commit.)
struct Compressor {
    static HWY_INLINE __m512i numbers() {
        alignas(64) static constexpr unsigned char all[window] = {
            0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
            22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
            44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
        return _mm512_load_si512(all);
    }
    static HWY_INLINE void store(std::byte*& to, std::uint64_t mask, __m512i bytes) {
        const auto count = static_cast<unsigned>(hwy::PopCount(mask));
        _mm512_mask_storeu_epi8(to, _bzhi_u64(~std::uint64_t{0}, count),
                                _mm512_maskz_compress_epi8(mask, bytes));
        to += count;
    }
    static HWY_INLINE void values(const Window& w, std::byte*& to) {
        store(to, w.mask, _mm512_maskz_loadu_epi8(w.mask, w.after));
    }
    static HWY_INLINE void positions(const Window& w, std::byte*& to) {
        const auto first = _mm512_set1_epi8(static_cast<char>(w.offset % bucket_size));
        store(to, w.mask, _mm512_add_epi8(numbers(), first));
    }
};
#else
struct Compressor {
    static HWY_INLINE void values(const Window& w, std::byte*& to) {
        for (auto mask = w.mask; mask != 0; mask &= mask - 1)
            *to++ = w.after[hwy::Num0BitsBelowLS1Bit_Nonzero64(mask)];
    }
    static HWY_INLINE void positions(const Window& w, std::byte*& to) {
        for (auto mask = w.mask; mask != 0; mask &= mask - 1)
            *to++ = static_cast<std::byte>(w.offset + hwy::Num0BitsBelowLS1Bit_Nonzero64(mask));
    }
};
#endif

HWY_INLINE void add(std::byte& count, std::uint64_t mask) {
    count = static_cast<std::byte>(static_cast<std::size_t>(count) + hwy::PopCount(mask));
}

HWY_INLINE void count(const Window& w, std::byte* counts) {
    const auto bucket = w.offset / bucket_size, left = bucket_size - w.offset % bucket_size;
    if (left >= window) return add(counts[bucket], w.mask);
    // A window may begin anywhere, and so lie in two buckets.
    const auto here = w.mask & ((std::uint64_t{1} << left) - 1);
    add(counts[bucket], here);
    if (here != w.mask) add(counts[bucket + 1], w.mask ^ here);
}

std::byte* gather(const Window* windows, std::size_t n, std::byte* values) {
    for (const Window* w = windows; w != windows + n; ++w) Compressor::values(*w, values);
    return values;
}

void gather_in_buckets(const Window* windows, std::size_t n, Buckets& to) {
    auto* const counts = to.counts;
    auto *positions = to.positions, *values = to.values;
    for (const Window* w = windows; w != windows + n; ++w) {
        count(*w, counts);
        Compressor::positions(*w, positions);
        if (values != nullptr) Compressor::values(*w, values);
    }
    to.positions = positions;
    to.values = values;
}

}  // namespace mmsb::delta::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "delta/dispatch.hpp"

namespace mmsb::delta {

namespace {
constexpr auto gathers = MMSB_VARIANTS(gather);
constexpr auto gathers_in_buckets = MMSB_VARIANTS(gather_in_buckets);
}  // namespace

std::byte* gather(std::span<const Window> windows, std::byte* values) noexcept {
    return best_of(gathers)(windows.data(), windows.size(), values);
}

void gather_in_buckets(std::span<const Window> windows, Buckets& to) noexcept {
    best_of(gathers_in_buckets)(windows.data(), windows.size(), to);
}

}  // namespace mmsb::delta
#endif
