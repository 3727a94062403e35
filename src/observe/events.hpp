/// observe/events: the events that follow from the log's records. Pure: the same records give the
/// same events, whoever reads them and when.
///
/// May include: log without ring and segments, base. Threads: one.
#pragma once

#include "log/record.hpp"

#include <mmsb/event.hpp>

#include <map>
#include <set>

namespace mmsb::observe {

/// Knows what a record's events depend on: what is stale, what is derived, which edges bind.
class EventMaker {
public:
    /// As of the record before the first that is taken.
    void add_edge(const Edge& edge);
    void add_derived(PageId page) { derived_.insert(page); }
    void add_stale(PageId page) { stale_.insert(page); }
    /// Appends one commit's events: those of its pages, in the record's order; then of the pages
    /// bound to them; then `propagated`.
    void take(const log::Record& record, std::span<const std::byte> body, std::string_view source,
              std::vector<Event>& out);

private:
    void take_page(const log::PageEntry& entry, const Event& like, std::vector<Event>& out);
    void take_dependencies(std::span<const std::byte> body);

    std::set<PageId> stale_{}, derived_{};
    std::set<Edge> bound_{};                         ///< Of compiler and gpu_sync.
    std::vector<PageId> moved_{};                    ///< Of the record at hand: changed, or stale.
    std::map<PageId, Epoch> turned_{};               ///< Became stale.
    std::set<std::pair<EventType, PageId>> told_{};  ///< Of those bound to them.
    bool propagated_ = false;
};

}  // namespace mmsb::observe
