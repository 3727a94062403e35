/// Page: a handle to a byte buffer on a bus, and TypedPage: the same, seen as a T or as many T.
///
///     auto pose = bus.open<Pose>("pose");
///     pose.update([](Pose& p) { p.x += 1; });      // finds what changed, logs it, applies it
///     Pose now = pose.read();
///
/// A handle is three words, copied freely, owns nothing and costs nothing. `const` on it says that
/// the *handle* does not change: a page changes under everybody's hands.
///
/// Threads: everything here may be called from any thread and process at once.
/// Lifetime: on a page that was deleted each call throws PageNotFound (ids are not reused, so a
/// handle never points to another page); after stop(), BusClosed; in a forked child, WrongContext.
/// Each call that changes something is one commit of its own; several together are a Transaction.
#pragma once

#include <mmsb/delta.hpp>
#include <mmsb/error.hpp>
#include <mmsb/stream.hpp>
#include <mmsb/types.hpp>

#include <algorithm>
#include <limits>
#include <new>

namespace mmsb {

/// A commit as one page saw it.
struct Change {
    Sequence sequence = Sequence::zero;
    Epoch epoch = Epoch::zero;
    Time time{};
    std::string source{}, label{};
    std::uint64_t tag = 0;
    std::int32_t process = 0;
    std::uint64_t changed_bytes = 0;
};
/// One line: sequence, epoch, time, source and process, bytes, label.
std::ostream& operator<<(std::ostream& out, const Change& change);

/// Which part of the past. Times and sequences may be mixed; each narrows.
struct HistoryOptions {
    Sequence from = Sequence::zero, to = Sequence::newest;  ///< Both inclusive.
    std::optional<Time> since{}, until{};
    std::string_view source{};  ///< Only of this one; empty: all.
    /// Reads the newest segment of the log, then the one before it, and so on: memory for what is
    /// found in one.
    bool newest_first = false;
};
/// A page's commits, read from the log as they are asked for. Where that throws, none is lost.
using History = detail::Stream<Change>;

template <class T>
class TypedPage;

/// Made by State: create_page, open_page, page, find_page. Beside what each call says, each may
/// throw PageNotFound, BusClosed and WrongContext (above), and Corrupt where memory or files are
/// damaged; those that change something also ReadOnly, Busy, OutOfSpace, Conflict, NotDurable and
/// Poisoned (see error.hpp).
class Page {
public:
    Page() = default;  ///< No page; each call throws PageNotFound.
    [[nodiscard]] PageId id() const noexcept { return id_; }  ///< Also of a page that is gone.
    operator PageId() const noexcept { return id_; }          // NOLINT(google-explicit-constructor)
    /// Name, size, epoch, location and metadata as they are now.
    [[nodiscard]] PageInfo info() const;
    [[nodiscard]] std::size_t size() const;  ///< Now, in bytes.
    [[nodiscard]] Epoch epoch() const;       ///< Now.
    /// The same page of the same State, however the handle was come by.
    friend bool operator==(const Page& a, const Page& b) noexcept {
        return a.id_ == b.id_ && a.bus_.bus == b.bus_.bus && a.bus_.generation == b.bus_.generation;
    }

    // -- reading. Never waits for a writer, never takes a lock. All of one version, never torn.
    [[nodiscard]] Bytes read() const;  ///< All of it.
    /// All of it, and which version that is.
    [[nodiscard]] Versioned<Bytes> read_versioned() const;
    /// Copies [offset, offset + out.size()) without allocating. InvalidArgument beyond the end. An
    /// empty `out` only asks for the version.
    Version read_into(std::span<std::byte> out, std::size_t offset = 0) const;
    /// Looks at the live bytes without a copy and returns what `fn(std::span<const std::byte>)`
    /// returned, or nothing if a commit touched the page meanwhile. REQUIRES of fn: while it runs
    /// the bytes may change under it, so it trusts no value it sees (no index, no length, no
    /// pointer) and has no side effects; what it throws is dropped if the look was unstable.
    /// For large pages; up to some KiB read_into costs the same and has no such rule. To *hold* a
    /// span take a View.
    template <class F>
        requires(std::invocable<F&, std::span<const std::byte>> &&
                 !std::is_void_v<std::invoke_result_t<F&, std::span<const std::byte>>>)
    [[nodiscard]] auto peek(F&& fn) const
        -> std::optional<std::invoke_result_t<F&, std::span<const std::byte>>> {
        std::optional<std::invoke_result_t<F&, std::span<const std::byte>>> result;
        if (!peek_bytes([&](std::span<const std::byte> bytes) { result.emplace(fn(bytes)); }))
            result.reset();
        return result;
    }

    // -- changing. Finds the delta itself; equal bytes commit nothing (Committed::changed), but
    // that a page that was stale by a control or compiler edge is fresh again.
    /// Replaces all. Last writer wins. InvalidArgument unless `bytes` has the page's size.
    Committed update(std::span<const std::byte> bytes, const CommitOptions& options = {}) const;
    /// Lets `edit(std::span<std::byte>)` change a private copy and commits what differs. No lock
    /// is held while it runs; it runs again on fresh bytes if another commit came between, so it
    /// should only compute. Throwing from it changes nothing. Committing within it: WrongContext.
    template <class F>
        requires std::invocable<F&, std::span<std::byte>>
    Committed update(F&& edit, const CommitOptions& options = {}) const {
        return update_with(edit, options);
    }
    /// Replaces the part at `offset`; the rest stays whatever it is. InvalidArgument beyond the
    /// end.
    Committed write(std::size_t offset, std::span<const std::byte> bytes,
                    const CommitOptions& options = {}) const;
    /// A ready-made delta, whatever page it came from. InvalidDelta unless the sizes agree.
    Committed apply(const Delta& delta, const CommitOptions& options = {}) const;
    /// What is behind the smaller of the two sizes is lost, or zero. InvalidArgument above 2^40.
    Committed resize(std::size_t size, const CommitOptions& options = {}) const;
    /// Empty: no name. InvalidArgument where another page has it, or it is over 255 bytes.
    Committed rename(std::string_view name, const CommitOptions& options = {}) const;
    /// An empty value erases the key.
    Committed set_metadata(std::string_view key, std::string_view value,
                           const CommitOptions& options = {}) const;
    /// A new page with this one's size, bytes and metadata; `options` say its name, and its first
    /// bytes and its metadata instead where they are not empty.
    Page clone(const PageOptions& options = {}) const;

    // -- waiting.
    /// Until the page's epoch is another than `seen`; at once if it is already. Nothing: timeout.
    /// PageNotFound where the page is deleted meanwhile, BusClosed where the State is stopped.
    [[nodiscard]] std::optional<Version> wait(Epoch seen, Timeout timeout = forever) const;

    // -- the past.
    /// Reads the page's own records alone, as they are asked for, once their segments of the log
    /// have been read for an index: the first history of a bus reads all of its log, of each
    /// process the newest segment. (Of a private bus each reads what it keeps.) PageNotFound where
    /// it is deleted: what it was then is in `tlog({.pages = {id}})`.
    [[nodiscard]] History history(const HistoryOptions& options = {}) const;

private:
    friend struct detail::Bus;
    template <class T>
    friend class TypedPage;
    Page(detail::Handle bus, PageId id) : bus_(bus), id_(id) {}
    /// wait(*seen), then read_into(out), while stop() waits; `seen` empty: reads at once.
    std::optional<Version> wait_into(std::span<std::byte> out, std::optional<Epoch> seen,
                                     Timeout timeout) const;
    bool peek_bytes(FunctionRef<void(std::span<const std::byte>)> fn) const;
    Committed update_with(FunctionRef<void(std::span<std::byte>)> edit,
                          const CommitOptions& options) const;

    detail::Handle bus_{};
    PageId id_ = PageId::none;
};

/// Pages as an argument: `{a, b}`, or any contiguous range of Page. Valid during the call.
class PageList {
public:
    PageList() = default;
    /// Nothing is copied.
    PageList(std::initializer_list<Page> pages) : pages_(pages.begin(), pages.size()) {}
    PageList(std::span<const Page> pages) : pages_(pages) {}  // NOLINT(google-explicit-constructor)
    PageList(const std::vector<Page>& pages)
        : pages_(pages) {}  // NOLINT(google-explicit-constructor)
    [[nodiscard]] std::span<const Page> get() const noexcept { return pages_; }  ///< All, in order.

private:
    std::span<const Page> pages_{};
};

namespace detail {
/// As many bytes as `count` of `size` have; more than any page has where that is too large to say.
[[nodiscard]] constexpr std::size_t bytes_in(std::size_t count, std::size_t size) noexcept {
    constexpr auto most = std::numeric_limits<std::size_t>::max();
    return count > most / size ? most : count * size;
}

/// InvalidArgument: a typed page has another size than its type.
[[noreturn]] void throw_resized(PageId page, std::size_t expected, std::size_t found);

/// What both kinds of typed page share with Page, each call as there.
class TypedBase {
public:
    /// The page beneath, for what is not here.
    operator Page() const noexcept { return page_; }         // NOLINT(google-explicit-constructor)
    operator PageId() const noexcept { return page_.id(); }  // NOLINT(google-explicit-constructor)
    [[nodiscard]] const Page& page() const noexcept { return page_; }
    [[nodiscard]] PageId id() const noexcept { return page_.id(); }
    [[nodiscard]] Epoch epoch() const { return page_.epoch(); }
    [[nodiscard]] std::optional<Version> wait(Epoch seen, Timeout timeout = forever) const {
        return page_.wait(seen, timeout);
    }
    [[nodiscard]] History history(const HistoryOptions& o = {}) const { return page_.history(o); }

protected:
    TypedBase() = default;
    explicit TypedBase(Page page) : page_(page) {}
    Page page_{};  // NOLINT: seen by the two templates below
};
}  // namespace detail

/// A page that holds one T. Made by State::create<T>, open<T>, page<T>, which check the size and,
/// where T has `static constexpr std::string_view mmsb_type`, that name against the page's
/// metadata: TypeMismatch says both. Otherwise as Page.
template <class T>
class TypedPage : public detail::TypedBase {
    static_assert(Plain<T>,
                  "T must be trivially copyable, of standard layout, no pointer, without padding "
                  "bytes (name the gaps as members), and aligned to 16 bytes at most");

public:
    using value_type = T;
    TypedPage() = default;
    /// Without any check of type: for those who know.
    explicit TypedPage(Page page) : TypedBase(page) {}

    /// As Page::read, and so on. InvalidArgument where somebody has resized the page meanwhile:
    /// from what reads, where it has become smaller (of a larger one its beginning is read); from
    /// what updates, always.
    [[nodiscard]] T read() const { return read_versioned().value; }
    [[nodiscard]] Versioned<T> read_versioned() const {
        Versioned<T> r;
        r.version = page_.read_into(std::as_writable_bytes(std::span(&r.value, 1)));
        return r;
    }
    Committed update(const T& value, const CommitOptions& options = {}) const {
        return page_.update(std::as_bytes(std::span(&value, 1)), options);
    }
    /// `edit(T&)`: as Page::update with a function.
    template <EditOf<T> F>
    Committed update(F&& edit, const CommitOptions& options = {}) const {
        return page_.update(
            [&](std::span<std::byte> bytes) {  // the copy is aligned as the page is: 64 bytes
                if (bytes.size() != sizeof(T)) detail::throw_resized(id(), sizeof(T), bytes.size());
                edit(*std::launder(reinterpret_cast<T*>(bytes.data())));
            },
            options);
    }
    /// The first value seen for which `predicate(const T&)` holds; nothing: timeout. Values that
    /// came and went between two looks are not seen; the log has them. Nothing is held while
    /// `predicate` runs; what it throws ends the wait. Other errors as wait().
    template <std::predicate<const T&> F>
    [[nodiscard]] std::optional<T> wait_until(F&& predicate, Timeout timeout = forever) const {
        using Clock = std::chrono::steady_clock;
        const auto start = Clock::now();
        std::optional<Epoch> seen;
        for (T value{};;) {
            const auto left = timeout == forever ? forever
                                                 : std::max(timeout, Timeout::zero()) -
                                                       Timeout(Clock::now() - start);
            const auto version =
                page_.wait_into(std::as_writable_bytes(std::span(&value, 1)), seen, left);
            if (!version) return std::nullopt;
            if (predicate(std::as_const(value))) return value;
            seen = version->epoch;
        }
    }
};

/// A page that holds as many T as fit. Indices and counts are of T; otherwise as TypedPage<T>.
template <class T>
class TypedPage<T[]> : public detail::TypedBase {
    static_assert(Plain<T>,
                  "T must be trivially copyable, of standard layout, no pointer, without padding "
                  "bytes (name the gaps as members), and aligned to 16 bytes at most");

public:
    using value_type = T;
    TypedPage() = default;
    /// Without any check of type: for those who know.
    explicit TypedPage(Page page) : TypedBase(page) {}

    /// Now.
    [[nodiscard]] std::size_t count() const { return page_.size() / sizeof(T); }
    [[nodiscard]] std::vector<T> read() const {
        std::vector<T> all(count());
        page_.read_into(std::as_writable_bytes(std::span(all)));
        return all;
    }
    /// Copies [first, first + out.size()). InvalidArgument beyond the end.
    Version read_into(std::span<T> out, std::size_t first = 0) const {
        return page_.read_into(std::as_writable_bytes(out), detail::bytes_in(first, sizeof(T)));
    }
    /// Replaces all. InvalidArgument unless there are count() of them.
    Committed update(std::span<const T> values, const CommitOptions& options = {}) const {
        return page_.update(std::as_bytes(values), options);
    }
    /// `edit(std::span<T>)`: as Page::update with a function.
    template <std::invocable<std::span<T>> F>
    Committed update(F&& edit, const CommitOptions& options = {}) const {
        return page_.update(
            [&](std::span<std::byte> bytes) {  // the copy is aligned as the page is: 64 bytes
                edit(std::span<T>(reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)));
            },
            options);
    }
    /// Replaces those from `first` on. InvalidArgument beyond the end.
    Committed write(std::size_t first, std::span<const T> values,
                    const CommitOptions& options = {}) const {
        return page_.write(detail::bytes_in(first, sizeof(T)), std::as_bytes(values), options);
    }
};

}  // namespace mmsb
