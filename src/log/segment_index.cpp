#include "log/segment_index.hpp"

#include "base/assert.hpp"
#include "base/bytes.hpp"
#include "log/head.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <utility>

namespace mmsb::log {

namespace {

// The tables of docs/FORMAT.md.
struct Row {
    PageId page;
    std::uint64_t at;  // Of the list, in the file.
    std::uint32_t size, checksum;
};
static_assert(sizeof(Row) == 24);
constexpr std::size_t block_size = 4096, rows_at = 8;
constexpr std::size_t block_rows = (block_size - rows_at) / sizeof(Row);
using Block = std::array<std::byte, block_size>;

constexpr std::uint64_t blocks_of(std::uint64_t pages) {
    return pages / block_rows + (pages % block_rows != 0 ? 1 : 0);
}

// Of a block, seeded with its number; of a list, with where it lies.
std::uint32_t sum(const IndexHeader& header, std::uint64_t which,
                  std::span<const std::byte> bytes) noexcept {
    return base::crc32c(record_seed(header.salt, which), bytes);
}

// A page's records: how far each starts behind the one before, the first one behind the segment's
// start, in eighths.
void add_list(const IndexHeader& header, std::span<const Mention> mentions,
              std::vector<std::byte>& out) {
    base::ByteWriter writer(out);
    auto before = header.start;
    for (const auto& mention : mentions) {
        writer.varint((mention.record - before) / 8);
        before = mention.record;
    }
}

std::optional<std::vector<Lsn>> read_list(const IndexHeader& header,
                                          std::span<const std::byte> bytes) {
    std::vector<Lsn> records;
    base::ByteReader in(bytes);
    auto at = header.start;
    while (!in.at_end()) {
        const auto gap = in.varint();
        if (in.failed() || gap >= (header.end - at) / 8) return std::nullopt;
        if (gap == 0 && !records.empty()) return std::nullopt;
        records.push_back(at += gap * 8);
    }
    return records;
}

// By page, each page's as they are.
void sort_by_page(std::vector<Mention>& mentions) {
    if (mentions.empty()) return;
    const auto [least, most] = std::ranges::minmax(mentions, {}, &Mention::page);
    const auto first = number(least.page), ids = number(most.page) - first;
    if (ids >= 4 * mentions.size()) {
        std::ranges::sort(mentions, [](const Mention& a, const Mention& b) {
            return a.page != b.page ? a.page < b.page : a.record < b.record;
        });
        return;
    }
    std::vector<std::size_t> begins(static_cast<std::size_t>(ids) + 2);
    for (const auto& mention : mentions) ++begins[number(mention.page) - first + 1];
    std::partial_sum(begins.begin(), begins.end(), begins.begin());
    std::vector<Mention> sorted(mentions.size());
    for (const auto& mention : mentions) sorted[begins[number(mention.page) - first]++] = mention;
    mentions = std::move(sorted);
}

// One block of the table, checked.
class Table {
public:
    Table(const IndexHeader& header, ReadIndex read) : header_(header), read_(read) {}

    [[nodiscard]] bool load(std::uint64_t number) {
        Block block;
        std::uint32_t checksum = 0;
        if (read_(index_header_size + number * block_size, block) != block.size()) return false;
        std::memcpy(&checksum, block.data(), sizeof checksum);
        if (sum(header_, number, std::span(block).subspan(sizeof checksum)) != checksum)
            return false;
        rows_.resize(std::min<std::uint64_t>(header_.pages - number * block_rows,
                                             std::uint64_t{block_rows}));
        std::memcpy(rows_.data(), block.data() + rows_at, rows_.size() * sizeof(Row));
        return std::ranges::adjacent_find(rows_, std::ranges::greater_equal{}, &Row::page) ==
               rows_.end();
    }
    [[nodiscard]] std::span<const Row> rows() const noexcept { return rows_; }

private:
    const IndexHeader& header_;
    ReadIndex read_;
    std::vector<Row> rows_{};
};

}  // namespace

std::vector<std::byte> encode_index(IndexHeader header, std::vector<Mention> mentions) {
    sort_by_page(mentions);
    std::vector<Row> rows;
    std::vector<std::byte> lists;
    for (std::size_t from = 0; from != mentions.size();) {
        auto to = from;
        while (to != mentions.size() && mentions[to].page == mentions[from].page) ++to;
        const auto at = lists.size();
        add_list(header, std::span(mentions).subspan(from, to - from), lists);
        MMSB_ASSERT(lists.size() - at <= std::numeric_limits<std::uint32_t>::max());
        rows.push_back({mentions[from].page, at, static_cast<std::uint32_t>(lists.size() - at), 0});
        from = to;
    }
    header.pages = rows.size();
    const auto lists_at = index_header_size + blocks_of(header.pages) * block_size;
    std::vector<std::byte> out(static_cast<std::size_t>(lists_at));
    std::ranges::copy(encode_index_header(header), out.begin());
    for (auto& row : rows) {
        const auto list = std::span(lists).subspan(static_cast<std::size_t>(row.at), row.size);
        row.at += lists_at;
        row.checksum = sum(header, row.at, list);
    }
    for (std::uint64_t number = 0; number != blocks_of(header.pages); ++number) {
        const auto first = static_cast<std::size_t>(number * block_rows);
        const auto some =
            std::span(rows).subspan(first).first(std::min(rows.size() - first, block_rows));
        const auto block = std::span(out).subspan(
            static_cast<std::size_t>(index_header_size + number * block_size), block_size);
        std::memcpy(block.data() + rows_at, some.data(), some.size_bytes());
        const auto checksum = sum(header, number, block.subspan(sizeof(std::uint32_t)));
        std::memcpy(block.data(), &checksum, sizeof checksum);
    }
    out.insert(out.end(), lists.begin(), lists.end());
    return out;
}

std::optional<std::vector<Lsn>> find_in_index(const IndexHeader& header, std::uint64_t file_size,
                                              PageId page, ReadIndex read) {
    if (file_size < index_header_size ||
        blocks_of(header.pages) > (file_size - index_header_size) / block_size)
        return std::nullopt;
    Table table(header, read);
    // The last block that begins at the page or before.
    std::uint64_t low = 0, high = blocks_of(header.pages);
    while (low != high) {
        const auto middle = low + (high - low) / 2;
        if (!table.load(middle)) return std::nullopt;
        const auto rows = table.rows();
        if (rows.front().page > page) {
            high = middle;
        } else if (rows.back().page < page) {
            low = middle + 1;
        } else {
            const auto found = std::ranges::lower_bound(rows, page, {}, &Row::page);
            if (found->page != page) break;
            const auto [id, at, size, checksum] = *found;
            // (A gap of n eighths takes n bytes at most, but for the first, which may be 0.)
            if (at > file_size || size > file_size - at ||
                size > (header.end - header.start) / 8 + 1)
                return std::nullopt;
            std::vector<std::byte> list(size);
            if (read(at, list) != list.size() || sum(header, at, list) != checksum)
                return std::nullopt;
            return read_list(header, list);
        }
    }
    return std::vector<Lsn>{};
}

}  // namespace mmsb::log
