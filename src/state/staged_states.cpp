#include "state/staged_states.hpp"

#include "arena/shared_bytes.hpp"
#include "base/bytes.hpp"
#include "base/copy.hpp"
#include "delta/compare.hpp"
#include "delta/ranges.hpp"
#include "log/record.hpp"
#include "state/encode_writes.hpp"
#include "state/read.hpp"
#include "state/read_slow.hpp"

#include <algorithm>

namespace mmsb::state {

namespace {

// Room for a delta, behind what stands in front of it in a record.
std::byte* make_room(FoundDelta& found, std::size_t size) {
    const auto needed = log::delta_entry_front + size;
    if (found.memory.size() < needed) found.memory.resize(2 * needed);
    found.delta = std::span(found.memory).subspan(log::delta_entry_front, size);
    return found.delta.data();
}

// The bytes before may be others' while this looks at them: what is found is of one look, also
// where an earlier one has passed over what was the same.
void find_changes(std::span<const std::byte> before, std::span<const std::byte> now,
                  std::span<const ByteRange> within, FoundDelta& found) {
    constexpr std::size_t most = delta::windows_compared_once * delta::window;
    const auto part_of = [&](const ByteRange& range) -> delta::Part {
        const auto& [offset, length] = range;
        return {offset, before.subspan(offset, length), now.subspan(offset, length)};
    };
    const auto encode = [&](std::span<const delta::Part> parts) {
        found.changed_bytes = delta::encode_to(
            parts, now.size(), [&](std::size_t size) { return make_room(found, size); },
            found.ranges);
    };
    found.delta = {};
    found.changed_bytes = 0;
    std::size_t size = 0;
    for (const auto& [offset, length] : within) size += base::round_up(length, delta::window);
    if (before.size() != now.size() || size > most)
        return delta::changed_ranges(before, now, within, found.ranges);
    if (within.size() == 1) {
        const auto part = part_of(within.front());
        return encode({&part, 1});
    }
    found.parts.clear();
    for (const auto& range : within) found.parts.push_back(part_of(range));
    encode(found.parts);
}

}  // namespace

StagedById::StagedById(Staged& staged) : few_(staged.pages) {
    constexpr std::size_t few = 8;
    if (few_.size() <= few) return;
    for (auto& page : few_) many_.emplace(page.page, &page);
}

StagedPage* StagedById::find(PageId page) const noexcept {
    if (!many_.empty()) {
        const auto found = many_.find(page);
        return found == many_.end() ? nullptr : found->second;
    }
    const auto found = std::ranges::find(few_, page, &StagedPage::page);
    return found == few_.end() ? nullptr : &*found;
}

namespace {

// Was what is written made of what was read?
bool is_made_of_reads(const Staged& staged) noexcept {
    return !staged.reads.empty() || !staged.names.empty() ||
           std::ranges::any_of(staged.pages,
                               [](const StagedPage& page) { return page.expected.has_value(); });
}

}  // namespace

// (Where it was, all of that is looked at before the first function.)
StagedStates::StagedStates(Attachment& bus, Staged& staged, const StagedById& by_id,
                           const graph::Graph& graph)
    : bus_(bus),
      staged_(staged),
      by_id_(by_id),
      graph_(graph),
      as_of_(is_made_of_reads(staged) ? 0 : logged()) {
    if (memory_->places.size() < graph.node_slots()) memory_->places.resize(graph.node_slots());
    if (memory_->by_node.size() < graph.node_slots()) memory_->by_node.resize(graph.node_slots());
}

StagedStates::~StagedStates() {
    for (const auto node : memory_->read) memory_->by_node[node] = nullptr;
    memory_->read.clear();
    memory_->rooms.clear();
}

Lsn StagedStates::logged() const { return bus_.words().logged.load(std::memory_order_acquire); }

PageState& StagedStates::of(PageId page) {
    if (const auto node = graph_.node_of(page); node != graph::no_node) return of(node);
    auto& known = others_[page];
    if (known == nullptr) {
        auto& made = staged_.made.memory.make<PageState>(1).front();
        made.page = page;
        read(made);
        known = &made;
    }
    return *known;
}

PageState& StagedStates::read_node(graph::Node node) {
    auto& made = staged_.made.memory.make<PageState>(1).front();
    made.page = graph_.page_of(node);
    auto& place = memory_->places[node];
    made.line = place.line;
    read(made);
    place = {made.line, hint_of(made.line_then.offset, made.line_then.size)};
    memory_->read.push_back(node);
    memory_->by_node[node] = &made;
    return made;
}

void StagedStates::read(PageState& to) {
    to.staged = by_id_.find(to.page);
    to.is_new = to.staged != nullptr && to.staged->created;
    to.has_bytes = to.is_new;
    if (!to.is_new) read_line(to);
    if (to.staged != nullptr) stage_over(to);
}

void StagedStates::stage_over(PageState& to) {
    static_cast<void>(bytes_of(to));
    const auto size = to.staged->size.value_or(to.before.size());
    if (!to.is_new) require_size_then(*to.staged, to.before.size());
    for (const auto& write : to.staged->writes)
        if (write.offset > size || write.bytes.size() > size - write.offset)
            throw_outside("a write", to.page, size, write.offset, write.bytes.size());
    to.is_resized = to.before.size() != size;
    // (What is computed is compared with the bytes before.)
    if (to.is_new || to.is_resized || graph_.rule(to.page) != nullptr)
        write_to_copy(to, static_cast<std::size_t>(size));
    else
        write_in_place(to);
    keep_changed(to, memory_->ranges);
    if (!to.staged->writes.empty()) to.is_stale = false;
}

// The bytes before are gone.
void StagedStates::write_in_place(PageState& to) {
    memory_->ranges.clear();
    for (const auto& [at, bytes] : to.staged->writes) {
        const auto place = to.room.subspan(static_cast<std::size_t>(at), bytes.size());
        delta::add_changed_ranges({static_cast<std::size_t>(at), place, bytes}, memory_->ranges);
        base::copy(bytes, place.data());
    }
}

void StagedStates::write_to_copy(PageState& to, std::size_t size) {
    to.room = staged_.made.memory.take(size);
    const auto kept = to.before.first(std::min(to.before.size(), size));
    base::copy(kept, to.room.data());
    std::ranges::fill(to.room.subspan(kept.size()), std::byte{0});
    for (const auto& write : to.staged->writes)
        base::copy(write.bytes, to.room.data() + write.offset);
    to.now = to.room;
    to.whole = {0, size};
    if (to.is_new)
        memory_->ranges.assign(1, to.whole);
    else
        delta::changed_ranges(to.before, to.now, memory_->ranges);
}

std::span<const ByteRange> StagedStates::copy(std::span<const ByteRange> ranges) {
    if (ranges.empty()) return {};
    const auto kept = staged_.made.memory.make<ByteRange>(ranges.size());
    std::ranges::copy(ranges, kept.begin());
    return kept;
}

void StagedStates::read_line(PageState& to) {
    if (to.staged != nullptr) to.line = to.staged->line;
    arena::LineCopy info;
    try {
        const auto& line = find_line(bus_, to.page, to.line);
        to.stood = copy_line(bus_, to.page, line, info);
        if (!to.stood) read_moving(to, info);
    } catch (const PageNotFound&) {
        if (to.staged != nullptr) throw;
        throw Moved{};  // deleted since, with its edges
    }
    to.line_then = info;
    to.whole = {0, static_cast<std::size_t>(info.size)};
    to.was_stale = to.is_stale = info.stale();
    staged_.made.reads.push_back({to.page, to.line, info.lsn});
}

bool StagedStates::stands(const PageState& page) const {
    arena::read_fence();
    bus_.require_memory();
    return bus_.arena->line(page.line)->lsn.load(std::memory_order_acquire) == page.line_then.lsn;
}

bool StagedStates::copy_still(const PageState& page, std::span<std::byte> out) const {
    const auto from = bus_.arena->bytes(page.line_then.offset, page.whole.size);
    if (!from) return false;
    arena::copy_from_shared(out.data(), from->data(), out.size());
    return stands(page);
}

void StagedStates::read_bytes(PageState& to) {
    to.room = staged_.made.memory.take(to.whole.size);
    if (copy_still(to, to.room)) {
        to.before = to.now = to.room;
        to.has_bytes = true;
        return;
    }
    arena::LineCopy info;
    read_moving(to, info);
    if (info.lsn != to.line_then.lsn) throw Moved{};
}

// By redo of the log, from a writer who is busy, stopped or dead.
void StagedStates::read_moving(PageState& to, arena::LineCopy& info) {
    Wanted wanted{.page = to.page, .line = to.line};
    const auto read = read_many(bus_, std::span(&wanted, 1));
    if (!wanted.found) throw Moved{};
    to.room = staged_.made.memory.take(wanted.bytes.size());
    base::copy(wanted.bytes, to.room.data());
    to.before = to.now = to.room;
    to.has_bytes = true;
    to.line = wanted.line;
    info = wanted.info;
}

void StagedStates::copy_bytes(PageState& page, std::span<std::byte> out) {
    if (page.has_bytes || !copy_still(page, out)) base::copy(bytes_of(page), out.data());
}

void StagedStates::compare(const PageState& page, std::span<const std::byte> now,
                           std::span<const ByteRange> within, FoundDelta& found) const {
    auto before = page.before;
    if (!page.has_bytes) {
        const auto there = bus_.arena->bytes(page.line_then.offset, page.whole.size);
        if (!there) throw Moved{};
        before = arena::look_at_shared(*there, found.scratch);
    }
    find_changes(before, now, within, found);
    if (!page.has_bytes && !stands(page)) throw Moved{};
}

void StagedStates::look_again() {
    const auto now = logged();
    if (now == as_of_) return;
    for (const auto& read : staged_.made.reads) {
        const auto* line = bus_.arena->line(read.line);
        if (line == nullptr || line->lsn.load(std::memory_order_acquire) != read.lsn) throw Moved{};
    }
    // What is written was made of what this transaction has read.
    if (validate(bus_, staged_)) throw Moved{};
    as_of_ = now;
}

}  // namespace mmsb::state
