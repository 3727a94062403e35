/// state/checkpoints: the checkpoints in a bus's folder: written from the live pages while others
/// work, found again, passed over where they are damaged (PROTOCOL, rule 18).
///
/// A file is checkpoints/<sequence>-<LSN>.chk, both in 16 hexadecimal digits, as of that sequence;
/// the LSN is the end of its last record. It has its name only once it is synced, read back and
/// found good, and the log is durable up to it.
/// Threads: everything from any thread. Making and removing is under a lock of one process at a
/// time, checkpoints/lock.
#pragma once

#include "replay/checkpoint.hpp"
#include "state/attachment.hpp"

namespace mmsb::state {

struct CheckpointFile {
    Sequence sequence = Sequence::zero;
    Lsn lsn = 0;
    std::string name{};
};
[[nodiscard]] std::string checkpoint_name(Sequence sequence, Lsn lsn);
/// Those in the bus, oldest first; names of other forms are passed over.
[[nodiscard]] std::vector<CheckpointFile> checkpoint_files(Attachment& bus);

/// Of a file that a user names. Throws Corrupt, NewerFormat or NotABus, naming the file.
[[nodiscard]] replay::Checkpoint read_checkpoint_file(const os::File& file);
/// Of one in a bus's folder, where what is no checkpoint is damage, too. Throws Corrupt or
/// NewerFormat, naming the file.
[[nodiscard]] replay::Checkpoint read_own_checkpoint(const os::File& file, replay::Keep keep);

/// The state as of the newest good checkpoint that is not newer than `upto`. Nothing: there is
/// none, and the log begins with the bus. Throws Corrupt where there was one and it is damaged, and
/// the log does not reach back. `damaged` gets the path of each that was passed over.
struct Start {
    replay::Image image{};
    Lsn lsn = first_lsn;  ///< Records from here on follow.
};
[[nodiscard]] std::optional<Start> newest_checkpoint(Attachment& bus, Sequence upto,
                                                     const replay::Keep& keep,
                                                     std::string* damaged = nullptr);
/// Of the newest good checkpoint that is not newer than `upto`, its structure.
[[nodiscard]] std::optional<replay::Structure> newest_structure(Attachment& bus,
                                                                Sequence upto = Sequence::newest);

/// Streams all live pages out, as of the sequence that is returned; nobody is stopped. `write` gets
/// the file's bytes. Not durable: the log must be first, up to the position that is returned.
Position stream_checkpoint(Attachment& bus, const replay::CheckpointWriter::Write& write);

/// Waits until the structural record that begins at `structure` is applied, or applies it for its
/// dead writer: before a checkpoint that contains it is named. Whoever joins takes its structure
/// from there, and could not redo a deletion of a page whose line he does not know. Throws Busy.
void wait_until_applied(Attachment& bus, Lsn structure, std::chrono::nanoseconds timeout);

/// What `stream` writes, as a checkpoint in `folder` as of the position that it returns: synced,
/// read back, then named. One of that name stays. Throws Corrupt where it reads otherwise, Io,
/// OutOfSpace, what `stream` throws; nothing is left of it then.
CheckpointFile write_checkpoint_in(
    os::Folder& folder, FunctionRef<Position(const replay::CheckpointWriter::Write&)> stream);

/// A new checkpoint in the bus; where nothing was committed since the newest one, that one. Throws
/// Busy (another process makes one, for longer than `timeout`), Poisoned, OutOfSpace, Io.
CheckpointFile checkpoint_bus(Attachment& bus, std::chrono::milliseconds timeout);
/// REQUIRES the lock on checkpoints. `timeout`: of the flush.
CheckpointFile checkpoint_locked(Attachment& bus, std::chrono::milliseconds timeout);

/// Who makes, removes or counts on checkpoints holds this.
[[nodiscard]] os::FileLock lock_checkpoints(Attachment& bus, std::chrono::milliseconds timeout);

/// The thread that makes one every interval, where the log has grown enough since the last one to
/// be worth it; and lets go of the past that the bus's retention does not keep.
void start_keeper(Attachment& bus, std::chrono::nanoseconds every);
void stop_keeper(Attachment& bus) noexcept;

}  // namespace mmsb::state
