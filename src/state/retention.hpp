/// state/retention: how much of a bus's past is kept, and letting go of the rest (PROTOCOL, rules
/// 18 and 28).
///
/// What is dropped is first folded into a checkpoint, the *base*: the state before the oldest
/// record that is kept. Then the bus header names the base, durably; then the files behind it go.
/// So a process may die anywhere in between: who opens the bus next finishes the work. The log is
/// kept back to the second newest checkpoint at least, so that a damaged newest one costs nothing.
#pragma once

#include "state/checkpoints.hpp"

namespace mmsb::state {

/// For ever, where that is more than a clock has.
[[nodiscard]] inline std::int64_t age_ns(std::chrono::seconds age) noexcept {
    constexpr auto most = std::chrono::floor<std::chrono::seconds>(std::chrono::nanoseconds::max());
    return std::chrono::nanoseconds(std::min(age, most)).count();
}
[[nodiscard]] Retention retention_of(const Attachment& bus);
/// For all who use the bus, from now on; durable when it returns, and in the log. Nothing is
/// dropped yet. Throws Busy, OutOfSpace, Io: then it is as before; Poisoned: then it may be set.
void set_retention(Attachment& bus, const Retention& retention, std::chrono::nanoseconds timeout);

/// The oldest sequence that `retention` keeps. Walks the log where it has to find a moment in it.
[[nodiscard]] Sequence oldest_to_keep(Attachment& bus, const Retention& retention);

/// Drops what is older than `oldest_kept`, or than what the bus's retention keeps: afterwards the
/// oldest View is of there, or of the second newest checkpoint where that is older. Throws as
/// checkpoint_bus, and HistoryDropped where `oldest_kept` is gone already; nothing that is kept is
/// touched.
void compact_to(Attachment& bus, std::optional<Sequence> oldest_kept,
                std::chrono::milliseconds timeout);

/// After a checkpoint: drops what the bus's retention lets go of, as far as checkpoints are there;
/// removes checkpoints that nobody needs. REQUIRES the lock on checkpoints.
void let_go(Attachment& bus);

/// Removes the files behind the base that the header names: the end of an interrupted compaction.
void finish_compaction(Attachment& bus);

}  // namespace mmsb::state
