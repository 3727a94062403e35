#include "state/found_arena.hpp"

#include "os/file_system.hpp"
#include "state/header.hpp"

#include <fmt/format.h>
#include <filesystem>

namespace mmsb::state {

namespace {

// Anybody can put a file into a folder like /dev/shm. Ours, or of whom the bus is.
bool is_trusted(const Attachment& bus, const os::File& arena) {
    const auto owner = arena.owner();
    if (owner == os::user_id() || owner == 0) return true;
    const auto file = bus.folder->open("bus", os::Create::never, false);
    return file && file->owner() == owner;
}

bool is_cut_short(const os::File& arena, const arena::Stamps& stamps) {
    const auto size = os::extent_of(arena).size;
    if (size < arena::ring_at + stamps.geometry.ring_size) return true;
    struct Growing {
        std::uint64_t at, word;
    };
    for (const auto& [at, word] :
         {Growing{arena::used_at, offsetof(arena::Control, used_backed)},
          Growing{arena::table_at, offsetof(arena::Control, table_backed)},
          Growing{arena::heap_at, offsetof(arena::Control, heap_backed)}}) {
        std::uint64_t backed = 0;
        arena.read(word, std::as_writable_bytes(std::span(&backed, 1)));
        if (backed != 0 && (size < at || size - at < backed)) return true;
    }
    return false;
}

}  // namespace

Found look_at(const Attachment& bus, const std::optional<os::File>& file, arena::Stamps& stamps) {
    if (!file) return Found::none;
    const auto read = arena::read_stamps(*file);
    if (!read) return Found::none;
    stamps = *read;
    const auto mine = stamps_for(bus);
    if (stamps.bus != mine.bus || stamps.bus_inode != mine.bus_inode || stamps.boot != mine.boot)
        return Found::none;  // another bus's, a copy's original's, or from before a reboot
    if (stamps.layout != mine.layout || stamps.platform != mine.platform ||
        stamps.geometry != mine.geometry)
        return Found::elsewhere;
    if (!is_trusted(bus, *file)) return Found::elsewhere;
    if (is_cut_short(*file, stamps)) return Found::cut_short;
    return Found::good;
}

void throw_elsewhere(const Attachment& bus, const std::string& arena_path) {
    throw ArenaElsewhere(
        ErrorCode::arena_elsewhere,
        fmt::format("{} is open in another process whose shared memory ({}) is not "
                    "seen from here, or is laid out by another build",
                    bus.path, arena_path.empty() ? "unknown" : arena_path),
        {.path = bus.path,
         .expected = "the arena of the processes that have it open",
         .found = "none, or another layout"});
}

// Those who have it open cannot go on either; once they have left, it is built again.
void throw_cut_short(const Attachment& bus, const std::string& arena_path) {
    throw Corrupt(ErrorCode::corrupt,
                  fmt::format("{}: the shared memory that other processes have open ({}) was made "
                              "shorter; once they have left, it is rebuilt from the log",
                              bus.path, arena_path),
                  {.path = arena_path, .expected = "the whole file", .found = "a shorter one"});
}

std::unique_ptr<os::Folder> open_bus_folder(const Config& config, bool create) {
    auto folder = find_bus_folder(config, create);
    if (!folder) throw_no_bus(config.path, "a bus", "nothing");
    return folder;
}

std::unique_ptr<os::Folder> find_bus_folder(const Config& config, bool create) {
    try {
        return os::open_folder(config.path, create, config.permissions);
    } catch (const Io& e) {
        if (e.system_error() == ENOTDIR) throw_no_bus(config.path, "a folder", "something else");
        throw;
    }
}

void refuse_network(const Config& config, FunctionRef<std::string_view(const std::string&)> kind) {
    if (config.allow_network_file_system) return;
    for (const auto& folder : {config.path, config.arena_folder}) {
        if (folder.empty()) continue;
        // Where it is still to be made: what is there of the way to it.
        std::error_code none;
        auto there = std::filesystem::absolute(folder, none);
        while (!std::filesystem::exists(there, none) && there.has_relative_path())
            there = there.parent_path();
        if (const auto name = kind(there.string()); !name.empty())
            throw InvalidArgument(
                ErrorCode::invalid_argument,
                fmt::format("{} lies on a network file system ({}); see "
                            "Config::allow_network_file_system",
                            folder, name),
                {.path = folder, .expected = "a local file system", .found = std::string(name)});
    }
}

}  // namespace mmsb::state
