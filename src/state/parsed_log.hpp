/// state/parsed_log: records that were parsed before somebody applies them.
///
/// Of most records it keeps no more than what applying needs, about two lines of a cache: each line
/// is a journey between the thread that parses and the one that applies.
#pragma once

#include "log/record.hpp"

#include <span>
#include <vector>

namespace mmsb::state {

/// All of it are views into bytes that are kept elsewhere.
struct ParsedLog {
    struct Item {
        log::RecordBrief record{};
        std::uint32_t first_page = 0, page_count = 0;
        std::uint32_t whole = 0;  ///< Of `wholes`; of one with only bytes: none.
    };
    /// As many as stay, with their bytes, in a core's own cache.
    static constexpr std::size_t most_items = 1024;

    std::vector<Item> items{};
    std::vector<log::PageDelta> pages{};  ///< What is behind pages_added() means nothing.
    std::vector<log::Record> wholes{};

    void clear() noexcept {
        items.clear();
        pages.clear();
        wholes.clear();
    }
    /// After what it says of pages was appended, and nothing else.
    void add(const log::Record& record) {
        const auto first = pages_added();
        const auto number = [](std::size_t n) { return static_cast<std::uint32_t>(n); };
        items.push_back({log::brief_of(record), number(first), number(pages.size() - first),
                         number(wholes.size())});
        if (!record.only_bytes) wholes.push_back(record);
    }
    [[nodiscard]] std::size_t pages_added() const noexcept {
        return items.empty() ? 0 : std::size_t{items.back().first_page} + items.back().page_count;
    }
    /// What the record itself says of pages (not what its blob does).
    [[nodiscard]] std::span<const log::PageDelta> pages_of(const Item& item) const noexcept {
        return std::span(pages).subspan(item.first_page, item.page_count);
    }
    /// All of one that says more than that bytes change; nullptr: it does not.
    [[nodiscard]] const log::Record* whole(const Item& item) const noexcept {
        return item.record.only_bytes ? nullptr : &wholes[item.whole];
    }
    [[nodiscard]] std::size_t capacity_bytes() const noexcept {
        return items.capacity() * sizeof(Item) + pages.capacity() * sizeof(log::PageDelta) +
               wholes.capacity() * sizeof(log::Record);
    }
};

}  // namespace mmsb::state
