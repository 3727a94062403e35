/// state/past: rebuilding earlier states from the log, and how far back that goes.
///
/// What a bus with a path lets go of is folded into a checkpoint (state/retention). A private bus
/// keeps a bounded history: its oldest records are folded into a base image.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

/// Folds what is above the limits of a private bus: `exactly` all of that, or a part, as a commit
/// can bear it. Cheap when there is nothing to fold.
void fold_past(Attachment& bus, bool exactly) noexcept;

/// The bus as of the commit `at`, or of the newest. Walks the log from its start. Throws
/// HistoryDropped (oldest), InvalidArgument (not committed yet), Corrupt. `progress` as in
/// VerifyOptions.
[[nodiscard]] replay::Image image_at(Attachment& bus, Sequence at, replay::Keep keep,
                                     const std::function<bool(double)>& progress = {});
/// The live pages of a bus without a log, as of the newest commit, while nobody writes. Throws
/// Busy, and Corrupt where the page table leads nowhere.
[[nodiscard]] replay::Image live_image(Attachment& bus, std::chrono::nanoseconds timeout);
/// A state from which the records from `from` on lead to `upto`: the nearest checkpoint before it.
[[nodiscard]] replay::Image start_image(Attachment& bus, Sequence upto, replay::Keep keep,
                                        Lsn& from);
/// Where the kept records begin, and the state before them.
[[nodiscard]] replay::Image base_image(Attachment& bus, replay::Keep keep, Lsn& from);
/// The oldest sequence of which a View can be made.
[[nodiscard]] Sequence oldest_view(Attachment& bus);
/// Throws HistoryDropped or InvalidArgument where there is no View of `at`.
void check_view(Attachment& bus, Sequence at);
/// What `look` finds of a moment that is kept. Where what was before that is dropped meanwhile, it
/// looks again: what it found may be of both, and what it missed may be there. Throws what it
/// throws, and what check_view() does.
template <class Look>
[[nodiscard]] auto look_while_kept(Attachment& bus, Sequence at, const Look& look)
    -> decltype(look()) {
    constexpr int most_rounds = 1000;  // words that are written over could drop it for ever
    const auto& kept_from = bus.words().history_lsn;
    for (int round = 0;; ++round) {
        const auto from = kept_from.load(std::memory_order_acquire);
        const auto goes_on = [&] {
            check_view(bus, at);
            return kept_from.load(std::memory_order_acquire) != from && round != most_rounds;
        };
        try {
            auto found = look();
            if (!goes_on()) return found;
        } catch (const Error&) {
            if (!goes_on()) throw;
        }
    }
}

/// Throws Corrupt: this record does not follow from the ones before it.
[[noreturn]] void throw_contradiction(const Attachment& bus, const log::RecordBrief& record,
                                      const std::string& what);

/// Replays the log and compares it with the live pages, while others read and write.
[[nodiscard]] VerifyReport verify(Attachment& bus, const VerifyOptions& options);

}  // namespace mmsb::state
