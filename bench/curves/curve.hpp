/// bench/curves/curve: how a cost grows with one quantity, others fixed; a floor beside it.
///
/// A straight line where it should be flat says where to work.
#pragma once

#include "stores/model.hpp"

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// One line of a plot.
struct Series {
    std::string name{};
    bool floor = false;  ///< What nobody can be quicker than.
    std::vector<std::pair<double, double>> points{};
};
/// One plot; both axes are logarithmic.
struct Curve {
    std::string name{}, title{};
    std::string x{}, y{};  ///< What the axes say.
    std::vector<Series> series{};
};

struct CurveOptions {
    bool quick = false;                ///< In miniature: short lines of few points.
    std::size_t longest = 10'000'000;  ///< Commits in the longest history.
    std::string folder{};
};

// Each measures every point once, and throws std::runtime_error where a page does not hold what it
// has to.
Curve by_pages(const CurveOptions& options);
Curve by_page_size(const CurveOptions& options);
Curve by_change(const CurveOptions& options);
Curve by_writers(const CurveOptions& options);
Curve by_history(const CurveOptions& options);
Curve by_target_find(const CurveOptions& options);
Curve by_target_encode(const CurveOptions& options);

// ---- what they share ----

/// Pages of any size, and their changes: the model.
class Contents {
public:
    Contents(std::size_t pages, std::size_t size) : bytes_(pages * size), size_(size) {
        for (auto& b : bytes_) b = static_cast<std::byte>(random_());
    }
    [[nodiscard]] std::size_t pages() const noexcept { return bytes_.size() / size_; }
    [[nodiscard]] std::size_t any() noexcept { return random_() % pages(); }
    [[nodiscard]] std::span<std::byte> page(std::size_t n) noexcept {
        return std::span(bytes_).subspan(n * size_, size_);
    }
    /// So many bytes at random offsets get another value; some may be drawn twice.
    void scatter(std::size_t n, std::size_t bytes) noexcept {
        for (std::size_t i = 0; i < bytes; ++i) {
            const auto r = random_();
            page(n)[r % size_] ^= static_cast<std::byte>(1 + (r >> 40U) % 255);
        }
    }
    /// So many bytes in a row, and where they begin.
    std::size_t run(std::size_t n, std::size_t bytes) noexcept {
        const auto at = random_() % (size_ - bytes + 1);
        const auto change = static_cast<std::byte>(1 + random_() % 255);
        for (auto& b : page(n).subspan(at, bytes)) b ^= change;
        return at;
    }

private:
    Random random_{};
    std::vector<std::byte> bytes_;
    std::size_t size_;
};

/// Nanoseconds that each of `times` calls takes, after some that warm what they use.
template <class F>
double each_ns(std::size_t times, F&& call) {
    for (std::size_t i = 0; i < times / 20 + 1; ++i) call();
    const auto began = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < times; ++i) call();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - began;
    return took.count() / static_cast<double>(times);
}

}  // namespace bench
