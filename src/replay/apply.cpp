// Image::apply. A record is walked and checked whole, then everything that needs memory is made
// ready (Staging), then the change itself is made of steps that cannot fail.
#include "base/limits.hpp"
#include "replay/image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace mmsb::replay {

std::string of_page(PageId page, std::string_view what) {
    return fmt::format("page {}: {}", number(page), what);
}

std::string differs(PageId page, std::string_view what, std::uint64_t expected,
                    std::uint64_t found) {
    return fmt::format("page {}: expected {} {}, found {}", number(page), what, expected, found);
}

namespace {

constexpr const char* damaged_entries = "the entries are damaged";

// Does anything but bytes change?
bool structural(const log::PageEntry& entry) noexcept {
    return entry.deleted || entry.resized || entry.renamed || !entry.metadata.empty();
}

// An entry's epoch and size where the page that is there is `page`.
Epoch next_epoch(const ImagePage& page, const log::PageEntry& entry) noexcept {
    return page.epoch + (entry.resized || !entry.delta.empty() ? 1U : 0U);
}
std::uint64_t next_size(const ImagePage& page, const log::PageEntry& entry) noexcept {
    if (entry.resized) return entry.size;
    return entry.deleted ? 0 : page.size;
}

// What an entry says in itself (its delta fits its size, a deleted page takes no other change,
// limits) the reader has checked.
std::string change_problem(const ImagePage* page, const log::PageEntry& entry) {
    if (page == nullptr) return of_page(entry.page, "is not there");
    if (const auto epoch = next_epoch(*page, entry); entry.epoch != epoch) {
        return differs(entry.page, "epoch", number(epoch), number(entry.epoch));
    }
    const auto size = next_size(*page, entry);
    if (entry.size != size) return differs(entry.page, "size", size, entry.size);
    return {};
}

// Changes `metadata` as the entry says.
std::string metadata_problem(const log::PageEntry& entry, Metadata& metadata) {
    log::MetadataReader reader(entry.metadata);
    std::string_view key;
    std::string_view value;
    while (reader.next(key, value)) {
        if (value.empty()) {
            if (const auto at = metadata.find(key); at != metadata.end()) metadata.erase(at);
        } else {
            metadata.insert_or_assign(std::string(key), std::string(value));
        }
    }
    std::size_t size = 0;
    for (const auto& [k, v] : metadata) size += k.size() + v.size();
    if (size <= limits::metadata_size) return {};
    return differs(entry.page, "metadata of at most", limits::metadata_size, size);
}

}  // namespace

class Image::Staging {
public:
    explicit Staging(Image& image) : image_(image) {}

    // Takes over an entry; what it contradicts, if anything. Changes nothing in the image.
    std::string create(const log::PageEntry& entry);
    std::string change(const log::PageEntry& entry, ImagePage& page);
    // What the names contradict. REQUIRES the image's steps in order.
    [[nodiscard]] std::string names_problem() const;
    // Last what may throw: memory for bytes, and the created pages' places in the steps.
    void prepare();
    // Then, in this order: bytes get their new size; (the steps are applied;) all the rest.
    void swap_bytes() noexcept;
    void finish() noexcept;

private:
    struct Resized {
        PageId id;
        ImagePage* page;
        std::uint64_t size;
        Bytes bytes{};
    };
    std::string take_name(const log::PageEntry& entry);

    Image& image_;
    std::map<PageId, ImagePage> created_{};
    std::map<std::string, PageId, std::less<>> names_{};
    std::map<std::uint32_t, PageId> lines_{};
    std::vector<PageId> deleted_{};
    std::vector<Resized> resized_{};
    std::vector<std::pair<ImagePage*, std::string>> renamed_{};
    std::vector<std::pair<ImagePage*, Metadata>> metadata_{};
};

std::string Image::Staging::take_name(const log::PageEntry& entry) {
    if (entry.name.empty()) return {};
    const auto [at, added] = names_.try_emplace(std::string(entry.name), entry.page);
    if (added) return {};
    return of_page(entry.page, fmt::format("the name '{}' is also given to page {}", entry.name,
                                           number(at->second)));
}

std::string Image::Staging::create(const log::PageEntry& entry) {
    const auto id = number(entry.page);
    // Not "above all that were": a transaction takes its id when it stages, and may commit after
    // another that took its own later.
    if (id + 1 == 0 || image_.pages_.contains(entry.page)) {
        return of_page(entry.page, "is no new id");
    }
    if (entry.epoch != Epoch::zero) return differs(entry.page, "epoch", 0, number(entry.epoch));
    if (image_.lines_.contains(entry.line) || !lines_.try_emplace(entry.line, entry.page).second) {
        return of_page(entry.page, fmt::format("line {} is another page's", entry.line));
    }
    ImagePage page{.line = entry.line, .size = entry.size, .location = entry.location};
    if (entry.renamed) {
        page.name = entry.name;
        if (auto problem = take_name(entry); !problem.empty()) return problem;
    }
    if (auto problem = metadata_problem(entry, page.metadata); !problem.empty()) return problem;
    if (created_.try_emplace(entry.page, std::move(page)).second) return {};
    return of_page(entry.page, "is named twice");
}

std::string Image::Staging::change(const log::PageEntry& entry, ImagePage& page) {
    if (entry.deleted) deleted_.push_back(entry.page);
    if (entry.resized) resized_.push_back({.id = entry.page, .page = &page, .size = entry.size});
    if (entry.renamed) {
        renamed_.emplace_back(&page, entry.name);
        if (auto problem = take_name(entry); !problem.empty()) return problem;
    }
    if (entry.metadata.empty()) return {};
    metadata_.emplace_back(&page, page.metadata);
    return metadata_problem(entry, metadata_.back().second);
}

std::string Image::Staging::names_problem() const {
    for (const auto& [name, id] : names_) {
        const auto taken = image_.names_.find(name);
        if (taken == image_.names_.end()) continue;
        const auto& steps = image_.steps_;
        const auto holder =
            std::lower_bound(steps.begin(), steps.end(), taken->second,
                             [](const Step& step, PageId page) { return step.id < page; });
        if (holder == steps.end() || holder->id != taken->second || !holder->frees_name) {
            return of_page(id,
                           fmt::format("the name '{}' is page {}'s", name, number(taken->second)));
        }
    }
    return {};
}

void Image::Staging::prepare() {
    for (auto& [id, page] : created_) {
        if (image_.keeps(id)) page.bytes.resize(static_cast<std::size_t>(page.size));
    }
    for (auto& resized : resized_) {
        if (!image_.keeps(resized.id)) continue;
        const auto& old = resized.page->bytes;
        resized.bytes.resize(static_cast<std::size_t>(resized.size));
        const auto kept = std::min(old.size(), resized.bytes.size());
        if (kept != 0) std::memcpy(resized.bytes.data(), old.data(), kept);
    }
    for (auto& step : image_.steps_) {
        if (step.page == nullptr) step.page = &created_.at(step.id);
    }
    if (created_.empty()) return;
    image_.reserve_index(number(created_.rbegin()->first) + 1,
                         image_.pages_.size() + created_.size());
}

void Image::Staging::swap_bytes() noexcept {
    for (auto& resized : resized_) {
        resized.page->size = resized.size;
        resized.page->bytes.swap(resized.bytes);
    }
}

void Image::Staging::finish() noexcept {
    for (auto& [page, metadata] : metadata_) page->metadata.swap(metadata);
    const auto free_name = [this](const ImagePage& page) {
        if (const auto at = image_.names_.find(page.name); at != image_.names_.end()) {
            image_.names_.erase(at);
        }
    };
    for (auto& [page, name] : renamed_) {
        free_name(*page);
        page->name.swap(name);
    }
    for (const auto id : deleted_) {
        const auto at = image_.pages_.find(id);
        free_name(at->second);
        image_.lines_.erase(at->second.line);
        image_.index_page(id, nullptr);
        image_.pages_.erase(at);
    }
    for (auto& [id, page] : created_) {
        image_.index_page(id, &page);
        image_.next_page_ = std::max(image_.next_page_, number(id) + 1);
    }
    image_.names_.merge(names_);
    image_.lines_.merge(lines_);
    image_.pages_.merge(created_);
}

std::string Image::position_problem(const log::RecordBrief& record) const {
    if (record.start < lsn_ || record.end <= record.start) {
        return fmt::format("expected a record at LSN {} or behind, found [{}, {})", lsn_,
                           record.start, record.end);
    }
    if (record.kind == log::RecordKind::filler) return {};
    const auto expected = sequence_ + (record.kind == log::RecordKind::commit ? 1U : 0U);
    if (record.sequence != expected) {
        return fmt::format("expected sequence {}, found {}", number(expected),
                           number(record.sequence));
    }
    if (record.time_ns < time_ns_) {
        return fmt::format("expected a time of at least {} ns, found {}", time_ns_, record.time_ns);
    }
    return {};
}

std::string Image::read_entry(const log::PageEntry& entry, std::optional<Staging>& staging) {
    auto* const page = entry.created ? nullptr : lookup(entry.page);
    if (!entry.created)
        if (auto problem = change_problem(page, entry); !problem.empty()) return problem;
    if (entry.created || structural(entry)) {
        if (!staging) staging.emplace(*this);
        auto problem = entry.created ? staging->create(entry) : staging->change(entry, *page);
        if (!problem.empty()) return problem;
    }
    steps_.push_back({.id = entry.page,
                      .page = page,
                      .epoch = entry.epoch,
                      .frees_name = entry.renamed || entry.deleted,
                      .deleted = entry.deleted,
                      .stale = entry.stale,
                      .delta = entry.delta});
    return {};
}

bool Image::will_be_there(PageId page) const noexcept {
    const auto step = std::lower_bound(steps_.begin(), steps_.end(), page,
                                       [](const Step& s, PageId id) { return s.id < id; });
    if (step == steps_.end() || step->id != page) return find(page) != nullptr;
    return !step->deleted;
}

std::string Image::read_entries(log::EntryReader& reader, log::Entry& next,
                                std::optional<Staging>& staging, DependencyChange& dependencies) {
    steps_.clear();
    bool in_order = true;
    auto last = PageId::none;
    do {
        if (next.kind != log::EntryKind::page) {
            if (next.kind == log::EntryKind::edge ? dependencies.take(next.edge)
                                                  : dependencies.take(next.formula))
                continue;
            return "an edge or a formula is named twice";
        }
        if (steps_.size() == limits::pages_per_record) return "too many pages in one record";
        in_order = in_order && next.page.page > last;
        last = next.page.page;
        if (auto problem = read_entry(next.page, staging); !problem.empty()) return problem;
    } while (reader.next(next));
    return twice_problem(in_order);
}

std::string Image::twice_problem(bool in_order) {
    if (in_order) return {};
    std::sort(steps_.begin(), steps_.end(),
              [](const Step& a, const Step& b) { return a.id < b.id; });
    const auto twice = std::adjacent_find(
        steps_.begin(), steps_.end(), [](const Step& a, const Step& b) { return a.id == b.id; });
    return twice == steps_.end() ? std::string() : of_page(twice->id, "is named twice");
}

std::string Image::apply_commit(const log::Record& record, std::span<const std::byte> body) {
    if (record.source != 0 && !sources_.contains(record.source)) {
        return fmt::format("source {} has no name", record.source);
    }
    if (record.blob && body.size() != record.blob->size) {
        return fmt::format("expected {} bytes of entries, found {}", record.blob->size,
                           body.size());
    }
    log::EntryReader reader(body);
    log::Entry next;
    if (!reader.next(next)) return reader.failed() ? damaged_entries : std::string();
    std::optional<Staging> staging;
    DependencyChange dependencies;
    if (auto problem = read_entries(reader, next, staging, dependencies); !problem.empty())
        return problem;
    if (reader.failed()) return damaged_entries;
    if (!dependencies.empty())
        if (auto problem = dependencies.problem(
                dependencies_, [this](PageId page) { return will_be_there(page); });
            !problem.empty())
            return problem;
    if (staging) {
        if (auto problem = staging->names_problem(); !problem.empty()) return problem;
        staging->prepare();
        staging->swap_bytes();
    }
    for (const auto& step : steps_)
        change_page(*step.page, step.epoch, step.stale, step.delta, log::brief_of(record));
    if (staging) staging->finish();
    dependencies.apply(dependencies_);
    constexpr std::size_t worth_keeping = 4096;
    if (steps_.capacity() > worth_keeping) std::vector<Step>().swap(steps_);
    return {};
}

std::string Image::apply(const log::Record& record, std::span<const std::byte> body) {
    const auto brief = log::brief_of(record);
    if (auto problem = position_problem(brief); !problem.empty()) return problem;
    switch (record.kind) {
        case log::RecordKind::commit:
            if (auto problem = apply_commit(record, body); !problem.empty()) return problem;
            break;
        case log::RecordKind::source: {
            const auto source = log::read_source(body);
            if (!source) return "the source's name is damaged";
            if (!set_source(source->number, source->name)) {
                return fmt::format("source {} cannot have the name '{}'", source->number,
                                   source->name);
            }
            break;
        }
        case log::RecordKind::filler:
            lsn_ = record.end;
            return {};
        case log::RecordKind::incarnation:
        case log::RecordKind::close:
        case log::RecordKind::retention:
        case log::RecordKind::clock:
            break;
        default:
            return fmt::format("there is no kind {} of records",
                               static_cast<unsigned>(record.kind));
    }
    if (record.structural) structure_head_ = record.start;
    take_position(brief);
    return {};
}

}  // namespace mmsb::replay
