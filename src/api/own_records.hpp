/// api/own_records: walking only those records of the log that say something of some pages, by what
/// state/mentions knows; and from where this was begun on, all that come.
#pragma once

#include "api/log_walk.hpp"

namespace mmsb::detail {

/// A part of the log: from where on, up to where (no_lsn: and what is to come), behind what.
struct Part {
    log::Lsn from = 0, to = log::no_lsn;
    Sequence behind = Sequence::zero;
};
/// By segments, all that is kept; one at least.
[[nodiscard]] std::vector<Part> parts_of(state::Attachment& bus);
/// All that is kept.
[[nodiscard]] Part kept(state::Attachment& bus);
/// The last one that begins before what is asked for, and all behind it.
[[nodiscard]] Part part_from(state::Attachment& bus, const Bounds& bounds);

/// Needs nothing but the log: the numbers of sources keep their names. What throws has moved
/// nothing: the next call tries the same.
class OwnRecords : public Walk {
protected:
    OwnRecords(Handle bus, std::vector<PageId> pages, Bounds wanted, const Part& part);
    /// Those that start there instead, before `upto`, and from there on all.
    OwnRecords(Handle bus, std::vector<log::Lsn> starts, log::Lsn upto, Bounds wanted,
               const Part& part);
    ~OwnRecords() = default;

    /// Moves to the next record that may be one of those, of any kind, unless one is at hand that
    /// was not passed yet. False: there is none, or it is behind the bounds.
    bool look() { return is_at_hand_ || (is_at_hand_ = next_to_look_at()); }
    void pass() noexcept { is_at_hand_ = false; }
    /// Of the record at hand, what it says of one of the pages; nullptr: nothing. Valid until the
    /// next call.
    [[nodiscard]] const log::PageEntry* find();
    /// It began before all that is asked for.
    [[nodiscard]] bool began_before() const noexcept { return began_before_; }

private:
    bool next_to_look_at();
    bool enter_segment();
    [[nodiscard]] bool passes_over_dropped();

    std::vector<PageId> pages_;
    log::Lsn at_;  // where the next segment is begun
    log::Lsn to_ = 0;
    bool goes_on_;
    bool walks_;                      // record by record, of whatever page
    std::uint64_t newest_;            // all up to that is below where the cursor ends
    std::vector<log::Lsn> starts_{};  // of records of the pages, before `at_`
    std::size_t next_start_ = 0;
    bool is_at_hand_ = false;
    bool began_before_ = false;
    log::PageEntry entry_{};
};

}  // namespace mmsb::detail
