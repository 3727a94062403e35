/// Words that the fuzz targets share: a check that stops the fuzzer, and input taken piece by
/// piece.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

#define FUZZ_CHECK(expression) \
    (static_cast<bool>(expression) ? void(0) : ::mmsb::fuzz::found(#expression, __FILE__, __LINE__))

namespace mmsb::fuzz {

[[noreturn]] inline void found(const char* expression, const char* file, int line) {
    std::fprintf(stderr, "%s:%d: not so: %s\n", file, line, expression);
    std::abort();
}

/// Takes values off the front of the input; zeros where it has ended.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : in_(std::as_bytes(std::span(data, size))) {}
    template <class T>
    T take() {
        T value{};
        const auto n = std::min(sizeof value, in_.size());
        if (n > 0) std::memcpy(&value, in_.data(), n);
        in_ = in_.subspan(n);
        return value;
    }
    std::span<const std::byte> bytes(std::size_t n) {
        const auto front = in_.first(std::min(n, in_.size()));
        in_ = in_.subspan(front.size());
        return front;
    }
    std::span<const std::byte> rest() { return bytes(in_.size()); }
    [[nodiscard]] bool empty() const { return in_.empty(); }

private:
    std::span<const std::byte> in_;
};

}  // namespace mmsb::fuzz
