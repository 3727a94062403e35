// Why a derived page is what it is.
#include "api/stream.hpp"
#include "state/cursor.hpp"
#include "state/past.hpp"

#include <mmsb/graph.hpp>

#include <algorithm>

namespace mmsb {

using detail::Bus;

namespace {

using Changes = std::map<PageId, std::vector<Change>>;

// The page and all that it is computed from, by the formulas of that moment.
Changes pages_behind(const replay::Image& image, PageId page) {
    Changes all{{page, {}}};
    std::vector<PageId> next{page};
    while (!next.empty()) {
        const auto formula = image.dependencies().formulas.find(next.back());
        next.pop_back();
        if (formula == image.dependencies().formulas.end()) continue;
        for (const auto parent : formula->second.parents)
            if (all.try_emplace(parent).second) next.push_back(parent);
    }
    return all;
}

// Every commit up to `at` that changed bytes of one of them.
void gather(state::Attachment& bus, Sequence at, Changes& changes) {
    log::Lsn from = 0;
    auto sources = state::base_image(bus, {replay::Keep::Which::none, {}}, from).sources();
    state::Cursor cursor(bus, from);
    while (cursor.next()) {
        const auto& record = cursor.record();
        if (record.sequence > at) return;
        if (record.kind == log::RecordKind::source)
            if (const auto source = log::read_source(cursor.body()))
                sources[source->number] = source->name;
        if (record.kind != log::RecordKind::commit) continue;
        log::EntryReader reader(cursor.body());
        for (log::Entry entry; reader.next(entry);) {
            if (entry.kind != log::EntryKind::page || entry.page.delta.empty()) continue;
            if (const auto page = changes.find(entry.page.page); page != changes.end())
                page->second.push_back(
                    detail::change_of(record, entry.page, sources[record.source]));
        }
    }
}

// The last one up to there.
const Change* last_change(const Changes& changes, PageId page, Sequence upto) {
    const auto& all = changes.at(page);
    const auto behind = std::ranges::upper_bound(all, upto, {}, &Change::sequence);
    return behind == all.begin() ? nullptr : &*std::prev(behind);
}

}  // namespace

std::vector<Cause> ShadowPageGraph::why(PageId page, Sequence at) const {
    auto& bus = Bus::get(bus_).at();
    if (at == Sequence::newest) at = state::newest(bus).sequence;
    state::check_view(bus, at);
    const auto image = state::image_at(bus, at, {replay::Keep::Which::none, {}});
    if (image.find(page) == nullptr) detail::throw_not_there(page, at);
    auto changes = pages_behind(image, page);
    gather(bus, at, changes);
    std::vector<Cause> causes;
    for (auto next = page; next != PageId::none;) {
        const auto* change = last_change(changes, next, at);
        if (change == nullptr) break;
        at = change->sequence;
        auto& cause = causes.emplace_back();
        cause.page = next;
        cause.change = *change;
        if (const auto* there = image.find(next)) cause.name = there->name;
        const auto formula = image.dependencies().formulas.find(next);
        next = PageId::none;
        if (formula == image.dependencies().formulas.end()) break;
        cause.formula = {formula->second.function, formula->second.arguments};
        Sequence newest = Sequence::zero;
        for (const auto parent : formula->second.parents) {
            const auto* its = last_change(changes, parent, at);
            if (its == nullptr || its->sequence <= newest) continue;
            newest = its->sequence;
            next = parent;
        }
    }
    return causes;
}

}  // namespace mmsb
