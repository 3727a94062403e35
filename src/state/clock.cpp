#include "state/clock.hpp"

#include "base/steps.hpp"
#include "state/commit.hpp"
#include "state/flush.hpp"
#include "state/header.hpp"
#include "state/redo.hpp"

#include <fmt/format.h>

namespace mmsb::state {

namespace {

constexpr std::uint64_t hour_ns = 3'600'000'000'000;

// The system clock less the one that counts since boot: grows where somebody sets the first. Not
// 0, which says that nobody has looked yet.
std::uint64_t offset_now() noexcept {
    return static_cast<std::uint64_t>(os::clock_ns() - os::boot_clock_ns()) | 1U;
}

// What the clock is ahead by; 0: it went on as it should. (Differences wrap: a word that was
// written over is a jump, too, and no more.)
std::int64_t jump_since(std::uint64_t known, std::uint64_t now) noexcept {
    const auto ahead = static_cast<std::int64_t>(now - known);
    const auto size = ahead < 0 ? known - now : now - known;
    return known == 0 || size <= hour_ns ? 0 : ahead;
}

}  // namespace

void look_at_clock(Attachment& bus, std::chrono::nanoseconds timeout) {
    auto& known = bus.words().clock_offset;
    auto none = std::uint64_t{0};
    known.compare_exchange_strong(none, offset_now());
    if (jump_since(known.load(), offset_now()) == 0) return;
    std::int64_t jump = 0;
    Lsn end = 0;
    {
        const WriterLock lock(bus, timeout);
        if (bus.words().poison.load() != 0) throw_poisoned(bus);
        const auto now = offset_now();
        jump = jump_since(known.load(), now);
        if (jump == 0) return;  // another process was here first
        if (bus.is_private)
            bus.changing.age_suspended.store(true);
        else
            update_header(bus, [](log::BusHeader& header) { header.age_suspended = true; });
        MMSB_STEP("clock.suspended");
        std::vector<std::byte> body;
        log::write_clock_jump(jump, body);
        end = append_note(bus, log::RecordKind::clock, body, timeout);
        known.store(now);
    }
    if (!bus.is_private) sync_upto(bus, end, timeout);
    bus.notice(Notice::Level::warning,
               fmt::format("{}: the system clock jumped by {} s; nothing is dropped for its age "
                           "until a retention is set anew",
                           bus.path.empty() ? "a private bus" : bus.path, jump / 1'000'000'000));
}

}  // namespace mmsb::state
