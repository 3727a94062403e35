#include "state/catalog.hpp"

#include "state/attachment.hpp"
#include "state/checkpoints.hpp"
#include "state/structure_chain.hpp"

#include <algorithm>

namespace mmsb::state {

namespace {

// Edits (insert, erase, replace) between two short texts.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const auto replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
        }
    }
    return row.back();
}

}  // namespace

void Catalog::load(const replay::Structure& base) {
    const std::unique_lock lock(mutex_);
    replace(base);
}

void Catalog::replace(const replay::Structure& by) {
    pages_ = by.pages;
    sources_ = by.sources;
    names_.clear();
    source_numbers_.clear();
    lines_.clear();
    for (const auto& [id, page] : pages_) {
        set_line(page.line, true);
        if (!page.name.empty()) names_[page.name] = id;
    }
    for (const auto& [number, name] : sources_) source_numbers_[name] = number;
    replace_graph(by);
    followed_ = by.head;
}

replay::Structure Catalog::snapshot() const {
    const std::shared_lock lock(mutex_);
    return {followed_, pages_, sources_, dependencies_of(graph_->graph)};
}

void Catalog::follow(Attachment& bus) {
    follow(bus, bus.words().structure.load(std::memory_order_acquire) & ~arena::busy);
}

void Catalog::follow(Attachment& bus, log::Lsn head) {
    if (head <= followed_.load(std::memory_order_acquire)) return;
    const std::unique_lock lock(mutex_);
    if (head > followed_) follow_to(bus, head);
}

void Catalog::follow_to(Attachment& bus, log::Lsn head) {
    for (;;) {
        const auto kept = bus.words().history_lsn.load(std::memory_order_acquire);
        // Who slept while the log was cut starts again from a checkpoint, which has what was
        // dropped: all, also where the log was cut behind `head` since that was read.
        if (!bus.is_private && followed_ < kept)
            if (const auto newest = newest_structure(bus); newest && newest->head > followed_)
                replace(*newest);
        try {
            return walk_to(bus, head);
        } catch (const HistoryDropped&) {  // cut while it was walked: from the new base, then
            if (bus.is_private || bus.words().history_lsn.load(std::memory_order_acquire) == kept)
                throw;
        }
    }
}

void Catalog::walk_to(Attachment& bus, log::Lsn head) {
    const auto chain = structure_chain(bus, head, followed_ + 1);
    StructuralRecords records(bus);
    for (const auto at : chain) {
        auto& cursor = records.at(at);
        apply(cursor.record(), cursor.body());
        followed_ = at;
    }
}

void Catalog::follow_logged(Attachment& bus) {
    constexpr int most_rounds = 1000;  // a word that is written over could say so for ever
    for (int round = 0;; ++round) {
        follow(bus);
        if ((bus.words().structure.load(std::memory_order_acquire) & arena::busy) == 0 ||
            !bus.logging)
            break;
        // A writer is inside a structural commit, or died there: what is logged counts.
        try {
            follow_unapplied(bus);
            break;
        } catch (const HistoryDropped&) {
            // A private bus has folded those records away meanwhile: they are applied.
            if (round == most_rounds)
                bus.arena->contradiction(bus.words().history_lsn, "at most `applied`");
        }
    }
    follow(bus);
}

void Catalog::follow_unapplied(Attachment& bus) {
    Cursor cursor(bus, bus.words().applied.load(std::memory_order_acquire));
    while (cursor.next()) {
        if (!cursor.record().structural) continue;
        const auto start = cursor.record().start;
        const std::unique_lock lock(mutex_);
        // By the chain, since others may have been committed between follow() and `applied`.
        if (start > followed_) follow_to(bus, start);
    }
}

void Catalog::take(const log::Record& record, std::span<const std::byte> body) {
    const std::unique_lock lock(mutex_);
    apply(record, body);
    followed_ = record.start;
}

void Catalog::apply(const log::Record& record, std::span<const std::byte> body) {
    if (record.kind == log::RecordKind::source) {
        if (const auto source = log::read_source(body)) {
            sources_[source->number] = source->name;
            source_numbers_[std::string(source->name)] = source->number;
        }
        return;
    }
    if (record.kind != log::RecordKind::commit) return;
    deleted_.clear();
    // Names are freed first and taken afterwards: pages of one record may swap theirs.
    std::vector<std::pair<std::string, PageId>> taken;
    bool has_dependencies = false;
    log::EntryReader reader(body);
    for (log::Entry entry; reader.next(entry);) {
        if (entry.kind != log::EntryKind::page) {
            has_dependencies = true;
            continue;
        }
        const auto& p = entry.page;
        if (p.deleted) {
            if (const auto found = pages_.find(p.page); found != pages_.end()) {
                deleted_[p.page] = found->second.line;
                const auto name = names_.find(found->second.name);
                if (name != names_.end() && name->second == p.page) names_.erase(name);
                set_line(found->second.line, false);
                pages_.erase(found);
            }
            continue;
        }
        if (!p.created && !p.renamed && p.metadata.empty()) continue;
        auto& page = pages_[p.page];
        if (p.created) {
            page = {p.line, p.location, {}, {}};
            set_line(p.line, true);
        }
        if (p.renamed) {
            const auto name = names_.find(page.name);
            if (name != names_.end() && name->second == p.page) names_.erase(name);
            page.name = p.name;
            if (!p.name.empty()) taken.emplace_back(p.name, p.page);
        }
        log::MetadataReader metadata(p.metadata);
        for (std::string_view key, value; metadata.next(key, value);) {
            if (value.empty())
                page.metadata.erase(std::string(key));
            else
                page.metadata[std::string(key)] = value;
        }
    }
    for (auto& [name, id] : taken) names_[name] = id;
    if (has_dependencies) apply_graph(record, body);
}

void Catalog::set_line(std::uint32_t line, bool taken) {
    // No page table has more: a line behind is one that nobody can reach.
    constexpr std::uint32_t most = (arena::heap_at - arena::table_at) / sizeof(arena::PageLine);
    if (line >= most) return;
    if (line >= lines_.size()) lines_.resize(std::size_t{line} + 1);
    lines_[line] = taken;
}

bool Catalog::line_is_taken(std::uint32_t line) const {
    const std::shared_lock lock(mutex_);
    return line < lines_.size() && lines_[line];
}

std::optional<CatalogPage> Catalog::page(PageId id) const {
    const std::shared_lock lock(mutex_);
    const auto found = pages_.find(id);
    if (found == pages_.end()) return std::nullopt;
    return found->second;
}

std::optional<std::uint32_t> Catalog::line_of(PageId id) const {
    const std::shared_lock lock(mutex_);
    const auto found = pages_.find(id);
    if (found == pages_.end()) return std::nullopt;
    return found->second.line;
}

std::optional<std::uint32_t> Catalog::line_for_redo(PageId id) const {
    if (const auto line = line_of(id)) return line;
    const std::shared_lock lock(mutex_);
    const auto found = deleted_.find(id);
    if (found == deleted_.end()) return std::nullopt;
    return found->second;
}

std::optional<std::pair<PageId, std::uint32_t>> Catalog::find(std::string_view name) const {
    const std::shared_lock lock(mutex_);
    const auto found = names_.find(std::string(name));
    if (found == names_.end()) return std::nullopt;
    return std::pair(found->second, pages_.at(found->second).line);
}

std::vector<std::pair<PageId, std::uint32_t>> Catalog::pages() const {
    const std::shared_lock lock(mutex_);
    std::vector<std::pair<PageId, std::uint32_t>> all;
    all.reserve(pages_.size());
    for (const auto& [id, page] : pages_) all.emplace_back(id, page.line);
    return all;
}

std::string Catalog::nearest(std::string_view name) const {
    constexpr std::size_t most_looked_at = 1000;
    const std::shared_lock lock(mutex_);
    std::string best;
    std::size_t least = std::min<std::size_t>(name.size() / 2, 3) + 1, looked = 0;
    for (const auto& [other, id] : names_) {
        if (++looked > most_looked_at) break;
        if (const auto d = distance(name, other); d < least) {
            least = d;
            best = other;
        }
    }
    return best;
}

std::string Catalog::source(std::uint32_t number) const {
    const std::shared_lock lock(mutex_);
    const auto found = sources_.find(number);
    return found == sources_.end() ? std::string() : found->second;
}

std::optional<std::uint32_t> Catalog::source_number(std::string_view name) const {
    if (name.empty()) return 0;
    const std::shared_lock lock(mutex_);
    const auto found = source_numbers_.find(std::string(name));
    if (found == source_numbers_.end()) return std::nullopt;
    return found->second;
}

}  // namespace mmsb::state
