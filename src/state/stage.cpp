#include "state/stage.hpp"

#include "base/copy.hpp"
#include "state/bytes_change.hpp"
#include "state/derive.hpp"
#include "state/encode_writes.hpp"
#include "state/header.hpp"
#include "state/prefetch.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

// Names after the commit must be unique: one that is given up in the same commit may be taken.
void check_names(Attachment& bus, const Staged& staged) {
    std::map<std::string_view, PageId> taken;
    for (const auto& page : staged.pages) {
        if (page.deleted || !page.name || page.name->empty()) continue;
        const auto refuse = [&](PageId holder) {
            throw InvalidArgument(
                ErrorCode::invalid_argument,
                fmt::format("the name \"{}\" is taken by page {}", *page.name, number(holder)),
                {.page = holder,
                 .name = *page.name,
                 .expected = "a name that is free",
                 .found = *page.name});
        };
        if (const auto [other, fresh] = taken.emplace(*page.name, page.page); !fresh)
            refuse(other->second);
        const auto holder = bus.catalog.find(*page.name);
        if (!holder || holder->first == page.page) continue;
        const auto gives_up =
            std::any_of(staged.pages.begin(), staged.pages.end(), [&](const auto& p) {
                return p.page == holder->first && (p.deleted || (p.name && *p.name != *page.name));
            });
        if (!gives_up) refuse(holder->first);
    }
}

class Encoder {
public:
    Encoder(Attachment& bus, bool under_lock) : bus_(bus), under_lock_(under_lock) {}

    void begin(std::size_t room_in_front) {
        auto& scratch = bus_.scratch;
        scratch.body.resize(room_in_front);
        scratch.body_at = room_in_front;
        scratch.unlogged.clear();
        scratch.changes.clear();
        scratch.bytes_changes.clear();
        scratch.lines.clear();
    }

    /// `seen`: their lines and bytes were looked at just now.
    void add(std::span<StagedPage> pages, bool seen) {
        auto& scratch = bus_.scratch;
        for (std::size_t i = 0; i < pages.size(); ++i) {
            if (!seen) look_ahead(pages, i);
            auto& page = pages[i];
            if (add_plain(page)) continue;
            auto& change = scratch.changes.emplace_back();
            change.entry.page = page.page;
            metadata_.clear();
            if (page.created) {
                created(page);
            } else if (!changed(page)) {
                scratch.changes.pop_back();
                continue;
            }
            if (result_.stale_ahead) return;
            finish(page, change);
        }
    }

    /// Their lines and bytes were looked at just now.
    void add(Made& made) {
        std::size_t done = 0;
        const auto add_before = [&](std::size_t end) {
            if (end == done) return;
            add(std::span(made.pages).subspan(done, end - done), true);
            done = end;
        };
        for (auto at = made.ready.begin(); at != made.ready.end();) {
            add_before(at->behind);
            if (result_.stale_ahead) return;
            // (Where functions ran together, entries are not in the order of their pages.)
            auto end = std::next(at);
            while (end != made.ready.end() && end->behind == at->behind &&
                   end->entry_at == std::prev(end)->entry_end())
                ++end;
            add_ready(
                {at, end},
                std::span(made.entries).first(std::prev(end)->entry_end()).subspan(at->entry_at));
            at = end;
        }
        add_before(made.pages.size());
    }

    [[nodiscard]] const Encoded& result() const noexcept { return result_; }

private:
    // Most pages: nothing of them changes but bytes. False: it is more than that, or out of order.
    bool add_plain(const StagedPage& page) {
        if (page.created || page.deleted || page.size || page.name || !page.metadata.empty() ||
            page.ahead || page.stale.value_or(false))
            return false;
        arena::LineCopy was;
        if (!find_still(bus_, page.page, page.line, was)) return false;
        const auto old = bus_.arena->bytes(was.offset, was.size);
        require_size_then(page, was.size);
        if (!old || !are_inside(page, was.size) ||
            (!under_lock_ && bytes_written(page) >= large_write))
            return false;
        const auto changed = encode_writes(page, *old, was.size, true, [&](std::size_t size) {
            return add_bytes_change(bus_, page.line, was, size);
        });
        if (changed != 0) count(changed);
        return true;
    }

    // Whose entries these are.
    void add_ready(std::span<const ReadyPage> pages, std::span<const std::byte> entries) {
        auto& scratch = bus_.scratch;
        auto& to = bus_.logging ? scratch.body : scratch.unlogged;
        const auto shift = to.size() - pages.front().entry_at;  // also back: modulo 2^64
        to.insert(to.end(), entries.begin(), entries.end());
        for (const auto& page : pages) {
            scratch.lines.push_back(page.change.line);
            scratch.bytes_changes.push_back(page.change);
            scratch.bytes_changes.back().delta_at += shift;
            result_.changed_bytes += page.change.changed_bytes;
        }
    }

    // Of the last one.
    void count(std::uint64_t changed_bytes) {
        bus_.scratch.bytes_changes.back().changed_bytes = changed_bytes;
        result_.changed_bytes += changed_bytes;
    }

    Change& change() noexcept { return bus_.scratch.changes.back(); }

    void finish(const StagedPage& page, Change& change) {
        auto& scratch = bus_.scratch;
        auto& entry = change.entry;
        const bool structural = entry.created || entry.deleted || entry.resized || entry.renamed ||
                                !entry.metadata.empty();
        // Of a bus without a log only the structure is kept, for those who follow it.
        if (bus_.logging ? change.delta_size == 0 : structural)
            log::write_entry_around(entry, 0, scratch.body);
        entry.metadata = {};
        change.line = page.line;
        scratch.lines.push_back(page.line);
        result_.structural |= structural;
    }

    // The entry, but for its delta, and where that has to be written.
    std::byte* add_delta(std::size_t size) {
        auto& scratch = bus_.scratch;
        auto& [line, entry, at, delta_size, place] = change();
        entry.epoch = epoch_with_delta_;
        delta_size = size;
        if (bus_.logging) {
            at = log::write_entry_around(entry, size, scratch.body);
            return scratch.body.data() + at;
        }
        at = scratch.unlogged.size();
        scratch.unlogged.resize(at + size);
        return scratch.unlogged.data() + at;
    }

    // Pages lie anywhere: the lines and bytes of the next ones are on their way meanwhile.
    void look_ahead(std::span<const StagedPage> pages, std::size_t at) const noexcept {
        constexpr std::size_t bytes_from_here = 2, line_from_here = 6;
        const auto line_of = [&](std::size_t n) {
            return n < pages.size() ? pages[n].line : unknown_line;
        };
        if (const auto line = line_of(at + line_from_here); line != unknown_line)
            __builtin_prefetch(bus_.arena->line(line));
        prefetch(bus_, hint_of(bus_, line_of(at + bytes_from_here)));
    }

    // Nobody but a neighbour who writes where he should not makes the page table so.
    [[noreturn]] void throw_scribbled(const StagedPage& page, const std::string& expected,
                                      const std::string& found) const {
        const auto at = arena::table_at + page.line * sizeof(arena::PageLine);
        throw Corrupt(
            ErrorCode::corrupt,
            fmt::format("{} at {}: page {} in the page table: expected {}, found {}",
                        bus_.arena->file().path(), at, number(page.page), expected, found),
            {.page = page.page,
             .path = bus_.arena->file().path(),
             .expected = expected,
             .found = found,
             .offset = at});
    }

    void take_place(std::uint32_t line, std::uint64_t size) {
        bus_.words().allocating.store(1, relaxed);
        change().place = bus_.arena->take(size);
        bus_.arena->line(line)->next_offset.store(change().place, relaxed);
    }

    void created(StagedPage& page) {
        auto& entry = change().entry;
        bus_.words().allocating.store(1, relaxed);
        page.line = bus_.arena->take_line();
        // What the log says of lines and ids counts: a record that contradicts it would be damage.
        if (!may_be_a_line(bus_, page.line))
            throw_scribbled(page, "no more lines than ids", fmt::format("line {}", page.line));
        if (bus_.catalog.line_is_taken(page.line))
            throw_scribbled(page, "a free line", fmt::format("line {} of another", page.line));
        if (bus_.catalog.line_of(page.page))
            throw_scribbled(page, "an id that no page has", "a page's");
        take_place(page.line, *page.size);
        entry.created = true;
        entry.line = page.line;
        entry.location = page.location;
        entry.size = *page.size;
        entry.stale = page.stale.value_or(false);
        if (page.name && !page.name->empty()) {
            entry.renamed = true;
            entry.name = *page.name;
        }
        metadata(page, {}, entry);
        epoch_with_delta_ = entry.epoch;
        writes(page, {});
    }

    // False: nothing of it differs.
    bool changed(StagedPage& page) {
        auto& entry = change().entry;
        auto& line = find_line(bus_, page.page, page.line);
        arena::LineCopy now;
        if (!arena::Arena::copy(line, now))
            throw_scribbled(page, "an idle line", "a busy one under the writers' lock");
        if (now.id != number(page.page) || !arena::Arena::agrees(now) ||
            now.lsn > bus_.tail.applied)
            throw_scribbled(page, "its line as the last writer left it", "another");
        entry.epoch = Epoch{now.epoch};
        entry.size = page.deleted ? 0 : page.size.value_or(now.size);
        // What nothing computes is up to date once it is written.
        entry.stale = !page.deleted && page.stale.value_or(now.stale() && page.writes.empty());
        if (page.deleted) {
            entry.deleted = true;
            return true;
        }
        require_size_then(page, now.size);
        if (page.size && *page.size != now.size) {
            entry.resized = true;
            resize(page, now);
        }
        if (page.name || !page.metadata.empty()) {
            const auto known = bus_.catalog.page(page.page);
            if (page.name && known && known->name != *page.name) {
                entry.renamed = true;
                entry.name = *page.name;
            }
            metadata(page, known ? known->metadata : Metadata{}, entry);
        }
        const auto old = bus_.arena->bytes(now.offset, now.size);
        if (!old) throw_scribbled(page, "a place inside", fmt::format("offset {}", now.offset));
        epoch_with_delta_ = entry.epoch + 1;
        if (entry.resized) entry.epoch = epoch_with_delta_;
        writes(page, old->first(static_cast<std::size_t>(std::min(now.size, entry.size))));
        return entry.resized || entry.renamed || !entry.metadata.empty() ||
               change().delta_size != 0 || entry.stale != now.stale();
    }

    void resize(const StagedPage& page, const arena::LineCopy& now) {
        if (now.size != 0 &&
            arena::Arena::place_size(now.size) == arena::Arena::place_size(*page.size)) {
            change().place = now.offset;
            bus_.arena->line(page.line)->next_offset.store(now.offset, relaxed);
        } else {
            take_place(page.line, *page.size);
        }
    }

    void metadata(const StagedPage& page, const Metadata& known, log::PageEntry& entry) {
        std::size_t size = 0;
        Metadata after = known;
        for (const auto& [key, value] : page.metadata) {
            const auto had = after.find(key);
            if (value.empty() ? had == after.end() : (had != after.end() && had->second == value))
                continue;
            log::write_metadata(key, value, metadata_);
            if (value.empty())
                after.erase(key);
            else
                after[key] = value;
        }
        for (const auto& [key, value] : after) size += key.size() + value.size();
        if (size > limits::metadata_size)
            throw InvalidArgument(
                ErrorCode::invalid_argument, "a page's metadata would be too large",
                {.page = page.page,
                 .expected = fmt::format("{} bytes at most", limits::metadata_size),
                 .found = fmt::format("{}", size)});
        entry.metadata = metadata_;
    }

    void writes(StagedPage& page, std::span<const std::byte> old) {
        if (page.all_writes().empty()) return;
        auto& entry = change().entry;
        for (const auto& write : page.all_writes())
            if (write.offset > entry.size || write.bytes.size() > entry.size - write.offset)
                throw_outside("a write", page.page, entry.size, write.offset, write.bytes.size());
        if (page.ahead && page.ahead->size == entry.size &&
            (page.created || (page.ahead->epoch == entry.epoch && !entry.resized))) {
            const auto& ahead = page.ahead->delta;
            entry.changed_bytes = page.ahead->changed_bytes;
            if (!ahead.empty()) base::copy(ahead, add_delta(ahead.size()));
            result_.changed_bytes += entry.changed_bytes;
            return;
        }
        if (!under_lock_ && !page.created && !entry.resized && bytes_written(page) >= large_write) {
            result_.stale_ahead = true;
            return;
        }
        entry.changed_bytes = encode_writes(page, old, entry.size, true,
                                            [this](std::size_t size) { return add_delta(size); });
        result_.changed_bytes += entry.changed_bytes;
    }

    Attachment& bus_;
    bool under_lock_;
    Encoded result_{};
    Epoch epoch_with_delta_ = Epoch::zero;
    std::vector<std::byte>& metadata_ = bus_.scratch.metadata;
};

}  // namespace

std::optional<ConflictAt> validate(Attachment& bus, const Staged& staged) {
    for (const auto& read : staged.reads) {
        const auto* line = read.line == unknown_line ? nullptr : bus.arena->line(read.line);
        if (line == nullptr || line->id.load(relaxed) != number(read.page) ||
            line->epoch.load(relaxed) != number(read.epoch))
            return ConflictAt{read.page};
    }
    for (const auto& name : staged.names) {
        const auto found = bus.catalog.find(name.name);
        if ((found ? found->first : PageId::none) != name.found)
            return ConflictAt{found ? found->first : name.found};
    }
    for (const auto& page : staged.pages) {
        if (!page.expected) continue;
        auto hint = page.line;
        if (find_line(bus, page.page, hint).epoch.load(relaxed) != number(*page.expected))
            return ConflictAt{page.page};
    }
    return std::nullopt;
}

Encoded encode(Attachment& bus, Staged& staged, bool under_lock, std::size_t room_in_front) {
    const auto pages = staged.pages.size() + staged.made.pages.size() + staged.made.ready.size();
    if (pages > limits::pages_per_record)
        throw InvalidArgument(ErrorCode::invalid_argument, "too many pages in one commit",
                              {.expected = fmt::format("{} at most", limits::pages_per_record),
                               .found = fmt::format("{}", pages)});
    check_names(bus, staged);
    Encoder encoder(bus, under_lock);
    encoder.begin(room_in_front);
    encoder.add(staged.pages, false);
    if (!encoder.result().stale_ahead) encoder.add(staged.made);
    auto result = encoder.result();
    if (!staged.made.graph.empty()) {
        write_graph(bus, staged);
        result.structural = true;
    }
    return result;
}

void release_places(Attachment& bus) noexcept {
    auto& words = bus.words();
    if (words.allocating.load(relaxed) == 0) return;
    // Rare (a full disk, a failed write): from the table, as after a death. A table that
    // contradicts itself leaves `allocating` set, and the next owner of the lock says so.
    if (bus.arena->rebuild_allocator()) words.allocating.store(0, relaxed);
}

}  // namespace mmsb::state
