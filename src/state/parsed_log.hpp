/// state/parsed_log: records that were parsed before somebody applies them.
#pragma once

#include "log/record.hpp"

#include <span>
#include <vector>

namespace mmsb::state {

/// All of it are views into bytes that are kept elsewhere.
struct ParsedLog {
    struct Item {
        log::Record record{};
        std::size_t first_page = 0, page_count = 0;
    };
    /// As many as stay, with their bytes, in a core's own cache.
    static constexpr std::size_t most_items = 1024;

    std::vector<Item> items{};
    std::vector<log::PageEntry> pages{};

    void clear() noexcept {
        items.clear();
        pages.clear();
    }
    /// After what it says of pages was appended.
    void add(const log::Record& record) {
        const auto first = pages_added();
        items.push_back({record, first, pages.size() - first});
    }
    [[nodiscard]] std::size_t pages_added() const noexcept {
        return items.empty() ? 0 : items.back().first_page + items.back().page_count;
    }
    /// What the record itself says of pages (not what its blob does).
    [[nodiscard]] std::span<const log::PageEntry> pages_of(const Item& item) const noexcept {
        return std::span(pages).subspan(item.first_page, item.page_count);
    }
    [[nodiscard]] std::size_t capacity_bytes() const noexcept {
        return items.capacity() * sizeof(Item) + pages.capacity() * sizeof(log::PageEntry);
    }
};

}  // namespace mmsb::state
