#include "state/structure_at.hpp"

#include "state/checkpoints.hpp"
#include "state/past.hpp"
#include "state/structure_chain.hpp"

#include <algorithm>

namespace mmsb::state {

namespace {

// More than so many read one by one take longer than what lies between them.
constexpr std::size_t most_records = 16 * limits::kib;

// From one that starts at `head` back to one at which `is_it`, or before `from`: where that starts.
// `passed` gets those in between. Nothing: they are more than are worth it.
template <class IsIt>
std::optional<Lsn> back_to(Attachment& bus, Lsn head, Lsn from, std::vector<Lsn>& passed,
                           const IsIt& is_it) {
    StructuralRecords records(bus);
    while (head >= from && head != log::no_lsn) {
        if (passed.size() == most_records) return std::nullopt;
        const auto& record = records.at(head).record();
        if (is_it(record)) break;
        passed.push_back(head);
        head = record.previous_structure;
    }
    return head;
}

std::optional<replay::Structure> find(Attachment& bus, Sequence at) {
    bus.catalog.follow_logged(bus);
    const auto newest = bus.catalog.head();
    const auto kept = kept_from(bus);
    std::vector<Lsn> behind, upto;
    const auto head = back_to(bus, newest, kept, behind,
                              [at](const log::Record& record) { return record.sequence <= at; });
    if (!head) return std::nullopt;
    if (*head == newest)
        if (auto now = bus.catalog.snapshot(); now.head == newest) return now;
    const auto base = newest_structure(bus, at);
    const auto from = std::max(kept, base ? base->head + 1 : 0);
    if (!back_to(bus, *head, from, upto, [](const log::Record&) { return false; }))
        return std::nullopt;
    Catalog past;
    if (base) past.load(*base);
    StructuralRecords records(bus);
    for (auto start = upto.rbegin(); start != upto.rend(); ++start) {
        auto& cursor = records.at(*start);
        past.take(cursor.record(), cursor.body());
    }
    return past.snapshot();
}

}  // namespace

std::optional<replay::Structure> structure_at(Attachment& bus, Sequence at) {
    if (bus.is_private) return std::nullopt;
    return look_while_kept(bus, at, [&] { return find(bus, at); });
}

}  // namespace mmsb::state
