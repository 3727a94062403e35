/// state/copy: a bus as of now, with its past, as a new bus in a folder of its own.
///
/// Records are sealed with their segment's salt and their position, not with the bus's identity: so
/// segments are copied as they are, under new headers, and checkpoints and blobs likewise. The log
/// of the copy goes on in a segment of its own with a new salt: what original and copy commit at
/// the same position from there on never passes for the other's.
/// The copy is a bus once its file `bus` has that name, which is the last step: until then it is
/// `bus.copying`, and a folder that holds this is refused by whoever would make a bus in it.
#pragma once

#include "state/attachment.hpp"

namespace mmsb::state {

struct CopyOptions {
    std::string folder{};  ///< Free, or an empty folder.
    unsigned permissions = 0600;
    std::chrono::milliseconds lock_timeout{5000};
};

/// Returns the sequence that the copy is as of: the newest when it began. Everything in the copy is
/// on the disk, and was read back and checked record by record. Nobody is stopped but who lets go
/// of the past (a read-only bus tries again where that happens). Throws InvalidArgument (something
/// is there already, or the bus has no path), Corrupt (file and offset in `bus`), Busy, OutOfSpace,
/// Io; nothing is left of the copy then.
Sequence copy_bus(Attachment& bus, const CopyOptions& options);

}  // namespace mmsb::state
