/// delta/dispatch: which of a function's variants, one for each instruction set that Highway
/// compiles it for, runs on this machine. Internal to the room; tests and benchmarks choose others.
///
/// HWY_DYNAMIC_DISPATCH would do, but for what it needs libhwy for: as long as it is loaded, which
/// measures a timer, a process starts three milliseconds later. So Highway is headers only here.
///
/// Included behind <hwy/highway.h>, once (HWY_ONCE). Threads: any.
#pragma once

#include <hwy/highway.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mmsb::delta {

/// Highway's bits of those that functions are compiled for and that this processor has, the best
/// one first; other architectures than x86 have none but Highway's static one.
[[nodiscard]] std::int64_t supported_targets() noexcept;
/// From now on only the best one of these runs; of none: what every processor has.
void use_targets(std::int64_t targets) noexcept;

/// As Highway calls it; of none "baseline".
[[nodiscard]] std::string_view name_of_target(std::int64_t target) noexcept;

/// Of these a table of variants is made, and of what every processor has.
inline constexpr std::array<std::int64_t, 5> targets{HWY_AVX3_DL, HWY_AVX3, HWY_AVX2, HWY_SSE4,
                                                     HWY_SSSE3};
template <class Function>
using Variants = std::array<Function*, targets.size() + 1>;

inline constexpr std::uint8_t unknown_variant = 255;
inline constinit std::atomic<std::uint8_t> best_variant{unknown_variant};
[[nodiscard]] std::uint8_t find_best_variant() noexcept;

/// The one to call.
template <class Function>
[[nodiscard]] Function& best_of(const Variants<Function>& variants) noexcept {
    auto best = best_variant.load(std::memory_order_relaxed);
    if (best == unknown_variant) best = find_best_variant();
    return *variants[best];
}

/// A table of `function`, which HWY_NAMESPACE has; for best_of().
#define MMSB_VARIANTS(function)                                                                  \
    mmsb::delta::Variants<decltype(HWY_STATIC_DISPATCH(function))> {                             \
        HWY_CHOOSE_AVX3_DL(function), HWY_CHOOSE_AVX3(function), HWY_CHOOSE_AVX2(function),      \
            HWY_CHOOSE_SSE4(function), HWY_CHOOSE_SSSE3(function), HWY_CHOOSE_FALLBACK(function) \
    }

}  // namespace mmsb::delta
