#include "api/event_source.hpp"

#include "state/page_at.hpp"
#include "state/past.hpp"
#include "state/seek.hpp"
#include "state/structure_at.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <set>

namespace mmsb::detail {

namespace {

template <class T>
bool is_one_of(const T& value, const std::vector<T>& all) {
    return all.empty() || std::ranges::find(all, value) != all.end();
}

constexpr std::size_t most_changed = 64;  // of which the log is read, each by itself

// Where the records behind that commit begin.
log::Lsn behind(state::Attachment& bus, Sequence commit) {
    if (commit <= state::oldest_view(bus)) return state::kept_from(bus);
    const auto newest = state::newest(bus);
    if (newest.sequence == commit) return newest.lsn;
    return state::record_at(bus, state::start_of(bus, commit)).record().end;
}

}  // namespace

EventSource::EventSource(state::Attachment& bus, EventFilter filter) : filter_(std::move(filter)) {
    const auto oldest = state::oldest_view(bus);
    if (filter_.from == Sequence::newest)
        filter_.from = std::max(state::newest(bus).sequence, oldest + 1);
    const bool from_now = !filter_.from;
    if (!bus.logging || (!from_now && *filter_.from <= oldest && oldest != Sequence::zero))
        throw HistoryDropped(
            ErrorCode::history_dropped,
            fmt::format("that part of the past is not kept; the oldest commit is {}",
                        number(oldest) + 1),
            {.sequence = oldest + 1});
    const auto newest = state::newest(bus).sequence;
    const auto before = from_now || *filter_.from == Sequence::zero ? (from_now ? newest : oldest)
                                                                    : *filter_.from - 1;
    begin(bus, std::min(before, newest));
}

void EventSource::begin(state::Attachment& bus, Sequence at) {
    queue_.clear();
    reads_ = &bus;
    begin_at(bus, at);
    is_half_ = false;
}

void EventSource::begin_at(state::Attachment& bus, Sequence at) {
    if (state::look_while_kept(bus, at, [&] { return begin_by_structure(bus, at); })) return;
    const auto image = state::image_at(bus, at, {replay::Keep::Which::none, {}});
    begin(image.dependencies());
    for (const auto& [id, page] : image.pages())
        if (page.stale) maker_.add_stale(id);
    sources_ = image.sources();
    sequence_ = image.sequence();
    cursor_.emplace(bus, image.lsn() != 0 ? image.lsn() : state::first_lsn);
}

void EventSource::begin(const replay::Dependencies& dependencies) {
    maker_ = {};
    for (const auto& edge : dependencies.edges) maker_.add_edge(edge);
    for (const auto& [page, formula] : dependencies.formulas) maker_.add_derived(page);
}

// Without reading the log, but for what has changed since then. False: that is much.
bool EventSource::begin_by_structure(state::Attachment& bus, Sequence at) {
    const auto structure = state::structure_at(bus, at);
    if (!structure) return false;
    const auto& [edges, formulas] = structure->dependencies;
    std::set<PageId> children;  // these may be stale; others only if their edge is gone
    for (const auto& edge : edges) children.insert(edge.child);
    for (const auto& [child, formula] : formulas) children.insert(child);
    for (const auto& [page, then] : structure->pages)
        if (bus.catalog.may_have_edges(page)) children.insert(page);
    begin(structure->dependencies);
    std::size_t changed = 0;
    for (const auto child : children) {
        bool stale = false;
        if (const auto line = state::unchanged_since(bus, at, child)) {
            stale = line->stale();
        } else {
            if (++changed > most_changed) return false;
            const auto then = state::page_at(bus, at, child);
            if (!then) return false;
            const auto* page = then->find(child);
            stale = page != nullptr && page->stale;
        }
        if (stale) maker_.add_stale(child);
    }
    for (const auto& [page, line] : bus.catalog.pages()) {
        const auto* there = bus.arena->line(line);
        if (there == nullptr || children.contains(page) ||
            (there->location.load(std::memory_order_relaxed) & arena::stale_bit) == 0)
            continue;
        if (const auto now = state::unchanged_since(bus, at, page); now && now->stale())
            maker_.add_stale(page);
    }
    sources_ = structure->sources;
    cursor_.emplace(bus, behind(bus, at));
    sequence_ = at;
    return true;
}

void EventSource::skip_to_now(state::Attachment& bus) { begin(bus, state::newest(bus).sequence); }

bool EventSource::look(state::Attachment& bus) {
    const auto logged = bus.words().logged.load(std::memory_order_acquire);
    if (reads_ != &bus) {
        cursor_.emplace(bus, cursor_->at(), logged);
        reads_ = &bus;
    }
    if (logged <= cursor_->at()) return false;
    cursor_->extend(logged);
    return true;
}

bool EventSource::admits(const Event& event) const {
    return is_one_of(event.page, filter_.pages) && is_one_of(event.type, filter_.types);
}

void EventSource::take(const log::Record& record, std::span<const std::byte> body) {
    if (record.kind == log::RecordKind::source)
        if (const auto source = log::read_source(body)) sources_[source->number] = source->name;
    if (record.kind != log::RecordKind::commit) return;
    const auto source = sources_.find(record.source);
    made_.clear();
    maker_.take(record, body, source == sources_.end() ? std::string_view() : source->second,
                made_);
    if ((!filter_.from || record.sequence >= *filter_.from) &&
        (!filter_.to || record.sequence <= *filter_.to))
        for (auto& event : made_)
            if (admits(event)) queue_.push_back(std::move(event));
    sequence_ = record.sequence;
}

bool EventSource::next(state::Attachment& bus, Event& event, std::size_t& records) {
    bus.require_memory();
    // What is known of it may be half of what it does: as of the one before, once more.
    if (is_half_) begin(bus, sequence_);
    while (queue_.empty()) {
        if (ended() || records == 0 || !cursor_->next()) return false;
        --records;
        is_half_ = true;
        take(cursor_->record(), cursor_->body());
        is_half_ = false;
    }
    event = std::move(queue_.front());
    queue_.pop_front();
    return true;
}

}  // namespace mmsb::detail
