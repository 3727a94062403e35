/// state/commit: the commit path, one straight line from a staged change to an acknowledged record.
///
/// Everything that may throw comes before `logged` moves; below it everything is noexcept, but for
/// the wait for the disk: a commit is all or nothing, and the types show where it is decided.
#pragma once

#include "state/stage.hpp"

namespace mmsb::state {

struct CommitResult {
    CommitStatus status = CommitStatus::unchanged;
    Committed committed{};
    PageId conflict = PageId::none;
};

/// Commits `staged` whole. Conflicts are a value; other errors throw and nothing has changed, but
/// for NotDurable and Poisoned from the wait at the end. After it the lines of created pages are in
/// `staged`.
CommitResult commit(Attachment& bus, const HandleOptions& handle, Staged& staged,
                    const CommitOptions& options);

/// Durability of this commit: the handle's, or more. Throws InvalidArgument for less, or for more
/// than a private bus can keep.
[[nodiscard]] Durability durability_of(const Attachment& bus, const HandleOptions& handle,
                                       const CommitOptions& options);

/// Appends a record of this kind that takes no sequence (incarnation, close), under the writers'
/// lock, and returns where it ends.
Lsn append_note(Attachment& bus, log::RecordKind kind, std::span<const std::byte> body,
                std::chrono::nanoseconds timeout);

/// Refuses a commit from inside a user's function that is being run for this bus.
void refuse_inside_function(const Attachment& bus);
/// Does this thread run one, for whatever bus?
[[nodiscard]] bool is_inside_function() noexcept;
/// While it lives this thread runs a user's function for the bus: a commit in it is WrongContext,
/// also where functions of other buses are in between.
class InsideFunction {
public:
    explicit InsideFunction(const Attachment& bus) noexcept;
    ~InsideFunction();
    InsideFunction(const InsideFunction&) = delete;
    InsideFunction& operator=(const InsideFunction&) = delete;
    [[nodiscard]] const Attachment& bus() const noexcept { return bus_; }
    [[nodiscard]] const InsideFunction* outer() const noexcept { return outer_; }

private:
    const Attachment& bus_;
    const InsideFunction* outer_;
};

}  // namespace mmsb::state
