#include "state/mentions.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <utility>

namespace mmsb::state {

namespace {

// 128 MiB: of a segment with more there is no index, and of the newest one no more is remembered.
constexpr std::size_t most_mentions = 8 * limits::mib;

// Calls `visit(page, start)` for each page that the records of [from, to) say something of, and
// `goes_on(record)` behind each record. False: that did.
template <class Visit, class GoesOn>
bool each_mention(Attachment& bus, Lsn from, Lsn to, const Visit& visit, const GoesOn& goes_on) {
    std::vector<log::PageEntry> pages;
    Cursor cursor(bus, from, to);
    cursor.gather(pages);
    while (cursor.next()) {
        const auto& record = cursor.record();
        if (record.kind == log::RecordKind::commit) {
            for (const auto& page : pages) visit(page.page, record.start);
            if (record.blob) {
                log::EntryReader reader(cursor.body());
                for (log::Entry entry; reader.next(entry);)
                    if (entry.kind == log::EntryKind::page) visit(entry.page.page, record.start);
            }
        }
        if (!goes_on(record)) return false;
    }
    return true;
}

// Reads on, to `to` or until it is enough.
void read_on(Attachment& bus, Lsn to, Lsn& upto, std::vector<log::Mention>& all) {
    auto whole = all.size();  // of whole records
    if (whole >= most_mentions || upto >= to) return;
    try {
        const bool reached = each_mention(
            bus, upto, to, [&](PageId page, Lsn record) { all.push_back({page, record}); },
            [&](const log::Record& record) {
                whole = all.size();
                upto = record.end;
                return whole < most_mentions;
            });
        if (reached) upto = to;  // fillers
    } catch (...) {
        all.resize(whole);
        throw;
    }
}

void pick(std::span<const log::Mention> all, PageId page, std::vector<Lsn>& starts) {
    for (const auto& mention : all)
        if (mention.page == page) starts.push_back(mention.record);
}

void pick_from_log(Attachment& bus, Lsn from, Lsn to, PageId page, std::vector<Lsn>& starts) {
    static_cast<void>(each_mention(
        bus, from, to,
        [&](PageId mentioned, Lsn record) {
            if (mentioned == page) starts.push_back(record);
        },
        [](const log::Record&) { return true; }));
}

std::vector<Lsn> in_one_left(Attachment& bus, PageId page, const log::Range& segment) {
    if (auto known = bus.segments->find_in_index(segment.start, page)) return std::move(*known);
    std::vector<log::Mention> all;
    auto upto = segment.start;
    if (const std::lock_guard lock(bus.mentions.mutex);
        bus.mentions.segment == segment) {  // it was the newest one
        all = std::exchange(bus.mentions.all, {});
        upto = bus.mentions.upto;
        bus.mentions.segment = {};
    }
    read_on(bus, segment.end, upto, all);
    std::vector<Lsn> starts;
    pick(all, page, starts);
    if (upto < segment.end) {
        pick_from_log(bus, upto, segment.end, page, starts);
    } else if (!bus.read_only) {
        bus.segments->write_index(segment.start, std::move(all));
    }
    return starts;
}

std::vector<Lsn> in_newest(Attachment& bus, PageId page, const log::Range& segment, Lsn end) {
    auto& known = bus.mentions;
    std::vector<Lsn> starts;
    Lsn upto = 0;
    {
        const std::lock_guard lock(known.mutex);
        if (known.segment != segment) {
            known.all.clear();
            known.upto = segment.start;
            known.segment = segment;
        }
        read_on(bus, end, known.upto, known.all);
        pick(known.all, page, starts);
        upto = known.upto;
    }
    if (upto < end) pick_from_log(bus, upto, end, page, starts);
    return starts;
}

}  // namespace

RecordsOfPage records_of(Attachment& bus, PageId page, Lsn from, Lsn to) {
    const auto& words = bus.words();
    constexpr auto acquire = std::memory_order_acquire;
    RecordsOfPage found{{}, to};
    const auto segment = bus.segments->range(from);
    if (segment) found.upto = std::min(segment->end, to);
    // (Where there is none, that says why.)
    if (!segment || from != segment->start || from < words.history_lsn.load(acquire))
        pick_from_log(bus, from, found.upto, page, found.starts);
    else if (segment->end <= words.logged.load(acquire))
        found.starts = in_one_left(bus, page, *segment);
    else
        found.starts = in_newest(bus, page, *segment, found.upto);
    // It may have been left, or others have read on, behind `to`.
    while (!found.starts.empty() && found.starts.back() >= to) found.starts.pop_back();
    return found;
}

void throw_wrong_index(Attachment& bus, Lsn start, PageId page) {
    const auto segment = bus.segments->find(start);
    const auto path =
        fmt::format("{}/log/{}", bus.path, log::index_name(segment ? segment->header.id : 0));
    throw Corrupt(ErrorCode::corrupt,
                  fmt::format("{}: expected what the log says: the record at {} says nothing of "
                              "page {}",
                              path, start, number(page)),
                  {.page = page,
                   .path = path,
                   .expected = "what the log says",
                   .found = "another record",
                   .offset = start});
}

void IndexCheck::see(Replayer& replayer) {
    const auto at = replayer.record().start;
    if (!segment_.holds(at)) {
        if (has_index_) bus_.segments->check_index(segment_.start, std::move(mentions_));
        mentions_.clear();
        segment_ = bus_.segments->range(at).value_or(log::Range{});
        has_index_ = !bus_.is_private && segment_.start >= from_ && segment_.holds(at) &&
                     bus_.segments->has_index(segment_.start);
    }
    if (has_index_)
        replayer.each_page([this, at](PageId page) { mentions_.push_back({page, at}); });
}

}  // namespace mmsb::state
