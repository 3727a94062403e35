/// View: the bus as of one sequence; the log, read as records.
///
/// A View is the one place that hands out spans to keep: what is past does not change. It costs
/// what is looked at: a page is rebuilt from its own records in the log when first asked for, and
/// then kept by the View; many pages are rebuilt together.
///
/// Threads: `const` functions of one View from any thread; a stream from one at a time.
/// Lifetime: spans and references live as long as the View; a View as long as its State is open.
#pragma once

#include <mmsb/page.hpp>

namespace mmsb {

/// How View::export_to works.
struct ExportOptions {
    std::vector<PageId> pages{};  ///< Only these; empty: all.
    /// Told of each file when it is written: whose it is, its path below the folder, and how much
    /// of all is done, up to 1. What it throws ends the export.
    std::function<void(const PageInfo& page, const std::string& file, double done)> on_file{};
};

/// Made by State::snapshot and State::at. Calls but sequence() throw BusClosed once the State is
/// stopped, and HistoryDropped where the past that they need has been folded away meanwhile.
class View {
public:
    View(View&&) noexcept;
    View& operator=(View&&) noexcept;
    ~View();
    [[nodiscard]] Sequence sequence() const noexcept;  ///< As of which it is.
    [[nodiscard]] Time time() const;                   ///< Of the commit that led there.
    /// By the name it had then.
    [[nodiscard]] std::optional<PageInfo> find_page(std::string_view name) const;
    [[nodiscard]] PageInfo info(PageId page) const;     ///< As it was then. PageNotFound.
    [[nodiscard]] std::vector<PageInfo> pages() const;  ///< In id order.
    /// Of the dependency graph then; a formula's parent is an edge of data. In order.
    [[nodiscard]] std::vector<Edge> edges() const;
    /// Stable for the View's lifetime; of a temporary View, a copy. PageNotFound where it was not
    /// there then.
    /// Rebuilt at the first call and kept as long as the View; a View pins no history, so this may
    /// throw HistoryDropped where retention has folded that past away meanwhile.
    [[nodiscard]] std::span<const std::byte> bytes(PageId page) const&;
    [[nodiscard]] Bytes bytes(PageId page) && {
        const auto b = std::as_const(*this).bytes(page);
        return {b.begin(), b.end()};
    }
    /// As bytes(), seen as what the page holds. TypeMismatch where its size was another then.
    template <class T>
        requires(!std::is_array_v<T>)
    [[nodiscard]] const T& get(const TypedPage<T>& page) const& {
        return *reinterpret_cast<const T*>(typed(page, sizeof(T), true).data());
    }
    template <class T>
        requires(!std::is_array_v<T>)
    [[nodiscard]] T get(const TypedPage<T>& page) && {
        return std::as_const(*this).get(page);
    }
    template <class T>
    [[nodiscard]] std::span<const T> get(const TypedPage<T[]>& page) const& {
        const auto b = typed(page, sizeof(T), false);
        return {reinterpret_cast<const T*>(b.data()), b.size() / sizeof(T)};
    }
    template <class T>
    [[nodiscard]] std::vector<T> get(const TypedPage<T[]>& page) && {
        const auto all = std::as_const(*this).get(page);
        return {all.begin(), all.end()};
    }
    /// One file a page, below `folder`, which is made if need be, whatever the page's name says: a
    /// leading / is dropped, .. becomes __, a NUL _, and symbolic links below the folder are not
    /// followed. A page without a name is page-ID. A file that is there is replaced; each is there
    /// whole or not at all. InvalidArgument where two pages would become one file, or a file the
    /// folder of another, or lie in the folder of a bus, and PageNotFound: nothing is written then.
    /// Io, OutOfSpace.
    void export_to(const std::string& folder, const ExportOptions& options = {}) const;

    struct Impl;

private:
    friend struct detail::Bus;
    explicit View(std::unique_ptr<Impl> impl);
    std::span<const std::byte> typed(PageId page, std::size_t size, bool exactly) const;
    [[nodiscard]] const Impl& impl() const;  ///< WrongContext where it was moved from.
    std::unique_ptr<Impl> impl_;
};

/// Pages added, removed and changed; applied to `from`, it gives `to`, bit for bit: a page is made
/// or resized to its delta's page_size with zeros, then the delta is applied.
struct ViewDiff {
    std::vector<PageInfo> added{}, removed{};
    std::vector<Delta> changed{};
};
/// Of two Views of one bus. Looks at the pages that commits between them name; where these are many
/// (256), or the commits (16,384), or the bus is private, rebuilds both: memory for all pages
/// twice. HistoryDropped, BusClosed.
[[nodiscard]] ViewDiff diff(const View& from, const View& to);

/// What a record did; several of them where it is a transaction's.
enum class RecordType : std::uint8_t {
    commit,  ///< Changed bytes.
    page_created,
    page_deleted,
    page_resized,
    page_renamed,
    metadata_set,
    page_derived,    ///< Got a formula, or another one.
    page_underived,  ///< Lost its formula.
    edge_added,
    edge_removed,
    page_stale,  ///< Became stale, or still is.
    page_fresh,  ///< Is stale no more, and nothing else of it is another.
};
/// One committed record, or a transaction's parts as one.
struct Record {
    Sequence sequence = Sequence::zero;
    Time time{};
    std::string source{}, label{};
    std::uint64_t tag = 0;
    std::int32_t process = 0;  ///< Its id, on the machine where it ran.
    std::vector<RecordType> types{};
    std::vector<Delta> deltas{};
    std::vector<PageInfo> pages{};  ///< All but bytes changed, stale or fresh: as after it.
    /// A formula's are added with it. Those that it had before go with it, unsaid.
    std::vector<Edge> edges_added{}, edges_removed{};
    std::vector<PageId> derived{}, underived{};  ///< Got a formula, or another one; lost theirs.
};
/// Which records. Each field narrows.
struct LogFilter {
    Sequence from = Sequence::zero, to = Sequence::newest;  ///< Both inclusive.
    std::optional<Time> since{}, until{};                   ///< Both inclusive.
    /// Records that change one of these: bytes, size, name, metadata, or that it is stale; empty:
    /// all. (Edges and formulas alone do not count.)
    std::vector<PageId> pages{};
    std::string source{};                ///< Empty: all.
    std::optional<std::uint64_t> tag{};  ///< Only with this one.
    /// Only records that do more than change bytes: pages made, deleted, resized, renamed,
    /// metadata, edges, formulas. They are found one from the other, without reading what lies
    /// between.
    bool structure = false;
};
/// The transaction log, in order; `next` waits for what is not yet committed (like tail -f). A
/// consumer that remembers Record::sequence resumes with `{.from = remembered + 1}`.
using TLog = detail::Stream<Record>;

}  // namespace mmsb
