/// Derived pages: which page is computed from which, by what, and how to ask about it.
///
///     bus.register_recompute("app.mean/1", [](Recompute& r) { ... });
///     tx.derive(mean, {temps}, formula::call("app.mean/1"));
///
/// `derive` is in the log: parents (in order), function name and arguments. The code behind the
/// name is not: each process that wants to compute registers it. When a parent changes, what is
/// computed from it follows in the same commit: each page once, parents first, on the bytes that
/// the commit makes, and no further than where the bytes come out the same. What the committing
/// process has no code for, or was told to defer, is marked stale in that commit, with all that is
/// computed from it: Version::stale says so until a process that has the code computes it.
///
/// A function runs without a lock, and may run several times for one commit: where others commit
/// meanwhile, it is done anew with what is there then. It must give the same bytes for the same
/// bytes, whatever the machine, the time or the process.
#pragma once

#include <mmsb/unlogged.hpp>

namespace mmsb {

/// What computes a derived page: a name and the bytes that it is called with.
struct Formula {
    std::string function{};  ///< Ends with its version: "app.mean/1". At most 255 bytes.
    Bytes arguments{};       ///< At most 64 KiB.
    friend bool operator==(const Formula&, const Formula&) = default;
};

/// Formulas. Those with a built-in function are known to every process; where sizes do not fit,
/// they throw, and that is RecomputeFailed.
namespace formula {
[[nodiscard]] Formula call(std::string_view function, std::span<const std::byte> arguments = {});
[[nodiscard]] Formula copy();  ///< The parent's bytes; the page has its size.
/// That part of the parent; the page has `size` bytes.
[[nodiscard]] Formula slice(std::size_t offset, std::size_t size);
[[nodiscard]] Formula concatenate();            ///< The parents' bytes, one behind the other.
[[nodiscard]] Formula checksum();               ///< CRC-32C of the parent, a little-endian u32.
[[nodiscard]] Formula threshold(double above);  ///< One byte: 1 where the parent's double is above.
enum class Lane : std::uint8_t { i32, i64, f32, f64 };
template <class T>
inline constexpr Lane lane = std::same_as<T, std::int32_t>   ? Lane::i32
                             : std::same_as<T, std::int64_t> ? Lane::i64
                             : std::same_as<T, float>        ? Lane::f32
                                                             : Lane::f64;
/// A type that lanes are of.
template <class T>
concept LaneType = std::same_as<T, std::int32_t> || std::same_as<T, std::int64_t> ||
                   std::same_as<T, float> || std::same_as<T, double>;
enum class Fold : std::uint8_t { sum, minimum, maximum, count_nonzero };
/// One value from all whole lanes of all parents, in order; 0 where there is none. Sums of integers
/// wrap; sums of floats are made in double, from the first to the last; one that is no number is
/// the quiet NaN.
[[nodiscard]] Formula fold(Fold fold, Lane lane);
template <LaneType T>
[[nodiscard]] Formula sum() {
    return fold(Fold::sum, lane<T>);
}
template <LaneType T>
[[nodiscard]] Formula minimum() {
    return fold(Fold::minimum, lane<T>);
}
template <LaneType T>
[[nodiscard]] Formula maximum() {
    return fold(Fold::maximum, lane<T>);
}
/// Of the lanes that are not 0, as a u64.
template <LaneType T>
[[nodiscard]] Formula count() {
    return fold(Fold::count_nonzero, lane<T>);
}
}  // namespace formula

/// What a recompute function sees. Valid during the call.
class Recompute {
public:
    [[nodiscard]] PageId page() const noexcept { return page_; }  ///< That is computed.
    [[nodiscard]] std::size_t parents() const noexcept { return parents_.size(); }
    /// REQUIRES i < parents().
    [[nodiscard]] std::span<const std::byte> parent(std::size_t i) const { return parents_[i]; }
    template <Plain T>
    [[nodiscard]] std::span<const T> parent(std::size_t i) const {
        return {reinterpret_cast<const T*>(parents_[i].data()), parents_[i].size() / sizeof(T)};
    }
    /// Stretches that hold all bytes of parent `i` which have changed since the page was computed;
    /// all of it at the first call, where the page was stale, and where its size or that of a
    /// parent is another. Ascending.
    [[nodiscard]] std::span<const ByteRange> changed(std::size_t i) const { return changed_[i]; }
    [[nodiscard]] std::span<const std::byte> arguments() const noexcept { return arguments_; }
    /// The page's bytes: as they were, to be overwritten. A pure function does not read them.
    [[nodiscard]] std::span<std::byte> out() const noexcept { return out_; }
    template <Plain T>
    [[nodiscard]] std::span<T> out() const {
        return {reinterpret_cast<T*>(out_.data()), out_.size() / sizeof(T)};
    }

private:
    friend struct detail::Bus;
    PageId page_ = PageId::none;
    std::span<const std::span<const std::byte>> parents_{};
    std::span<const std::span<const ByteRange>> changed_{};
    std::span<const std::byte> arguments_{};
    std::span<std::byte> out_{};
};
/// Runs in the thread that commits, or for several pages at once in others, too (oneTBB), where its
/// calls take long: RecomputeOptions::one_thread. Threads that commit at once may run it at once.
using RecomputeFunction = std::function<void(Recompute&)>;

/// How a function is to be used.
struct RecomputeOptions {
    /// A promise: bytes that it rules out are not looked at. verify() finds who breaks it.
    Locality locality = Locality::opaque;
    /// Where it throws the page becomes stale. Else the commit fails: RecomputeFailed.
    bool stale_on_throw = false;
    /// It reads out() as it was: an average over time. It is computed once for each commit that
    /// changes a parent, and never deferred.
    bool accumulates = false;
    /// Of what is stale, propagate() computes the highest first.
    int priority = 0;
    /// It is called by the thread that commits only, one page behind the other. Else, where
    /// several calls in a row took over 20 µs, they are spread over the processors, as far as the
    /// graph allows; what comes out, and what is logged, is the same.
    bool one_thread = false;
};

/// Why a derived page is what it is: one step towards the commit that caused it.
struct Cause {
    PageId page = PageId::none;
    std::string name{};
    Change change{};
    Formula formula{};  ///< Empty at the root.
};
/// One line.
std::ostream& operator<<(std::ostream& out, const Cause& cause);

/// The dependency graph of a bus: State::graph(). A handle like Page, and as cheap.
///
/// All processes see the same graph: it is in the log. Questions are answered as of the newest
/// commit. Pages that are not there have no edges. Threads: everything from any.
class ShadowPageGraph {
public:
    /// Makes `child` computed from `parents`, in this order, and computes it, in the same commit.
    /// Replaces what it was derived by; what is written to it from then on is InvalidArgument.
    /// GraphCycle, PageNotFound, InvalidArgument (no parent, limits), RecomputeFailed: the graph is
    /// as it was. Many at once: Transaction::derive.
    Committed derive(Page child, PageList parents, const Formula& formula,
                     const CommitOptions& options = {}) const;
    /// A page of `size` bytes in this process's memory, which is computed when it is read (see
    /// unlogged.hpp); by the code that the formula's function has in this process now, or by
    /// `function`, whose Recompute::page() is none, and whose `locality` is a promise as that of
    /// RecomputeOptions. InvalidArgument (parents of another State, no code, one that accumulates,
    /// limits). REQUIRES of `function` what derive() does: the same bytes for the same bytes.
    [[nodiscard]] UnloggedPage derive_unlogged(std::size_t size,
                                               const std::vector<AnyPage>& parents,
                                               const Formula& formula) const;
    [[nodiscard]] UnloggedPage derive_unlogged(std::size_t size,
                                               const std::vector<AnyPage>& parents,
                                               RecomputeFunction function,
                                               Locality locality = Locality::opaque) const;
    /// It keeps its bytes and becomes a page like any other. Where it is one: nothing.
    Committed underive(Page child, const CommitOptions& options = {}) const;
    /// An edge that computes nothing (EdgeType says what it does); twice is once. GraphCycle.
    Committed add_dependency(Page parent, Page child, EdgeType type,
                             const CommitOptions& options = {}) const;
    /// All edges that were added between the two, not the formula's.
    Committed remove_dependency(Page parent, Page child, const CommitOptions& options = {}) const;
    /// Computes all that is stale, as far as this process has the code: in one commit for each
    /// RecomputeOptions::priority, the highest first, with the stale pages that those need; a page
    /// once. In several, parents first, where there are hundreds of thousands, or others keep
    /// changing meanwhile what they are computed from. How many functions ran. RecomputeFailed,
    /// Conflict, and what a commit throws: then the rest is still stale.
    std::size_t propagate() const;

    [[nodiscard]] std::optional<Formula> formula(PageId page) const;  ///< Nothing: not derived.
    /// In the formula's order, then by id; a formula's parent is an edge of data.
    [[nodiscard]] std::vector<Edge> parents(PageId page) const;
    [[nodiscard]] std::vector<Edge> children(PageId page) const;       ///< By id.
    [[nodiscard]] std::vector<PageId> ancestors(PageId page) const;    ///< Parents first.
    [[nodiscard]] std::vector<PageId> descendants(PageId page) const;  ///< Likewise.
    /// All pages with an edge, each behind its parents. Linear.
    [[nodiscard]] std::vector<PageId> topological_order() const;
    [[nodiscard]] bool has_edge(PageId parent, PageId child) const;  ///< Of any type.
    [[nodiscard]] std::size_t depth() const;  ///< The longest path, in edges. Linear.
    /// From the last change of the page, as of `at`, to the one that caused it: of each step's
    /// parents the one that changed last. Empty: it never changed, or is not kept. Reads the kept
    /// log up to there, twice. PageNotFound, HistoryDropped.
    [[nodiscard]] std::vector<Cause> why(PageId page, Sequence at = Sequence::newest) const;

private:
    friend struct detail::Bus;
    explicit ShadowPageGraph(detail::Handle bus) : bus_(bus) {}
    detail::Handle bus_;
};

}  // namespace mmsb
