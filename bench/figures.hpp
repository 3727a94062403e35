/// bench/figures: what many measurements of one thing come to.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace bench {

/// The value below which `at` of them lie, 0..1; 0 of none.
inline double quantile(std::vector<double> v, double at) {
    std::ranges::sort(v);
    return v.empty() ? 0 : v[static_cast<std::size_t>(at * static_cast<double>(v.size() - 1))];
}
inline double median(const std::vector<double>& v) { return quantile(v, 0.5); }

}  // namespace bench
