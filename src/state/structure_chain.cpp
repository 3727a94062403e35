#include "state/structure_chain.hpp"

#include <algorithm>

namespace mmsb::state {

Cursor structural_record_at(Attachment& bus, Lsn start) {
    auto cursor = record_at(bus, start);
    const auto& record = cursor.record();
    if (record.start != start || !record.structural || record.previous_structure == start ||
        (record.previous_structure != log::no_lsn && record.previous_structure > start))
        throw Corrupt(ErrorCode::corrupt, bus.path + ": the structure chain is broken",
                      {.path = bus.path,
                       .expected = "a structural record",
                       .found = "another",
                       .offset = start,
                       .sequence = record.sequence});
    return cursor;
}

std::vector<Lsn> structure_chain(Attachment& bus, Lsn head, Lsn from) {
    std::vector<Lsn> all;
    for (; head >= from && head != log::no_lsn;
         head = structural_record_at(bus, head).record().previous_structure)
        all.push_back(head);
    std::ranges::reverse(all);
    return all;
}

}  // namespace mmsb::state
