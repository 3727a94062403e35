#include "state/encode_writes.hpp"

#include "arena/shared_bytes.hpp"
#include "base/spare.hpp"
#include "delta/codec.hpp"

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
    const base::Spare<Memory> kept;
    auto& [parts, copy] = *kept;
    parts.clear();
    for (const auto& write : page.all_writes()) add_parts(write, old, parts);
    if (shared) copy_before(parts, copy);
    const auto changed = delta::encode_to(parts, static_cast<std::size_t>(size), room);
    if (copy.size() > limits::mib) copy = {};
    return changed;
}

}  // namespace mmsb::state
