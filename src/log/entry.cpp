#include "log/record.hpp"

#include "base/assert.hpp"
#include "base/bytes.hpp"
#include "base/limits.hpp"
#include "delta/codec.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace mmsb::log {
namespace {

// The first byte of a page's entry: which fields follow.
constexpr unsigned has_delta = 1, is_created = 2, is_deleted = 4, is_resized = 8, is_renamed = 16,
                   has_metadata = 32, is_stale = 64;
constexpr unsigned page_flags = 127;
// The first byte of a graph entry.
constexpr unsigned edge_added = 0x80, edge_removed = 0x81, formula_added = 0x82,
                   formula_removed = 0x83;
// Of one page in one record: twice what a page may have (all erased, all set anew), with the
// lengths.
constexpr std::uint64_t metadata_bytes = 4 * limits::metadata_size;
constexpr auto last_location = static_cast<std::uint8_t>(Location::unified);
constexpr auto last_edge_type = static_cast<std::uint8_t>(EdgeType::compiler);

std::span<const std::byte> block(base::ByteReader& in, std::uint64_t longest) noexcept {
    const auto n = in.varint();
    if (n > longest) in.fail();
    return in.bytes(n);
}

void write_block(std::span<const std::byte> bytes, base::ByteWriter& out) {
    out.varint(bytes.size());
    out.bytes(bytes);
}

PageId page_id(base::ByteReader& in) noexcept {
    const auto id = in.varint();
    if (id == 0) in.fail();
    return PageId{id};
}

bool is_metadata(std::span<const std::byte> bytes) noexcept {
    MetadataReader in(bytes);
    std::string_view key, value;
    while (in.next(key, value)) {
    }
    return !in.failed();
}

bool are_page_ids(std::span<const std::byte> varints) noexcept {
    base::ByteReader in(varints);
    while (!in.failed() && !in.at_end()) (void)page_id(in);
    return !in.failed();
}

bool go_together(unsigned flags) noexcept {
    if ((flags & ~page_flags) != 0) return false;
    if ((flags & is_deleted) != 0) return flags == is_deleted;
    return (flags & (is_created | is_resized)) != (is_created | is_resized);
}

template <class AnyEntry>
void read_delta_of(base::ByteReader& in, AnyEntry& entry) noexcept {
    entry.delta = block(in, in.left());
    if (in.failed()) return;
    const auto summary = delta::check(entry.delta, static_cast<std::size_t>(entry.size));
    if (!summary) return in.fail();
    entry.changed_bytes = summary->changed_bytes;
}

void read_page(base::ByteReader& in, unsigned flags, PageEntry& entry) noexcept {
    entry.page = page_id(in);
    entry.epoch = Epoch{in.varint()};
    entry.size = in.varint();
    if (!go_together(flags) || entry.size > limits::page_size) in.fail();
    entry.deleted = (flags & is_deleted) != 0;
    if (entry.deleted && entry.size != 0) in.fail();
    entry.resized = (flags & is_resized) != 0;
    entry.stale = (flags & is_stale) != 0;
    if ((flags & is_created) != 0) {
        entry.created = true;
        const auto line = in.varint();
        const auto location = in.fixed<std::uint8_t>();
        if (line > std::numeric_limits<std::uint32_t>::max() || location > last_location) in.fail();
        entry.line = static_cast<std::uint32_t>(line);
        entry.location = static_cast<Location>(location);
    }
    if ((flags & is_renamed) != 0) {
        entry.renamed = true;
        entry.name = in.text(limits::name_size);
    }
    if ((flags & has_metadata) != 0) {
        entry.metadata = block(in, metadata_bytes);
        if (entry.metadata.empty() || !is_metadata(entry.metadata)) in.fail();
    }
    if ((flags & has_delta) != 0) read_delta_of(in, entry);
}

// Of one that says nothing but that bytes of its page change.
template <class AnyEntry>
void read_bytes_change(base::ByteReader& in, AnyEntry& entry) noexcept {
    entry.page = page_id(in);
    entry.epoch = Epoch{in.varint()};
    entry.size = in.varint();
    if (entry.size > limits::page_size) in.fail();
    read_delta_of(in, entry);
}

void read_edge(base::ByteReader& in, bool added, EdgeEntry& entry) noexcept {
    entry.added = added;
    entry.parent = page_id(in);
    entry.child = page_id(in);
    const auto type = in.fixed<std::uint8_t>();
    if (type > last_edge_type || entry.parent == entry.child) in.fail();
    entry.type = static_cast<EdgeType>(type);
}

void read_formula(base::ByteReader& in, bool added, FormulaEntry& entry) noexcept {
    entry.added = added;
    entry.child = page_id(in);
    if (!added) return;
    entry.function = in.text(limits::name_size);
    entry.arguments = block(in, limits::metadata_size);
    entry.parents = block(in, in.left());
    if (entry.function.empty() || entry.parents.empty() || !are_page_ids(entry.parents)) in.fail();
}

// One that says nothing of a page; `first` is its first byte.
void read_graph_entry(base::ByteReader& in, unsigned first, Entry& entry) noexcept {
    if (first <= edge_removed) {
        entry.kind = EntryKind::edge;
        read_edge(in, first == edge_added, entry.edge);
    } else if (first <= formula_removed) {
        entry.kind = EntryKind::formula;
        entry.formula = {};
        read_formula(in, first == formula_added, entry.formula);
    } else {
        in.fail();
    }
}

}  // namespace

std::size_t write_entry_around(const PageEntry& entry, std::size_t delta_size,
                               std::vector<std::byte>& out) {
    const bool renamed = entry.renamed || (entry.created && !entry.name.empty());
    const unsigned flags = (delta_size == 0 ? 0 : has_delta) | (entry.created ? is_created : 0) |
                           (entry.deleted ? is_deleted : 0) | (entry.resized ? is_resized : 0) |
                           (renamed ? is_renamed : 0) |
                           (entry.metadata.empty() ? 0 : has_metadata) |
                           (entry.stale ? is_stale : 0);
    MMSB_ASSERT(go_together(flags) && entry.page != PageId::none);
    MMSB_ASSERT(entry.size <= limits::page_size && (!entry.deleted || entry.size == 0));
    MMSB_ASSERT(entry.name.size() <= limits::name_size);
    MMSB_ASSERT(entry.metadata.size() <= metadata_bytes);
    base::FieldBuffer<2 + 5 * base::varint_max> fields;
    fields.fixed(static_cast<std::uint8_t>(flags));
    fields.varint(number(entry.page));
    fields.varint(number(entry.epoch));
    fields.varint(entry.size);
    if (entry.created) {
        fields.varint(entry.line);
        fields.fixed(static_cast<std::uint8_t>(entry.location));
    }
    base::ByteWriter writer(out);
    if (renamed || !entry.metadata.empty()) {
        writer.bytes(fields.bytes());
        fields = {};
        if (renamed) writer.text(entry.name);
        if (!entry.metadata.empty()) write_block(entry.metadata, writer);
    }
    if (delta_size != 0) fields.varint(delta_size);
    const auto at = out.size() + fields.bytes().size();
    out.resize(at + delta_size);
    if (const auto left = fields.bytes(); !left.empty())
        std::memcpy(out.data() + at - left.size(), left.data(), left.size());
    return at;
}

namespace {

std::byte* write_front(const DeltaEntry& entry, std::size_t delta_size, std::byte* delta) noexcept {
    MMSB_ASSERT(entry.page != PageId::none && entry.size <= limits::page_size && delta_size != 0);
    base::FrontWriter front(delta);
    front.varint(delta_size);
    front.varint(entry.size);
    front.varint(number(entry.epoch));
    front.varint(number(entry.page));
    front.fixed(static_cast<std::uint8_t>(has_delta));
    return front.begin();
}

}  // namespace

std::byte* write_entry_front(const DeltaEntry& entry, std::span<std::byte> delta) noexcept {
    return write_front(entry, delta.size(), delta.data());
}

std::size_t write_entry_around(const DeltaEntry& entry, std::size_t delta_size,
                               std::vector<std::byte>& out) {
    std::array<std::byte, delta_entry_front> room;
    auto* const end = room.data() + room.size();
    const auto* const begin = write_front(entry, delta_size, end);
    const auto size = static_cast<std::size_t>(end - begin), at = out.size() + size;
    out.resize(at + delta_size);
    std::memcpy(out.data() + at - size, begin, size);
    return at;
}

void write_entry(const PageEntry& entry, std::vector<std::byte>& out) {
    const auto at = write_entry_around(entry, entry.delta.size(), out);
    if (!entry.delta.empty()) std::memcpy(out.data() + at, entry.delta.data(), entry.delta.size());
}

void write_entry(const EdgeEntry& entry, std::vector<std::byte>& out) {
    MMSB_ASSERT(entry.parent != PageId::none && entry.child != PageId::none);
    base::ByteWriter writer(out);
    writer.fixed(static_cast<std::uint8_t>(entry.added ? edge_added : edge_removed));
    writer.varint(number(entry.parent));
    writer.varint(number(entry.child));
    writer.fixed(static_cast<std::uint8_t>(entry.type));
}

void write_entry(const FormulaEntry& entry, std::vector<std::byte>& out) {
    MMSB_ASSERT(entry.child != PageId::none);
    base::ByteWriter writer(out);
    writer.fixed(static_cast<std::uint8_t>(entry.added ? formula_added : formula_removed));
    writer.varint(number(entry.child));
    if (!entry.added) return;
    MMSB_ASSERT(!entry.function.empty() && entry.function.size() <= limits::name_size);
    MMSB_ASSERT(entry.arguments.size() <= limits::metadata_size);
    writer.text(entry.function);
    write_block(entry.arguments, writer);
    write_block(entry.parents, writer);
}

namespace {

void add(const PageEntry& page, std::vector<PageEntry>& pages) { pages.push_back(page); }
void add(const PageEntry& page, std::vector<PageDelta>& pages) { pages.push_back(delta_of(page)); }

template <class AnyEntry>
bool read_all_pages(std::span<const std::byte> body, std::vector<AnyEntry>& pages,
                    bool& only_bytes) {
    base::ByteReader in(body);
    only_bytes = true;
    while (!in.failed() && !in.at_end()) {
        const unsigned first = in.fixed<std::uint8_t>();
        if (first == has_delta) {  // most of them
            read_bytes_change(in, pages.emplace_back());
        } else if (first < edge_added) {
            PageEntry page;
            read_page(in, first, page);
            add(page, pages);
            if (page.created || page.deleted || page.resized || page.renamed ||
                !page.metadata.empty())
                only_bytes = false;
        } else {
            only_bytes = false;
            Entry other;
            read_graph_entry(in, first, other);
        }
    }
    return !in.failed();
}

}  // namespace

bool read_pages(std::span<const std::byte> body, std::vector<PageEntry>& pages, bool& only_bytes) {
    return read_all_pages(body, pages, only_bytes);
}

bool read_pages(std::span<const std::byte> body, std::vector<PageDelta>& pages, bool& only_bytes) {
    return read_all_pages(body, pages, only_bytes);
}

void write_page_ids(std::span<const PageId> pages, std::vector<std::byte>& out) {
    base::ByteWriter writer(out);
    for (const auto page : pages) writer.varint(number(page));
}

std::vector<PageId> page_ids(std::span<const std::byte> varints) {
    std::vector<PageId> pages;
    base::ByteReader in(varints);
    while (!in.failed() && !in.at_end()) pages.push_back(page_id(in));
    return pages;
}

void write_metadata(std::string_view key, std::string_view value, std::vector<std::byte>& out) {
    MMSB_ASSERT(!key.empty() && key.size() <= limits::metadata_size);
    MMSB_ASSERT(value.size() <= limits::metadata_size);
    base::ByteWriter writer(out);
    writer.text(key);
    writer.text(value);
}

bool EntryReader::next(Entry& entry) noexcept {
    if (in_.empty()) return false;
    base::ByteReader in(in_);
    const unsigned first = in.fixed<std::uint8_t>();
    if (first < edge_added) {
        entry.kind = EntryKind::page;
        entry.page = {};
        read_page(in, first, entry.page);
    } else {
        read_graph_entry(in, first, entry);
    }
    if (in.failed()) {
        failed_ = true;
        in_ = {};
        return false;
    }
    in_ = in_.subspan(in.position());
    return true;
}

bool MetadataReader::next(std::string_view& key, std::string_view& value) noexcept {
    if (in_.empty()) return false;
    base::ByteReader in(in_);
    key = in.text(limits::metadata_size);
    value = in.text(limits::metadata_size);
    if (in.failed() || key.empty()) {
        failed_ = true;
        in_ = {};
        return false;
    }
    in_ = in_.subspan(in.position());
    return true;
}

std::optional<SourceName> read_source(std::span<const std::byte> body) noexcept {
    base::ByteReader in(body);
    const auto number = in.varint();
    const auto name = in.text(limits::name_size);
    if (in.failed() || !in.at_end() || number == 0 || number > limits::source_names ||
        name.empty()) {
        return {};
    }
    return SourceName{static_cast<std::uint32_t>(number), name};
}

void write_source(const SourceName& source, std::vector<std::byte>& out) {
    MMSB_ASSERT(source.number != 0 && source.number <= limits::source_names);
    MMSB_ASSERT(!source.name.empty() && source.name.size() <= limits::name_size);
    base::ByteWriter writer(out);
    writer.varint(source.number);
    writer.text(source.name);
}

std::optional<KeptPast> read_kept_past(std::span<const std::byte> body) noexcept {
    base::ByteReader in(body);
    const KeptPast kept{in.varint(), in.varint(), in.varint()};
    if (in.failed() || !in.at_end()) return {};
    return kept;
}

void write_kept_past(const KeptPast& kept, std::vector<std::byte>& out) {
    base::ByteWriter writer(out);
    for (const auto limit : {kept.bytes, kept.records, kept.seconds}) writer.varint(limit);
}

std::optional<std::int64_t> read_clock_jump(std::span<const std::byte> body) noexcept {
    base::ByteReader in(body);
    const auto ns = in.fixed<std::int64_t>();
    if (in.failed() || !in.at_end() || ns == 0) return {};
    return ns;
}

void write_clock_jump(std::int64_t ns, std::vector<std::byte>& out) {
    MMSB_ASSERT(ns != 0);
    base::ByteWriter(out).fixed(ns);
}

}  // namespace mmsb::log
