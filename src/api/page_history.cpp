// A page's commits, from the oldest on or from the newest.
#include "api/log_walk.hpp"
#include "base/bytes.hpp"
#include "state/checkpoints.hpp"

#include <map>

namespace mmsb::detail {

namespace {

// Where the log behind a sequence can be begun to be read.
struct Beginning {
    Sequence sequence = Sequence::zero;
    log::Lsn lsn = 0;
};

// The commits that change one page. Needs nothing but the log: the numbers of sources keep their
// names.
class PageCommits : public Walk {
public:
    PageCommits(Handle bus, PageId page, Bounds wanted, const Beginning& from)
        : Walk(bus, std::move(wanted)), page_(page) {
        begin(from.lsn, from.sequence);
    }

    bool next(Change& change) {
        while (next_record()) {
            if (record().kind != log::RecordKind::commit) continue;
            is_past_since_ = is_past_since_ || !bounds().is_since(record());
            if (const auto* entry = find(); entry != nullptr && take(*entry, change)) return true;
        }
        return false;
    }
    /// Was the page deleted by what next() told last, or made by anything that was met?
    [[nodiscard]] bool is_deleted() const noexcept { return is_deleted_; }
    [[nodiscard]] bool is_created() const noexcept { return is_created_; }
    /// Something from before the time that is asked for was met.
    [[nodiscard]] bool is_past_since() const noexcept { return is_past_since_; }

private:
    // What the record at hand says of the page.
    const log::PageEntry* find() {
        const log::PageEntry* found = nullptr;
        each_entry([&](const log::Entry& entry) {
            if (entry.kind != log::EntryKind::page || entry.page.page != page_) return true;
            entry_ = entry.page;
            found = &entry_;
            return false;
        });
        return found;
    }
    bool take(const log::PageEntry& entry, Change& change) {
        is_created_ = is_created_ || entry.created;
        is_deleted_ = entry.deleted;
        const auto source = source_of(record().source);
        if (!bounds().admits(record(), source)) return false;
        change = change_of(record(), entry, source);
        return true;
    }
    const std::string& source_of(std::uint32_t number) {
        const auto known = sources_.find(number);
        if (known != sources_.end()) return known->second;
        attachment().catalog.follow_logged(attachment());
        return sources_[number] = attachment().catalog.source(number);
    }

    PageId page_;
    log::PageEntry entry_{};
    std::map<std::uint32_t, std::string> sources_{};
    bool is_created_ = false, is_deleted_ = false, is_past_since_ = false;
};

// Where the kept past begins, and checkpoints behind that, of which only the place counts: the log
// is read from there on.
std::vector<Beginning> beginnings(state::Attachment& bus) {
    // In this order: what is moved meanwhile is then begun to be read too early, and not too late.
    const auto lsn = std::max(bus.words().history_lsn.load(), state::first_lsn);
    std::vector<Beginning> all{{state::oldest_view(bus), lsn}};
    if (bus.is_private) return all;
    for (const auto& file : state::checkpoint_files(bus)) {
        if (file.sequence <= all.back().sequence || file.lsn < all.back().lsn) continue;
        try {  // a name proves nothing
            state::Cursor cursor(bus, base::round_up(file.lsn, 8));
            if (!cursor.next()) continue;
            const auto& record = cursor.record();
            const bool takes_one = record.kind == log::RecordKind::commit;
            if (record.sequence == file.sequence + (takes_one ? 1U : 0U))
                all.push_back({file.sequence, record.start});
        } catch (const Error&) {  // none of its: the stretch begins earlier
        }
    }
    return all;
}

// From the newest on: stretches of the log between checkpoints, the last one first, each of which
// is read and then given backwards.
class Backwards {
public:
    Backwards(Handle bus, PageId page, Bounds bounds, std::vector<Beginning> stretches)
        : bus_(bus), page_(page), bounds_(std::move(bounds)), stretches_(std::move(stretches)) {
        bounds_.to = std::min(bounds_.to, state::newest(Bus::get(bus_).at()).sequence);
    }
    bool next(Change& change) {
        while (changes_.empty() && !stretches_.empty()) read_stretch();
        if (changes_.empty()) return false;
        change = std::move(changes_.back());
        changes_.pop_back();
        return true;
    }

private:
    void read_stretch() {
        const auto from = stretches_.back();
        const auto before = from.sequence;
        stretches_.pop_back();
        if (before >= bounds_.to) return;
        PageCommits commits(bus_, page_, bounds_, from);
        for (Change change; commits.next(change);) changes_.push_back(std::move(change));
        bounds_.to = before;
        if (commits.is_created() || commits.is_past_since() || before < bounds_.from)
            stretches_.clear();
    }

    Handle bus_;
    PageId page_;
    Bounds bounds_;
    std::vector<Beginning> stretches_;
    std::vector<Change> changes_{};
};

}  // namespace

std::shared_ptr<Stream<Change>::Impl> open_history(Handle handle, PageId page,
                                                   const HistoryOptions& options) {
    const auto bus = Bus::bare(handle);
    auto& attachment = Bus::get(bus).at();
    Bounds bounds{options.from, options.to, options.since, options.until,
                  std::string(options.source)};
    static_cast<void>(oldest_of(attachment));
    auto stretches = beginnings(attachment);
    if (const auto oldest = stretches.front().sequence;
        bounds.from != Sequence::zero && bounds.from <= oldest)
        throw_dropped(oldest);
    if (options.newest_first) {
        auto impl = std::make_shared<Stream<Change>::Impl>();
        const auto commits =
            std::make_shared<Backwards>(bus, page, std::move(bounds), std::move(stretches));
        impl->next = [commits](Change& change) { return commits->next(change); };
        return impl;
    }
    while (stretches.size() > 1 && stretches.back().sequence >= bounds.from) stretches.pop_back();
    const auto commits =
        std::make_shared<PageCommits>(bus, page, std::move(bounds), stretches.back());
    auto impl = stream_of<Change>(commits);
    impl->next = [commits](Change& change) { return commits->next(change); };
    impl->last = [commits](const Change&) { return commits->is_deleted(); };
    return impl;
}

}  // namespace mmsb::detail
