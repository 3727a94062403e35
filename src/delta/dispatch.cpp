// Some newer instruction sets are left out by Highway unless they are asked for; as where the
// functions are.
#define HWY_WANT_AVX3_DL
#include "delta/dispatch.hpp"

#include <bit>

namespace mmsb::delta {

namespace {

#if HWY_ARCH_X86
// What Highway tells the compiler to use (HWY_TARGET_STR), as it says the processor must have it.
std::int64_t of_processor() noexcept {
    __builtin_cpu_init();  // a static object may commit something before others are made
    const auto all = [](auto... has) { return (... && (has != 0)); };
    std::int64_t found = 0;
    if (!all(__builtin_cpu_supports("ssse3"))) return found;
    found |= HWY_SSSE3;
    if (!all(__builtin_cpu_supports("sse4.1"), __builtin_cpu_supports("sse4.2"),
             __builtin_cpu_supports("pclmul"), __builtin_cpu_supports("aes")))
        return found;
    found |= HWY_SSE4;
    if (!all(__builtin_cpu_supports("avx"), __builtin_cpu_supports("avx2"),
             __builtin_cpu_supports("lzcnt"), __builtin_cpu_supports("bmi"),
             __builtin_cpu_supports("bmi2"), __builtin_cpu_supports("fma"),
             __builtin_cpu_supports("f16c")))
        return found;
    found |= HWY_AVX2;
    if (!all(__builtin_cpu_supports("avx512f"), __builtin_cpu_supports("avx512cd"),
             __builtin_cpu_supports("avx512vl"), __builtin_cpu_supports("avx512dq"),
             __builtin_cpu_supports("avx512bw")))
        return found;
    found |= HWY_AVX3;
    if (!all(__builtin_cpu_supports("avx512vnni"), __builtin_cpu_supports("avx512vbmi"),
             __builtin_cpu_supports("avx512vbmi2"), __builtin_cpu_supports("avx512bitalg"),
             __builtin_cpu_supports("avx512vpopcntdq"), __builtin_cpu_supports("vpclmulqdq"),
             __builtin_cpu_supports("vaes"), __builtin_cpu_supports("gfni")))
        return found;
    return found | HWY_AVX3_DL;
}
#else
std::int64_t of_processor() noexcept { return 0; }
#endif

std::uint8_t best_among(std::int64_t these) noexcept {
    std::uint8_t best = 0;
    while (best != targets.size() && (targets[best] & these) == 0) ++best;
    return best;
}

}  // namespace

std::int64_t supported_targets() noexcept {
    std::int64_t compiled = 0;
    for (const auto target : targets) compiled |= target & static_cast<std::int64_t>(HWY_TARGETS);
    return of_processor() & compiled;
}

void use_targets(std::int64_t these) noexcept {
    best_variant.store(best_among(these & supported_targets()), std::memory_order_relaxed);
}

std::string_view name_of_target(std::int64_t target) noexcept {
    switch (target) {
        case HWY_AVX3_DL:
            return "AVX3_DL";
        case HWY_AVX3:
            return "AVX3";
        case HWY_AVX2:
            return "AVX2";
        case HWY_SSE4:
            return "SSE4";
        case HWY_SSSE3:
            return "SSSE3";
        default:
            return "baseline";
    }
}

std::uint8_t find_best_variant() noexcept {
    use_targets(~std::int64_t{0});
    return best_variant.load(std::memory_order_relaxed);
}

}  // namespace mmsb::delta
