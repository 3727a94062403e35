/// bench/stores/model: pages of 1 KiB, all random at the start, and how they change; the plain
/// model that every engine's state is compared with. From the same seed each time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bench {

inline constexpr std::size_t page_size = 1024;
/// Of a change: ten bytes at random offsets get another value, or every byte does.
enum class Pattern : std::uint8_t { sparse, dense };

struct Random {
    std::uint64_t state = 88172645463325252ULL;
    std::uint64_t operator()() noexcept {  // xorshift64 (Marsaglia, 2003)
        state ^= state << 13U;
        state ^= state >> 7U;
        state ^= state << 17U;
        return state;
    }
};

class Model {
public:
    explicit Model(std::size_t pages) : bytes_(pages * page_size) {
        for (std::size_t i = 0; i < bytes_.size(); i += 8) {
            const auto r = random_();
            for (std::size_t k = 0; k < 8; ++k)
                bytes_[i + k] = static_cast<std::byte>(r >> (8 * k));
        }
    }
    [[nodiscard]] std::size_t pages() const noexcept { return bytes_.size() / page_size; }
    [[nodiscard]] std::span<std::byte> page(std::size_t n) noexcept {
        return std::span(bytes_).subspan(n * page_size, page_size);
    }
    /// All pages, in order.
    [[nodiscard]] const std::vector<std::byte>& bytes() const noexcept { return bytes_; }
    /// Changes a page and returns its number.
    std::size_t step(Pattern pattern) noexcept {
        const auto n = random_() % pages();
        const auto bytes = page(n);
        if (pattern == Pattern::sparse) {
            for (int i = 0; i < 10; ++i) {
                const auto r = random_();
                bytes[r % page_size] ^= static_cast<std::byte>(1 + (r >> 32U) % 255);
            }
        } else {
            const auto r = random_();
            const auto change = static_cast<std::byte>(1 + r % 255);
            for (auto& b : bytes) b ^= change;
        }
        return n;
    }

private:
    Random random_{};
    std::vector<std::byte> bytes_;
};

}  // namespace bench
