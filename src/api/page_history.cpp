// A page's commits, from the oldest on or from the newest.
#include "api/log_walk.hpp"
#include "state/mentions.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <map>

namespace mmsb::detail {

namespace {

// Is what begins there before all that is asked for?
bool is_before(const log::Record& record, const Bounds& bounds) {
    return record.sequence < bounds.from || !bounds.is_since(record);
}
bool is_before(state::Attachment& bus, log::Lsn start, const Bounds& bounds) {
    const auto there = state::record_at(bus, start);
    return is_before(there.record(), bounds);
}

// Which part of the log is read.
struct Course {
    std::vector<log::Range> segments{};  ///< First: records that say something of the page.
    bool goes_on = true;                 ///< Then all that follows, or is to come;
    log::Lsn from = 0;                   ///< without segments, from there on,
    Sequence behind = Sequence::zero;    ///< behind that sequence.
};

// The commits that change one page. Needs nothing but the log: the numbers of sources keep their
// names.
class PageCommits : public Walk {
public:
    PageCommits(Handle bus, PageId page, Bounds wanted, Course course)
        : Walk(bus, std::move(wanted)), page_(page), course_(std::move(course)) {
        begin(course_.from, course_.behind);
    }

    bool next(Change& change) {
        while (next_to_look_at()) {
            if (const auto* entry = find(); entry != nullptr && take(*entry, change)) return true;
        }
        return false;
    }
    /// Was the page deleted by what next() told last, or made by anything that was met?
    [[nodiscard]] bool is_deleted() const noexcept { return is_deleted_; }
    [[nodiscard]] bool is_created() const noexcept { return is_created_; }
    /// It began before all that is asked for.
    [[nodiscard]] bool began_before() const noexcept { return began_before_; }

private:
    bool next_to_look_at() {
        for (;;) {
            if (walks_) return next_record();
            if (next_start_ != found_.starts.size()) {
                go_to(found_.starts[next_start_++], found_.upto);
                return next_record();
            }
            if (next_segment_ != course_.segments.size()) {
                if (!enter(course_.segments[next_segment_++])) return false;
                continue;
            }
            if (!course_.goes_on) return false;
            walks_ = true;
            if (course_.segments.empty()) continue;
            go_to(found_.upto, found_.upto);
            passed(found_.newest);
        }
    }
    // False: that is behind the bounds.
    bool enter(const log::Range& segment) {
        go_to(std::max(segment.start, course_.from), course_.from);
        if (next_record())
            began_before_ = began_before_ || is_before(record(), bounds());
        else if (is_ended())
            return false;
        found_ = state::records_of(attachment(), page_, segment);
        next_start_ = 0;
        if (!began_before_) return true;
        const auto first = std::ranges::partition_point(found_.starts, [this](log::Lsn start) {
            return is_before(attachment(), start, bounds());
        });
        next_start_ = static_cast<std::size_t>(first - found_.starts.begin());
        return true;
    }
    // What the record at hand says of the page.
    const log::PageEntry* find() {
        const log::PageEntry* found = nullptr;
        const auto look_at = [&](const log::Entry& entry) {
            if (entry.kind != log::EntryKind::page || entry.page.page != page_) return true;
            entry_ = entry.page;
            found = &entry_;
            return false;
        };
        if (record().kind == log::RecordKind::commit) each_entry(look_at);
        if (found == nullptr && !walks_) throw_wrong_index();
        return found;
    }
    [[noreturn]] void throw_wrong_index() const {
        const auto segment = attachment().segments->find(record().start);
        const auto path = fmt::format("{}/log/{}", attachment().path,
                                      log::index_name(segment ? segment->header.id : 0));
        throw Corrupt(ErrorCode::corrupt,
                      fmt::format("{}: expected what the log says: commit {} says nothing of page "
                                  "{}",
                                  path, number(record().sequence), number(page_)),
                      {.page = page_,
                       .path = path,
                       .expected = "what the log says",
                       .found = "another record",
                       .sequence = record().sequence});
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
    Course course_;
    std::size_t next_segment_ = 0;
    state::RecordsOfPage found_{};  // of the segment before that
    std::size_t next_start_ = 0;
    bool walks_ = false;  // record by record, of whatever page
    log::PageEntry entry_{};
    std::map<std::uint32_t, std::string> sources_{};
    bool is_created_ = false, is_deleted_ = false, began_before_ = false;
};

// All that is kept. What a private bus keeps it folds away at its end meanwhile: that is read from
// there on, and once.
Course all_of(state::Attachment& bus) {
    Course course;
    // In this order: what is moved meanwhile is then begun to be read too early, and not too late.
    course.from = std::max(bus.words().history_lsn.load(), state::first_lsn);
    course.behind = state::oldest_view(bus);
    if (bus.is_private) return course;
    course.segments = bus.segments->ranges();
    const auto logged = bus.words().logged.load();
    std::erase_if(course.segments, [&](const log::Range& segment) {
        return segment.end <= course.from || segment.start >= logged;
    });
    return course;
}

// From the newest on: segment by segment, the last one first, each of which is read and then given
// backwards.
class Backwards {
public:
    Backwards(Handle bus, PageId page, Bounds bounds, Course course)
        : bus_(bus), page_(page), bounds_(std::move(bounds)), course_(std::move(course)) {
        if (!course_.segments.empty()) course_.goes_on = false;
    }
    bool next(Change& change) {
        while (changes_.empty() && !is_read_) read();
        if (changes_.empty()) return false;
        change = std::move(changes_.back());
        changes_.pop_back();
        return true;
    }

private:
    void read() {
        auto part = course_;
        if (!course_.segments.empty()) {
            part.segments.assign(1, course_.segments.back());
            course_.segments.pop_back();
        }
        PageCommits commits(bus_, page_, bounds_, std::move(part));
        for (Change change; commits.next(change);) changes_.push_back(std::move(change));
        is_read_ = course_.segments.empty() || commits.is_created() || commits.began_before();
    }

    Handle bus_;
    PageId page_;
    Bounds bounds_;
    Course course_;
    std::vector<Change> changes_{};
    bool is_read_ = false;
};

}  // namespace

std::shared_ptr<Stream<Change>::Impl> open_history(Handle handle, PageId page,
                                                   const HistoryOptions& options) {
    const auto bus = Bus::bare(handle);
    auto& attachment = Bus::get(bus).at();
    Bounds bounds{options.from, options.to, options.since, options.until,
                  std::string(options.source)};
    static_cast<void>(oldest_of(attachment));
    if (options.newest_first) bounds.to = std::min(bounds.to, state::newest(attachment).sequence);
    auto course = all_of(attachment);
    if (const auto oldest = course.behind; bounds.from != Sequence::zero && bounds.from <= oldest)
        throw_dropped(oldest);
    if (options.newest_first) {
        auto impl = std::make_shared<Stream<Change>::Impl>();
        const auto commits =
            std::make_shared<Backwards>(bus, page, std::move(bounds), std::move(course));
        impl->next = [commits](Change& change) { return commits->next(change); };
        return impl;
    }
    // From the last segment on that begins before what is asked for.
    if (auto& segments = course.segments; segments.size() > 1) {
        const auto first = std::partition_point(
            segments.begin() + 1, segments.end(), [&](const log::Range& segment) {
                return is_before(attachment, segment.start, bounds);
            });
        segments.erase(segments.begin(), first - 1);
    }
    const auto commits =
        std::make_shared<PageCommits>(bus, page, std::move(bounds), std::move(course));
    auto impl = stream_of<Change>(commits);
    impl->next = [commits](Change& change) { return commits->next(change); };
    impl->last = [commits](const Change&) { return commits->is_deleted(); };
    return impl;
}

}  // namespace mmsb::detail
