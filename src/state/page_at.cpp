#include "state/page_at.hpp"

#include "state/checkpoints.hpp"
#include "state/mentions.hpp"
#include "state/past.hpp"
#include "state/read.hpp"

#include <algorithm>

namespace mmsb::state {

namespace {

// Of so many, and to look for them in so many segments, it is quicker than to read a checkpoint.
constexpr std::size_t enough_records = 1024, enough_segments = 64;

class PageAt {
public:
    PageAt(Attachment& bus, Sequence at, PageId page)
        : bus_(bus), at_(at), page_(page), kept_from_(kept_from(bus)), cursor_(bus, kept_from_) {}

    replay::Image run() {
        segments_ = segments_upto();
        const auto known = newest_known();
        read_back([&](const log::Range& segment) {
            return segment.end > known || is_worth_reading(segment);
        });
        replay::Image image;
        const auto from = begins_with_page_ ? kept_from_ : take_base(image);
        // (Which may be an older one: the newest is damaged.)
        read_back([&](const log::Range& segment) { return segment.end > from; });
        for (const auto start : starts_)
            if (start >= from) apply(start, image);
        return image;
    }

private:
    // From the newest that are asked for back to where the page was made, or as long as it is
    // worth it.
    template <class IsWorthIt>
    void read_back(const IsWorthIt& is_worth_it) {
        while (!segments_.empty() && !begins_with_page_ && is_worth_it(segments_.back())) {
            const auto& segment = segments_.back();
            auto starts = records_of(bus_, page_, segment.start, segment.end).starts;
            // (Of all but the newest there is none behind it.)
            if (starts_.empty()) starts.erase(first_behind(starts), starts.end());
            starts_.insert(starts_.begin(), starts.begin(), starts.end());
            segments_.pop_back();
            begins_with_page_ = !starts.empty() && read(starts.front()).created;
        }
    }

    // Those that hold commits up to the one asked for.
    [[nodiscard]] std::vector<log::Range> segments_upto() {
        auto all = segments_of(bus_, kept_from_, cursor_.to());
        const auto behind = std::ranges::partition_point(
            all, [this](const log::Range& segment) { return is_upto(segment.start); });
        all.erase(behind, all.end());
        return all;
    }
    [[nodiscard]] std::vector<Lsn>::iterator first_behind(std::vector<Lsn>& starts) {
        return std::ranges::partition_point(starts, [this](Lsn start) { return is_upto(start); });
    }
    [[nodiscard]] bool is_upto(Lsn start) {
        cursor_.seek(start);
        return cursor_.next() && cursor_.record().sequence <= at_;
    }

    // Where the records behind the newest checkpoint begin.
    [[nodiscard]] Lsn newest_known() {
        Lsn lsn = 0;
        for (const auto& file : checkpoint_files(bus_))
            if (file.sequence <= at_) lsn = file.lsn;
        return lsn;
    }
    // One that lies before a checkpoint.
    [[nodiscard]] bool is_worth_reading(const log::Range& segment) {
        return starts_.size() < enough_records && looked_in_++ != enough_segments &&
               bus_.segments->has_index(segment.start);
    }

    // What the record there says of the page. Valid until the next call.
    [[nodiscard]] const log::PageEntry& read(Lsn start) {
        cursor_.seek(start);
        if (cursor_.next() && cursor_.record().kind == log::RecordKind::commit) {
            log::EntryReader reader(cursor_.body());
            while (reader.next(entry_))
                if (entry_.kind == log::EntryKind::page && entry_.page.page == page_)
                    return entry_.page;
        }
        throw_wrong_index(bus_, start, page_);
    }

    // Returns from where on records are to be applied to it.
    Lsn take_base(replay::Image& image) {
        Lsn from = 0;
        const auto base = start_image(bus_, at_, {replay::Keep::Which::some, {page_}}, from);
        if (const auto* page = base.find(page_); page != nullptr) {
            image.insert(page_, *page);
            image.set_position(base.sequence(), base.time_ns(), base.lsn(), 1);
        }
        return from;
    }

    // As a record that says nothing else.
    void apply(Lsn start, replay::Image& image) {
        body_.clear();
        log::write_entry(read(start), body_);
        auto record = cursor_.record();
        record.source = 0;  // whose name is not in the image
        record.blob.reset();
        image.set_position(record.sequence - 1, record.time_ns, record.start, 1);
        if (const auto wrong = image.apply(record, body_); !wrong.empty())
            throw_contradiction(bus_, log::brief_of(record), wrong);
    }

    Attachment& bus_;
    Sequence at_;
    PageId page_;
    Lsn kept_from_;
    Cursor cursor_;
    std::vector<log::Range> segments_{};  // not read yet; ascending
    std::vector<Lsn> starts_{};           // of records of the page up to at_, ascending
    bool begins_with_page_ = false;       // the first of them makes it
    std::size_t looked_in_ = 0;           // segments before a checkpoint
    log::Entry entry_{};
    std::vector<std::byte> body_{};
};

// As it is now, if it was so then.
std::optional<replay::Image> as_it_is(Attachment& bus, Sequence at, PageId page) {
    const auto before = unchanged_since(bus, at, page);
    if (!before) return std::nullopt;
    replay::ImagePage contents{.size = before->size,
                               .epoch = Epoch{before->epoch},
                               .sequence = Sequence{before->sequence},
                               .lsn = before->lsn,
                               .stale = before->stale()};
    try {
        contents.bytes = read_page(bus, page, contents.line).value;
    } catch (const PageNotFound&) {
        return std::nullopt;
    }
    const auto known = bus.catalog.page(page);
    const auto after = unchanged_since(bus, at, page);
    if (!known || !after || after->lsn != before->lsn) return std::nullopt;
    contents.line = known->line;
    contents.location = known->location;
    contents.name = known->name;
    contents.metadata = known->metadata;
    replay::Image image;
    image.insert(page, std::move(contents));
    return image;
}

}  // namespace

std::optional<arena::LineCopy> unchanged_since(Attachment& bus, Sequence at, PageId page) {
    bus.catalog.follow_logged(bus);
    auto line = bus.catalog.line_of(page);
    if (!line) return std::nullopt;
    try {
        const auto now = read_line(bus, page, *line);
        if (Sequence{now.sequence} <= at) return now;
    } catch (const PageNotFound&) {  // deleted meanwhile
    }
    return std::nullopt;
}

std::optional<replay::Image> page_at(Attachment& bus, Sequence at, PageId page) {
    if (!bus.logging) return std::nullopt;
    check_view(bus, at);
    if (auto image = as_it_is(bus, at, page)) return image;
    if (bus.is_private) return std::nullopt;
    return look_while_kept(bus, at, [&] { return PageAt(bus, at, page).run(); });
}

}  // namespace mmsb::state
