// Hostile encoded deltas and Delta files: refused, or applied within the page. The first four bytes
// choose the page's size, the rest is the delta, and also a Delta file.
#include "base/assert.hpp"
#include "delta/codec.hpp"

#include <mmsb/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

using mmsb::Bytes;
using mmsb::Delta;

void check_and_apply(std::span<const std::byte> encoded, std::size_t page_size) {
    const auto summary = mmsb::delta::check(encoded, page_size);
    if (!summary) return;
    Bytes page(page_size), shared(page_size), parts(page_size);
    mmsb::delta::apply(encoded, page);
    mmsb::delta::apply_shared(encoded, shared);
    const auto half = std::span(parts).first(page_size / 2);
    mmsb::delta::apply_part(encoded, page_size, 0, half);
    mmsb::delta::apply_part(encoded, page_size, half.size(), std::span(parts).subspan(half.size()));
    MMSB_ASSERT(page == shared && page == parts);

    std::vector<Delta::Run> runs;
    std::uint64_t changed = 0;
    mmsb::delta::for_each_run(
        encoded, page_size, [&](std::size_t at, std::span<const std::byte> b) {
            MMSB_ASSERT(runs.empty() || at > runs.back().offset + runs.back().bytes.size());
            runs.push_back({at, b});
            changed += b.size();
        });
    MMSB_ASSERT(changed == summary->changed_bytes);

    // Written again the shortest way, it is the same change.
    Bytes again;
    MMSB_ASSERT(mmsb::delta::encode_runs(runs, page_size, again) == changed);
    MMSB_ASSERT(mmsb::delta::check(again, page_size).has_value());
    Bytes rewritten(page_size);
    mmsb::delta::apply(again, rewritten);
    MMSB_ASSERT(rewritten == page);
}

void decode_file(std::span<const std::byte> bytes) {
    constexpr std::size_t largest_here = std::size_t{1} << 22U;  // Pages are made of it below.
    try {
        const auto delta = Delta::decode(bytes);
        const auto file = delta.encode();
        MMSB_ASSERT(Bytes(bytes.begin(), bytes.end()) == file);
        if (delta.page_size() > largest_here) return;
        Bytes page(delta.page_size());
        delta.apply_to(page);
        MMSB_ASSERT(page == delta.dense());
    } catch (const mmsb::InvalidDelta&) {
        return;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto input = std::as_bytes(std::span(data, size));
    decode_file(input);
    std::uint32_t choice = 0;
    if (size < sizeof choice) return 0;
    std::memcpy(&choice, data, sizeof choice);
    // Small ones mostly, some around 64 KiB, where the widths change.
    const std::size_t page_size = choice % 8 == 0 ? 65'500 + choice / 8 % 80 : choice / 8 % 2000;
    check_and_apply(input.subspan(sizeof choice), page_size);
    return 0;
}
