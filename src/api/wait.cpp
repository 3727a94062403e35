// Calls that wait for a commit.
#include "api/bus.hpp"
#include "state/read.hpp"

#include <mmsb/page.hpp>
#include <mmsb/state.hpp>

namespace mmsb {

using detail::Bus;
using detail::Pin;
using state::Look;

namespace {

// Until the page's epoch is another than `seen`. What the line says then is in `info`.
bool wait_for_page(const Pin& bus, PageId page, std::uint32_t& line, Epoch seen,
                   const state::Deadline& end, arena::LineCopy& info) {
    static_cast<void>(state::find_line(bus.at(), page, line));
    return bus.wait(state::wake_bit(line), end, [&](Look look) {
        if (look == Look::whole)
            info = state::read_line(bus.at(), page, line);
        else if (!arena::Arena::copy(state::find_line(bus.at(), page, line), info) ||
                 info.id != number(page))
            return false;
        return info.epoch != number(seen);
    });
}

}  // namespace

std::optional<Sequence> State::wait(Sequence seen, Timeout timeout) const {
    const Pin bus(bus_);
    const state::Deadline end(timeout);
    if (seen == Sequence::newest) seen = state::newest(bus.at()).sequence;
    Sequence now = Sequence::zero;
    const bool found = bus.wait(state::every_commit, end, [&](Look look) {
        now = look == Look::whole
                  ? state::newest(bus.at()).sequence
                  : Sequence{bus.at().words().sequence.load(std::memory_order_acquire)};
        return now > seen;
    });
    return found ? std::optional(now) : std::nullopt;
}

std::optional<Version> Page::wait(Epoch seen, Timeout timeout) const {
    const Pin bus(bus_);
    auto line = bus_.line;
    arena::LineCopy info;
    if (!wait_for_page(bus, id_, line, seen, state::Deadline(timeout), info)) return std::nullopt;
    return Version{Epoch{info.epoch}, Sequence{info.sequence}, info.stale()};
}

std::optional<Version> Page::wait_into(std::span<std::byte> out, std::optional<Epoch> seen,
                                       Timeout timeout) const {
    const Pin bus(bus_);
    auto line = bus_.line;
    arena::LineCopy info;
    if (seen && !wait_for_page(bus, id_, line, *seen, state::Deadline(timeout), info))
        return std::nullopt;
    return state::read_into(bus.at(), id_, line, bus_.hint, out, 0);
}

}  // namespace mmsb
