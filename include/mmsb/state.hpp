/// State: an open bus. Start here.
///
///     auto bus = mmsb::start({.path = "demo.bus"});
///     auto page = bus.open_page("greeting", 64);
///     page.write(0, mmsb::bytes_of("hello"));
///
/// Threads: everything from any thread at once, except moving, stopping or destroying the State
/// while another call on it runs (calls that wait are woken and throw BusClosed). After fork() the
/// child's handles throw WrongContext; it calls start() itself.
/// `const` says that the handle does not change; only Open::read_only keeps a program from writing.
#pragma once

#include <mmsb/observer.hpp>
#include <mmsb/transaction.hpp>
#include <mmsb/view.hpp>

namespace mmsb {

/// One handle on a bus; a process may have several. Beside what each call says, each may throw
/// BusClosed once it is stopped, WrongContext after fork(), and Corrupt where memory or files are
/// damaged; those that change something also ReadOnly, Busy, OutOfSpace, NotDurable and Poisoned.
class State {
public:
    /// What was moved from is closed.
    State(State&&) noexcept;
    State& operator=(State&&) noexcept;  ///< Closes what it was, as the destructor does.
    /// As stop(), but what fails is only told to Config::on_notice.
    ~State();

    // -- pages
    /// `contents` first, zeros behind. InvalidArgument: its name is taken, or a limit is passed.
    Page create_page(std::size_t size, const PageOptions& options = {}) const;
    Page create_page(const PageOptions& options = {}) const;  ///< Config::page_size_default bytes.
    /// The page of that name, made if need be: two processes that start at once get the same one.
    /// InvalidArgument where it is there in another size.
    Page open_page(std::string_view name, std::size_t size, const PageOptions& options = {}) const;
    [[nodiscard]] Page page(std::string_view name) const;  ///< Throws PageNotFound.
    [[nodiscard]] Page page(PageId id) const;              ///< Throws PageNotFound.
    /// Nothing: there is no such page now.
    [[nodiscard]] std::optional<Page> find_page(std::string_view name) const;
    [[nodiscard]] std::optional<Page> find_page(PageId id) const;
    [[nodiscard]] std::vector<Page> pages() const;  ///< Those of now, in id order.
    /// Its past stays; its id is not given again. PageNotFound; Conflict by
    /// CommitOptions::expected.
    Committed delete_page(Page page, const CommitOptions& options = {}) const;

    // -- typed pages: T, or T[] with a count. open and page throw TypeMismatch where the page has
    // another size, or another mmsb_type.
    /// As create_page, with T's size and its mmsb_type in the metadata.
    template <class T>
        requires(!std::is_array_v<T>)
    TypedPage<T> create(const PageOptions& options = {}) const {
        return TypedPage<T>(create_typed(sizeof(T), type_name<T>(), options));
    }
    template <class T>
        requires std::is_unbounded_array_v<T>
    TypedPage<T> create(std::size_t count, const PageOptions& options = {}) const {
        using E = std::remove_extent_t<T>;
        return TypedPage<T>(
            create_typed(detail::bytes_in(count, sizeof(E)), type_name<E>(), options));
    }
    /// As open_page: made if need be.
    template <class T>
        requires(!std::is_array_v<T>)
    TypedPage<T> open(std::string_view name, const PageOptions& options = {}) const {
        return TypedPage<T>(open_typed(name, sizeof(T), type_name<T>(), options));
    }
    template <class T>
        requires std::is_unbounded_array_v<T>
    TypedPage<T> open(std::string_view name, std::size_t count,
                      const PageOptions& options = {}) const {
        using E = std::remove_extent_t<T>;
        return TypedPage<T>(
            open_typed(name, detail::bytes_in(count, sizeof(E)), type_name<E>(), options));
    }
    /// Of an array any count. PageNotFound.
    template <class T>
    [[nodiscard]] TypedPage<T> page(std::string_view name) const {
        using E = std::remove_extent_t<T>;
        return TypedPage<T>(find_typed(name, sizeof(E), std::is_array_v<T>, type_name<E>()));
    }

    // -- many changes, one commit
    /// Runs `fn(Transaction&)` and commits; runs it again on Conflict (CommitOptions::attempts);
    /// commits nothing if it throws. No lock is held while it runs.
    Committed transact(FunctionRef<void(Transaction&)> fn, const CommitOptions& options = {}) const;
    /// An empty one, to be committed by hand.
    [[nodiscard]] Transaction transaction() const;
    /// The pages' bytes as in `view`, as a new commit: going back is going on. Derived pages are
    /// passed over: they follow. Of another bus (a copy of this one that was kept) it is its page
    /// of the same id.
    Committed restore(const View& view, PageList pages, const CommitOptions& options = {}) const;

    // -- time
    [[nodiscard]] Sequence sequence() const;  ///< The newest that is committed; zero: none is.
    /// Now; `pages` are copied at once, as of one sequence, others are rebuilt when asked for.
    [[nodiscard]] View snapshot(PageList pages = {}) const;
    [[nodiscard]] View at(Sequence sequence) const;  ///< HistoryDropped, InvalidArgument (future).
    /// The records of the log that `filter` admits, oldest first. HistoryDropped where it asks for
    /// what is no longer kept.
    [[nodiscard]] TLog tlog(const LogFilter& filter = {}) const;

    // -- derived pages
    [[nodiscard]] ShadowPageGraph graph() const;
    /// The code for a formula's function, for all handles of this bus in this process; in place of
    /// what the name had. Computes what is stale for want of it (ShadowPageGraph::propagate),
    /// unless this State only reads. What processes without the code leave stale from then on is
    /// computed by this one's next commit that reaches it; at once, where it subscribes to that,
    /// before it registers the code, so that nothing comes between:
    ///
    ///     auto fresh = bus.subscribe({.types = {EventType::page_stale}},
    ///                                [&](const Event&) { bus.graph().propagate(); });
    ///
    /// (A page that is stale is not told of again: where propagate() throws, try it again later.)
    /// It stays, with what it captures, until another one has its name, or the last State of this
    /// bus in this process is closed. InvalidArgument (a name that is empty, too long, or begins
    /// with "mmsb."), and what propagate() throws: it is registered all the same.
    void register_recompute(std::string_view name, RecomputeFunction function,
                            const RecomputeOptions& options = {}) const;

    // -- waiting
    /// Until something newer than `seen` is committed: the newest sequence then, at once where it
    /// is there already. Nothing: timeout. Until sequence n > 0 is there: wait(n - 1). `newest`:
    /// than what is there now. BusClosed when the State is stopped meanwhile.
    [[nodiscard]] std::optional<Sequence> wait(Sequence seen, Timeout timeout = forever) const;
    /// A descriptor that tells of changes of these pages from now on; none: of every commit.
    /// PageNotFound, InvalidArgument (a page of another bus), Io (no descriptor left).
    [[nodiscard]] Watch watch(PageList pages = {}) const;

    // -- events
    /// Those of EventType that are from the log. HistoryDropped where `from` is no longer kept.
    [[nodiscard]] Events events(const EventFilter& filter = {}) const;
    /// Calls `function` for each event; also for those of this moment, where the filter is without
    /// an end. HistoryDropped, InvalidArgument (no function), OutOfSpace (no thread).
    [[nodiscard]] Subscription subscribe(const EventFilter& filter,
                                         std::function<void(const Event&)> function) const;

    // -- keeping
    /// The newest that the disk is known to have.
    [[nodiscard]] Sequence durable_sequence() const;
    /// Until the disk has everything up to `sequence`. false: timeout. Throws InvalidArgument (it
    /// is not committed yet; a bus without a path), Poisoned; and what has kept this process from
    /// writing for Config::lock_timeout (Io, OutOfSpace), where no other process has written
    /// either.
    bool wait_durable(Sequence sequence, Timeout timeout = forever) const;
    /// Everything as of the sequence that is returned: into the bus (no file: it is rebuilt from
    /// there after a reboot, and views of later moments begin there), or as one file, from which a
    /// bus is made by Config::from_checkpoint. Written beside, read back, then renamed, and
    /// synced. Does not stop writers; those of a bus without a log (Config::enable_logging) wait
    /// until its pages are copied. Throws Busy while another process makes one, and into the bus
    /// also while a writer is stopped in the middle of making or deleting a page; Corrupt where it
    /// reads otherwise: a file of that name is as it was then. InvalidArgument: the file would lie
    /// in the folder of a bus, or something else than a file is there.
    Sequence checkpoint(const std::string& file = {}) const;
    /// The bus as of the sequence that is returned, with its past, as a new bus with an identity of
    /// its own in `folder`, which is free or empty. Does not stop writers; keeps others from
    /// letting go of the past meanwhile. It is on the disk when this returns, and was read back;
    /// killed before, it is no bus (a file bus.copying says what it was). Of Open::good_prefix it
    /// is the good prefix. Throws InvalidArgument (no path; the folder holds something), Corrupt,
    /// Busy, OutOfSpace, Io, HistoryDropped (of a viewer that sees no shared memory: what it has
    /// seen is no longer kept): nothing is left of the copy then.
    Sequence copy_to(const std::string& folder) const;
    /// Lets go of the past before the view of `oldest_kept`, now: it is folded into a checkpoint,
    /// and asking for it is HistoryDropped from then on. Empty: of what the bus's retention does
    /// not keep. The log is kept back to the second newest checkpoint at least, against damage of
    /// the newest: oldest() says how far. May die anywhere: what is kept is not touched. Others may
    /// go on reading and writing. InvalidArgument (not committed yet; a sequence, on a bus without
    /// a path), HistoryDropped (dropped before).
    void compact(std::optional<Sequence> oldest_kept = {}) const;
    /// How much of the past the bus keeps from now on, whoever writes to it; durable, and in the
    /// log, when it returns. What is more is dropped after the next checkpoint, or by compact().
    /// Throws InvalidArgument (an age below 0, a bus without a path), ReadOnly, Busy, OutOfSpace,
    /// Io, Poisoned.
    void set_retention(const Retention& retention) const;
    /// As it was set last, by any process, and whether a jump of the clock suspends its age.
    [[nodiscard]] Retention retention() const;
    [[nodiscard]] Sequence oldest() const;  ///< The oldest one that at() can go to.
    /// Replays the log from where it is kept on, and compares with the live pages: bytes, epochs,
    /// names, metadata, what is stale, and the dependency graph. HistoryDropped without a log.
    /// Others go on. What differs is a value; a file that cannot be read is Corrupt. Memory: that
    /// of all pages.
    [[nodiscard]] VerifyReport verify(const VerifyOptions& options = {}) const;
    /// What opening found; valid while the State is open.
    [[nodiscard]] const Recovery& recovery() const;
    /// With the defaults filled in; valid while the State is open.
    [[nodiscard]] const Config& config() const;
    /// Each number by itself is right. Cheap, but for those of the graph, which are counted.
    [[nodiscard]] Stats get_stats() const;
    void reset_stats() const;  ///< The performance counters only.

private:
    friend struct detail::Bus;
    explicit State(detail::Handle bus) : bus_(bus) {}
    template <class T>
    static constexpr std::string_view type_name() {
        if constexpr (requires { std::string_view(T::mmsb_type); }) return T::mmsb_type;
        return {};
    }
    [[nodiscard]] Page create_typed(std::size_t size, std::string_view type,
                                    const PageOptions& options) const;
    [[nodiscard]] Page open_typed(std::string_view name, std::size_t size, std::string_view type,
                                  const PageOptions& options) const;
    [[nodiscard]] Page find_typed(std::string_view name, std::size_t size, bool many,
                                  std::string_view type) const;
    detail::Handle bus_;
};

/// Opens or makes a bus. Throws NotABus, NewerFormat, Corrupt, OutOfSpace, Io, Busy.
[[nodiscard]] State start(const Config& config = {});
/// Flushes, writes `checkpoint_file` if one is named, and closes. Other processes go on. Throws
/// what the flush throws, Poisoned, and NotABus where somebody has taken the folder away by force;
/// the State is closed all the same.
void stop(State&& state, const std::string& checkpoint_file = {});
/// Removes a bus: the files of its folder, and its shared memory. A folder that holds other things,
/// too, stays with them; of a link what it leads to. Killed midway, it can be called again. Throws
/// NotABus, Busy (it is open for writing somewhere, this process included, until the last State of
/// it that the process has is closed: nothing is removed), Io. Viewers keep what they see.
void remove_bus(const std::string& path);
/// Some lines of text for people.
void print_stats(std::ostream& out, const Stats& stats);

}  // namespace mmsb
