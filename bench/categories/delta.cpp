// delta: finding what differs, encoding it, applying it, in bytes of page a second, beside what
// the C library needs to compare and to copy the same bytes.
#include "delta/codec.hpp"
#include "delta/compare.hpp"
#include "stores/model.hpp"

#include <benchmark/benchmark.h>
#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace {

using bench::Pattern;

// A page before and after: one byte in a hundred changes, or every byte does.
struct Pages {
    Pages(std::size_t size, Pattern pattern) : before(size), after(size) {
        bench::Random random;
        for (auto& b : before) b = static_cast<std::byte>(random());
        after = before;
        if (pattern == Pattern::dense)
            for (auto& b : after) b ^= std::byte{0x55};
        else
            for (std::size_t i = 0; i < std::max<std::size_t>(size / 100, 1); ++i)
                after[random() % size] ^= static_cast<std::byte>(1 + random() % 255);
    }
    mmsb::Bytes before, after;
};

void of_page(benchmark::State& state, const Pages& pages) {
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(pages.before.size()));
}

Pages pages_of(const benchmark::State& state, Pattern pattern) {
    return {static_cast<std::size_t>(state.range(0)), pattern};
}

void memcmp_same(benchmark::State& state) {
    auto pages = pages_of(state, Pattern::sparse);
    pages.after = pages.before;
    for (auto _ : state) {
        benchmark::DoNotOptimize(pages.after.data());
        benchmark::DoNotOptimize(
            std::memcmp(pages.before.data(), pages.after.data(), pages.before.size()));
    }
    of_page(state, pages);
}

void memcpy_page(benchmark::State& state) {
    auto pages = pages_of(state, Pattern::sparse);
    for (auto _ : state) {
        std::memcpy(pages.after.data(), pages.before.data(), pages.before.size());
        benchmark::ClobberMemory();
    }
    of_page(state, pages);
}

void compare(benchmark::State& state, Pattern pattern) {
    const auto pages = pages_of(state, pattern);
    const auto size = pages.before.size();
    std::vector<std::uint64_t> masks((size + 63) / 64), twin(masks.size());
    const auto find = [&] {
        return mmsb::delta::compare(pages.before.data(), pages.after.data(), size, masks.data());
    };
    const auto changed =
        mmsb::delta::compare_scalar(pages.before.data(), pages.after.data(), size, twin.data());
    if (find() != changed || masks != twin) throw std::runtime_error("compare is wrong");
    for (auto _ : state) benchmark::DoNotOptimize(find());
    of_page(state, pages);
}

void encode(benchmark::State& state, Pattern pattern) {
    const auto pages = pages_of(state, pattern);
    const mmsb::delta::Part part{0, pages.before, pages.after};
    mmsb::Bytes out;
    const auto find = [&] {
        out.clear();
        return mmsb::delta::encode({&part, 1}, pages.before.size(), out);
    };
    find();
    auto page = pages.before;
    mmsb::delta::apply(out, page);
    if (page != pages.after) throw std::runtime_error("encode is wrong");
    for (auto _ : state) benchmark::DoNotOptimize(find());
    of_page(state, pages);
    state.counters["encoded_bytes"] = static_cast<double>(out.size());
}

void apply(benchmark::State& state, Pattern pattern) {
    const auto pages = pages_of(state, pattern);
    const auto delta = mmsb::diff(pages.before, pages.after);
    auto page = pages.before;
    delta.apply_to(page);
    if (page != pages.after) throw std::runtime_error("apply is wrong");
    for (auto _ : state) {
        delta.apply_to(page);
        benchmark::ClobberMemory();
    }
    of_page(state, pages);
}

void sizes(benchmark::internal::Benchmark* b) {
    for (const std::int64_t size :
         {64LL, 1LL << 10U, 4LL << 10U, 64LL << 10U, 1LL << 20U, 64LL << 20U})
        b->Arg(size);
}

BENCHMARK(memcmp_same)->Name("delta/memcmp")->Apply(sizes);
BENCHMARK(memcpy_page)->Name("delta/memcpy")->Apply(sizes);
BENCHMARK_CAPTURE(compare, sparse, Pattern::sparse)->Name("delta/find_sparse")->Apply(sizes);
BENCHMARK_CAPTURE(compare, dense, Pattern::dense)->Name("delta/find_dense")->Apply(sizes);
BENCHMARK_CAPTURE(encode, sparse, Pattern::sparse)->Name("delta/encode_sparse")->Apply(sizes);
BENCHMARK_CAPTURE(encode, dense, Pattern::dense)->Name("delta/encode_dense")->Apply(sizes);
BENCHMARK_CAPTURE(apply, sparse, Pattern::sparse)->Name("delta/apply_sparse")->Apply(sizes);
BENCHMARK_CAPTURE(apply, dense, Pattern::dense)->Name("delta/apply_dense")->Apply(sizes);

}  // namespace
