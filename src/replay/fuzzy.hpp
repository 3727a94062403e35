/// replay/fuzzy: pages that were copied one after the other while writers worked, made one state by
/// redo. What a checkpoint of a busy bus is read with. Pure.
///
/// Invariants: (1) each page's bytes are exact as of the record that its `lsn` names, so a record
/// is applied to just those pages that do not have it; (2) the structure is exact as of its head,
/// so a structural change counts where its record begins behind that; (3) nothing is believed: what
/// contradicts what is there is refused in words. Threads: one.
#pragma once

#include "replay/image.hpp"
#include "replay/structure.hpp"

namespace mmsb::replay {

class FuzzyImage {
public:
    /// `most_bytes`: more of the pages' bytes are refused before they are allocated.
    FuzzyImage(Structure structure, Keep keep, std::uint64_t most_bytes);

    /// Is that page to come: in the structure, and without contents yet?
    [[nodiscard]] bool expects(PageId page) const noexcept;
    [[nodiscard]] bool keeps(PageId page) const noexcept { return image_.keeps(page); }
    /// The page's contents: all but what the structure says. Empty: done; else what is wrong.
    [[nodiscard]] std::string put(PageId page, ImagePage contents);
    /// One record of those behind the start, in order; `body` are its entries.
    [[nodiscard]] std::string apply(const log::Record& record, std::span<const std::byte> body);

    /// Where all this ends.
    struct End {
        Sequence sequence = Sequence::zero;
        std::int64_t time_ns = 0;
        log::Lsn lsn = 0;
        std::uint64_t next_page = 1;
        log::Lsn structure = 0;
    };
    /// Moves all of it into `image`. REQUIRES nothing more to come.
    [[nodiscard]] std::string finish(const End& end, Image& image);

private:
    struct Page {
        ImagePage page{};
        bool has_contents = false;
    };
    using Pages = std::map<PageId, Page>;
    [[nodiscard]] std::string apply_entry(const log::Record& record, const log::PageEntry& entry);
    [[nodiscard]] std::string create(const log::Record& record, const log::PageEntry& entry);
    [[nodiscard]] std::string change(const log::Record& record, const log::PageEntry& entry,
                                     ImagePage& page);
    [[nodiscard]] std::string resize(PageId id, ImagePage& page, std::uint64_t size);

    Image image_;  // empty until the end, but for its sources: knows what is kept
    Pages pages_{};
    log::Lsn head_;
    log::Lsn last_ = 0;  // end of the last record applied
    std::uint64_t most_bytes_, bytes_ = 0;
    Dependencies dependencies_{};
};

/// A page's fields that contradict the end or each other; nullptr: none.
[[nodiscard]] const char* page_problem(const FuzzyImage::End& end, PageId id,
                                       const ImagePage& page) noexcept;

}  // namespace mmsb::replay
