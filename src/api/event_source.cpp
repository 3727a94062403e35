#include "api/event_source.hpp"

#include "state/past.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::detail {

namespace {

template <class T>
bool is_one_of(const T& value, const std::vector<T>& all) {
    return all.empty() || std::ranges::find(all, value) != all.end();
}

}  // namespace

EventSource::EventSource(state::Attachment& bus, EventFilter filter) : filter_(std::move(filter)) {
    const auto oldest = state::oldest_view(bus);
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
    const auto image = state::image_at(bus, at, {replay::Keep::Which::none, {}});
    maker_ = {};
    for (const auto& edge : image.dependencies().edges) maker_.add_edge(edge);
    for (const auto& [page, formula] : image.dependencies().formulas) maker_.add_derived(page);
    for (const auto& [id, page] : image.pages())
        if (page.stale) maker_.add_stale(id);
    sources_ = image.sources();
    sequence_ = image.sequence();
    cursor_.emplace(bus, image.lsn() != 0 ? image.lsn() : state::first_lsn);
    reads_ = &bus;
    queue_.clear();
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
    sequence_ = record.sequence;
    if ((filter_.from && record.sequence < *filter_.from) ||
        (filter_.to && record.sequence > *filter_.to))
        return;
    for (auto& event : made_)
        if (admits(event)) queue_.push_back(std::move(event));
}

bool EventSource::next(state::Attachment& bus, Event& event) {
    bus.require_memory();
    while (queue_.empty()) {
        if (ended() || !cursor_->next()) return false;
        take(cursor_->record(), cursor_->body());
    }
    event = std::move(queue_.front());
    queue_.pop_front();
    return true;
}

}  // namespace mmsb::detail
