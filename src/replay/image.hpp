/// replay/image: the bus rebuilt in private memory by applying records in order: what View, export,
/// verify, a private bus's folded past and checkpoints are made of. Pure.
///
/// Invariants: (1) applying records [first..n] to an empty Image gives exactly the live pages,
/// epochs, names and metadata as of n; (2) apply() believes no record: one that contradicts what is
/// there (unknown page, wrong epoch or size, a taken name) is refused in words and changes nothing;
/// (3) names, lines and ids are each of one page at most, and next_page() is above all ids.
/// May include: base, delta, log without ring and segments.
/// Threads: none of its own; one at a time.
#pragma once

#include "log/record.hpp"
#include "replay/structure.hpp"

#include <mmsb/delta.hpp>
#include <mmsb/types.hpp>

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mmsb::replay {

/// "page 7: is not there": how all in here say what contradicts.
[[nodiscard]] std::string of_page(PageId page, std::string_view what);
/// "page 7: expected epoch 3, found 4"
[[nodiscard]] std::string differs(PageId page, std::string_view what, std::uint64_t expected,
                                  std::uint64_t found);

struct ImagePage {
    std::uint32_t line = 0;
    std::uint64_t size = 0;
    Epoch epoch = Epoch::zero;
    Sequence sequence = Sequence::zero;  ///< Of the last record that named it.
    log::Lsn lsn = 0;                    ///< End of that record.
    Location location = Location::cpu;
    bool stale = false;  ///< What it depends on has changed since its bytes were made.
    Bytes bytes{};       ///< Empty where the image was asked not to keep this page's bytes.
    std::string name{};
    Metadata metadata{};
};

/// For the facade: of a page, where that is how pages depend on others.
[[nodiscard]] PageInfo info_of(PageId id, const ImagePage& page, const Dependencies& dependencies);

/// The same of a page whose structure and present state come from two places.
[[nodiscard]] PageInfo info_of(PageId id, PageStructure page, std::uint64_t size, Epoch epoch,
                               bool derived, bool stale);

/// Which pages' bytes an image keeps.
struct Keep {
    enum class Which : std::uint8_t { all, none, some } which = Which::all;
    std::vector<PageId> pages{};  ///< For `some`, in any order.
    /// Linear in `pages`; an Image knows a faster way.
    [[nodiscard]] bool keeps(PageId page) const noexcept;
};

class Image {
public:
    explicit Image(Keep keep = {});
    Image(const Image& other);
    Image(Image&&) = default;
    Image& operator=(const Image& other);
    Image& operator=(Image&&) = default;
    ~Image() = default;

    /// Applies one record. `body` are the entries: record.body, or what its blob file holds.
    /// Empty: done; else what contradicts. Strong, also where memory runs out: nothing has changed.
    ///
    /// Names are decided by the state after the record, so that two pages may swap theirs in one. A
    /// line that a record frees is given only to later records, as all room is.
    /// Cost: linear in the record (n log n where its pages are not in order); a plain change of
    /// bytes allocates nothing.
    [[nodiscard]] std::string apply(const log::Record& record, std::span<const std::byte> body);
    [[nodiscard]] std::string apply(const log::Record& record) {
        return apply(record, record.body);
    }

    /// The same of one that was parsed with its pages. REQUIRES Record::only_bytes.
    [[nodiscard]] std::string apply_bytes(const log::RecordBrief& record,
                                          std::span<const log::PageDelta> pages);
    /// Asks for a page, and later for its bytes that an entry changes, before they are needed.
    void prefetch(PageId page) const noexcept;
    void prefetch(const log::PageDelta& change) const noexcept;

    [[nodiscard]] Sequence sequence() const noexcept { return sequence_; }
    [[nodiscard]] std::int64_t time_ns() const noexcept { return time_ns_; }
    [[nodiscard]] log::Lsn lsn() const noexcept {
        return lsn_;
    }  ///< End of the last record applied.
    [[nodiscard]] std::uint64_t next_page() const noexcept { return next_page_; }
    /// Start of the newest structural record applied; 0: none.
    [[nodiscard]] log::Lsn structure_head() const noexcept { return structure_head_; }
    [[nodiscard]] const std::map<PageId, ImagePage>& pages() const noexcept { return pages_; }
    [[nodiscard]] const std::map<std::uint32_t, std::string>& sources() const noexcept {
        return sources_;
    }
    /// Edges and formulas between these pages.
    [[nodiscard]] const Dependencies& dependencies() const noexcept { return dependencies_; }
    [[nodiscard]] const ImagePage* find(PageId page) const noexcept;
    [[nodiscard]] const ImagePage* find(std::string_view name) const noexcept;  ///< "": none.
    [[nodiscard]] PageInfo info(PageId page, const ImagePage& of) const {
        return info_of(page, of, dependencies_);
    }
    /// Does this image keep the bytes of that page?
    [[nodiscard]] bool keeps(PageId page) const noexcept;

    /// Puts a page in as it is; for checkpoint readers. False, and nothing done, where id, line or
    /// name is taken, the id is none or the last number, a limit is passed, or `bytes` are not as
    /// many as `size` says in a page that this image keeps (it drops those of others).
    /// next_page() is raised above the id.
    bool insert(PageId page, ImagePage contents);
    /// `next_page` counts only where it is above all pages that are there.
    void set_position(Sequence sequence, std::int64_t time_ns, log::Lsn lsn,
                      std::uint64_t next_page) noexcept;
    void set_structure(log::Lsn head) noexcept { structure_head_ = head; }
    /// False, and nothing done, where one names a page that is not there.
    bool set_dependencies(Dependencies dependencies);
    /// False where that number has another name, or is 0, or a limit is passed.
    bool set_source(std::uint32_t number, std::string_view name);

    /// Throws std::logic_error naming what is wrong. For tests and debug builds.
    void check_invariants() const;

private:
    class Staging;  // what a record changes beyond bytes, made ready before anything is changed
    struct Step {
        PageId id{};
        ImagePage* page = nullptr;  // none: it is created by this record
        Epoch epoch{};
        bool frees_name = false, deleted = false, stale = false;
        std::span<const std::byte> delta{};
    };

    [[nodiscard]] std::string position_problem(const log::RecordBrief& record) const;
    [[nodiscard]] std::string apply_commit(const log::Record& record,
                                           std::span<const std::byte> body);
    // Check `next` and all that follows, and fill steps_ and `staging`.
    [[nodiscard]] std::string read_entries(log::EntryReader& reader, log::Entry& next,
                                           std::optional<Staging>& staging,
                                           DependencyChange& dependencies);
    // Of the steps in order.
    [[nodiscard]] std::string twice_problem(bool in_order);
    void take_position(const log::RecordBrief& record) noexcept;
    static void change_page(ImagePage& page, Epoch epoch, bool stale,
                            std::span<const std::byte> delta,
                            const log::RecordBrief& record) noexcept;
    [[nodiscard]] std::string read_entry(const log::PageEntry& entry,
                                         std::optional<Staging>& staging);
    [[nodiscard]] ImagePage* lookup(PageId page) noexcept;
    // Is the page there after the record whose steps these are, in order?
    [[nodiscard]] bool will_be_there(PageId page) const noexcept;
    // Makes room, so that index_page cannot fail for pages below `next`.
    void reserve_index(std::uint64_t next, std::size_t pages);
    void index_page(PageId page, ImagePage* at) noexcept;

    Keep keep_;  // its pages in order
    Sequence sequence_ = Sequence::zero;
    std::int64_t time_ns_ = 0;
    log::Lsn lsn_ = 0;
    log::Lsn structure_head_ = 0;
    std::uint64_t next_page_ = 1;
    std::map<PageId, ImagePage> pages_{};
    std::map<std::string, PageId, std::less<>> names_{};
    std::map<std::uint32_t, PageId> lines_{};
    std::map<std::uint32_t, std::string> sources_{};
    Dependencies dependencies_{};
    // Pages by id, for the ids that are dense enough to be worth it; all others are in the map
    // only.
    std::vector<ImagePage*> index_{};
    std::vector<Step> steps_{};  // of the record being applied; kept for its memory
};

/// All but the bytes.
[[nodiscard]] Structure structure_of(const Image& image);

/// Where two images differ: pages by id.
struct ImageDifference {
    PageId page = PageId::none;
    std::size_t offset = 0;  ///< Of the first byte; 0 where something else differs.
    /// "missing" (in the right one), "extra", "size", "bytes", "epoch", "name", "location",
    /// "metadata", "sequence", "stale"; "dependencies" of page none, once all pages are the same.
    std::string what{};
};
/// The first page by id that is not the same in both, and the first of the above in which it is
/// not. Bytes are compared where both keep them; line and LSN are not compared.
[[nodiscard]] std::optional<ImageDifference> first_difference(const Image& left,
                                                              const Image& right);

}  // namespace mmsb::replay
