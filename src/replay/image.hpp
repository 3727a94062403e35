/// replay/image: the bus rebuilt in private memory by applying records in order: what View, export,
/// verify, a private bus's folded past and checkpoints are made of. Pure.
///
/// Invariant: applying records [first..n] to an empty Image gives exactly the live pages, epochs,
/// names and metadata as of n. apply() believes no record: one that contradicts what is there
/// (unknown page, wrong epoch or size, a taken name) is refused in words and changes nothing.
/// Threads: none of its own; one at a time.
#pragma once

#include "log/record.hpp"

#include <mmsb/delta.hpp>
#include <mmsb/types.hpp>

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace mmsb::replay {

struct ImagePage {
    std::uint32_t line = 0;
    std::uint64_t size = 0;
    Epoch epoch = Epoch::zero;
    Sequence sequence = Sequence::zero;  ///< Of the last record that named it.
    log::Lsn lsn = 0;                    ///< End of that record.
    Location location = Location::cpu;
    std::string name{};
    Metadata metadata{};
    Bytes bytes{};  ///< Empty where the image was asked not to keep this page's bytes.
};

/// Which pages' bytes an image keeps.
struct Keep {
    enum class Which : std::uint8_t { all, none, some } which = Which::all;
    std::vector<PageId> pages{};  ///< For `some`.
    [[nodiscard]] bool keeps(PageId page) const noexcept;
};

class Image {
public:
    explicit Image(Keep keep = {}) : keep_(std::move(keep)) {}

    /// Applies one record. `body` are the entries: record.body, or what its blob file holds.
    /// Empty: done; else what contradicts. Strong: nothing has changed then.
    [[nodiscard]] std::string apply(const log::Record& record, std::span<const std::byte> body);
    [[nodiscard]] std::string apply(const log::Record& record) { return apply(record, record.body); }

    [[nodiscard]] Sequence sequence() const noexcept { return sequence_; }
    [[nodiscard]] std::int64_t time_ns() const noexcept { return time_ns_; }
    [[nodiscard]] log::Lsn lsn() const noexcept { return lsn_; }  ///< End of the last record applied.
    [[nodiscard]] std::uint64_t next_page() const noexcept { return next_page_; }
    [[nodiscard]] const std::map<PageId, ImagePage>& pages() const noexcept { return pages_; }
    [[nodiscard]] const std::map<std::uint32_t, std::string>& sources() const noexcept { return sources_; }
    [[nodiscard]] const ImagePage* find(PageId page) const noexcept;
    [[nodiscard]] const ImagePage* find(std::string_view name) const noexcept;
    [[nodiscard]] PageInfo info(PageId page, const ImagePage& of) const;

    /// Puts a page in as it is; for checkpoint readers. False where id, line or name is taken.
    bool insert(PageId page, ImagePage contents);
    void set_position(Sequence sequence, std::int64_t time_ns, log::Lsn lsn, std::uint64_t next_page);
    bool set_source(std::uint32_t number, std::string_view name);

    /// Throws std::logic_error naming what is wrong. For tests and debug builds.
    void check_invariants() const;

private:
    Keep keep_;
    Sequence sequence_ = Sequence::zero;
    std::int64_t time_ns_ = 0;
    log::Lsn lsn_ = 0;
    std::uint64_t next_page_ = 1;
    std::map<PageId, ImagePage> pages_{};
    std::map<std::string, PageId, std::less<>> names_{};
    std::map<std::uint32_t, std::string> sources_{};
};

/// Where two images differ: pages by id.
struct ImageDifference {
    PageId page = PageId::none;
    std::size_t offset = 0;      ///< Of the first byte; 0 where something else differs.
    std::string what{};          ///< "bytes", "epoch", "size", "name", "metadata", "missing", "extra".
};
[[nodiscard]] std::optional<ImageDifference> first_difference(const Image& left, const Image& right);

}  // namespace mmsb::replay
