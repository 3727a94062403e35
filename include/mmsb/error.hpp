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
    page_not_found,
    invalid_delta,
    conflict,         ///< What was read has changed, more often than CommitOptions::attempts.
    busy,             ///< A lock was held for Config::lock_timeout: by whom. Nothing was committed.
    not_durable,      ///< Committed (sequence()), but the disk did not answer within lock_timeout.
    out_of_space,     ///< Disk, shared memory, address space or memory: which, needed, available.
    io,               ///< errno, call, path.
    not_a_bus,        ///< No bus there, or a foreign file.
    newer_format,     ///< Written by a newer MMSB, or another layout of the shared memory.
    arena_elsewhere,  ///< Others have the bus open with shared memory that is not seen from here.
    corrupt,          ///< Damage: file, offset, expected, found, good_until.
    history_dropped,  ///< The retention has folded that past away: oldest().
    read_only,
    closed,    ///< The State was stopped.
    poisoned,  ///< A write or sync failed: errno, and up to where all is durable.
};
[[nodiscard]] std::string_view to_string(ErrorCode code) noexcept;

/// What an error knows. Fields that do not apply are empty or 0.
struct ErrorDetails {
    PageId page = PageId::none;
    std::string name{}, path{}, expected{}, found{};
    std::uint64_t offset = 0, needed = 0, available = 0;
    Sequence sequence = Sequence::zero;
    int system = 0;            ///< errno
    std::int32_t process = 0;  ///< Who holds the lock.
};

/// The base of all. Fields that do not apply are empty or 0. Copying never throws.
class Error : public std::runtime_error {
public:
    Error(ErrorCode code, const std::string& what, ErrorDetails details = {});
    [[nodiscard]] ErrorCode code() const noexcept { return code_; }
    [[nodiscard]] PageId page() const noexcept { return details_->page; }
    [[nodiscard]] const std::string& expected() const noexcept { return details_->expected; }
    [[nodiscard]] const std::string& found() const noexcept { return details_->found; }

protected:
    [[nodiscard]] const ErrorDetails& details() const noexcept { return *details_; }

private:
    ErrorCode code_;
    std::shared_ptr<const ErrorDetails> details_;
};

class InvalidArgument : public Error {
    using Error::Error;
};
class WrongContext : public Error {
    using Error::Error;
};
class TypeMismatch : public Error {
    using Error::Error;
};
class InvalidDelta : public Error {
    using Error::Error;
};
class Conflict : public Error {
    using Error::Error;
};
class NotABus : public Error {
    using Error::Error;
};
class NewerFormat : public Error {
    using Error::Error;
};
class ArenaElsewhere : public Error {
    using Error::Error;
};
class ReadOnly : public Error {
    using Error::Error;
};
class BusClosed : public Error {
    using Error::Error;
};

class PageNotFound : public Error {
public:
    using Error::Error;
    [[nodiscard]] const std::string& name() const noexcept { return details().name; }
    /// Where it was deleted, or zero where it never was.
    [[nodiscard]] Sequence deleted_at() const noexcept { return details().sequence; }
};
class NotDurable : public Error {
public:
    using Error::Error;
    [[nodiscard]] Sequence sequence() const noexcept { return details().sequence; }
};
class Busy : public Error {
public:
    using Error::Error;
    [[nodiscard]] std::int32_t holder() const noexcept { return details().process; }
};
class OutOfSpace : public Error {
public:
    using Error::Error;
    [[nodiscard]] const std::string& where() const noexcept { return details().path; }
    [[nodiscard]] std::uint64_t needed() const noexcept { return details().needed; }
    [[nodiscard]] std::uint64_t available() const noexcept { return details().available; }
    /// errno, or 0 where a limit of MMSB's own was met.
    [[nodiscard]] int system_error() const noexcept { return details().system; }
};
class Io : public Error {
public:
    using Error::Error;
    [[nodiscard]] int system_error() const noexcept { return details().system; }
    [[nodiscard]] const std::string& file() const noexcept { return details().path; }
};
class Corrupt : public Error {
public:
    using Error::Error;
    [[nodiscard]] const std::string& file() const noexcept { return details().path; }
    [[nodiscard]] std::uint64_t offset() const noexcept { return details().offset; }
    [[nodiscard]] Sequence good_until() const noexcept { return details().sequence; }
};
class HistoryDropped : public Error {
public:
    using Error::Error;
    [[nodiscard]] Sequence oldest() const noexcept { return details().sequence; }
};
class Poisoned : public Error {
public:
    using Error::Error;
    [[nodiscard]] Sequence durable() const noexcept { return details().sequence; }
    [[nodiscard]] int system_error() const noexcept { return details().system; }
    [[nodiscard]] std::string errno_name() const;
};

}  // namespace mmsb
