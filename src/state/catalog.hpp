/// state/catalog: names, metadata, sources, the lines of pages, and what depends on what, as this
/// process knows it.
///
/// Structure is in the log; every process keeps its own catalog by following the structure chain
/// (PROTOCOL, rule 10): being up to date is one compare with the arena's `structure` word. A
/// look-up for a user follows past a writer that is busy or dead, too: what it does not find, and
/// what it finds under a name that has gone to another page, is so by then. Threads: everything
/// from any thread (a shared mutex of this process; never the writers' lock).
#pragma once

#include "log/record.hpp"
#include "replay/structure.hpp"
#include "state/dependencies.hpp"

#include <mmsb/types.hpp>

#include <array>
#include <atomic>
#include <map>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace mmsb::state {

struct Attachment;

using CatalogPage = replay::PageStructure;

class Catalog {
public:
    /// Starts from a checkpoint's structure instead of from nothing.
    void load(const replay::Structure& base);
    /// A copy of all of it.
    [[nodiscard]] replay::Structure snapshot() const;
    /// Up to the newest structural record that is applied. Reads the log; throws what that throws.
    void follow(Attachment& bus);
    /// The same, up to this structural record, for who holds the writers' lock and knows it.
    void follow(Attachment& bus, log::Lsn head);
    /// Start of the newest structural record that is in here; 0: none is.
    [[nodiscard]] log::Lsn head() const noexcept {
        return followed_.load(std::memory_order_acquire);
    }
    /// Takes in one structural record, the next in the chain: for who replays the log anyhow.
    void take(const log::Record& record, std::span<const std::byte> body);
    /// Also past `applied`, up to `logged`, while a writer is busy, stopped or dead.
    void follow_logged(Attachment& bus);

    [[nodiscard]] std::optional<CatalogPage> page(PageId id) const;
    [[nodiscard]] std::optional<std::uint32_t> line_of(PageId id) const;
    /// Also of a page that the newest commit in here deleted: a redo of that commit needs its line.
    [[nodiscard]] std::optional<std::uint32_t> line_for_redo(PageId id) const;
    /// By a live page, as the log has it.
    [[nodiscard]] bool line_is_taken(std::uint32_t line) const;
    [[nodiscard]] std::optional<std::pair<PageId, std::uint32_t>> find(std::string_view name) const;
    [[nodiscard]] std::vector<std::pair<PageId, std::uint32_t>> pages() const;  ///< By id.
    /// The name most like `name`, for messages; empty where none is near.
    [[nodiscard]] std::string nearest(std::string_view name) const;

    /// Start of the newest record that is in here and changed the graph; 0: none did.
    [[nodiscard]] log::Lsn graph_head() const noexcept {
        return graph_head_.load(std::memory_order_acquire);
    }
    /// And the head that it is as of.
    [[nodiscard]] GraphView graph(log::Lsn& head) const;

    /// Whether the page has ever had an edge, as far as is known here; now and then also of one
    /// that has not. Without a lock.
    [[nodiscard]] bool may_have_edges(PageId page) const noexcept {
        return (bits_of(page).load(std::memory_order_acquire) & bit_of(page)) != 0;
    }

    /// By a formula?
    [[nodiscard]] bool is_derived(PageId page) const;

    [[nodiscard]] std::string source(std::uint32_t number) const;
    [[nodiscard]] std::optional<std::uint32_t> source_number(std::string_view name) const;

private:
    void follow_to(Attachment& bus, log::Lsn head);
    void walk_to(Attachment& bus, log::Lsn head);
    void follow_unapplied(Attachment& bus);
    void replace(const replay::Structure& by);
    void replace_graph(const replay::Structure& by);
    [[nodiscard]] static replay::Dependencies dependencies_of(const graph::Graph& graph);
    void apply(const log::Record& record, std::span<const std::byte> body);
    void apply_graph(const log::Record& record, std::span<const std::byte> body);
    // To be changed: a copy, where somebody looks at it. REQUIRES the mutex.
    [[nodiscard]] graph::Graph& own_graph();

    mutable std::shared_mutex mutex_;
    /// Start of the newest structural record that is in here. Stored under the mutex.
    std::atomic<std::uint64_t> followed_{0};
    void set_line(std::uint32_t line, bool taken);

    std::map<PageId, CatalogPage> pages_{};
    std::map<PageId, std::uint32_t> deleted_{};  ///< By the newest commit: their lines.
    std::vector<bool> lines_{};
    std::unordered_map<std::string, PageId> names_{};
    std::map<std::uint32_t, std::string> sources_{};
    std::unordered_map<std::string, std::uint32_t> source_numbers_{};
    std::shared_ptr<HeldGraph> graph_ = std::make_shared<HeldGraph>();
    std::atomic<log::Lsn> graph_head_{0};

    // By the id's low bits: set before the graph's head is, and never cleared.
    static constexpr std::size_t filter_words = 1024, filter_word_bits = 64;
    [[nodiscard]] const std::atomic<std::uint64_t>& bits_of(PageId page) const noexcept {
        return with_edges_[number(page) / filter_word_bits % filter_words];
    }
    [[nodiscard]] static std::uint64_t bit_of(PageId page) noexcept {
        return std::uint64_t{1} << (number(page) % filter_word_bits);
    }
    void has_edges(PageId page) noexcept {
        with_edges_[number(page) / filter_word_bits % filter_words].fetch_or(bit_of(page));
    }
    std::array<std::atomic<std::uint64_t>, filter_words> with_edges_{};
};

}  // namespace mmsb::state
