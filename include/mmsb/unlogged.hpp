/// UnloggedPage: computed from other pages like a derived page, but kept in this process alone.
///
///     auto total = bus.graph().derive_unlogged(8, {prices, amounts}, formula::sum<double>());
///     auto shown = bus.graph().derive_unlogged(64, {total, label}, [](Recompute& r) { ... });
///     const auto now = total.read_as<double>();
///
/// The log knows nothing of it: no other process sees it, it is in no view, history, event,
/// checkpoint or verify, and a commit costs nothing for it. It is computed when it is read: what it
/// is computed from, if that has changed since; each page once, parents first, and no further than
/// where the bytes come out the same. All that a read sees is as of one sequence, that of the
/// newest commit or of one during the call. For values that many commits would change between two
/// looks at them: what is to be shown, sums, indexes.
///
/// Threads: everything from any. Those that read unlogged pages of one State wait for each other,
/// also while one of them computes: so a function that reads unlogged pages of another State must
/// not be met by one that goes the other way.
#pragma once

#include <mmsb/page.hpp>

#include <variant>

namespace mmsb {

namespace state {
struct UnloggedNode;
}

/// A handle: copied freely; the page is there while a handle or a page computed from it is.
/// Beside what each call says: PageNotFound where a page was deleted that it is computed from (it
/// says which), RecomputeFailed where a function threw (it is called again at the next read),
/// BusClosed, WrongContext (in a function that computes an unlogged page of the same State, in a
/// forked child), Corrupt.
class UnloggedPage {
public:
    UnloggedPage() = default;  ///< No page; each call throws PageNotFound.
    [[nodiscard]] std::size_t size() const;
    [[nodiscard]] Bytes read() const;
    /// InvalidArgument unless `out` has the page's size.
    void read_into(std::span<std::byte> out) const;
    /// InvalidArgument unless the page has its size.
    template <Plain T>
    [[nodiscard]] T read_as() const {
        T value{};
        read_into(std::as_writable_bytes(std::span(&value, 1)));
        return value;
    }
    /// Is a page that it is computed from stale now (Version::stale)?
    [[nodiscard]] bool stale() const;
    /// How often its bytes have come out otherwise: what has the same number has the same bytes.
    [[nodiscard]] std::uint64_t version() const;

private:
    friend struct detail::Bus;
    UnloggedPage(detail::Handle bus, std::shared_ptr<state::UnloggedNode> node)
        : bus_(bus), node_(std::move(node)) {}
    detail::Handle bus_{};
    std::shared_ptr<state::UnloggedNode> node_{};
};

/// What an unlogged page may be computed from.
using AnyPage = std::variant<Page, UnloggedPage>;

}  // namespace mmsb
