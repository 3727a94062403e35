#include "state/bytes_change.hpp"

#include "log/record.hpp"

namespace mmsb::state {

std::byte* add_bytes_change(Attachment& bus, std::uint32_t line, const arena::LineCopy& was,
                            std::size_t size) {
    auto& scratch = bus.scratch;
    auto& change = scratch.bytes_changes.emplace_back();
    scratch.lines.push_back(line);
    change.line = line;
    change.was = was;
    change.delta_size = size;
    if (bus.logging) {
        change.delta_at = log::write_entry_around(
            log::DeltaEntry{PageId{was.id}, Epoch{was.epoch} + 1, was.size}, size, scratch.body);
        return scratch.body.data() + change.delta_at;
    }
    change.delta_at = scratch.unlogged.size();
    scratch.unlogged.resize(change.delta_at + size);
    return scratch.unlogged.data() + change.delta_at;
}

}  // namespace mmsb::state
