#include "state/header.hpp"
#include "state/stage.hpp"
#include "state/structure_chain.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <array>

namespace mmsb::state {

namespace {

// Lines that this thread has looked up, by the id's low bits: for handles that have none, as those
// that a transaction makes. A guess, of whatever bus: the line's id is looked at.
constexpr std::size_t guesses = 4096;
thread_local std::array<std::uint32_t, guesses> guessed_lines{};

arena::PageLine* line_with(const Attachment& bus, std::uint32_t line, PageId page) noexcept {
    auto* l = bus.arena->line(line);
    if (l == nullptr || page == PageId::none) return nullptr;
    return l->id.load(std::memory_order_acquire) == number(page) ? l : nullptr;
}

}  // namespace

arena::PageLine& find_line(Attachment& bus, PageId page, std::uint32_t& line) {
    if (line != unknown_line)
        if (auto* l = line_with(bus, line, page)) return *l;
    auto& guess = guessed_lines[number(page) % guesses];
    if (auto* l = line_with(bus, guess, page)) {
        line = guess;
        return *l;
    }
    auto known = bus.catalog.line_of(page);
    if (!known) {
        bus.catalog.follow_logged(bus);
        known = bus.catalog.line_of(page);
    }
    if (!known) throw_not_found(bus, page);
    auto* l = bus.arena->line(*known);
    if (l == nullptr) throw_not_found(bus, page);
    line = guess = *known;
    return *l;
}

std::uint32_t guess_line(const Attachment& bus, PageId page) noexcept {
    const auto guess = guessed_lines[number(page) % guesses];
    return line_with(bus, guess, page) == nullptr ? unknown_line : guess;
}

void throw_not_found(Attachment& bus, PageId page) {
    bus.require_memory();
    // Where it was deleted, by walking the structure chain back: costs only whoever asks in vain.
    Sequence deleted_at = Sequence::zero;
    if (page != PageId::none && number(page) < bus.words().next_page.load(relaxed)) {
        try {
            auto at = bus.words().structure.load(std::memory_order_acquire) & ~arena::busy;
            StructuralRecords records(bus);
            while (at != 0 && at != log::no_lsn && deleted_at == Sequence::zero) {
                auto& cursor = records.at(at);
                if (cursor.record().kind == log::RecordKind::commit) {
                    log::EntryReader reader(cursor.body());
                    for (log::Entry entry; reader.next(entry);)
                        if (entry.kind == log::EntryKind::page && entry.page.deleted &&
                            entry.page.page == page)
                            deleted_at = cursor.record().sequence;
                }
                at = cursor.record().previous_structure;
            }
        } catch (const Error&) {
            deleted_at = Sequence::zero;  // folded away, or unreadable: then it is not known
        }
    }
    const auto at = newest(bus).sequence;
    throw PageNotFound(
        ErrorCode::page_not_found,
        deleted_at == Sequence::zero
            ? fmt::format("page {} is not there; sequence {}", number(page), number(at))
            : fmt::format("page {} was deleted at sequence {}", number(page), number(deleted_at)),
        {.page = page, .sequence = deleted_at});
}

void throw_not_found(Attachment& bus, std::string_view name) {
    const auto near = bus.catalog.nearest(name);
    throw PageNotFound(
        ErrorCode::page_not_found,
        fmt::format("page \"{}\" is not there; sequence {}{}", name, number(newest(bus).sequence),
                    near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near)),
        {.name = std::string(name), .found = near});
}

void throw_outside(std::string_view what, PageId page, std::uint64_t size, std::uint64_t offset,
                   std::uint64_t length) {
    const auto end = offset + std::min(length, ~std::uint64_t{0} - offset);
    throw InvalidArgument(ErrorCode::invalid_argument,
                          fmt::format("page {}: {} of [{}, {}) is outside its {} bytes",
                                      number(page), what, offset, end, size),
                          {.page = page,
                           .expected = fmt::format("at most {} bytes", size),
                           .found = fmt::format("{}", end),
                           .offset = offset});
}

void throw_other_size(PageId page, std::uint64_t size, std::uint64_t other) {
    throw InvalidArgument(ErrorCode::invalid_argument,
                          fmt::format("page {} has {} bytes, not {}", number(page), size, other),
                          {.page = page,
                           .expected = fmt::format("{} bytes", size),
                           .found = fmt::format("{}", other)});
}

PageId take_page_id(Attachment& bus) {
    const auto id = bus.words().next_page.fetch_add(1);
    if (id == 0) bus.arena->contradiction(bus.words().next_page, "the next page's id");
    if (id > bus.changing.page_id_ceiling.load()) raise_page_id_ceiling(bus, id);
    return PageId{id};
}

}  // namespace mmsb::state
