/// tests/support/sanitizers: is this a build with a sanitizer? There a program is five to twenty
/// times slower, so tests that go through a great number of cases take a sample of them.
#pragma once

#include <cstddef>

namespace mmsb::test {

#if defined(__has_feature)  // clang, which does not define gcc's macros
inline constexpr bool address_sanitized = __has_feature(address_sanitizer);
inline constexpr bool thread_sanitized = __has_feature(thread_sanitizer);
#else
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool address_sanitized = true;
#else
inline constexpr bool address_sanitized = false;
#endif
#if defined(__SANITIZE_THREAD__)
inline constexpr bool thread_sanitized = true;
#else
inline constexpr bool thread_sanitized = false;
#endif
#endif
inline constexpr bool sanitized = address_sanitized || thread_sanitized;

/// `plain`, or as many as a sanitizer has time for.
template <class N>
[[nodiscard]] constexpr N cases(N plain, N with_sanitizer) {
    return sanitized ? with_sanitizer : plain;
}

}  // namespace mmsb::test
