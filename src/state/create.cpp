#include "state/create.hpp"

#include "base/bytes.hpp"
#include "base/steps.hpp"
#include "state/checkpoints.hpp"
#include "state/found_arena.hpp"
#include "state/header.hpp"

#include <algorithm>

namespace mmsb::state {

namespace {

constexpr std::uint64_t first_ceiling = 1024;
constexpr auto unfinished_bus = "bus.new";

bool has(os::Folder& folder, const char* name) {
    return folder.open(name, os::Create::never, false).has_value();
}

// A folder that holds other things is somebody else's. What an attempt that died has left is not.
void check_place(os::Folder& folder) {
    const auto refuse = [&](const std::string& name) {
        throw_no_bus(folder.path(), "a bus or an empty folder", "a folder that holds " + name);
    };
    for (const auto& name : folder.list())
        if (name != unfinished_bus && name != "lock.open" && name != "lock") refuse(name);
    if (has(folder, unfinished_bus)) return;
    for (const auto* name : {"log", "checkpoints"})
        if (const auto inner = folder.folder(name, false); inner && !inner->list().empty())
            refuse(std::string(name) + '/' + inner->list().front());
}

// There is no bus yet: what is there is of an attempt that died.
std::unique_ptr<os::Folder> empty_folder(Attachment& bus, const char* name) {
    auto folder = bus.folder->folder(name, true);
    for (const auto& file : folder->list()) folder->remove(file);
    return folder;
}

void make_first_checkpoint(Attachment& bus, const replay::Image& image) {
    const auto folder = empty_folder(bus, "checkpoints");
    write_checkpoint_in(*folder, [&](const auto& write) {
        replay::write_checkpoint(image, bus.header.uuid, write);
        return Position{image.lsn(), image.sequence()};
    });
    bus.header.page_id_ceiling = std::max(first_ceiling, image.next_page());
    bus.header.base_sequence = number(image.sequence());
    bus.header.base_lsn = std::max<Lsn>(first_lsn, base::round_up(image.lsn(), 8));
}

void make_log(Attachment& bus) {
    const auto folder = empty_folder(bus, "log");
    log::Segments segments(*folder, bus.header.uuid, bus.header.geometry, true);
    segments.start_segment(std::max<Lsn>(first_lsn, bus.header.base_lsn), bus.header.created_ns);
}

}  // namespace

void throw_exists(const std::string& path) {
    throw InvalidArgument(ErrorCode::invalid_argument, path + " is there already",
                          {.path = path, .expected = "no bus", .found = "one"});
}

std::optional<NewBus> plan_bus(const Config& config) {
    if (const auto folder = find_bus_folder(config, false)) {
        if (has(*folder, "bus")) return std::nullopt;
        try {
            check_place(*folder);
        } catch (const NotABus&) {
            // Somebody may be making one: then it is looked at again once he has.
            if (!has(*folder, "lock.open")) throw;
        }
    }
    if (!config.arena_folder.empty() &&
        !os::open_folder(config.arena_folder, false, config.permissions))
        throw_no_arena_folder(config.arena_folder);
    NewBus plan;
    if (config.from_checkpoint.empty()) return plan;
    const auto in = os::open_for_reading(config.from_checkpoint);
    if (!in)
        throw Io(ErrorCode::io, config.from_checkpoint + ": no such checkpoint",
                 {.path = config.from_checkpoint, .system = ENOENT});
    plan.image.emplace(read_checkpoint_file(*in).image);
    return plan;
}

void create_bus(Attachment& bus, const OpenOptions& options, const NewBus& plan) {
    check_place(*bus.folder);
    // Built under another name, so that nobody sees half of it.
    const auto file = bus.folder->open(unfinished_bus, os::Create::if_need, true);
    file->truncate(0);
    os::random_bytes(bus.header.uuid);
    bus.header.inode = file->inode();
    bus.header.geometry = options.geometry;
    bus.header.page_id_ceiling = first_ceiling;
    bus.header.created_ns = os::clock_ns();
    bus.header.log_boot = os::boot_number();
    if (plan.image) make_first_checkpoint(bus, *plan.image);
    make_log(bus);
    MMSB_STEP("attach.log_made");
    const auto& config = options.config;
    bus.header.keep_bytes = config.max_tlog_size;
    bus.header.keep_records = config.max_tlog_records;
    bus.header.keep_seconds = static_cast<std::uint64_t>(config.max_tlog_age.count());
    bus.header.generation = 1;
    write_bus_file(*file, bus.header);
    bus.folder->sync();  // the names of log/ and checkpoints/
    MMSB_STEP("attach.header_written");
    bus.folder->rename(unfinished_bus, "bus");
    MMSB_STEP("attach.header_named");
    bus.folder->sync();
    take_changing(bus, bus.header);
}

}  // namespace mmsb::state
