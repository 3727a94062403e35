// Finding and encoding changed bytes with each instruction set that the machine has, by the size of
// the page.
#include "curves/curve.hpp"

#include "delta/codec.hpp"
#include "delta/compare.hpp"
#include "delta/dispatch.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string_view>

namespace bench {

namespace {

struct Target {
    std::string_view name;
    std::int64_t bit;
};
std::string_view name_of(std::int64_t bit) {
    switch (bit) {
        case HWY_AVX3_DL:
            return "AVX-512 of Ice Lake and later";
        case HWY_AVX3:
            return "AVX-512";
        case 0:
            return "baseline x86-64, a byte at a time";
        default:
            return mmsb::delta::name_of_target(bit);
    }
}
std::vector<Target> targets() {
    std::vector<Target> all;
    for (const auto bit : mmsb::delta::targets)
        if ((mmsb::delta::supported_targets() & bit) != 0) all.push_back({name_of(bit), bit});
    all.push_back({name_of(0), 0});
    return all;
}

// One byte in a hundred differs; one at least.
struct Pair {
    explicit Pair(std::size_t size) : contents(1, size) {
        const auto page = contents.page(0);
        before.assign(page.begin(), page.end());
        contents.scatter(0, std::max<std::size_t>(size / 100, 1));
    }
    std::span<const std::byte> after() { return contents.page(0); }
    Contents contents;
    std::vector<std::byte> before{};
};

// Where the answer goes, so that it is worth computing.
volatile std::uint64_t seen = 0;

using Measure = std::function<double(std::size_t size, std::size_t times)>;
Series along_sizes(std::string_view name, bool floor, const CurveOptions& options,
                   const Measure& measure) {
    Series series{std::string(name), floor};
    const std::size_t most = options.quick ? 4096 : 1U << 20U;
    for (std::size_t size = 64; size <= most; size *= 4) {
        const auto times = std::clamp<std::size_t>((options.quick ? 4U << 20U : 256U << 20U) / size,
                                                   100, options.quick ? 10'000 : 1'000'000);
        series.points.emplace_back(size, measure(size, times));
    }
    return series;
}

using Compare = std::uint64_t (*)(const std::byte*, const std::byte*, std::size_t, std::uint64_t*);
Measure find_with(Compare compare) {
    return [=](std::size_t size, std::size_t times) {
        Pair pair(size);
        std::vector<std::uint64_t> masks((size + 63) / 64), twin(masks.size());
        mmsb::delta::compare_scalar(pair.before.data(), pair.after().data(), size, twin.data());
        compare(pair.before.data(), pair.after().data(), size, masks.data());
        if (masks != twin) throw std::runtime_error("compare is wrong");
        return each_ns(times, [&] {
            seen = compare(pair.before.data(), pair.after().data(), size, masks.data());
        });
    };
}

Measure memcmp_of_equal() {
    return [](std::size_t size, std::size_t times) {
        const std::vector<std::byte> a(size, std::byte{1}), b(size, std::byte{1});
        return each_ns(times, [&] {
            seen = static_cast<std::uint64_t>(std::memcmp(a.data(), b.data(), size));
        });
    };
}

Measure encode_with() {
    return [](std::size_t size, std::size_t times) {
        Pair pair(size);
        std::vector<std::byte> out;
        const mmsb::delta::Part part{0, pair.before, pair.after()};
        const auto ns = each_ns(times, [&] {
            out.clear();
            seen = mmsb::delta::encode({&part, 1}, size, out);
        });
        auto page = pair.before;
        mmsb::delta::apply(out, page);
        if (!std::ranges::equal(page, pair.after())) throw std::runtime_error("encode is wrong");
        return ns;
    };
}

}  // namespace

Curve by_target_find(const CurveOptions& options) {
    Curve curve{.name = "targets-find",
                .title = "Finding the changed bytes, one in a hundred, by instruction set",
                .x = "bytes of the page",
                .y = "ns"};
    for (const auto& [name, bit] : targets()) {
        mmsb::delta::use_targets(bit);
        curve.series.push_back(along_sizes(name, false, options, find_with(mmsb::delta::compare)));
    }
    mmsb::delta::use_targets(mmsb::delta::supported_targets());
    curve.series.push_back(
        along_sizes("plain twin", false, options, find_with(mmsb::delta::compare_scalar)));
    curve.series.push_back(along_sizes("memcmp of equal pages", true, options, memcmp_of_equal()));
    return curve;
}

Curve by_target_encode(const CurveOptions& options) {
    Curve curve{.name = "targets-encode",
                .title = "Finding and encoding them, by instruction set",
                .x = "bytes of the page",
                .y = "ns"};
    for (const auto& [name, bit] : targets()) {
        mmsb::delta::use_targets(bit);
        curve.series.push_back(along_sizes(name, false, options, encode_with()));
    }
    mmsb::delta::use_targets(mmsb::delta::supported_targets());
    return curve;
}

}  // namespace bench
