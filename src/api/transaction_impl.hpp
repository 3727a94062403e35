/// api/transaction_impl: what a Transaction holds: staged pages and what it has read.
#pragma once

#include "api/bus.hpp"

#include <map>
#include <memory_resource>

namespace mmsb {

namespace detail {

/// Bytes written over a page: disjoint stretches by offset; later ones replace what they cover.
class Overlay {
public:
    using allocator_type = std::pmr::polymorphic_allocator<>;
    using Stretches = std::pmr::map<std::uint64_t, Bytes>;
    explicit Overlay(const allocator_type& memory) : stretches_(memory) {}
    void put(std::uint64_t offset, std::span<const std::byte> bytes);
    /// Drops what lies behind the new end of the page.
    void cut(std::uint64_t size);
    void clear() noexcept { stretches_.clear(); }
    /// Writes what falls into [offset, offset + out.size()).
    void over(std::span<std::byte> out, std::uint64_t offset) const;
    [[nodiscard]] const Stretches& stretches() const noexcept { return stretches_; }

private:
    Stretches stretches_;
};

struct TransactionPage {
    using allocator_type = Overlay::allocator_type;
    explicit TransactionPage(const allocator_type& memory) : overlay(memory) {}
    state::StagedPage staged{};
    Overlay overlay;
};

}  // namespace detail

struct Transaction::Impl {
    explicit Impl(const detail::Handle& handle) : bus(handle) {}

    detail::Handle bus;
    /// Of the nodes below it: small, many, and let go of together. (Not the pool that libstdc++
    /// has: where its own allocation fails it goes on with a null pointer.)
    std::pmr::monotonic_buffer_resource memory{};
    std::pmr::map<PageId, detail::TransactionPage> pages{&memory};
    std::pmr::map<PageId, state::WatchedPage> reads{&memory};
    std::map<std::string, PageId, std::less<>> names{};
    std::vector<state::GraphChange> graph{};
    std::uint64_t as_of = 0;  ///< `logged` when all that was read was last known to go together.

    [[nodiscard]] detail::Bus& at() const { return detail::Bus::get(bus); }
    [[nodiscard]] bool empty() const noexcept {
        return pages.empty() && reads.empty() && names.empty() && graph.empty();
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
