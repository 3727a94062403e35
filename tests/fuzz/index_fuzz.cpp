// The index of a segment: any bytes, and a good file with bytes changed.
//
// What must hold: nothing outside the bytes is read, allocations are as large as the file at most
// (-malloc_limit_mb), and what is found ascends inside the segment.

#include "fuzz.hpp"
#include "log/segment_index.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace {

using namespace mmsb;  // NOLINT(google-build-using-namespace): a program of one file

void look_up(std::span<const std::byte> file, log::IndexHeader header, PageId page) {
    const auto read = [&](std::uint64_t offset, std::span<std::byte> out) {
        const auto there = file.subspan(std::min<std::uint64_t>(offset, file.size()));
        const auto n = std::min(there.size(), out.size());
        std::ranges::copy(there.first(n), out.begin());
        return n;
    };
    const auto found = log::find_in_index(header, file.size(), page, read);
    if (!found) return;
    FUZZ_CHECK(std::ranges::adjacent_find(*found, std::ranges::greater_equal{}) == found->end());
    for (const auto record : *found)
        FUZZ_CHECK(record >= header.start && record < header.end && record % 8 == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    log::IndexHeader header{.segment = 1, .salt = 0x5a17, .start = 4096, .end = 4096 + 65'536};
    std::vector<log::Mention> mentions;
    auto at = header.start;
    for (auto n = input.take<std::uint16_t>() % 1000U; n != 0 && at < header.end; --n) {
        mentions.push_back({PageId{1 + input.take<std::uint8_t>() % 200U}, at});
        at += 8 + 8 * (input.take<std::uint8_t>() % 16U);
    }
    auto file = log::encode_index(header, mentions);
    while (!input.empty()) {
        const auto where = input.take<std::uint32_t>();
        file[where % file.size()] ^= static_cast<std::byte>(input.take<std::uint8_t>());
        if (where % 64 == 0) file.resize(1 + where % file.size());
    }
    const auto decoded = log::decode_index_header(
        std::span(file).first(std::min(file.size(), log::index_header_size)));
    if (decoded.value) look_up(file, *decoded.value, PageId{100});
    // Whatever the header says.
    header.pages = input.empty() ? size * 31 : 1;
    for (const auto page : {PageId{1}, PageId{77}, PageId{201}}) look_up(file, header, page);
    const auto raw = std::as_bytes(std::span(data, size));
    header.pages = size / 24;
    look_up(raw, header, PageId{size});
    return 0;
}
