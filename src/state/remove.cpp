#include "state/found_arena.hpp"
#include "state/header.hpp"
#include "state/open.hpp"

#include <mmsb/error.hpp>

#include <chrono>
#include <filesystem>

namespace mmsb::state {

namespace {

void remove_files(const Attachment& bus, const std::string& name) {
    const auto folder = bus.folder->folder(name, false);
    if (!folder) return;
    for (const auto& file : folder->list()) folder->remove(file);
    os::remove_folder(folder->path());
}

// What is left of a removal that was killed at its end is the lock that it held.
bool finish_removal(os::Folder& folder, const std::string& path) {
    const auto is_rest = [&] {
        const auto all = folder.list();
        if (all.size() != 1 || all.front() != "lock.open") return false;
        const auto lock = folder.open("lock.open", os::Create::never, false);
        return lock && lock->size() <= opening_lock_size;
    };
    if (!is_rest()) return false;
    const auto opening = lock_for_opening(folder, std::chrono::seconds(5));
    if (!opening || !is_rest()) return false;  // somebody else did it, or a bus is being made
    folder.remove("lock.open");
    os::remove_folder(path);
    return true;
}

}  // namespace

// The shared memory goes first, while the header still says which it is; the header goes last: what
// is left of a removal that was killed is a bus that can be removed again.
void remove_bus(const std::string& path) {
    std::optional<os::FileLock> opening;  // let go last: <bus>/lock is free when the next one opens
    Attachment bus;
    bus.path = path;
    bus.folder = open_bus_folder({.path = path}, false);
    std::error_code error;
    auto whole = std::filesystem::canonical(path, error).string();  // also of a link, or "."
    if (error) whole = path;
    const auto file = bus.folder->open("bus", os::Create::never, false);
    if (!file) {
        if (!finish_removal(*bus.folder, whole)) throw_no_bus(path, "a file named bus", "none");
        return;
    }
    static_cast<void>(read_bus_file(bus, *file, false));  // nothing is written into what is no bus
    opening = lock_for_opening(*bus.folder, std::chrono::seconds(5));
    if (!opening) throw_removed(path);
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
    os::remove_folder(whole);
}

}  // namespace mmsb::state
