#include "state/staged_states.hpp"

#include "arena/shared_bytes.hpp"
#include "delta/ranges.hpp"
#include "state/read.hpp"
#include "state/read_slow.hpp"

#include <algorithm>

namespace mmsb::state {

StagedStates::StagedStates(Attachment& bus, Staged& staged)
    : bus_(bus), staged_(staged), as_of_(logged()) {
    for (auto& page : staged.pages) by_id_.emplace(page.page, &page);
}

Lsn StagedStates::logged() const { return bus_.words().logged.load(std::memory_order_acquire); }

StagedPage* StagedStates::staged(PageId page) const noexcept {
    const auto found = by_id_.find(page);
    return found == by_id_.end() ? nullptr : found->second;
}

PageState& StagedStates::of(PageId page) {
    const auto [at, fresh] = states_.try_emplace(page);
    if (fresh) read(page, at->second);
    return at->second;
}

void StagedStates::read(PageId page, PageState& to) {
    if (const auto staged = by_id_.find(page); staged != by_id_.end()) to.staged = staged->second;
    to.is_new = to.staged != nullptr && to.staged->created;
    if (!to.is_new) read_live(page, to);
    if (to.staged == nullptr) return;
    const auto size = to.staged->size.value_or(to.before.size());
    const auto bytes = staged_.made.memory.take(static_cast<std::size_t>(size));
    const auto kept = to.before.first(std::min(to.before.size(), bytes.size()));
    std::ranges::fill(std::ranges::copy(kept, bytes.begin()).out, bytes.end(), std::byte{0});
    for (const auto& write : to.staged->writes) {
        if (write.offset > size || write.bytes.size() > size - write.offset)
            throw Moved{};  // it became smaller: the commit will say so, or conflict
        std::ranges::copy(write.bytes, bytes.begin() + static_cast<std::ptrdiff_t>(write.offset));
    }
    to.now = bytes;
    to.changed = to.is_new ? std::vector<ByteRange>{{0, bytes.size()}}
                           : delta::changed_ranges(to.before, bytes);
    if (!to.staged->writes.empty()) to.is_stale = false;
}

void StagedStates::read_live(PageId page, PageState& to) {
    to.line = to.staged != nullptr ? to.staged->line : unknown_line;
    arena::LineCopy info;
    try {
        if (!read_still(page, to, info)) read_moving(page, to, info);
    } catch (const PageNotFound&) {
        if (to.staged != nullptr) throw;
        throw Moved{};  // deleted since, with its edges
    }
    to.now = to.before;
    to.was_stale = to.is_stale = info.stale();
    staged_.made.reads.push_back({page, to.line, info.lsn});
}

bool StagedStates::read_still(PageId page, PageState& to, arena::LineCopy& info) {
    const auto& line = find_line(bus_, page, to.line);
    if (!copy_line(bus_, page, line, info)) return false;
    const auto from = bus_.arena->bytes(info.offset, info.size);
    if (!from || from->size() > large_write) return false;
    const auto bytes = staged_.made.memory.take(from->size());
    arena::copy_from_shared(bytes.data(), from->data(), bytes.size());
    arena::read_fence();
    bus_.require_memory();
    to.before = bytes;
    return line.lsn.load(std::memory_order_acquire) == info.lsn;
}

void StagedStates::read_moving(PageId page, PageState& to, arena::LineCopy& info) {
    Wanted wanted{.page = page, .line = to.line};
    const auto read = read_many(bus_, std::span(&wanted, 1));
    if (!wanted.found) throw Moved{};
    const auto bytes = staged_.made.memory.take(wanted.bytes.size());
    std::ranges::copy(wanted.bytes, bytes.begin());
    to.before = bytes;
    to.line = wanted.line;
    info = wanted.info;
}

void StagedStates::look_again() {
    const auto now = logged();
    if (now == as_of_) return;
    for (const auto& read : staged_.made.reads) {
        const auto* line = bus_.arena->line(read.line);
        if (line == nullptr || line->lsn.load(std::memory_order_acquire) != read.lsn) throw Moved{};
    }
    as_of_ = now;
}

}  // namespace mmsb::state
