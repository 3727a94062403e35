#include "state/found_arena.hpp"
#include "state/header.hpp"
#include "state/open.hpp"

#include <mmsb/error.hpp>

#include <chrono>

namespace mmsb::state {

namespace {

void remove_files(const Attachment& bus, const std::string& name) {
    const auto folder = bus.folder->folder(name, false);
    if (!folder) return;
    for (const auto& file : folder->list()) folder->remove(file);
    os::remove_folder(folder->path());
}

}  // namespace

// The shared memory goes first, while the header still says which it is; the header goes last: what
// is left of a removal that was killed is a bus that can be removed again.
void remove_bus(const std::string& path) {
    os::FileLock opening;  // let go last: <bus>/lock is free when the next one opens
    Attachment bus;
    bus.path = path;
    bus.folder = open_bus_folder({.path = path}, false);
    const auto file = bus.folder->open("bus", os::Create::never, false);
    if (!file) throw_no_bus(path, "a file named bus", "none");
    static_cast<void>(read_bus_file(bus, *file, false));  // nothing is written into what is no bus
    opening = lock_for_opening(*bus.folder, std::chrono::seconds(5));
    load_header(bus, false);
    bus.presence = os::FileLock(*bus.folder->open("lock", os::Create::if_need, true));
    if (!bus.presence.try_exclusive())
        throw Busy(ErrorCode::busy, path + " is open in a process; nothing was removed",
                   {.path = path});
    ArenaFile(bus, {}, 0600).remove();
    remove_files(bus, "log");
    remove_files(bus, "checkpoints");
    for (const auto* name : {"arena", "arena.new", "lock", "bus", "lock.open"})
        bus.folder->remove(name);
    bus.folder->sync();
    os::remove_folder(path);
}

}  // namespace mmsb::state
