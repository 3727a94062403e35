// Why a derived page is what it is.
#include "api/stream.hpp"
#include "state/cursor.hpp"
#include "state/past.hpp"
#include "state/structure_at.hpp"

#include <mmsb/graph.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

namespace mmsb {

using detail::Bus;

namespace {

using Formulas = std::map<PageId, replay::Formula>;

// The last commits up to some moment that changed bytes of a page.
class LastChanges {
public:
    LastChanges(detail::Handle bus, const Formulas& formulas, PageId page, Sequence at)
        : bus_(bus) {
        if (!Bus::get(bus).at().is_private) return;
        // There each history reads the whole log: all that may be asked for, at once.
        std::vector<PageId> next{page};
        changes_.try_emplace(page);
        while (!next.empty()) {
            const auto formula = formulas.find(next.back());
            next.pop_back();
            if (formula == formulas.end()) continue;
            for (const auto parent : formula->second.parents)
                if (changes_.try_emplace(parent).second) next.push_back(parent);
        }
        gather(at);
    }
    std::optional<Change> upto(PageId page, Sequence at) const {
        if (const auto known = changes_.find(page); known != changes_.end()) {
            const auto behind = std::ranges::upper_bound(known->second, at, {}, &Change::sequence);
            if (behind == known->second.begin()) return std::nullopt;
            return *(behind - 1);
        }
        const auto changes = detail::open_history(bus_, page, {.to = at, .newest_first = true});
        // What moved its epoch: bytes or its size. (Names and metadata are in its history, too.)
        std::optional<Change> last;
        for (Change change; changes->next(change); last = std::move(change)) {
            if (last && last->epoch != change.epoch) return last;
            if (change.changed_bytes != 0) return change;
        }
        return std::nullopt;
    }

private:
    void gather(Sequence at) {
        auto& bus = Bus::get(bus_).at();
        state::Cursor cursor(bus, state::kept_from(bus));
        while (cursor.next()) {
            const auto& record = cursor.record();
            if (record.sequence > at) return;
            if (record.kind != log::RecordKind::commit) continue;
            log::EntryReader reader(cursor.body());
            for (log::Entry entry; reader.next(entry);) {
                if (entry.kind != log::EntryKind::page ||
                    (entry.page.delta.empty() && !entry.page.resized))
                    continue;
                if (const auto page = changes_.find(entry.page.page); page != changes_.end())
                    page->second.push_back(
                        detail::change_of(record, entry.page, bus.catalog.source(record.source)));
            }
        }
    }

    detail::Handle bus_;
    std::map<PageId, std::vector<Change>> changes_{};
};

// What the pages were at some moment, and how they depended on each other; going back in time.
class StructureThen {
public:
    StructureThen(state::Attachment& bus, Sequence at) : bus_(bus) { read(at); }
    [[nodiscard]] const replay::Structure& get() const noexcept { return then_; }
    void go_back_to(Sequence at) {
        if (!is_as_of(at)) read(at);
    }

private:
    // Has nothing of it come behind that?
    [[nodiscard]] bool is_as_of(Sequence at) const {
        return then_.head == 0 || then_.head < state::kept_from(bus_) ||
               state::record_at(bus_, then_.head).record().sequence <= at;
    }
    void read(Sequence at) {
        auto found = state::structure_at(bus_, at);
        then_ = found ? *std::move(found)
                      : structure_of(state::image_at(bus_, at, {replay::Keep::Which::none, {}}));
    }

    state::Attachment& bus_;
    replay::Structure then_{};
};

}  // namespace

std::vector<Cause> ShadowPageGraph::why(PageId page, Sequence at) const {
    auto& bus = Bus::get(bus_).at();
    if (at == Sequence::newest) at = state::newest(bus).sequence;
    state::check_view(bus, at);
    StructureThen then(bus, at);
    if (!then.get().pages.contains(page)) detail::throw_not_there(page, at);
    std::vector<Cause> causes;
    const LastChanges last(bus_, then.get().dependencies.formulas, page, at);
    auto change = last.upto(page, at);
    while (change) {
        auto& cause = causes.emplace_back();
        cause.page = page;
        cause.change = *change;
        const auto upto = change->sequence;
        then.go_back_to(upto);  // by what it was computed then
        const auto& [pages, formulas] =
            std::tie(then.get().pages, then.get().dependencies.formulas);
        if (const auto there = pages.find(page); there != pages.end())
            cause.name = there->second.name;
        const auto formula = formulas.find(page);
        if (formula == formulas.end()) break;
        cause.formula = {formula->second.function, formula->second.arguments};
        // Its newest parent then.
        change.reset();
        for (const auto parent : formula->second.parents) {
            auto its = last.upto(parent, upto);
            if (!its || (change && its->sequence <= change->sequence)) continue;
            change = std::move(its);
            page = parent;
        }
    }
    return causes;
}

}  // namespace mmsb
