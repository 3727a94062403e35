#include "state/encode_writes.hpp"

#include "arena/shared_bytes.hpp"
#include "base/spare.hpp"
#include "delta/codec.hpp"
#include "delta/compare.hpp"
#include "state/read.hpp"

#include <algorithm>
#include <array>

namespace mmsb::state {

namespace {

constexpr std::size_t zeros_size = 256 * 1024;
alignas(64) constexpr std::array<std::byte, zeros_size> zeros{};

// A write as parts against what is there: live bytes up to `old.size()`, zeros behind.
void add_parts(const Write& write, std::span<const std::byte> old,
               std::vector<delta::Part>& parts) {
    auto offset = static_cast<std::size_t>(write.offset);
    auto after = write.bytes;
    if (offset < old.size()) {
        const auto n = std::min(after.size(), old.size() - offset);
        if (n > 0) parts.push_back({offset, old.subspan(offset, n), after.first(n)});
        offset += n;
        after = after.subspan(n);
    }
    while (!after.empty()) {
        const auto n = std::min(after.size(), zeros_size);
        parts.push_back({offset, std::span(zeros).first(n), after.first(n)});
        offset += n;
        after = after.subspan(n);
    }
}

// What is compared twice must not change in between, and a neighbour can change it: the delta would
// not be one. So it is compared with a copy.
void copy_before(std::vector<delta::Part>& parts, std::vector<std::byte>& copy) {
    std::size_t size = 0, windows = 0;
    for (const auto& part : parts) {
        size += part.before.size();
        windows += (part.before.size() + 63) / 64;
    }
    if (windows <= delta::windows_compared_once) return;
    if (copy.size() < size) copy.resize(size);
    auto* to = copy.data();
    for (auto& part : parts) {
        if (part.before.data() == zeros.data()) continue;
        arena::copy_from_shared(to, part.before.data(), part.before.size());
        part.before = {to, part.before.size()};
        to += part.before.size();
    }
}

struct Memory {
    std::vector<delta::Part> parts{};
    std::vector<std::byte> copy{};
};

}  // namespace

std::uint64_t encode_writes(const StagedPage& page, std::span<const std::byte> old,
                            std::uint64_t size, bool shared,
                            FunctionRef<std::byte*(std::size_t)> room) {
    const auto writes = page.all_writes();
    if (writes.size() == 1) {
        const auto& [offset, after] = writes.front();
        if (after.size() <= old.size() && offset <= old.size() - after.size() &&
            after.size() <= delta::windows_compared_once * delta::window) {
            const auto at = static_cast<std::size_t>(offset);
            const delta::Part part{at, old.subspan(at, after.size()), after};
            return delta::encode_to({&part, 1}, static_cast<std::size_t>(size), room);
        }
    }
    const base::Spare<Memory> kept;
    auto& [parts, copy] = *kept;
    parts.clear();
    for (const auto& write : writes) add_parts(write, old, parts);
    if (shared) copy_before(parts, copy);
    const auto changed = delta::encode_to(parts, static_cast<std::size_t>(size), room);
    if (copy.size() > limits::mib) std::vector<std::byte>().swap(copy);
    return changed;
}

bool are_inside(const StagedPage& page, std::uint64_t size) {
    return std::ranges::all_of(page.all_writes(), [size](const Write& write) {
        return write.offset <= size && write.bytes.size() <= size - write.offset;
    });
}

void require_size_then(const StagedPage& page, std::uint64_t size) {
    // Of what becomes larger nothing shows that was behind its end then.
    if (page.size_then == StagedPage::any_size ||
        (page.size ? std::min(size, *page.size) <= page.size_then : size == page.size_then))
        return;
    throw_other_size(page.page, size, page.size_then);
}

std::uint64_t bytes_written(const StagedPage& page) {
    std::uint64_t n = 0;
    for (const auto& write : page.all_writes()) n += write.bytes.size();
    return n;
}

namespace {

void find_ahead(StagedPage& page, std::span<const std::byte> old, std::uint64_t size) {
    auto& ahead = *page.ahead;
    ahead.size = size;
    ahead.changed_bytes = encode_writes(page, old, size, false, [&ahead](std::size_t n) {
        ahead.delta.resize(n);
        return ahead.delta.data();
    });
}

void encode_page_ahead(Attachment& bus, StagedPage& page) {
    if (page.created) {
        page.ahead = StagedPage::Ahead{};
        find_ahead(page, {}, *page.size);
        return;
    }
    if (page.size) return;
    auto line = page.line;
    const auto now = read_page(bus, page.page, line);
    if (!are_inside(page, now.value.size())) return;
    page.ahead = StagedPage::Ahead{};
    page.ahead->epoch = now.version.epoch;
    find_ahead(page, now.value, now.value.size());
}

}  // namespace

void encode_ahead(Attachment& bus, std::span<StagedPage> pages) {
    for (auto& page : pages) {
        page.ahead.reset();
        if (!page.deleted && bytes_written(page) >= large_write) encode_page_ahead(bus, page);
    }
}

}  // namespace mmsb::state
