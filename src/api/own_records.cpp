#include "api/own_records.hpp"

#include "state/mentions.hpp"

#include <algorithm>

namespace mmsb::detail {

namespace {

// Is what begins there before all that is asked for?
bool is_before(const log::Record& record, const Bounds& bounds) {
    return record.sequence < bounds.from || !bounds.is_since(record);
}
bool is_before(state::Attachment& bus, log::Lsn start, const Bounds& bounds) {
    const auto there = state::record_at(bus, start);
    return is_before(there.record(), bounds);
}

}  // namespace

Part kept(state::Attachment& bus) {
    // In this order: what is moved meanwhile is then begun to be read too early, and not too late.
    const auto from = state::kept_from(bus);
    return {from, log::no_lsn, state::oldest_view(bus)};
}

std::vector<Part> parts_of(state::Attachment& bus) {
    const auto all = kept(bus);
    std::vector<Part> parts;
    const auto logged = bus.words().logged.load();
    if (!bus.is_private)
        for (const auto& [start, end, context] : state::segments_of(bus, all.from, logged))
            parts.push_back({start, end, all.behind});
    if (parts.empty()) parts.push_back(all);
    return parts;
}

Part part_from(state::Attachment& bus, const Bounds& bounds) {
    for (;;) {
        const auto parts = parts_of(bus);
        try {
            const auto first = std::partition_point(
                parts.begin() + 1, parts.end(),
                [&](const Part& part) { return is_before(bus, part.from, bounds); });
            return {(first - 1)->from, log::no_lsn, parts.front().behind};
        } catch (const HistoryDropped&) {
            if (kept(bus).from <= parts.front().from) throw;  // else meanwhile
        }
    }
}

OwnRecords::OwnRecords(Handle bus, std::vector<PageId> pages, Bounds wanted, const Part& part)
    : Walk(bus, std::move(wanted)),
      pages_(std::move(pages)),
      at_(part.from),
      goes_on_(part.to == log::no_lsn),
      // What a private bus folds away meanwhile is read once, and as early as can be.
      walks_(attachment().is_private),
      newest_(attachment().words().sequence.load(std::memory_order_acquire)) {
    // Only now: what is kept by now was so when the part was made.
    const auto oldest = state::oldest_view(attachment());
    if (bounds().from != Sequence::zero && bounds().from <= oldest) throw_dropped(oldest);
    begin(part.from, part.behind);
    to_ = std::min(part.to, reads_to());
}

OwnRecords::OwnRecords(Handle bus, std::vector<log::Lsn> starts, log::Lsn upto, Bounds wanted,
                       const Part& part)
    : OwnRecords(bus, std::vector<PageId>(), std::move(wanted), part) {
    starts_ = std::move(starts);
    // (What is behind is met as all that comes.)
    while (!starts_.empty() && starts_.back() >= upto) starts_.pop_back();
    at_ = to_ = upto;
}

bool OwnRecords::next_to_look_at() {
    while (!walks_) {
        if (next_start_ != starts_.size()) {
            go_to(starts_[next_start_]);
            const bool is_there = next_record();
            if (is_there && !names_one_of(pages_))
                state::throw_wrong_index(attachment(), record().start, pages_.front());
            ++next_start_;
            return is_there;
        }
        if (at_ < to_) {
            if (!enter_segment()) return false;
        } else if (goes_on_) {
            go_to(to_);
            passed(Sequence{newest_});
            walks_ = true;
        } else {
            return false;
        }
    }
    return next_record();
}

// False: that is behind the bounds.
bool OwnRecords::enter_segment() try {
    go_to(at_);
    const bool before = next_record() && is_before(record(), bounds());
    if (is_ended()) return false;
    std::vector<log::Lsn> starts;
    auto upto = at_;
    for (const auto page : pages_) {
        auto found = state::records_of(attachment(), page, at_, to_);
        starts.insert(starts.end(), found.starts.begin(), found.starts.end());
        upto = found.upto;
    }
    if (pages_.size() > 1) {
        std::ranges::sort(starts);
        const auto same = std::ranges::unique(starts);
        starts.erase(same.begin(), same.end());
    }
    auto first = starts.begin();
    if (before)
        first = std::ranges::partition_point(
            starts, [this](log::Lsn start) { return is_before(attachment(), start, bounds()); });
    next_start_ = static_cast<std::size_t>(first - starts.begin());
    starts_ = std::move(starts);
    at_ = upto;
    began_before_ = began_before_ || before;
    return true;
} catch (const HistoryDropped&) {
    if (!passes_over_dropped()) throw;
    return true;
}

// Is all that has been dropped meanwhile before what is asked for?
bool OwnRecords::passes_over_dropped() {
    const auto [from, to, behind] = kept(attachment());
    if (bounds().from <= behind || from <= at_) return false;
    at_ = std::min(from, to_);
    return true;
}

const log::PageEntry* OwnRecords::find() {
    const log::PageEntry* found = nullptr;
    const auto look_at = [&](const log::Entry& entry) {
        if (entry.kind != log::EntryKind::page ||
            std::ranges::find(pages_, entry.page.page) == pages_.end())
            return true;
        entry_ = entry.page;
        found = &entry_;
        return false;
    };
    if (record().kind == log::RecordKind::commit) each_entry(look_at);
    return found;
}

}  // namespace mmsb::detail
