/// state/header: the small files of a bus folder: `bus` (who it is), `lock.open`, `arena` (where
/// its shared memory is).
#pragma once

#include "replay/checkpoint.hpp"
#include "state/bus_file.hpp"
#include "state/open.hpp"

namespace mmsb::state {

/// Reads the file `bus`. A copy (the file's inode is another) gets its own inode written into it,
/// unless `read_only`, and so its own arena. Throws NotABus, NewerFormat, Corrupt, Busy, Io.
void load_header(Attachment& bus, bool read_only);
/// Opens log/, which each bus has. Throws Corrupt where it is gone.
void open_log_folder(Attachment& bus);
/// Can there be a line of this number in the page table? There are no more lines than ids.
[[nodiscard]] bool may_be_a_line(Attachment& bus, std::uint32_t line);
/// Makes these the fields that are known here.
void take_changing(Attachment& bus, const log::BusHeader& header);
/// Changes the header, durably, and what is known of it here: others may have changed it before, so
/// it is read again under a lock of its own. Throws Busy, Io, what reading it throws.
void update_header(Attachment& bus, FunctionRef<void(log::BusHeader&)> change);
/// Reads what others may have changed: retention and where the past begins.
void refresh_header(Attachment& bus);
/// Where the kept past begins: the checkpoint that the header names, or the beginning of the log.
/// Who shares the memory can write over the words that say so; the header's stand in a checked
/// file.
[[nodiscard]] Position base_in_header(const Attachment& bus);
/// The same as the bus is used here: words that nobody else has may say that it begins later.
[[nodiscard]] Position base_of(const Attachment& bus);
/// Writes a higher ceiling, durably, before the id is used.
void raise_page_id_ceiling(Attachment& bus, std::uint64_t id);

/// Bytes of <bus>/lock.open, which say who has it.
inline constexpr std::size_t opening_lock_size = 16;
/// Exclusive <bus>/lock.open with our process id in it. Nothing: who removed the bus removed that
/// file, too, and may be the folder, while we waited: what was locked keeps nobody out. Throws Busy
/// with the holder.
[[nodiscard]] std::optional<os::FileLock> lock_for_opening(os::Folder& folder,
                                                           std::chrono::milliseconds timeout);

/// Tries to make durable, from the arena and by reading back, what a failed sync left in doubt;
/// clears the poison where that works. Only where nobody else is attached.
void mend_poison(Attachment& bus);

[[noreturn]] void throw_no_arena_folder(const std::string& path);

/// What an arena of this bus says of itself.
[[nodiscard]] arena::Stamps stamps_for(const Attachment& bus);

/// Where the arena of this bus is, or is to be: named in the bus's file `arena`.
class ArenaFile {
public:
    ArenaFile(Attachment& bus, const std::string& folder, unsigned permissions);
    ~ArenaFile();  ///< What was created and not published is gone.
    ArenaFile(const ArenaFile&) = delete;
    ArenaFile& operator=(const ArenaFile&) = delete;
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::optional<os::File> open(bool writable);
    /// A new one under a temporary name; sweeps what dead buses left in that folder.
    [[nodiscard]] os::File create();
    /// It is complete: gives it its name.
    void publish();
    void remove();
    /// Writes down where it is, unless that stands there: who published it may have died, or met a
    /// full disk, before he did.
    void remember();

private:
    void sweep();
    Attachment& bus_;
    std::string folder_, path_{};
    unsigned permissions_;
    std::unique_ptr<os::Folder> in_{};
    std::string name_, temporary_, remembered_{};
    bool created_ = false;  ///< And not published.
};

}  // namespace mmsb::state
