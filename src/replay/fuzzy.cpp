#include "replay/fuzzy.hpp"

#include "base/limits.hpp"
#include "delta/codec.hpp"

#include <fmt/format.h>

namespace mmsb::replay {

namespace {

void set_metadata(const log::PageEntry& entry, Metadata& metadata) {
    log::MetadataReader reader(entry.metadata);
    for (std::string_view key, value; reader.next(key, value);) {
        if (value.empty())
            metadata.erase(std::string(key));
        else
            metadata.insert_or_assign(std::string(key), std::string(value));
    }
}

}  // namespace

const char* page_problem(const FuzzyImage::End& end, PageId id, const ImagePage& page) noexcept {
    if (id == PageId::none || number(id) >= end.next_page) return "an id below the next page's";
    if (page.sequence > end.sequence) return "no sequence above the checkpoint's";
    if (page.lsn > end.lsn) return "no LSN above the checkpoint's";
    if (number(page.epoch) > number(page.sequence)) return "no epoch above its sequence";
    if (page.location > Location::unified) return "a location";
    return nullptr;
}

FuzzyImage::FuzzyImage(Structure structure, Keep keep, std::uint64_t most_bytes)
    : image_(std::move(keep)),
      head_(structure.head),
      most_bytes_(most_bytes),
      dependencies_(std::move(structure.dependencies)) {
    for (auto& [id, page] : structure.pages)
        pages_.emplace_hint(pages_.end(), id,
                            Page{.page = {.line = page.line,
                                          .location = page.location,
                                          .name = std::move(page.name),
                                          .metadata = std::move(page.metadata)}});
    for (const auto& [number, name] : structure.sources)
        static_cast<void>(image_.set_source(number, name));
}

bool FuzzyImage::expects(PageId page) const noexcept {
    const auto found = pages_.find(page);
    return found != pages_.end() && !found->second.has_contents;
}

std::string FuzzyImage::put(PageId id, ImagePage contents) {
    auto& [page, has_contents] = pages_.at(id);
    contents.line = page.line;
    contents.location = page.location;
    contents.name.swap(page.name);
    contents.metadata.swap(page.metadata);
    page = std::move(contents);
    has_contents = true;
    bytes_ += keeps(id) ? page.size : 0;
    return {};
}

std::string FuzzyImage::resize(PageId id, ImagePage& page, std::uint64_t size) {
    if (size > limits::page_size) return of_page(id, "is larger than any page");
    if (keeps(id)) {
        bytes_ += size - page.bytes.size();
        if (bytes_ > most_bytes_) return of_page(id, "is more than the reader wants");
        page.bytes.resize(static_cast<std::size_t>(size));
    }
    page.size = size;
    return {};
}

std::string FuzzyImage::create(const log::Record& record, const log::PageEntry& entry) {
    const auto [at, added] = pages_.try_emplace(entry.page);
    if (!added) return of_page(entry.page, "is no new id");
    auto& [page, has_contents] = at->second;
    has_contents = true;
    page.line = entry.line;
    page.location = entry.location;
    page.name = entry.name;
    set_metadata(entry, page.metadata);
    if (entry.epoch != Epoch::zero) return of_page(entry.page, "is created at an epoch above 0");
    if (auto problem = resize(entry.page, page, entry.size); !problem.empty()) return problem;
    if (!entry.delta.empty() && keeps(entry.page)) delta::apply(entry.delta, page.bytes);
    page.stale = entry.stale;
    page.sequence = record.sequence;
    page.lsn = record.end;
    return {};
}

// The contents of a page that does not have this record yet.
std::string FuzzyImage::change(const log::Record& record, const log::PageEntry& entry,
                               ImagePage& page) {
    const auto epoch = page.epoch + (entry.resized || !entry.delta.empty() ? 1U : 0U);
    if (entry.epoch != epoch)
        return of_page(entry.page, fmt::format("expected epoch {}, found {}", number(epoch),
                                               number(entry.epoch)));
    if (entry.resized) {
        if (auto problem = resize(entry.page, page, entry.size); !problem.empty()) return problem;
    } else if (entry.size != page.size) {
        return of_page(entry.page,
                       fmt::format("expected {} bytes, found {}", page.size, entry.size));
    }
    if (!entry.delta.empty() && keeps(entry.page)) delta::apply(entry.delta, page.bytes);
    page.epoch = entry.epoch;
    page.stale = entry.stale;
    page.sequence = record.sequence;
    page.lsn = record.end;
    return {};
}

std::string FuzzyImage::apply_entry(const log::Record& record, const log::PageEntry& entry) {
    const bool behind_structure = record.start > head_;
    if (entry.created)  // one that the structure has is there already, or was deleted since
        return behind_structure ? create(record, entry) : std::string();
    const auto at = pages_.find(entry.page);
    if (at == pages_.end())  // deleted by a record that the structure has
        return behind_structure ? of_page(entry.page, "is not there") : std::string();
    auto& [page, has_contents] = at->second;
    if (behind_structure) {
        if (entry.deleted) {
            bytes_ -= page.bytes.size();
            pages_.erase(at);
            return {};
        }
        if (entry.renamed) page.name = entry.name;
        set_metadata(entry, page.metadata);
    }
    // Without contents it was gone when its turn came: a later record deletes it.
    if (!has_contents || record.end <= page.lsn) return {};
    return change(record, entry, page);
}

std::string FuzzyImage::apply(const log::Record& record, std::span<const std::byte> body) {
    if (record.start < last_ || record.end <= record.start) return "records out of order";
    last_ = record.end;
    if (record.kind == log::RecordKind::source) {
        if (record.start <= head_) return {};
        const auto source = log::read_source(body);
        if (!source || !image_.set_source(source->number, source->name))
            return "the source's name is damaged";
        return {};
    }
    if (record.kind != log::RecordKind::commit) return "a record that changes nothing";
    DependencyChange dependencies;
    log::EntryReader reader(body);
    for (log::Entry entry; reader.next(entry);) {
        if (entry.kind == log::EntryKind::page) {
            if (auto problem = apply_entry(record, entry.page); !problem.empty()) return problem;
        } else if (!(entry.kind == log::EntryKind::edge ? dependencies.take(entry.edge)
                                                        : dependencies.take(entry.formula))) {
            return "an edge or a formula is named twice";
        }
    }
    if (reader.failed()) return "the entries are damaged";
    if (dependencies.empty() || record.start <= head_) return {};
    const auto problem =
        dependencies.problem(dependencies_, [this](PageId page) { return pages_.contains(page); });
    if (problem.empty()) dependencies.apply(dependencies_);
    return problem;
}

std::string FuzzyImage::finish(const End& end, Image& image) {
    for (auto at = pages_.begin(); at != pages_.end(); at = pages_.erase(at)) {
        const auto id = at->first;
        if (!at->second.has_contents) return of_page(id, "has no contents");
        if (const auto* problem = page_problem(end, id, at->second.page))
            return of_page(id, std::string("expected ") + problem);
        if (!image_.insert(id, std::move(at->second.page)))
            return of_page(id, "has not a line and a name of its own, within the limits");
    }
    image_.set_position(end.sequence, end.time_ns, end.lsn, end.next_page);
    image_.set_structure(end.structure);
    if (!image_.set_dependencies(std::move(dependencies_)))
        return "an edge or a formula of a page that is not there";
    image = std::move(image_);
    return {};
}

}  // namespace mmsb::replay
