// A page's commits, from the oldest on or from the newest.
#include "api/own_records.hpp"

#include <algorithm>

namespace mmsb::detail {

namespace {

// The commits that change one page.
class PageCommits : public OwnRecords {
public:
    PageCommits(Handle bus, PageId page, Bounds wanted, const Part& part)
        : OwnRecords(bus, {page}, std::move(wanted), part) {}

    bool next(Change& change) {
        while (look()) {
            const auto* entry = find();
            const bool is_told = entry != nullptr && take(*entry, change);
            pass();
            if (is_told) return true;
        }
        return false;
    }
    using OwnRecords::began_before;
    /// Was the page deleted by what was met last, or made by anything that was met?
    [[nodiscard]] bool is_deleted() const noexcept { return is_deleted_; }
    [[nodiscard]] bool is_created() const noexcept { return is_created_; }

private:
    bool take(const log::PageEntry& entry, Change& change) {
        is_created_ = is_created_ || entry.created;
        is_deleted_ = entry.deleted;
        const auto& its_source = source();
        if (!bounds().admits(record(), its_source)) return false;
        change = change_of(record(), entry, its_source);
        return true;
    }

    bool is_created_ = false, is_deleted_ = false;
};

// From the newest on: segment by segment, the last one first, each of which is read and then given
// backwards.
class Backwards {
public:
    Backwards(Handle bus, PageId page, Bounds bounds, std::vector<Part> parts)
        : bus_(bus), page_(page), bounds_(std::move(bounds)), parts_(std::move(parts)) {}
    bool next(Change& change) {
        while (changes_.empty() && !parts_.empty()) read();
        if (changes_.empty()) return false;
        change = std::move(changes_.back());
        changes_.pop_back();
        return true;
    }

private:
    void read() {
        std::vector<Change> changes;
        PageCommits commits(bus_, page_, bounds_, parts_.back());
        for (Change change; commits.next(change);) changes.push_back(std::move(change));
        changes_ = std::move(changes);
        parts_.pop_back();
        if (commits.is_created() || commits.began_before()) parts_.clear();
    }

    Handle bus_;
    PageId page_;
    Bounds bounds_;
    std::vector<Part> parts_;
    std::vector<Change> changes_{};
};

}  // namespace

std::shared_ptr<Stream<Change>::Impl> open_history(Handle handle, PageId page,
                                                   const HistoryOptions& options) {
    const auto bus = Bus::bare(handle);
    auto& attachment = Bus::get(bus).at();
    Bounds bounds{options.from, options.to, options.since, options.until,
                  std::string(options.source)};
    const auto oldest = oldest_of(attachment);
    if (bounds.from != Sequence::zero && bounds.from <= oldest) throw_dropped(oldest);
    if (options.newest_first) {
        bounds.to = std::min(bounds.to, state::newest(attachment).sequence);
        auto impl = std::make_shared<Stream<Change>::Impl>();
        const auto commits =
            std::make_shared<Backwards>(bus, page, std::move(bounds), parts_of(attachment));
        impl->next = [commits](Change& change) { return commits->next(change); };
        return impl;
    }
    const auto part = part_from(attachment, bounds);
    const auto commits = std::make_shared<PageCommits>(bus, page, std::move(bounds), part);
    auto impl = stream_of<Change>(commits);
    impl->next = [commits](Change& change) { return commits->next(change); };
    impl->wait = [commits](const Pin& pin, const state::Deadline& end) {
        return !commits->is_deleted() && commits->wait(pin, end);
    };
    impl->last = [commits](const Change&) { return commits->is_deleted(); };
    return impl;
}

}  // namespace mmsb::detail
