/// The words of MMSB: ids, versions, locations, durability, and the options of every call.
///
/// Values only: no handle, no system call, nothing to free. Every room may include this.
/// Option structs are aggregates for designated initialisers; every field has a default. A
/// `string_view` or `span` in one is read during the call and not kept.
#pragma once

#include <array>
#include <bit>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace mmsb {

// ---- ids and versions --------------------------------------------------------------------------

/// A page's id: from 1, never reused. 0 is no page.
enum class PageId : std::uint64_t { none = 0 };
/// A page's version: 0 when created, one more for each delta applied to it.
enum class Epoch : std::uint64_t { zero = 0 };
/// The bus's version: one more for each committed record. The total order of all that happened.
enum class Sequence : std::uint64_t { zero = 0, newest = ~std::uint64_t{0} };

/// What counts versions, and so has a next one.
template <class T>
concept VersionNumber = std::same_as<T, Epoch> || std::same_as<T, Sequence>;

/// The plain number of an id or a version.
template <class T>
    requires VersionNumber<T> || std::same_as<T, PageId>
[[nodiscard]] constexpr std::uint64_t number(T id) noexcept {
    return static_cast<std::uint64_t>(id);
}
/// So many versions later or earlier; nothing is checked, as with plain numbers.
[[nodiscard]] constexpr Epoch operator+(Epoch v, std::uint64_t n) noexcept {
    return Epoch{number(v) + n};
}
[[nodiscard]] constexpr Epoch operator-(Epoch v, std::uint64_t n) noexcept {
    return Epoch{number(v) - n};
}
[[nodiscard]] constexpr Sequence operator+(Sequence v, std::uint64_t n) noexcept {
    return Sequence{number(v) + n};
}
[[nodiscard]] constexpr Sequence operator-(Sequence v, std::uint64_t n) noexcept {
    return Sequence{number(v) - n};
}
/// The plain number.
std::ostream& operator<<(std::ostream& out, PageId id);
std::ostream& operator<<(std::ostream& out, Epoch epoch);
std::ostream& operator<<(std::ostream& out, Sequence sequence);

/// Time of a commit: nanoseconds of the system clock, never going back within a bus.
using Time = std::chrono::sys_time<std::chrono::nanoseconds>;
[[nodiscard]] Time now() noexcept;               ///< By the system clock.
[[nodiscard]] std::string to_string(Time time);  ///< ISO 8601, UTC, nanoseconds.
using Timeout = std::chrono::nanoseconds;  ///< How long at most; measured by the steady clock.
inline constexpr Timeout forever = Timeout::max();  ///< No timeout.

/// Which version of a page was read.
struct Version {
    Epoch epoch = Epoch::zero;
    Sequence sequence =
        Sequence::zero;  ///< Of the page's last commit: its bytes are those since then.
    /// Of a page that depends on others: one of them has changed since its bytes were made.
    bool stale = false;
    friend bool operator==(const Version&, const Version&) = default;
};
/// What was read, and as of which version.
template <class T>
struct Versioned {
    T value{};
    Version version{};
};

/// What a commit did. Not `logged`: everything was equal already, and `sequence` is the newest at
/// that moment. A rename is logged and changes no byte.
struct Committed {
    Sequence sequence = Sequence::zero;
    std::uint64_t changed_bytes = 0;  ///< Of all its pages together.
    bool logged = false;
    [[nodiscard]] bool changed() const noexcept { return logged; }  ///< There is a record of it.
};

// ---- bytes -------------------------------------------------------------------------------------

using Bytes = std::vector<std::byte>;  ///< Owned.
/// The bytes of a text (without a terminating NUL), for calls that take bytes.
[[nodiscard]] inline std::span<const std::byte> bytes_of(std::string_view text) noexcept {
    return std::as_bytes(std::span(text));
}
/// The text at the start of `bytes`, up to the first NUL.
[[nodiscard]] std::string text_of(std::span<const std::byte> bytes);

namespace detail {
// True where each byte of a T belongs to a value: std::bit_cast is no constant expression else.
template <class T>
concept NoPadding = requires {
    typename std::bool_constant<(
        static_cast<void>(std::bit_cast<std::array<signed char, sizeof(T)>>(T{})), true)>;
};
}  // namespace detail

/// What may live in a page: bytes that mean the same in every process. Padding is refused because
/// its garbage would be logged as changes and make equal states differ: name it as a member. So is
/// what asks for more alignment than memory has by default: a view's copy of a page, and what a
/// recompute function sees, lie somewhere.
template <class T>
concept Plain = std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T> &&
                !std::is_pointer_v<T> && detail::NoPadding<T> &&
                alignof(std::remove_all_extents_t<T>) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__;

/// A function that changes a T in place. One that takes T or const T& would edit a copy and lose
/// it: refused, by asking whether it also takes a temporary.
template <class F, class T>
concept EditOf = std::invocable<F&, T&> && !std::invocable<F&, T>;

/// A callable seen for the length of one call: two words, no allocation.
template <class>
class FunctionRef;
template <class R, class... A>
class FunctionRef<R(A...)> {
public:
    template <class F>
        requires(!std::same_as<std::remove_cvref_t<F>, FunctionRef> &&
                 std::is_invocable_r_v<R, F&, A...>)
    FunctionRef(F&& f) noexcept {  // NOLINT(google-explicit-constructor): that is its purpose
        using Object = std::remove_reference_t<F>;
        if constexpr (std::is_function_v<Object>) {
            object_ = reinterpret_cast<void*>(&f);
            call_ = [](void* object, A... arguments) -> R {
                return reinterpret_cast<Object*>(object)(std::forward<A>(arguments)...);
            };
        } else {
            object_ = const_cast<void*>(static_cast<const void*>(std::addressof(f)));
            call_ = [](void* object, A... arguments) -> R {
                return std::invoke(*static_cast<Object*>(object), std::forward<A>(arguments)...);
            };
        }
    }
    R operator()(A... arguments) const { return call_(object_, std::forward<A>(arguments)...); }

private:
    void* object_ = nullptr;
    R (*call_)(void*, A...) = nullptr;
};

// ---- pages -------------------------------------------------------------------------------------

/// Where a page's bytes live. The host mirror of a GPU page is what other processes read.
enum class Location : std::uint8_t { cpu, gpu, unified };
[[nodiscard]] std::string_view to_string(Location location) noexcept;  ///< "cpu", "gpu", ...
/// Small texts by name, in the log like everything else.
using Metadata = std::map<std::string, std::string, std::less<>>;

/// How to make a page.
struct PageOptions {
    std::string_view name{};  ///< Unique on the bus, or empty.
    Location location = Location::cpu;
    Metadata metadata{};
    std::span<const std::byte>
        contents{};  ///< Its first bytes; the rest is zero. Atomic with the page.
};
/// What a page is, as of one moment.
struct PageInfo {
    PageId id = PageId::none;
    std::string name{};
    std::size_t size = 0;
    Location location = Location::cpu;
    Epoch epoch = Epoch::zero;
    Metadata metadata{};
    bool derived = false;  ///< It has a formula (ShadowPageGraph::derive).
    bool stale = false;    ///< As Version::stale.
};
/// A part of a page.
struct ByteRange {
    std::size_t offset = 0, size = 0;
    friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

/// What an edge of the dependency graph means: what a change of the parent does to the child.
enum class EdgeType : std::uint8_t {
    data,      ///< The child is computed from it (ShadowPageGraph::derive); else only an order.
    control,   ///< The child is stale until it is computed (propagate()) or written anew.
    gpu_sync,  ///< The child's mirror on a device is to be brought up to date.
    compiler,  ///< The child is an artefact made from it: invalid until it is written anew.
};
[[nodiscard]] std::string_view to_string(EdgeType type) noexcept;  ///< "data", "control", ...
struct Edge {
    PageId parent = PageId::none, child = PageId::none;
    EdgeType type = EdgeType::data;
    friend auto operator<=>(const Edge&, const Edge&) = default;
};

// ---- commits -----------------------------------------------------------------------------------

/// What an acknowledged commit survives. Ordered: a later one survives more.
enum class Durability : std::uint8_t {
    process,   ///< kill -9 of any process.
    interval,  ///< Power loss too, except for the last Config::interval.
    sync,      ///< Power loss: the call returns when the disk has it (one sync for all who wait).
};

/// When derived pages follow a commit to what they are computed from.
enum class Propagation : std::uint8_t {
    immediate,  ///< In the same commit: nobody sees the one without the other.
    deferred,   ///< They are marked stale; ShadowPageGraph::propagate computes them, each once.
};

/// What a recompute function says of itself: which bytes of its page follow from which bytes of its
/// parents. Others are not looked at where only these have changed.
enum class Locality : std::uint8_t {
    opaque,     ///< Any from any.
    lane_wise,  ///< Each lane from the same lane of each parent; lanes of 2^n bytes, up to 64.
    slice,      ///< Byte i from byte i + offset of its one parent; offset: the first u64 argument.
    passthrough,  ///< Byte i from byte i of each parent.
};

/// How to commit. Nothing here needs to be set.
struct CommitOptions {
    std::string_view source{};  ///< Who; empty: Config::source. Few different ones: it is indexed.
    std::string_view label{};   ///< Why, in the user's words. Any number of different ones.
    std::uint64_t tag = 0;      ///< The program's own number: tick, step, request. 0: none.
    std::optional<Durability> durability{};  ///< More than the bus's; less is InvalidArgument.
    std::optional<Epoch> expected{};  ///< One page only: Conflict unless the page has this epoch.
    int attempts = 1000;  ///< How often an edit or transact may run its function, then Conflict.
    Propagation propagation = Propagation::immediate;
};

/// How a commit ended. Of the last two nothing was committed.
enum class CommitStatus : std::uint8_t { committed, unchanged, conflict, busy };

// ---- a bus -------------------------------------------------------------------------------------

/// Which way to open a bus.
enum class Open : std::uint8_t {
    create_or_open,  ///< Whoever comes first makes it.
    existing,   ///< NotABus where there is none: for tools, so that a typing error makes nothing.
    create,     ///< InvalidArgument where there is one.
    read_only,  ///< existing, and mapped read-only: can disturb nobody.
    /// read_only, and from the files alone, whatever is damaged in them: as of the newest sequence
    /// before the damage (Recovery::damage; there may be none). Past that cannot be read is
    /// HistoryDropped (State::oldest). Reads the whole log.
    good_prefix,
};
/// Something that a person may want to know; never an error.
struct Notice {
    enum class Level : std::uint8_t { info, warning };
    Level level = Level::info;
    std::string text{};
};

/// How to open a bus. The defaults just work.
struct Config {
    /// A folder, made if need be; empty: private memory, gone with the State. (State::config() says
    /// where it was from the root on.)
    std::string path{};
    Open open = Open::create_or_open;
    Durability durability = Durability::process;  ///< Without a path only `process` is accepted.
    std::chrono::milliseconds interval{10};
    std::size_t page_size_default = 4096;  ///< For create_page without a size.
    /// How much of the past is kept; 0: no limit; the first limit reached counts. Older records are
    /// folded into a checkpoint; asking for them is HistoryDropped. No commit ever fails for it.
    /// Set when a bus is made; later it belongs to the bus: State::set_retention.
    std::uint64_t max_tlog_size =
        0;  ///< Bytes. Without a path 0 means 56 MiB: memory is not a disk.
    std::uint64_t max_tlog_records = 0;
    std::chrono::seconds max_tlog_age{0};
    bool enable_logging = true;  ///< The TLog. false: no past at all; only without a path.
    /// Every so often a checkpoint is made in the bus, from which it is rebuilt after a reboot;
    /// where the log has grown since the last one by 1 MiB and an eighth of the pages' bytes. The
    /// shortest of the process's handles counts. 0: only on demand.
    std::chrono::seconds checkpoint_interval{60};
    std::string source{};  ///< Empty: the program's name, so that blame says something.
    std::string
        arena_folder{};  ///< Empty: /dev/shm, or the bus folder where that has under 64 MiB free.
    /// A bus on nfs, cifs, ceph, 9p and their like is refused: their locks and their syncs are not
    /// what a bus builds on, and two machines would not see one memory. true: do it all the same.
    bool allow_network_file_system = false;
    std::string from_checkpoint{};  ///< A file of State::checkpoint: the bus is made from it.
    /// A process that may open the bus can make the shared memory's file shorter, and who touches
    /// what was there gets SIGBUS, or, of the 2 MiB that the file then ends in, zeros. true: a
    /// handler for the whole process turns that into Corrupt in every call on this bus; it passes
    /// on what is not its own. Once set, for all States of this bus in the process; each call then
    /// asks the system for the file's size, too, in some 0.2 µs: a write four times, what reads
    /// many pages once for each. (The command line sets it.)
    bool survive_lost_memory = false;
    std::chrono::milliseconds lock_timeout{5000};  ///< Then Busy, with the holder's process id.
    bool enable_gpu =
        true;  ///< Remembered. No device yet: a gpu page is made on the CPU, with a Notice.
    bool enable_instrumentation =
        false;  ///< Time applies, for Stats: the first 64 after a reset, then about each eighth.
    unsigned permissions = 0600;
    /// Told of what is no error, also of other States of this bus in this process, on any thread,
    /// one at a time, until stop() returns. It must not stop a State or end a Subscription. Empty:
    /// warnings to stderr.
    std::function<void(const Notice&)> on_notice{};
};

/// How much of the past a bus keeps; 0: no limit; the first limit reached counts.
struct Retention {
    std::uint64_t bytes = 0;    ///< Of the log.
    std::uint64_t records = 0;  ///< Commits.
    std::chrono::seconds age{0};
    /// Of what State::retention() answers: the system clock jumped by over an hour, so nothing is
    /// dropped for its age until a retention is set anew. Ignored where one is set.
    bool age_suspended = false;
};

/// Where the good part of a bus's log ends, because bytes that were promised to be there are not.
struct Damage {
    std::string file{};        ///< Which,
    std::uint64_t offset = 0;  ///< where,
    std::string expected{};    ///< and what should be there.
    std::string found{};
    Sequence good_until = Sequence::zero;
    std::uint64_t bytes = 0;     ///< Of the log behind it: good or not, nothing leads there.
    std::uint64_t segments = 0;  ///< Files of the log of which nothing is left.
};

/// What opening found.
struct Recovery {
    bool needed = false;                 ///< Someone died, or the machine restarted.
    Sequence sequence = Sequence::zero;  ///< The newest that is there.
    Sequence checkpoint = Sequence::zero;
    std::uint64_t replayed = 0;        ///< Records.
    std::uint64_t dropped_bytes = 0;   ///< Of a torn tail: never acknowledged as durable.
    std::string damaged_checkpoint{};  ///< A newer one that was passed over.
    std::optional<Damage> damage{};    ///< Only of Open::good_prefix: else it is thrown, Corrupt.
};

/// How State::verify works.
struct VerifyOptions {
    /// Not 0: derived pages are computed anew as of each so many commits, and compared; 1: of each.
    /// It finds functions that are not pure, or do not give what they gave. Of those that this
    /// process has, built-in ones among them; not of pages that are stale, nor of functions that
    /// accumulate (VerifyReport::not_recomputed).
    std::uint64_t recompute_every = 0;
    std::function<bool(double)> progress{};  ///< 0..1; false ends it.
};
/// What State::verify found.
struct VerifyReport {
    bool good = false;          ///< False too where progress ended it: then page is none.
    std::uint64_t records = 0;  ///< Commits that were replayed.
    /// The first that differs, and where; none: the dependency graph does.
    PageId page = PageId::none;
    std::size_t offset = 0;
    Sequence sequence = Sequence::zero;
    /// Where a derived page's bytes are not what its function gives now: which, and what it threw.
    std::string function{}, error{};
    std::uint64_t recomputed = 0;      ///< Calls of functions.
    std::uint64_t not_recomputed = 0;  ///< Derived pages that could not be, at least once.
};

/// A snapshot of the counters of a bus, of all its processes; the names are the original's. They
/// live in shared memory: where that is gone (a reboot), the pages are counted again as the bus is
/// rebuilt, and the others begin with the checkpoint that it is rebuilt from.
struct Stats {
    /// The pages that are there now, and by where they live.
    std::uint64_t total_pages = 0, cpu_pages = 0, gpu_pages = 0, unified_pages = 0;
    std::uint64_t total_page_bytes = 0;  ///< Of all pages together.
    /// Changes of pages' bytes, and how many bytes they changed: since the bus was made, or since
    /// the checkpoint that it was rebuilt from.
    std::uint64_t total_deltas = 0, total_delta_bytes = 0;
    double avg_delta_bytes = 0;  ///< The one by the other; 0 without any.
    /// Of the dependency graph: pages with an edge, edges (of a formula, one a parent), and the
    /// longest path. Counting them is linear in the graph.
    std::uint64_t graph_nodes = 0, graph_edges = 0, graph_max_depth = 0;
    /// Deltas put into the live pages since State::reset_stats, and the time that took; only
    /// commits by handles with Config::enable_instrumentation are timed (of many, about each
    /// eighth, which counts eight times).
    std::uint64_t delta_apply_count = 0, delta_apply_total_ns = 0;
    double delta_apply_avg_ns = 0;  ///< The time by the number.
    /// Commits since State::reset_stats that derived pages followed, and the time that it took to
    /// compute them; likewise.
    std::uint64_t propagation_count = 0, propagation_total_ns = 0;
    double propagation_avg_ns = 0;
    /// Since State::reset_stats: commits that were refused because what they had read had changed,
    /// and transactions that ended uncommitted.
    std::uint64_t conflicts = 0, transactions_abandoned = 0;
    /// Of GPU pages: 0 in this release.
    std::uint64_t bytes_to_device = 0, bytes_from_device = 0;
};

}  // namespace mmsb
