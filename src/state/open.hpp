/// state/open: attaching to a bus and leaving it (PROTOCOL, attach, leave; rules 13 to 15 and 19).
///
/// Under the short lock file <bus>/lock.open: an arena that is there and whose stamps agree is
/// used; it is made, replaced or rebuilt only under the exclusive lock on <bus>/lock, which says
/// that nobody else is attached. Viewers take neither lock and write nothing.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

/// Config, and what only tests set.
struct OpenOptions {
    Config config{};
    limits::Geometry geometry{};
    Notices::Pointer on_notice{};  ///< Instead of the Config's, where it is given.
};
[[nodiscard]] Notices::Pointer notices_of(const OpenOptions& options);

/// Of a bus without a path that keeps as much as `config` says.
[[nodiscard]] limits::Geometry private_geometry(const Config& config);

/// The process's attachment to that bus, made if need be. Throws NotABus, NewerFormat, Corrupt,
/// OutOfSpace, Io, Busy, ArenaElsewhere, InvalidArgument, Poisoned.
[[nodiscard]] std::shared_ptr<Attachment> attach(const OpenOptions& options);
/// For a viewer that had to rebuild the bus for itself: an attachment to the shared memory, where
/// there is some by now and all is well with it; else nullptr.
[[nodiscard]] std::shared_ptr<Attachment> view_again(Attachment& rebuilt, const Config& config,
                                                     const Notices::Pointer& told) noexcept;
/// Gives it up; the last one of the process leaves the bus, the last one of all closes its log.
/// Throws what the flush throws; it is left all the same. `told` is not told of more.
void leave(std::shared_ptr<Attachment>&& bus, const Notices::Pointer& told);

/// Removes the bus in that folder, its shared memory with it; a folder that holds other things,
/// too, stays with them. Killed midway, it can be called again. Throws NotABus, Busy (it is open
/// somewhere, this process included), ArenaElsewhere, Io.
void remove_bus(const std::string& path);

}  // namespace mmsb::state
