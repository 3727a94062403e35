/// Errors. A call that throws one of these has changed nothing, with one exception: Poisoned from
/// a wait for the disk and NotDurable: their commit is visible but not known to be durable. Where
/// the heap is exhausted calls throw std::bad_alloc, and have changed nothing then, either.
///
/// Ordinary outcomes are values instead: a page that find_page does not find, a timeout, a
/// transaction's conflict (Transaction::try_commit), an unstable peek, a torn tail (Recovery).
#pragma once

#include <mmsb/types.hpp>

#include <stdexcept>

namespace mmsb {

enum class ErrorCode : std::uint16_t {
    invalid_argument = 1,  ///< Range outside the page, wrong size, name taken, ...
    wrong_context,         ///< A commit inside an edit or transact; a handle used after fork.
    type_mismatch,         ///< A typed page whose size or mmsb_type is another.
    page_not_found,        ///< It never was there, or was deleted.
    invalid_delta,         ///< A delta of another size, or bytes that are no delta.
    conflict,              ///< What was read has changed, more often than CommitOptions::attempts.
    busy,             ///< A lock was held for Config::lock_timeout: by whom. Nothing was committed.
    not_durable,      ///< Committed (sequence()), but the disk did not answer within lock_timeout.
    out_of_space,     ///< Disk, shared memory, address space or memory: which, needed, available.
    io,               ///< errno, call, path.
    not_a_bus,        ///< No bus there, or a foreign file.
    newer_format,     ///< Written by a newer MMSB, or another layout of the shared memory.
    arena_elsewhere,  ///< Others have the bus open with shared memory that is not seen from here.
    corrupt,          ///< Damage: file, offset, expected, found, good_until.
    history_dropped,  ///< The retention has folded that past away: oldest().
    read_only,        ///< A commit by a State that may only read.
    closed,           ///< The State was stopped.
    poisoned,         ///< A write or sync failed: errno, and up to where all is durable.
    graph_cycle,      ///< The edge would close a cycle: which.
    recompute_failed,  ///< A recompute function threw: of which page, which function, what.
};
/// In words: "page not found".
[[nodiscard]] std::string_view to_string(ErrorCode code) noexcept;

/// What an error knows. Fields that do not apply are empty or 0.
struct ErrorDetails {
    PageId page = PageId::none;
    std::string name{}, path{}, expected{}, found{};
    std::uint64_t offset = 0, needed = 0, available = 0;
    Sequence sequence = Sequence::zero;
    std::vector<PageId> pages{};
    int system = 0;            ///< errno
    std::int32_t process = 0;  ///< Who holds the lock.
};

/// The base of all. Fields that do not apply are empty or 0. Copying never throws.
class Error : public std::runtime_error {
public:
    /// For the library; programs only catch it.
    Error(ErrorCode code, const std::string& what, ErrorDetails details = {});
    [[nodiscard]] ErrorCode code() const noexcept { return code_; }  ///< Which class it is.
    /// The page that it is about; none where it is about no page.
    [[nodiscard]] PageId page() const noexcept { return details_->page; }
    /// What should have been there, and what is; for people.
    [[nodiscard]] const std::string& expected() const noexcept { return details_->expected; }
    [[nodiscard]] const std::string& found() const noexcept { return details_->found; }

protected:
    /// All that it knows; derived classes show the part that is theirs.
    [[nodiscard]] const ErrorDetails& details() const noexcept { return *details_; }

private:
    ErrorCode code_;
    std::shared_ptr<const ErrorDetails> details_;
};

/// A range outside the page, a wrong size, a name that is taken, an option that cannot be. From
/// each call that takes arguments: expected() and found() say which.
class InvalidArgument : public Error {
    using Error::Error;
};
/// A commit from inside a function that an update or transact runs; a handle after fork().
class WrongContext : public Error {
    using Error::Error;
};
/// From State::open<T> and page<T>, and View::get: the page has another size or mmsb_type.
class TypeMismatch : public Error {
    using Error::Error;
};
/// From Page::apply, Transaction::apply, Delta::apply_to, merge (sizes), Delta::decode (bytes).
class InvalidDelta : public Error {
    using Error::Error;
};
/// What was read has changed, more often than CommitOptions::attempts, or is not at
/// CommitOptions::expected: page() is the first such page. From each commit; nothing is committed.
class Conflict : public Error {
    using Error::Error;
};
/// From start, remove_bus, examine: nothing is there, or something that is no bus.
class NotABus : public Error {
    using Error::Error;
};
/// From start, remove_bus, examine: expected() and found() are the formats.
class NewerFormat : public Error {
    using Error::Error;
};
/// From start: others have the bus open, and their shared memory is not seen from here (a container
/// of its own), or is of another build.
class ArenaElsewhere : public Error {
    using Error::Error;
};
/// A change by a State that was opened to read.
class ReadOnly : public Error {
    using Error::Error;
};
/// A call on a State that was stopped, or on a handle of it; also a wait that stop() ended.
class BusClosed : public Error {
    using Error::Error;
};

/// From each call that names a page, or has a handle of one that is gone.
class PageNotFound : public Error {
public:
    using Error::Error;
    /// What was asked for; empty where it was asked for by id, which page() is.
    [[nodiscard]] const std::string& name() const noexcept { return details().name; }
    /// Where it was deleted, or zero where it never was.
    [[nodiscard]] Sequence deleted_at() const noexcept { return details().sequence; }
};
/// From derive and add_dependency: the edge would make a page depend on itself.
class GraphCycle : public Error {
public:
    using Error::Error;
    /// The pages on the way round, each the parent of the next: the first is also the last.
    [[nodiscard]] const std::vector<PageId>& cycle() const noexcept { return details().pages; }
};
/// From a commit: a recompute function threw for page(), and nothing was committed.
class RecomputeFailed : public Error {
public:
    using Error::Error;
    [[nodiscard]] const std::string& function() const noexcept { return details().name; }
};
/// From a commit that waits for the disk: it is committed, but the disk has not answered.
class NotDurable : public Error {
public:
    using Error::Error;
    /// Of the commit. State::wait_durable waits on for it.
    [[nodiscard]] Sequence sequence() const noexcept { return details().sequence; }
};
/// A lock was held for Config::lock_timeout: by a process that is stopped, or has the bus open
/// where it must not be. From commits, start, remove_bus, checkpoints. Nothing has changed.
class Busy : public Error {
public:
    using Error::Error;
    /// Its process id; 0 where it is not known.
    [[nodiscard]] std::int32_t holder() const noexcept { return details().process; }
};
/// Before anything has changed: no room where() it was needed. From whatever makes something.
class OutOfSpace : public Error {
public:
    using Error::Error;
    /// A path, or what has run out ("address space", "source names").
    [[nodiscard]] const std::string& where() const noexcept { return details().path; }
    /// Bytes (or whatever where() counts); 0 where it is not known.
    [[nodiscard]] std::uint64_t needed() const noexcept { return details().needed; }
    [[nodiscard]] std::uint64_t available() const noexcept { return details().available; }
    /// errno, or 0 where a limit of MMSB's own was met.
    [[nodiscard]] int system_error() const noexcept { return details().system; }
};
/// A system call failed. From whatever reads or writes files.
class Io : public Error {
public:
    using Error::Error;
    /// errno
    [[nodiscard]] int system_error() const noexcept { return details().system; }
    /// The path that the call was about.
    [[nodiscard]] const std::string& file() const noexcept { return details().path; }
};
/// Bytes are not what they were: in a file of the bus, or in its shared memory. Never repaired
/// silently. From start, and from whatever reads.
class Corrupt : public Error {
public:
    using Error::Error;
    /// Which, and where in it: of a record's damage, where the record begins.
    [[nodiscard]] const std::string& file() const noexcept { return details().path; }
    [[nodiscard]] std::uint64_t offset() const noexcept { return details().offset; }
    /// The newest sequence that the good part of the log leads to; zero where that is not known.
    [[nodiscard]] Sequence good_until() const noexcept { return details().sequence; }
};
/// A View, history or log of a past that the bus no longer keeps, or never kept.
class HistoryDropped : public Error {
public:
    using Error::Error;
    /// The oldest one that can be had.
    [[nodiscard]] Sequence oldest() const noexcept { return details().sequence; }
};
/// The disk has failed a write or a sync: no commit is taken until one process has the bus alone
/// and could write all of it again. Reading goes on. From commits and what waits for the disk.
class Poisoned : public Error {
public:
    using Error::Error;
    /// Up to here all is on the disk.
    [[nodiscard]] Sequence durable() const noexcept { return details().sequence; }
    /// errno of the call that failed, and its name: "EIO".
    [[nodiscard]] int system_error() const noexcept { return details().system; }
    [[nodiscard]] std::string errno_name() const;
};

}  // namespace mmsb
