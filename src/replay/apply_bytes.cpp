// Image::apply_bytes: most records change bytes of pages that are there, and nothing else.
#include "delta/codec.hpp"
#include "replay/image.hpp"

#include <fmt/format.h>

namespace mmsb::replay {

namespace {

// As of an entry that says more (apply.cpp).
std::string change_problem(const ImagePage* page, const log::PageDelta& change) {
    if (page == nullptr) return of_page(change.page, "is not there");
    const auto epoch = page->epoch + (change.delta.empty() ? 0U : 1U);
    if (change.epoch == epoch && change.size == page->size) return {};
    if (change.epoch != epoch)
        return differs(change.page, "epoch", number(epoch), number(change.epoch));
    return differs(change.page, "size", page->size, change.size);
}

}  // namespace

void Image::change_page(ImagePage& page, Epoch epoch, bool stale, std::span<const std::byte> delta,
                        const log::RecordBrief& record) noexcept {
    page.epoch = epoch;
    page.stale = stale;
    page.sequence = record.sequence;
    page.lsn = record.end;
    if (!delta.empty() && !page.bytes.empty()) delta::apply(delta, page.bytes);
}

std::string Image::apply_bytes(const log::RecordBrief& record,
                               std::span<const log::PageDelta> pages) {
    if (auto problem = position_problem(record); !problem.empty()) return problem;
    if (record.source != 0 && !sources_.contains(record.source))
        return fmt::format("source {} has no name", record.source);
    if (pages.size() == 1) {  // most of them: nothing to compare it with
        const auto& change = pages.front();
        auto* const page = lookup(change.page);
        if (auto problem = change_problem(page, change); !problem.empty()) return problem;
        change_page(*page, change.epoch, change.stale, change.delta, record);
        take_position(record);
        return {};
    }
    steps_.clear();
    bool in_order = true;
    for (const auto& change : pages) {
        auto* const page = lookup(change.page);
        if (auto problem = change_problem(page, change); !problem.empty()) return problem;
        in_order = in_order && (steps_.empty() || change.page > steps_.back().id);
        steps_.push_back({.id = change.page,
                          .page = page,
                          .epoch = change.epoch,
                          .stale = change.stale,
                          .delta = change.delta});
    }
    if (auto problem = twice_problem(in_order); !problem.empty()) return problem;
    for (const auto& step : steps_)
        change_page(*step.page, step.epoch, step.stale, step.delta, record);
    take_position(record);
    return {};
}

void Image::take_position(const log::RecordBrief& record) noexcept {
    sequence_ = record.sequence;
    time_ns_ = record.time_ns;
    lsn_ = record.end;
}

}  // namespace mmsb::replay
