#include "delta/compare.hpp"

#include "delta/windows.hpp"

#include <bit>
#include <cstring>

// As in gather.cpp: what is chosen at run time is chosen for all.
#define HWY_WANT_AVX3_DL
// This file is compiled once for each instruction set: foreach_target.h includes it again.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "delta/compare.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace mmsb::delta::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// No function of the standard library is called in here: its inline functions would be compiled for
// one instruction set and might be linked for all.

HWY_INLINE std::uint64_t window_mask(const std::byte* before, const std::byte* after) {
    const HWY_CAPPED(std::uint8_t, window) lanes;
    const std::size_t step = hn::Lanes(lanes);
    const auto* const a = reinterpret_cast<const std::uint8_t*>(before);
    const auto* const b = reinterpret_cast<const std::uint8_t*>(after);
    std::uint64_t mask = 0;
    for (std::size_t i = 0; i < window; i += step) {
        const auto differs = hn::Ne(hn::LoadU(lanes, a + i), hn::LoadU(lanes, b + i));
        std::uint64_t bits = 0;
        hn::StoreMaskBits(lanes, differs, reinterpret_cast<std::uint8_t*>(&bits));
        mask |= bits << i;
    }
    return mask;
}

// Copied to where a whole window can be read; the padding is equal.
HWY_INLINE std::uint64_t tail_mask(const std::byte* before, const std::byte* after,
                                   std::size_t size) {
    alignas(window) std::byte a[window] = {};
    alignas(window) std::byte b[window] = {};
    std::memcpy(a, before, size);
    std::memcpy(b, after, size);
    return window_mask(a, b);
}

std::uint64_t compare(const std::byte* before, const std::byte* after, std::size_t size,
                      std::uint64_t* masks) {
    std::uint64_t changed = 0;
    std::size_t i = 0;
    for (; i + window <= size; i += window) {
        const auto mask = window_mask(before + i, after + i);
        *masks++ = mask;
        changed += hwy::PopCount(mask);
    }
    if (i < size) {
        *masks = tail_mask(before + i, after + i, size - i);
        changed += hwy::PopCount(*masks);
    }
    return changed;
}

// A window is written in any case and kept only if it is not empty: no branch to mispredict.
struct Collector {
    Window* out;
    std::uint64_t changed, runs, carry;

    HWY_INLINE void add(std::size_t offset, std::uint64_t mask, const std::byte* after) {
        out->offset = offset;
        out->mask = mask;
        out->after = after;
        out += mask != 0 ? 1 : 0;
        changed += hwy::PopCount(mask);
        runs += hwy::PopCount(mask & ~(mask << 1U | carry));
        carry = mask >> (window - 1);
    }
};

// How far the two are the same, in whole blocks.
constexpr std::size_t block = 4 * window;
HWY_INLINE std::size_t same_blocks(const std::byte* before, const std::byte* after,
                                   std::size_t size) {
    const HWY_CAPPED(std::uint8_t, window) lanes;
    const std::size_t step = hn::Lanes(lanes);
    const auto* const a = reinterpret_cast<const std::uint8_t*>(before);
    const auto* const b = reinterpret_cast<const std::uint8_t*>(after);
    std::size_t same = 0;
    for (; same + block <= size; same += block) {
        auto differs = hn::Zero(lanes);
        for (std::size_t i = same; i < same + block; i += step)
            differs = hn::Or(differs, hn::Xor(hn::LoadU(lanes, a + i), hn::LoadU(lanes, b + i)));
        if (!hn::AllTrue(lanes, hn::Eq(differs, hn::Zero(lanes)))) break;
    }
    return same;
}

template <bool passes_over>
HWY_INLINE std::size_t collect_windows(const std::byte* before, const std::byte* after,
                                       std::size_t size, std::size_t offset, Window* out,
                                       Tally& tally) {
    Collector collector{out, tally.changed, tally.runs, tally.open_end == offset ? 1U : 0U};
    std::size_t i = 0;
    for (; i + window <= size; i += window) {
        if constexpr (passes_over) {
            if (i % block == 0) {
                const auto same = same_blocks(before + i, after + i, size - i);
                if (same != 0) collector.carry = 0;
                i += same;
                if (i + window > size) break;
            }
        }
        collector.add(offset + i, window_mask(before + i, after + i), after + i);
    }
    if (i < size) {
        const auto mask = tail_mask(before + i, after + i, size - i);
        collector.add(offset + i, mask, after + i);
        collector.carry = mask >> (size - i - 1);
    }
    const auto count = static_cast<std::size_t>(collector.out - out);
    tally.changed = collector.changed;
    tally.runs = collector.runs;
    tally.windows += count;
    tally.open_end = collector.carry != 0 ? offset + size : ~std::size_t{0};
    return count;
}

std::size_t collect(const std::byte* before, const std::byte* after, std::size_t size,
                    std::size_t offset, Window* out, Tally& tally) {
    return collect_windows<false>(before, after, size, offset, out, tally);
}

std::size_t collect_few(const std::byte* before, const std::byte* after, std::size_t size,
                        std::size_t offset, Window* out, Tally& tally) {
    return collect_windows<true>(before, after, size, offset, out, tally);
}

std::int64_t target() { return HWY_TARGET; }

}  // namespace mmsb::delta::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "delta/dispatch.hpp"

namespace mmsb::delta {

namespace {
constexpr auto compares = MMSB_VARIANTS(compare);
constexpr auto collects = MMSB_VARIANTS(collect);
constexpr auto collects_few = MMSB_VARIANTS(collect_few);
constexpr auto targets_that_run = MMSB_VARIANTS(target);
}  // namespace

std::uint64_t compare(const std::byte* before, const std::byte* after, std::size_t size,
                      std::uint64_t* masks) noexcept {
    return best_of(compares)(before, after, size, masks);
}

std::size_t collect(const Part& part, Expect expect, Window* out, Tally& tally) noexcept {
    if (part.after.empty()) return 0;
    const auto& variants = expect == Expect::few ? collects_few : collects;
    return best_of(variants)(part.before.data(), part.after.data(), part.after.size(), part.offset,
                             out, tally);
}

std::int64_t compare_target() noexcept { return best_of(targets_that_run)(); }

std::uint64_t compare_scalar(const std::byte* before, const std::byte* after, std::size_t size,
                             std::uint64_t* masks) noexcept {
    std::uint64_t changed = 0;
    for (std::size_t begin = 0; begin < size; begin += window) {
        std::uint64_t mask = 0;
        for (std::size_t i = 0; i < window && begin + i < size; ++i) {
            if (before[begin + i] != after[begin + i]) mask |= std::uint64_t{1} << i;
        }
        masks[begin / window] = mask;
        changed += static_cast<std::uint64_t>(std::popcount(mask));
    }
    return changed;
}

bool equal(const std::byte* a, const std::byte* b, std::size_t size) noexcept {
    return size == 0 || std::memcmp(a, b, size) == 0;
}

}  // namespace mmsb::delta
#endif
