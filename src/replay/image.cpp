#include "replay/image.hpp"

#include "base/limits.hpp"
#include "delta/codec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace mmsb::replay {

bool Keep::keeps(PageId page) const noexcept {
    if (which != Which::some) return which == Which::all;
    return std::find(pages.begin(), pages.end(), page) != pages.end();
}

Image::Image(Keep keep) : keep_(std::move(keep)) {
    std::sort(keep_.pages.begin(), keep_.pages.end());
}

Image::Image(const Image& other)
    : keep_(other.keep_),
      sequence_(other.sequence_),
      time_ns_(other.time_ns_),
      lsn_(other.lsn_),
      structure_head_(other.structure_head_),
      next_page_(other.next_page_),
      pages_(other.pages_),
      names_(other.names_),
      lines_(other.lines_),
      sources_(other.sources_),
      dependencies_(other.dependencies_) {
    reserve_index(next_page_, pages_.size());
}

Image& Image::operator=(const Image& other) {
    if (this != &other) *this = Image(other);
    return *this;
}

bool Image::keeps(PageId page) const noexcept {
    if (keep_.which != Keep::Which::some) return keep_.which == Keep::Which::all;
    return std::binary_search(keep_.pages.begin(), keep_.pages.end(), page);
}

const ImagePage* Image::find(PageId page) const noexcept {
    if (number(page) < index_.size()) return index_[number(page)];
    const auto at = pages_.find(page);
    return at == pages_.end() ? nullptr : &at->second;
}

ImagePage* Image::lookup(PageId page) noexcept {
    return const_cast<ImagePage*>(std::as_const(*this).find(page));
}

void Image::prefetch(PageId page) const noexcept {
    constexpr std::size_t line = 64;
    if (number(page) >= index_.size() || index_[number(page)] == nullptr) return;
    const auto* const at = reinterpret_cast<const char*>(index_[number(page)]);
    __builtin_prefetch(at);
    __builtin_prefetch(at + line);
}

void Image::prefetch(const log::PageDelta& change) const noexcept {
    if (change.delta.empty()) return;
    if (const auto* page = find(change.page); page != nullptr && page->bytes.size() == change.size)
        delta::prefetch(change.delta, page->bytes);
}

const ImagePage* Image::find(std::string_view name) const noexcept {
    const auto at = names_.find(name);
    return at == names_.end() ? nullptr : find(at->second);
}

PageInfo info_of(PageId id, PageStructure page, std::uint64_t size, Epoch epoch, bool derived,
                 bool stale) {
    return {.id = id,
            .name = std::move(page.name),
            .size = static_cast<std::size_t>(size),
            .location = page.location,
            .epoch = epoch,
            .metadata = std::move(page.metadata),
            .derived = derived,
            .stale = stale};
}

PageInfo info_of(PageId id, const ImagePage& page, const Dependencies& dependencies) {
    return info_of(id, {page.line, page.location, page.name, page.metadata}, page.size, page.epoch,
                   dependencies.formulas.contains(id), page.stale);
}

void Image::reserve_index(std::uint64_t next, std::size_t pages) {
    // Ids are never reused, so a bus whose pages come and go has ids far above its pages' number:
    // the index covers a prefix that holds at least one page in eight.
    constexpr std::uint64_t at_least = 1024;
    const auto covered = std::min<std::uint64_t>(next, at_least + 8 * std::uint64_t{pages});
    const auto before = index_.size();
    if (covered <= before) return;
    index_.resize(static_cast<std::size_t>(covered));
    for (auto at = pages_.lower_bound(PageId{before});
         at != pages_.end() && number(at->first) < covered; ++at) {
        index_[number(at->first)] = &at->second;
    }
}

void Image::index_page(PageId page, ImagePage* at) noexcept {
    if (number(page) < index_.size()) index_[number(page)] = at;
}

bool Image::insert(PageId page, ImagePage contents) {
    const auto id = number(page);
    if (id == 0 || id + 1 == 0 || find(page) != nullptr || lines_.contains(contents.line))
        return false;
    if (contents.size > limits::page_size || contents.name.size() > limits::name_size) return false;
    if (!contents.name.empty() && names_.contains(contents.name)) return false;
    std::size_t metadata = 0;
    for (const auto& [key, value] : contents.metadata) {
        if (key.empty() || value.empty()) return false;
        metadata += key.size() + value.size();
    }
    if (metadata > limits::metadata_size) return false;
    if (!keeps(page)) {
        Bytes().swap(contents.bytes);
    } else if (contents.bytes.size() != contents.size) {
        return false;
    }

    std::map<std::string, PageId, std::less<>> name;
    if (!contents.name.empty()) name.emplace(contents.name, page);
    std::map<std::uint32_t, PageId> line{{contents.line, page}};
    reserve_index(std::max(next_page_, id + 1), pages_.size() + 1);
    const auto at = pages_.emplace_hint(pages_.end(), page, std::move(contents));
    names_.merge(name);
    lines_.merge(line);
    index_page(page, &at->second);
    next_page_ = std::max(next_page_, id + 1);
    return true;
}

void Image::set_position(Sequence sequence, std::int64_t time_ns, log::Lsn lsn,
                         std::uint64_t next_page) noexcept {
    sequence_ = sequence;
    time_ns_ = time_ns;
    lsn_ = lsn;
    const auto above = pages_.empty() ? 1 : number(pages_.rbegin()->first) + 1;
    next_page_ = std::max(next_page, above);
}

bool Image::set_dependencies(Dependencies dependencies) {
    if (missing_page(dependencies, [this](PageId page) { return find(page) != nullptr; }))
        return false;
    dependencies_ = std::move(dependencies);
    return true;
}

bool Image::set_source(std::uint32_t number, std::string_view name) {
    if (number == 0 || number > limits::source_names) return false;
    if (name.empty() || name.size() > limits::name_size) return false;
    const auto [at, added] = sources_.try_emplace(number, name);
    return added || at->second == name;
}

namespace {

[[noreturn]] void broken(PageId page, std::string_view what) {
    throw std::logic_error(fmt::format("image: page {}: {}", number(page), what));
}

}  // namespace

void Image::check_invariants() const {
    std::size_t named = 0;
    for (const auto& [id, page] : pages_) {
        if (id == PageId::none) broken(id, "has no id");
        if (number(id) >= next_page_) broken(id, "is not below the next page's id");
        if (find(id) != &page) broken(id, "is not found by its id");
        const auto line = lines_.find(page.line);
        if (line == lines_.end() || line->second != id) broken(id, "does not own its line");
        if (!page.name.empty()) {
            ++named;
            const auto name = names_.find(page.name);
            if (name == names_.end() || name->second != id) broken(id, "does not own its name");
        }
        if (page.bytes.size() != (keeps(id) ? page.size : 0))
            broken(id, "has not its size in bytes");
        if (page.sequence > sequence_) broken(id, "is of a later sequence than the image");
        if (page.lsn > lsn_) broken(id, "is of a later LSN than the image");
        if (number(page.epoch) > number(page.sequence)) broken(id, "has more epochs than records");
        if (page.name.size() > limits::name_size) broken(id, "has too long a name");
        std::size_t metadata = 0;
        for (const auto& [key, value] : page.metadata) {
            if (key.empty() || value.empty()) broken(id, "has empty metadata");
            metadata += key.size() + value.size();
        }
        if (metadata > limits::metadata_size) broken(id, "has too much metadata");
    }
    if (named != names_.size()) throw std::logic_error("image: a name without a page");
    if (pages_.size() != lines_.size()) throw std::logic_error("image: a line without a page");
    for (std::size_t i = 0; i != index_.size(); ++i) {
        if (index_[i] != nullptr && !pages_.contains(PageId{i})) {
            throw std::logic_error(fmt::format("image: {} is indexed but not there", i));
        }
    }
    if (const auto page =
            missing_page(dependencies_, [this](PageId id) { return pages_.contains(id); }))
        broken(*page, "has an edge or a formula and is not there");
    if (sources_.contains(0)) throw std::logic_error("image: source 0 has a name");
}

Structure structure_of(const Image& image) {
    Structure structure{.head = image.structure_head(),
                        .sources = image.sources(),
                        .dependencies = image.dependencies()};
    for (const auto& [id, page] : image.pages())
        structure.pages.emplace_hint(
            structure.pages.end(), id,
            PageStructure{page.line, page.location, page.name, page.metadata});
    return structure;
}

namespace {

// The first of `size` bytes that is not the same, or `size`.
std::size_t first_different(const Bytes& left, const Bytes& right) {
    constexpr std::size_t step = 4096;
    std::size_t at = 0;
    while (at < left.size()) {
        const auto n = std::min(step, left.size() - at);
        if (std::memcmp(left.data() + at, right.data() + at, n) != 0) break;
        at += n;
    }
    while (at < left.size() && left[at] == right[at]) ++at;
    return at;
}

std::optional<ImageDifference> page_difference(PageId id, const ImagePage& left,
                                               const ImagePage& right) {
    if (left.size != right.size) return ImageDifference{id, 0, "size"};
    if (left.bytes.size() == right.bytes.size()) {  // else one of the two does not keep them
        const auto at = first_different(left.bytes, right.bytes);
        if (at != left.bytes.size()) return ImageDifference{id, at, "bytes"};
    }
    if (left.epoch != right.epoch) return ImageDifference{id, 0, "epoch"};
    if (left.name != right.name) return ImageDifference{id, 0, "name"};
    if (left.location != right.location) return ImageDifference{id, 0, "location"};
    if (left.metadata != right.metadata) return ImageDifference{id, 0, "metadata"};
    if (left.sequence != right.sequence) return ImageDifference{id, 0, "sequence"};
    if (left.stale != right.stale) return ImageDifference{id, 0, "stale"};
    return std::nullopt;
}

}  // namespace

std::optional<ImageDifference> first_difference(const Image& left, const Image& right) {
    auto l = left.pages().begin();
    auto r = right.pages().begin();
    while (l != left.pages().end() || r != right.pages().end()) {
        if (r == right.pages().end() || (l != left.pages().end() && l->first < r->first)) {
            return ImageDifference{l->first, 0, "missing"};
        }
        if (l == left.pages().end() || r->first < l->first) {
            return ImageDifference{r->first, 0, "extra"};
        }
        if (auto difference = page_difference(l->first, l->second, r->second)) return difference;
        ++l;
        ++r;
    }
    if (left.dependencies() != right.dependencies())
        return ImageDifference{PageId::none, 0, "dependencies"};
    return std::nullopt;
}

}  // namespace mmsb::replay
