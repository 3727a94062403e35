/// api/transaction_impl: what a Transaction holds: staged pages and what it has read.
#pragma once

#include "api/bus.hpp"

#include <map>

namespace mmsb {

namespace detail {

/// Bytes written over a page: disjoint stretches by offset; later ones replace what they cover.
class Overlay {
public:
    void put(std::uint64_t offset, std::span<const std::byte> bytes);
    /// Drops what lies behind the new end of the page.
    void cut(std::uint64_t size);
    /// Writes what falls into [offset, offset + out.size()).
    void over(std::span<std::byte> out, std::uint64_t offset) const;
    [[nodiscard]] const std::map<std::uint64_t, Bytes>& stretches() const noexcept {
        return stretches_;
    }

private:
    std::map<std::uint64_t, Bytes> stretches_{};
};

struct TransactionPage {
    state::StagedPage staged{};
    Overlay overlay{};
};

}  // namespace detail

struct Transaction::Impl {
    detail::Handle bus{};
    std::map<PageId, detail::TransactionPage> pages{};
    std::map<PageId, state::WatchedPage> reads{};
    std::map<std::string, PageId, std::less<>> names{};
    std::uint64_t as_of = 0;  ///< `logged` when all that was read was last known to go together.

    [[nodiscard]] detail::Bus& at() const { return detail::Bus::get(bus); }
    [[nodiscard]] bool empty() const noexcept {
        return pages.empty() && reads.empty() && names.empty();
    }
    void clear() noexcept;
    /// The page's staged part, made if need be. Throws PageNotFound where this transaction deletes
    /// it.
    detail::TransactionPage& stage(const Page& page);
    [[nodiscard]] const detail::TransactionPage* staged(const Page& page) const;
    /// Remembers the version that was read; throws Conflict where it does not go with what was read
    /// before.
    void watch(PageId page, std::uint32_t line, Epoch epoch);
    /// Live bytes of [offset, offset + out.size()), watched; zeros behind the live end.
    void read_live(const Page& page, std::span<std::byte> out, std::uint64_t offset);
    [[nodiscard]] std::uint64_t live_size(const Page& page);
    CommitOutcome commit(const CommitOptions& options);
};

}  // namespace mmsb
