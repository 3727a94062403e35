#include "state/load_image.hpp"

#include "base/copy.hpp"
#include "state/attachment.hpp"

#include <algorithm>

namespace mmsb::state {

void load_image(Attachment& bus, const replay::Image& image) {
    auto& words = bus.words();
    auto& arena = *bus.arena;
    std::uint64_t lines = 0;
    for (const auto& [id, page] : image.pages()) {
        arena.back_line(page.line);
        auto& line = *arena.line(page.line);
        const auto offset = arena.take(page.size);
        if (page.size > 0) base::copy(page.bytes, arena.bytes(offset, page.size)->data());
        line.id.store(number(id), relaxed);
        line.epoch.store(number(page.epoch), relaxed);
        line.sequence.store(number(page.sequence), relaxed);
        line.size.store(page.size, relaxed);
        line.offset.store(offset, relaxed);
        line.location.store(arena::location_word(page.location, page.stale), relaxed);
        arena::Arena::seal(line, page.lsn);
        line.lsn.store(page.lsn, std::memory_order_release);
        lines = std::max<std::uint64_t>(lines, page.line + std::uint64_t{1});
    }
    words.lines_used.store(lines, relaxed);
    words.sequence.store(number(image.sequence()), relaxed);
    words.time.store(static_cast<std::uint64_t>(image.time_ns()), relaxed);
    words.next_page.store(image.next_page(), relaxed);
    if (!image.sources().empty()) words.sources.store(image.sources().rbegin()->first, relaxed);
    words.structure.store(image.structure_head(), relaxed);
    bus.catalog.load(structure_of(image));
    static_cast<void>(arena.rebuild_allocator());
}

}  // namespace mmsb::state
