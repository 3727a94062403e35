// What is different between two moments.
#include "api/bus.hpp"
#include "delta/codec.hpp"
#include "state/cursor.hpp"
#include "state/page_at.hpp"
#include "state/past.hpp"
#include "state/seek.hpp"
#include "state/structure_at.hpp"

#include <mmsb/view.hpp>

#include <algorithm>
#include <set>

namespace mmsb {

using detail::Bus;

namespace {

using Pages = std::map<PageId, replay::ImagePage>;

// So many are looked at each by itself: beyond that, all pages of both moments are made.
constexpr std::size_t most_pages = 256;
constexpr std::uint64_t most_commits = 16 * limits::kib;

void compare(const Pages& before, const replay::Dependencies& dependencies_before,
             const Pages& after, const replay::Dependencies& dependencies_after, ViewDiff& result) {
    for (const auto& [id, page] : before)
        if (!after.contains(id))
            result.removed.push_back(replay::info_of(id, page, dependencies_before));
    for (const auto& [id, page] : after) {
        const auto there = before.find(id);
        const bool is_new = there == before.end();
        if (is_new) result.added.push_back(replay::info_of(id, page, dependencies_after));
        auto old = is_new ? Bytes{} : there->second.bytes;
        old.resize(page.bytes.size());  // new bytes are zero before the delta
        std::vector<std::byte> encoded;
        const delta::Part part{0, old, page.bytes};
        const bool resized = !is_new && there->second.size != page.size;
        const auto changed = delta::encode(std::span(&part, 1), page.bytes.size(), encoded);
        if (changed != 0 || resized)
            result.changed.push_back(
                delta::make_delta(id, page.epoch, page.bytes.size(), encoded, changed));
    }
}

// Of which the commits of (from, to] say something. Nothing: many are, or may be.
std::optional<std::set<PageId>> named_between(state::Attachment& bus, Sequence from, Sequence to) {
    std::set<PageId> named;
    if (from == to) return named;
    if (bus.is_private || number(to) - number(from) > most_commits) return std::nullopt;
    state::Cursor cursor(bus, state::start_of(bus, from + 1));
    while (cursor.next()) {
        const auto& record = cursor.record();
        if (record.sequence > to) break;
        if (record.kind != log::RecordKind::commit) continue;
        log::EntryReader reader(cursor.body());
        for (log::Entry entry; reader.next(entry);)
            if (entry.kind == log::EntryKind::page) named.insert(entry.page.page);
        if (named.size() > most_pages) return std::nullopt;
    }
    return named;
}

// Some pages as of one moment, as far as they were there.
std::optional<Pages> pages_at(state::Attachment& bus, Sequence at, const std::set<PageId>& some) {
    Pages pages;
    for (const auto id : some) {
        const auto then = state::page_at(bus, at, id);
        if (!then) return std::nullopt;
        if (const auto* page = then->find(id); page != nullptr) pages.emplace(id, *page);
    }
    return pages;
}

// False: nothing was done.
bool diff_what_changed(state::Attachment& bus, Sequence from, Sequence to, ViewDiff& result) {
    const auto named = named_between(bus, std::min(from, to), std::max(from, to));
    if (!named) return false;
    const auto structure_before = state::structure_at(bus, from);
    const auto structure_after = state::structure_at(bus, to);
    if (!structure_before || !structure_after) return false;
    const auto before = pages_at(bus, from, *named), after = pages_at(bus, to, *named);
    if (!before || !after) return false;
    compare(*before, structure_before->dependencies, *after, structure_after->dependencies, result);
    return true;
}

}  // namespace

ViewDiff diff(const View& from, const View& to) {
    const auto& left = Bus::impl_of(from);
    const auto& right = Bus::impl_of(to);
    auto& bus_before = Bus::get(left.bus).at();
    auto& bus_after = Bus::get(right.bus).at();
    ViewDiff result;
    if (&bus_before == &bus_after &&
        diff_what_changed(bus_before, left.sequence, right.sequence, result))
        return result;
    const auto before = state::image_at(bus_before, left.sequence, {});
    const auto after = state::image_at(bus_after, right.sequence, {});
    compare(before.pages(), before.dependencies(), after.pages(), after.dependencies(), result);
    return result;
}

}  // namespace mmsb
