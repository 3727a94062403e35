/// api/bus: what a handle points to. The composition root: the facade over the rooms.
///
/// A slot for each opening, never freed, so that a handle of a closed bus is known as such by one
/// load (its generation is another). Slots are used again by later openings.
/// Threads: get() from any thread; open() and close() of different slots too.
#pragma once

#include "state/attachment.hpp"
#include "state/commit_bytes.hpp"
#include "state/open.hpp"
#include "state/prefetch.hpp"
#include "state/read.hpp"
#include "state/stage.hpp"
#include "state/unlogged.hpp"
#include "state/wait.hpp"

#include <mmsb/state.hpp>

namespace mmsb {

namespace detail {

class Watcher;
class Observer;

struct Bus {
    std::atomic<std::uint32_t> generation{0};  ///< Odd while it is open.
    std::atomic<std::uint32_t> pins{0};        ///< Calls that stop() has to wait for; see Pin.
    std::shared_ptr<state::Attachment> attachment{};
    /// What a viewer goes over to that had rebuilt the bus for itself, once there is shared memory.
    /// The first one stays: other threads may be in the middle of it.
    std::shared_ptr<state::Attachment> successor{};
    std::atomic<state::Attachment*> current{nullptr};  ///< The one or the other.
    std::atomic<std::int64_t> next_look_ns{0};         ///< For shared memory.
    std::mutex successor_mutex{};
    Config config{};
    state::Notices::Pointer on_notice{};  ///< The Config's.
    state::HandleOptions handle{};
    bool read_only = false;
    os::ForkToken token{};
    state::UnloggedGraph unlogged{};
    std::mutex watcher_mutex{};            ///< Of the two pointers.
    std::shared_ptr<Watcher> watcher{};    ///< While there is a Watch.
    std::shared_ptr<Observer> observer{};  ///< Likewise, a Subscription.

    /// The open bus of this handle. Throws BusClosed, WrongContext in a forked child, PageNotFound
    /// for a Page that is none, Corrupt where its memory was taken away.
    [[nodiscard]] static Bus& get(const Handle& handle) {
        auto& bus = slot_of(handle);
        if (bus.at().odd.load(std::memory_order_relaxed)) [[unlikely]]
            bus.look_at_odd();
        return bus;
    }
    /// The same, also where its memory was taken away.
    [[nodiscard]] static Bus& slot_of(const Handle& handle) {
        auto* const bus = handle.bus;
        if (bus == nullptr ||
            bus->generation.load(std::memory_order_acquire) != handle.generation ||
            !bus->token.same_process()) [[unlikely]]
            refuse(handle);
        return *bus;
    }
    /// Throws why slot_of() finds no bus.
    [[noreturn]] static void refuse(const Handle& handle);
    /// Throws Corrupt where memory was taken away; a viewer without shared memory looks for it.
    void look_at_odd();
    /// Where this is a viewer without shared memory: has it appeared? Asks the file system now and
    /// then; what is wrong with the new one leaves the viewer with what it has.
    void look_for_arena() noexcept {
        if (at().rebuilt_privately) [[unlikely]]
            look_for_arena_now();
    }
    void look_for_arena_now() noexcept;
    /// A slot of its own; never moves.
    [[nodiscard]] static Handle open(const state::OpenOptions& options);
    /// Throws what leaving throws; the slot is closed all the same.
    static void close(const Handle& handle);

    [[nodiscard]] state::Attachment& at() const noexcept {
        return *current.load(std::memory_order_acquire);
    }
    /// Commits and throws Conflict where that is the outcome.
    Committed commit(state::Staged& staged, const CommitOptions& options) const;
    /// One write to one page, where that is all there is to do; see state/commit_bytes.
    [[nodiscard]] std::optional<Committed> commit_bytes(const state::BytesOfPage& write,
                                                        const CommitOptions& options) const {
        return read_only ? std::nullopt : state::commit_bytes(at(), handle, write, options);
    }
    /// Throws ReadOnly where this State may not write.
    void refuse_read_only() const;
    /// That, and WrongContext inside a user's function: for whatever commits.
    void refuse_writing() const;

    // The only makers of handles.
    [[nodiscard]] static Page page(Handle bus, std::uint32_t line, PageId id) {
        bus.line = line;
        bus.hint = state::hint_of(bus.bus->at(), line);
        return {bus, id};
    }
    [[nodiscard]] static const Handle& handle_of(const Page& page) noexcept { return page.bus_; }
    [[nodiscard]] static Handle bare(Handle h) noexcept {
        h.line = 0;
        h.hint = 0;
        return h;
    }
    [[nodiscard]] static State state(Handle handle) { return State(handle); }
    [[nodiscard]] static Handle& handle_of(State& state) noexcept { return state.bus_; }
    [[nodiscard]] static const Handle& handle_of(const State& state) noexcept { return state.bus_; }
    [[nodiscard]] static ShadowPageGraph graph(Handle bus) { return ShadowPageGraph(bare(bus)); }
    [[nodiscard]] static UnloggedPage unlogged_page(Handle bus, state::UnloggedPointer node) {
        return {bare(bus), std::move(node)};
    }
    [[nodiscard]] static const Handle& handle_of(const UnloggedPage& page) noexcept {
        return page.bus_;
    }
    [[nodiscard]] static const state::UnloggedPointer& node_of(const UnloggedPage& page) noexcept {
        return page.node_;
    }
    [[nodiscard]] static Recompute recompute(const graph::Call& call) noexcept {
        Recompute made;
        made.page_ = call.page;
        made.parents_ = call.parents;
        made.changed_ = call.changed;
        made.arguments_ = call.arguments;
        made.out_ = call.out;
        return made;
    }
    [[nodiscard]] static graph::Function function(RecomputeFunction function) {
        return [f = std::move(function)](const graph::Call& call) {
            auto made = recompute(call);
            f(made);
        };
    }
    [[nodiscard]] static View view(std::unique_ptr<View::Impl> impl);
    [[nodiscard]] static Subscription subscription(std::unique_ptr<Subscription::Impl> impl);
    [[nodiscard]] static Watch watch(std::unique_ptr<Watch::Impl> impl);
    [[nodiscard]] static Transaction transaction(std::unique_ptr<Transaction::Impl> impl);
    [[nodiscard]] static const View::Impl& impl_of(const View& view);
};

/// Held by a call that waits: stop() wakes it, and closes the bus when it has let go.
class Pin {
public:
    explicit Pin(const Handle& handle);  ///< Throws what Bus::get throws.
    ~Pin();
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    [[nodiscard]] Bus* operator->() const noexcept { return bus_; }
    [[nodiscard]] state::Attachment& at() const noexcept { return bus_->at(); }
    /// Looks, and sleeps in between, until `look` says true (state::wait). False: timeout. Throws
    /// BusClosed where stop() came.
    [[nodiscard]] bool wait(state::WakeBits bits, const state::Deadline& end,
                            FunctionRef<bool(state::Look)> look) const;
    /// For who waits elsewhere: likewise.
    void require_open() const;

private:
    [[nodiscard]] bool closing() const noexcept;
    void unpin() noexcept;
    Bus* bus_;
    std::uint32_t generation_;
};

/// Tells the watches of a State that is being stopped, and ends their thread.
void end_watches(Bus& bus) noexcept;
/// Likewise its subscriptions.
void end_observer(Bus& bus) noexcept;
/// Throws WrongContext in a function that is told of events.
void refuse_inside_subscription(Bus& bus);

/// Throws unless the page is of this bus.
void check_same_bus(const Page& page, const Handle& bus);
/// Where the page will be: without devices on the CPU, and a notice says so once.
[[nodiscard]] Location location_for(const Bus& bus, Location asked);
/// Throws InvalidArgument for a name, metadata or size that no page may have.
void check_page_options(const PageOptions& options, std::size_t size);
void check_name(std::string_view name);
/// Likewise, a formula of this page (or of an unlogged one: none).
void check_formula(PageId child, const Formula& formula);
void check_locality(Locality locality);  ///< That there is one of this number.
void check_edge_type(EdgeType type);     ///< Likewise.
void check_metadata(std::string_view key, std::string_view value);

/// Throws WrongContext: another object has what this one had.
[[noreturn]] void throw_moved_from(std::string_view what);
/// Throws PageNotFound: of a View.
[[noreturn]] void throw_not_there(PageId page, Sequence at);

/// The facade's PageInfo from line and catalog.
[[nodiscard]] PageInfo info_of(state::Attachment& bus, PageId page, std::uint32_t& line);
/// Where a stream of the log begins and ends for these bounds.
[[nodiscard]] std::shared_ptr<Stream<Change>::Impl> open_history(Handle bus, PageId page,
                                                                 const HistoryOptions& options);
[[nodiscard]] std::shared_ptr<Stream<Record>::Impl> open_tlog(Handle bus, const LogFilter& filter);

}  // namespace detail

struct View::Impl {
    detail::Handle bus{};
    Sequence sequence = Sequence::zero;
    std::vector<state::Wanted> snapshot{};  ///< Made with these, by id; their bytes: in `memory`.
    std::unique_ptr<std::byte[]> memory{};
    mutable std::mutex mutex{};  ///< Of the rest.
    /// All pages, and the bytes of one of them: from the whole log, where it was needed.
    mutable std::optional<replay::Image> all{};
    mutable std::uint64_t size_of_all = 0;  ///< Of these, bytes.
    /// What they were called, without that; nothing where it is not to be had so.
    mutable std::optional<replay::Structure> names{};
    mutable std::map<PageId, replay::ImagePage> pages{};  ///< With bytes; nodes never move.

    // REQUIRE the mutex.
    [[nodiscard]] const replay::Image& image(const replay::Keep& keep) const;
    [[nodiscard]] const replay::Structure* structure() const;
    [[nodiscard]] const replay::ImagePage* by_itself(PageId page) const;
    [[nodiscard]] PageInfo info(PageId page) const;
    [[nodiscard]] bool infos(std::vector<PageInfo>& out) const;

    [[nodiscard]] std::span<const std::byte> bytes(PageId page) const;
};

}  // namespace mmsb
