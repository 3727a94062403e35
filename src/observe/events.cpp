#include "observe/events.hpp"

#include <fmt/format.h>
#include <ostream>

namespace mmsb {

std::string_view to_string(EventType type) noexcept {
    switch (type) {
        case EventType::page_created:
            return "page_created";
        case EventType::page_deleted:
            return "page_deleted";
        case EventType::page_resized:
            return "page_resized";
        case EventType::page_changed:
            return "page_changed";
        case EventType::page_stale:
            return "page_stale";
        case EventType::page_fresh:
            return "page_fresh";
        case EventType::artefact_invalidated:
            return "artefact_invalidated";
        case EventType::device_sync_needed:
            return "device_sync_needed";
        case EventType::propagated:
            return "propagated";
        case EventType::checkpoint_done:
            return "checkpoint_done";
        case EventType::gap:
            return "gap";
    }
    return "unknown";
}

std::ostream& operator<<(std::ostream& out, const Event& event) {
    out << fmt::format("sequence {} {}", number(event.sequence), to_string(event.type));
    if (event.page != PageId::none) {
        out << fmt::format(" page {}", number(event.page));
        if (event.type != EventType::device_sync_needed)
            out << fmt::format(" epoch {}", number(event.epoch));
    }
    return out << (event.source.empty() ? "" : " ") << event.source;
}

namespace observe {

void EventMaker::add_edge(const Edge& edge) {
    if (edge.type == EdgeType::compiler || edge.type == EdgeType::gpu_sync) bound_.insert(edge);
}

void EventMaker::take_dependencies(std::span<const std::byte> body) {
    log::EntryReader reader(body);
    for (log::Entry entry; reader.next(entry);) {
        if (entry.kind == log::EntryKind::edge) {
            const Edge edge{entry.edge.parent, entry.edge.child, entry.edge.type};
            entry.edge.added ? add_edge(edge) : static_cast<void>(bound_.erase(edge));
        } else if (entry.kind == log::EntryKind::formula) {
            const auto child = entry.formula.child;
            entry.formula.added ? add_derived(child) : static_cast<void>(derived_.erase(child));
        }
    }
}

void EventMaker::take_page(const log::PageEntry& entry, const Event& like,
                           std::vector<Event>& out) {
    const auto tell = [&](EventType type) {
        auto& event = out.emplace_back(like);
        event.type = type;
        event.page = entry.page;
        event.epoch = entry.epoch;
    };
    const bool was_stale = stale_.contains(entry.page);
    if (entry.deleted) {
        stale_.erase(entry.page);
        return tell(EventType::page_deleted);
    }
    if (entry.created) tell(EventType::page_created);
    if (entry.resized) tell(EventType::page_resized);
    if (!entry.delta.empty()) tell(EventType::page_changed);
    if (entry.resized || !entry.delta.empty()) moved_.push_back(entry.page);
    if (entry.stale && !was_stale) {
        tell(EventType::page_stale);
        stale_.insert(entry.page);
        turned_.emplace(entry.page, entry.epoch);
        moved_.push_back(entry.page);
    } else if (!entry.stale && was_stale) {
        tell(EventType::page_fresh);
        stale_.erase(entry.page);
    }
    propagated_ = propagated_ || (derived_.contains(entry.page) && !entry.stale &&
                                  (was_stale || !entry.delta.empty()));
}

void EventMaker::take(const log::Record& record, std::span<const std::byte> body,
                      std::string_view source, std::vector<Event>& out) {
    Event like{.sequence = record.sequence, .source = std::string(source), .tag = record.tag};
    moved_.clear();
    turned_.clear();
    propagated_ = false;
    if (record.structural) take_dependencies(body);
    log::EntryReader reader(body);
    for (log::Entry entry; reader.next(entry);)
        if (entry.kind == log::EntryKind::page) take_page(entry.page, like, out);
    const auto tell = [&](EventType type, PageId page, Epoch epoch = Epoch::zero) {
        like.type = type;
        like.page = page;
        like.epoch = epoch;
        if (told_.emplace(type, page).second) out.push_back(like);
    };
    told_.clear();
    for (const auto page : moved_)
        for (auto edge = bound_.lower_bound({page, PageId::none, EdgeType::data});
             edge != bound_.end() && edge->parent == page; ++edge) {
            if (edge->type == EdgeType::gpu_sync && !stale_.contains(page))
                tell(EventType::device_sync_needed, edge->child);
            if (edge->type != EdgeType::compiler) continue;
            if (const auto child = turned_.find(edge->child); child != turned_.end())
                tell(EventType::artefact_invalidated, child->first, child->second);
        }
    if (propagated_) tell(EventType::propagated, PageId::none);
}

}  // namespace observe

}  // namespace mmsb
