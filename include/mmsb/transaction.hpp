/// Transaction: many changes, one atomic commit. Optimistic: nothing is locked until commit.
///
/// What you *read* through it is watched; what you *write* is staged in this object. commit()
/// takes the writers' lock, checks that nothing watched has changed, and applies all or nothing.
/// So user code never runs under the lock, a stopped process stops nobody, and a blind write never
/// conflicts (it replaces those bytes, whoever wrote them last).
///
/// Reads see the staged bytes, else the newest, all as of one sequence: a transaction never sees
/// half of another's. Where that cannot be kept up, the read throws Conflict already.
/// Pages read with Page::read instead are not watched.
///
/// Threads: one at a time. It does not nest: it is a value, pass it on. State::transact(fn) is the
/// usual way: it commits at the end and runs fn again on Conflict. One that dies uncommitted has
/// changed nothing (and is counted in Stats::transactions_abandoned).
#pragma once

#include <mmsb/graph.hpp>
#include <mmsb/view.hpp>

namespace mmsb {

/// How Transaction::try_commit ended.
struct CommitOutcome {
    CommitStatus status = CommitStatus::unchanged;
    Committed committed{};       ///< Of a conflict, and of busy: nothing.
    PageId page = PageId::none;  ///< The first that had changed, of a conflict.
};

/// Made by State::transaction and State::transact. Calls that name a page throw PageNotFound, and
/// InvalidArgument where it is of another bus; those that read also Conflict; all of them
/// BusClosed. What one throws stages nothing.
class Transaction {
public:
    Transaction(Transaction&&) noexcept;
    Transaction& operator=(Transaction&&) noexcept;
    ~Transaction();

    // -- reading. What is read is watched.
    /// All of the page, with what is staged; of a typed page, as its type.
    [[nodiscard]] Bytes read(Page page);
    template <class T>
        requires(!std::is_array_v<T>)
    [[nodiscard]] T read(const TypedPage<T>& page) {
        T value;
        read_into(page, std::as_writable_bytes(std::span(&value, 1)));
        return value;
    }
    /// Fills `out` from `offset`; InvalidArgument beyond the page's end.
    void read_into(Page page, std::span<std::byte> out, std::size_t offset = 0);
    /// As it will be: also of a page that this transaction makes or resizes. Watched.
    [[nodiscard]] std::size_t size(Page page);
    /// Watched too: the commit conflicts if the name is taken or freed meanwhile.
    [[nodiscard]] std::optional<Page> find_page(std::string_view name);

    // -- changing: stages; only the bytes that differ when it commits are logged.
    /// Replaces all. InvalidArgument unless `bytes` has the page's size.
    void update(Page page, std::span<const std::byte> bytes);
    /// Reads the page, lets `edit` change the copy at once, and stages what it has become; what
    /// `edit` throws stages nothing. Of a typed page, `edit(T&)`.
    template <class F>
        requires std::invocable<F&, std::span<std::byte>>
    void update(Page page, F&& edit) {
        Bytes bytes = read(page);
        edit(std::span<std::byte>(bytes));
        update(page, std::span<const std::byte>(bytes));
    }
    template <class T>
        requires(!std::is_array_v<T>)
    void update(const TypedPage<T>& page, const std::type_identity_t<T>& value) {
        update(Page(page), std::as_bytes(std::span(&value, 1)));
    }
    template <class T, EditOf<T> F>
        requires(!std::is_array_v<T>)
    void update(const TypedPage<T>& page, F&& edit) {
        T value = read(page);
        edit(value);
        update(page, value);
    }
    template <class T>
    [[nodiscard]] std::vector<T> read(const TypedPage<T[]>& page) {
        std::vector<T> all(size(page) / sizeof(T));
        read_into(page, std::as_writable_bytes(std::span(all)));
        return all;
    }
    template <class T>
    void update(const TypedPage<T[]>& page, std::type_identity_t<std::span<const T>> values) {
        update(Page(page), std::as_bytes(values));
    }
    template <class T, class F>
        requires std::invocable<F&, std::span<T>>
    void update(const TypedPage<T[]>& page, F&& edit) {
        std::vector<T> all = read(page);
        edit(std::span<T>(all));
        update(page, std::span<const T>(all));
    }
    /// Replaces the part at `offset`: blind, it watches nothing. InvalidArgument beyond the end.
    void write(Page page, std::size_t offset, std::span<const std::byte> bytes);
    /// Writes what the delta changes, likewise. InvalidDelta unless the sizes agree.
    void apply(Page page, const Delta& delta);
    /// The pages' bytes as in `view`; derived ones are passed over: they follow. Of another bus (a
    /// copy of this one that was kept) it is its page of the same id.
    void restore(const View& view, PageList pages);

    // -- pages
    /// Usable at once in this transaction; for others, when committed.
    Page create_page(std::size_t size, const PageOptions& options = {});
    /// Its name is free for another page of this transaction.
    void delete_page(Page page);
    /// What is behind the smaller of the two sizes is lost, or zero.
    void resize(Page page, std::size_t size);
    /// Empty: no name. The commit is InvalidArgument where another page has it by then.
    void rename(Page page, std::string_view name);
    /// An empty value erases the key.
    void set_metadata(Page page, std::string_view key, std::string_view value);

    // -- the dependency graph, as ShadowPageGraph has it. What is derived is computed when this
    // commits, once for all its changes: reads through the transaction do not see it before.
    void derive(Page child, PageList parents, const Formula& formula);
    void underive(Page child);
    void add_dependency(Page parent, Page child, EdgeType type);
    void remove_dependency(Page parent, Page child);

    /// Whatever it throws, the object is empty then and may be used again; but for ReadOnly,
    /// BusClosed, and WrongContext inside the function of a transact(), which leave it as it was.
    Committed commit(const CommitOptions& options = {});
    /// The same, but Conflict and Busy are values.
    [[nodiscard]] CommitOutcome try_commit(const CommitOptions& options = {});
    /// Forgets all that was read and staged; the object may be used again.
    void discard() noexcept;

    struct Impl;

private:
    friend struct detail::Bus;
    explicit Transaction(std::unique_ptr<Impl> impl);
    /// Throws WrongContext where it was moved from.
    [[nodiscard]] Impl& impl() const;
    std::unique_ptr<Impl> impl_;
};

}  // namespace mmsb
