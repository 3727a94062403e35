/// state/recompute: does a past state's derived pages have the bytes that their formulas give?
#pragma once

#include "replay/image.hpp"
#include "state/attachment.hpp"

#include <map>
#include <optional>
#include <vector>

namespace mmsb::state {

/// Looks at one state after the other, in order; each time at those pages that something has
/// happened to since. Stale pages are passed over, and those of functions that are not known here
/// or that accumulate (they need what was before). Threads: one.
class Recomputer {
public:
    explicit Recomputer(const Attachment& bus) : bus_(bus) {}

    struct Difference {
        PageId page = PageId::none;
        std::size_t offset = 0;
        std::string function{};
        std::string error{};  ///< What it threw, where that is the difference.
    };
    /// The first by id, or nothing. REQUIRES an image that keeps all bytes.
    [[nodiscard]] std::optional<Difference> look(const replay::Image& image);
    [[nodiscard]] std::uint64_t calls() const noexcept { return calls_; }
    /// Derived pages that were passed over for want of a function, or because it accumulates.
    [[nodiscard]] std::uint64_t skipped() const noexcept { return skipped_.size(); }

private:
    [[nodiscard]] std::optional<Difference> recompute(const replay::Image& image, PageId page,
                                                      const replay::Formula& formula);

    const Attachment& bus_;
    Sequence seen_ = Sequence::zero;
    log::Lsn structure_ = 0;                        ///< Of what was seen,
    std::map<PageId, replay::Formula> formulas_{};  ///< and its formulas.
    std::uint64_t calls_ = 0;
    std::map<PageId, bool> skipped_{};
};

}  // namespace mmsb::state
