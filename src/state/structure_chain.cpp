#include "state/structure_chain.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

Cursor& StructuralRecords::at(Lsn start) {
    cursor_.jump(start);
    const bool is_there = cursor_.next();
    const auto& record = cursor_.record();
    if (is_there && record.start == start && record.structural &&
        (record.previous_structure == log::no_lsn || record.previous_structure < start))
        return cursor_;
    throw Corrupt(
        ErrorCode::corrupt,
        fmt::format("{}: the structure chain is broken: it leads to {}", bus_.path, start),
        {.path = bus_.path,
         .expected = "a structural record",
         .found = is_there ? "another" : "none",
         .offset = start,
         .sequence = is_there ? record.sequence : Sequence::zero});
}

std::vector<Lsn> structure_chain(Attachment& bus, Lsn head, Lsn from) {
    std::vector<Lsn> all;
    StructuralRecords records(bus);
    for (; head >= from && head != log::no_lsn; head = records.at(head).record().previous_structure)
        all.push_back(head);
    std::ranges::reverse(all);
    return all;
}

}  // namespace mmsb::state
