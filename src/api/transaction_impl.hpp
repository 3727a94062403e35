/// api/transaction_impl: what a Transaction holds: staged pages and what it has read.
#pragma once

#include "api/bus.hpp"
#include "api/overlay.hpp"
#include "base/spare.hpp"

#include <unordered_map>

namespace mmsb {

namespace detail {

/// Conflict: of what a transaction has read.
[[noreturn]] void throw_changed(PageId page);

/// A page that a transaction changes. Valid until it stages another one.
struct TransactionPage {
    state::StagedPage& staged;
    Overlay& overlay;
};

}  // namespace detail

struct Transaction::Impl {
    explicit Impl(const detail::Handle& handle) : bus(handle) {}
    ~Impl();
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    /// What a thread keeps for its next transaction, which then allocates little.
    struct Memory {
        state::Staged staged{};
        state::Pieces pieces{};
    };
    struct StagedAt {
        std::size_t at = 0;  ///< In staged.pages.
        detail::Overlay overlay;
    };
    using Pages = std::pmr::unordered_map<PageId, StagedAt>;

    detail::Handle bus;
    base::Spare<Memory> memory{};
    detail::PieceResource resource{memory->pieces};
    /// Its pages are in the order in which they were first changed.
    state::Staged& staged = memory->staged;
    Pages pages{&resource};  ///< Where each of them is, and what is written over it.
    std::pmr::map<PageId, state::WatchedPage> reads{&resource};
    std::map<std::string, PageId, std::less<>> names{};
    std::uint64_t as_of = 0;  ///< `logged` when all that was read was last known to go together.

    [[nodiscard]] detail::Bus& at() const { return detail::Bus::get(bus); }
    [[nodiscard]] bool empty() const noexcept {
        return pages.empty() && reads.empty() && names.empty() && staged.graph.empty();
    }
    void clear() noexcept;
    /// Drops the page that was staged last.
    void unstage() noexcept;
    /// The page's staged part, made if need be. Throws PageNotFound where this transaction deletes
    /// it, or where it is not there.
    detail::TransactionPage stage(const Page& page);
    /// The same; of a page that was not staged before it only asks the memory for the line, which
    /// size_of() looks at.
    detail::TransactionPage stage_unseen(const Page& page);
    /// Of a page that is not staged yet.
    detail::TransactionPage add(PageId page, std::uint32_t line);
    /// Nothing where it is not staged. Throws as stage().
    [[nodiscard]] std::optional<detail::TransactionPage> find(const Page& page);
    [[nodiscard]] detail::TransactionPage there(StagedAt& page) const;
    /// Remembers the version that was read, when `logged` had been looked at; throws Conflict where
    /// it does not go with what was read before.
    void watch(PageId page, std::uint32_t line, Epoch epoch, log::Lsn logged);
    /// Likewise, of all that was read.
    void go_together(log::Lsn logged);
    [[nodiscard]] log::Lsn logged() const;
    /// As its formulas are by now, with what is staged.
    [[nodiscard]] bool will_be_derived(PageId page) const;
    /// Live bytes of [offset, offset + out.size()), watched; zeros behind the live end.
    void read_live(const Page& page, std::span<std::byte> out, std::uint64_t offset);
    [[nodiscard]] std::uint64_t live_size(const Page& page);
    /// The size that the staged page will have. Throws PageNotFound.
    std::uint64_t size_of(state::StagedPage& staged) const;
    CommitOutcome commit(const CommitOptions& options);
};

namespace detail {

/// Where a call throws, the page that it staged is not staged.
class Staging {
public:
    explicit Staging(Transaction::Impl& impl) : impl_(impl), before_(impl.staged.pages.size()) {}
    ~Staging() {
        if (done_ || !is_new()) return;
        impl_.unstage();
        if (takes_bytes_) impl_.memory->pieces.back_to(bytes_from_);
    }
    Staging(const Staging&) = delete;
    Staging& operator=(const Staging&) = delete;
    [[nodiscard]] bool is_new() const noexcept { return impl_.staged.pages.size() != before_; }
    /// What is taken from here on are bytes of the page that was just staged.
    void takes_bytes() noexcept {
        bytes_from_ = impl_.memory->pieces.mark();
        takes_bytes_ = true;
    }
    void done() noexcept { done_ = true; }

private:
    Transaction::Impl& impl_;
    std::size_t before_;
    state::Pieces::Mark bytes_from_{};
    bool takes_bytes_ = false, done_ = false;
};

}  // namespace detail

}  // namespace mmsb
