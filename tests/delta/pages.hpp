/// Test pages: random ones, and the ways in which they change.
#pragma once

#include "delta/codec.hpp"
#include "support/sanitizers.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <random>
#include <vector>

namespace mmsb::delta::test {

using mmsb::Bytes;
using mmsb::Delta;
using Random = std::mt19937_64;

inline Bytes random_bytes(std::size_t size, Random& random) {
    Bytes bytes(size);
    std::size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        const std::uint64_t v = random();
        std::memcpy(bytes.data() + i, &v, sizeof v);
    }
    for (; i < size; ++i) bytes[i] = static_cast<std::byte>(random());
    return bytes;
}

inline void change(Bytes& page, std::size_t at) { page[at] ^= std::byte{0x41}; }

/// How a page changes.
enum class Pattern { nothing, first, last, sparse, dense, runs, blocks, all };
inline constexpr std::initializer_list<Pattern> patterns = {
    Pattern::nothing, Pattern::first, Pattern::last,   Pattern::sparse,
    Pattern::dense,   Pattern::runs,  Pattern::blocks, Pattern::all};

inline Bytes changed(Bytes page, Pattern pattern, Random& random) {
    if (page.empty()) return page;
    const auto size = page.size();
    const auto stretch = [&](std::size_t length) {
        const auto begin = random() % size;
        for (auto i = begin; i < std::min(size, begin + length); ++i) change(page, i);
    };
    switch (pattern) {
        case Pattern::nothing:
            break;
        case Pattern::first:
            change(page, 0);
            break;
        case Pattern::last:
            change(page, size - 1);
            break;
        case Pattern::sparse:
            for (std::size_t i = 0; i < 1 + size / 150; ++i) change(page, random() % size);
            break;
        case Pattern::dense:
            for (std::size_t i = 0; i < size; ++i) {
                if (random() % 2 == 0) change(page, i);
            }
            break;
        case Pattern::runs:
            for (std::size_t i = 0; i < 1 + size / 4000; ++i) stretch(1 + random() % 700);
            break;
        case Pattern::blocks:
            for (std::size_t i = 0; i < 1 + size / 8000; ++i) {
                const auto begin = random() % size / 64 * 64;
                for (auto b = begin; b < std::min(size, begin + 64); b += 2) change(page, b);
            }
            break;
        case Pattern::all:
            for (std::size_t i = 0; i < size; ++i) change(page, i);
            break;
    }
    return page;
}

/// 0 to 300, and around each power of two up to 1 MiB.
inline std::vector<std::size_t> sizes() {
    std::vector<std::size_t> all;
    for (std::size_t size = 0; size <= 300; ++size) all.push_back(size);
    constexpr auto largest = mmsb::test::cases(std::size_t{1} << 20U, std::size_t{1} << 17U);
    for (std::size_t power = 512; power <= largest; power *= 2) {
        for (const int d : {-65, -1, 0, 1, 63}) {
            all.push_back(static_cast<std::size_t>(static_cast<std::ptrdiff_t>(power) + d));
        }
    }
    return all;
}

/// Two versions of a page, cut at `cuts` (ascending) into parts that touch each other.
inline std::vector<Part> parts_of(const Bytes& before, const Bytes& after,
                                  const std::vector<std::size_t>& cuts = {}) {
    std::vector<Part> parts;
    const std::span<const std::byte> b(before), a(after);
    std::size_t begin = 0;
    const auto add = [&](std::size_t end) {
        parts.push_back({begin, b.subspan(begin, end - begin), a.subspan(begin, end - begin)});
        begin = end;
    };
    for (const auto cut : cuts) add(cut);
    add(before.size());
    return parts;
}

inline Bytes encoded(const Bytes& before, const Bytes& after,
                     const std::vector<std::size_t>& cuts = {}) {
    Bytes out;
    encode(parts_of(before, after, cuts), before.size(), out);
    return out;
}

inline std::uint64_t count_changed(const Bytes& before, const Bytes& after) {
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < before.size(); ++i) n += before[i] != after[i] ? 1 : 0;
    return n;
}

/// The maximal runs of changed bytes, found the plain way.
inline std::vector<Delta::Run> plain_runs(const Bytes& before, const Bytes& after) {
    std::vector<Delta::Run> runs;
    const std::span<const std::byte> all(after);
    for (std::size_t i = 0; i < after.size(); ++i) {
        if (before[i] == after[i]) continue;
        const auto begin = i;
        while (i < after.size() && before[i] != after[i]) ++i;
        runs.push_back({begin, all.subspan(begin, i - begin)});
    }
    return runs;
}

}  // namespace mmsb::delta::test
