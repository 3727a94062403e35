/// Workload W: 10,000 pages of 1,024 bytes, all random at the start; 1,000,000 updates by one
/// thread. Each picks a page uniformly and changes it: sparse: 10 bytes at random offsets get
/// another value; dense: every byte changes. The engine gets the page's new 1,024 bytes and has to
/// keep them.
///
/// Making the bytes is part of every figure, the same for all engines, from the same seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bench {

inline constexpr std::size_t page_size = 1024;
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

/// The plain model: what every engine must hold at the end.
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

/// One way to keep pages. One file per engine.
class Engine {
public:
    virtual ~Engine() = default;
    [[nodiscard]] virtual std::string name() const = 0;
    [[nodiscard]] virtual std::string survives()
        const = 0;  ///< What an acknowledged update survives.
    virtual void load(Model& model) = 0;
    /// Keeps the page's new bytes.
    virtual void update(std::size_t page, std::span<const std::byte> bytes) = 0;
    virtual void finish() {}
    [[nodiscard]] virtual std::vector<std::byte> read(std::size_t page) = 0;
    /// Log or file bytes an update has cost so far; 0: it keeps none.
    [[nodiscard]] virtual std::uint64_t log_bytes() { return 0; }
};

std::unique_ptr<Engine> copy_floor();
std::unique_ptr<Engine> append_floor();
std::unique_ptr<Engine> lmdb_engine(const std::string& folder, int updates_a_commit);
std::unique_ptr<Engine> mmsb_private();
std::unique_ptr<Engine> mmsb_without_log();
std::unique_ptr<Engine> mmsb_with_path(const std::string& folder);
/// With Config::enable_instrumentation: what the timing costs.
std::unique_ptr<Engine> mmsb_timed(const std::string& folder);
std::unique_ptr<Engine> mmsb_transactions(const std::string& folder, int updates_a_commit);

}  // namespace bench
