#include "state/header.hpp"

#include "base/steps.hpp"
#include "state/cursor.hpp"
#include "state/flush.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace mmsb::state {

namespace {

// At most so many ids are lost with each recovery: doubling alone would use them up in 54.
constexpr std::uint64_t ceiling_step = 1 << 20;
constexpr std::uint64_t least_shm = 64 * limits::mib;

std::string hex(std::span<const std::byte> bytes) {
    std::string text;
    for (const auto b : bytes) text += fmt::format("{:02x}", static_cast<unsigned>(b));
    return text;
}

}  // namespace

void take_changing(Attachment& bus, const log::BusHeader& header) {
    auto& changing = bus.changing;
    changing.page_id_ceiling.store(header.page_id_ceiling);
    changing.base_sequence.store(header.base_sequence);
    changing.base_lsn.store(header.base_lsn);
    changing.keep_bytes.store(header.keep_bytes);
    changing.keep_records.store(header.keep_records);
    changing.keep_seconds.store(header.keep_seconds);
    changing.age_suspended.store(header.age_suspended);
    changing.log_boot.store(header.log_boot);
}

void load_header(Attachment& bus, bool read_only) {
    const auto file = bus.folder->open("bus", os::Create::never, !read_only);
    if (!file) throw_no_bus(bus.path, "a file named bus", "none");
    bus.header = read_bus_file(bus, *file, !read_only);
    take_changing(bus, bus.header);
    const auto inode = file->inode();
    if (bus.header.inode == inode) return;
    bus.header.inode = inode;
    if (read_only) return;
    update_header(bus, [&](log::BusHeader& header) {
        header.inode = inode;
        header.log_boot = 0;  // who copied it wrote the log
    });
    bus.notice(Notice::Level::info,
               bus.path + " is a copy of a bus; it goes on by itself from here");
}

void open_log_folder(Attachment& bus) {
    bus.log_folder = bus.folder->folder("log", false);
    if (bus.log_folder) return;
    const auto path = bus.path + "/log";
    throw Corrupt(ErrorCode::corrupt,
                  fmt::format("{} is gone: expected the log of the bus, found no folder", path),
                  {.path = path, .expected = "the log of the bus", .found = "no folder"});
}

namespace {

// The threads of this process: the file's lock is between openings, and what one of them read must
// not be taken for newer than what another wrote meanwhile.
std::mutex& header_mutex() {
    static std::mutex mutex;
    return mutex;
}

}  // namespace

void update_header(Attachment& bus, FunctionRef<void(log::BusHeader&)> change) {
    const std::lock_guard mutex(header_mutex());
    take_changing(bus, change_bus_file(bus, change));
}

void refresh_header(Attachment& bus) {
    const std::lock_guard mutex(header_mutex());
    const auto file = bus.folder->open("bus", os::Create::never, false);
    if (!file) throw_no_bus(bus.path, "a file named bus", "none");
    const auto header = read_bus_file(bus, *file, false);
    check_same_bus(bus, header);
    take_changing(bus, header);
}

Position base_in_header(const Attachment& bus) {
    return {std::max<Lsn>(first_lsn, bus.changing.base_lsn.load()),
            Sequence{bus.changing.base_sequence.load()}};
}

Position base_of(const Attachment& bus) {
    const auto header = base_in_header(bus);
    if (!bus.is_private && !bus.rebuilt_privately) return header;
    const Position own{bus.words().history_lsn.load(),
                       Sequence{bus.words().history_sequence.load()}};
    // Others may have moved it since; a good prefix may begin behind it.
    return !bus.is_private && header.lsn > own.lsn ? header : own;
}

bool may_be_a_line(Attachment& bus, std::uint32_t line) {
    const auto& ceiling = bus.changing.page_id_ceiling;
    if (line >= ceiling.load() && !bus.is_private)
        refresh_header(bus);  // others may have raised it
    return line < ceiling.load();
}

void raise_page_id_ceiling(Attachment& bus, std::uint64_t id) {
    if (id <= bus.changing.page_id_ceiling.load()) return;
    update_header(bus, [&](log::BusHeader& header) {
        // Ids are taken one after another. What is far beyond is a word that was written over, and
        // the ids up to it would be lost for ever.
        constexpr std::uint64_t most_at_once = 1U << 20U;
        if (id > header.page_id_ceiling + most_at_once)
            bus.arena->contradiction(bus.words().next_page,
                                     fmt::format("about {} at most", header.page_id_ceiling));
        if (id > header.page_id_ceiling) header.page_id_ceiling = id + std::min(id, ceiling_step);
    });
}

namespace {

std::optional<os::File> opening_file(os::Folder& folder) {
    try {
        return folder.open("lock.open", os::Create::if_need, true);
    } catch (const Io& e) {
        if (e.system_error() != ENOENT) throw;
        return std::nullopt;
    }
}

[[noreturn]] void throw_opening(const os::Folder& folder, const os::File& file) {
    std::array<std::byte, 32> text{};
    const auto size = file.read(0, text);
    const auto pid =
        std::atoi(text_of(std::span(text).first(std::min(size, text.size() - 1))).c_str());
    throw Busy(ErrorCode::busy,
               fmt::format("{} is being opened or recovered by process {} ({})", folder.path(), pid,
                           os::process_name(pid)),
               {.name = os::process_name(pid), .path = folder.path(), .process = pid});
}

}  // namespace

std::optional<os::FileLock> lock_for_opening(os::Folder& folder,
                                             std::chrono::milliseconds timeout) {
    auto file = opening_file(folder);
    if (!file) return std::nullopt;
    os::FileLock lock(std::move(*file));
    if (!lock.exclusive(timeout)) throw_opening(folder, lock.file());
    const auto found = folder.open("lock.open", os::Create::never, false);
    if (!found || found->inode() != lock.file().inode()) return std::nullopt;
    const auto text = fmt::format("{:<{}}\n", os::process_id(), opening_lock_size - 1);
    lock.file().write(0, bytes_of(text));
    return lock;
}

void mend_poison(Attachment& bus) {
    auto& words = bus.words();
    const auto error = words.poison.load();
    words.poison.store(0);
    words.unsure.store(2);  // as after a sync whose end nobody saw
    try {
        // Reading all of it back checks every record that the disk may have forgotten.
        Cursor cursor(bus, base_of(bus).lsn, words.flushed.load());
        while (cursor.next()) {
        }
        flush_again(bus, bus.lock_timeout);
        bus.notice(
            Notice::Level::warning,
            fmt::format(
                "{}: an earlier write or sync had failed ({}); everything was written again and is "
                "durable up to sequence {}",
                bus.path, std::strerror(static_cast<int>(error)), words.durable_sequence.load()));
    } catch (const Error& e) {
        words.poison.store(error);
        bus.notice(
            Notice::Level::warning,
            fmt::format(
                "{}: an earlier write or sync had failed, and mending failed too: {}; it can be "
                "read, not written",
                bus.path, e.what()));
    } catch (...) {  // no memory to mend it with: whoever opens it next does
        words.poison.store(error);
        throw;
    }
    bus.recovery.needed = true;
}

// ---- the arena's file
// -------------------------------------------------------------------------------

arena::Stamps stamps_for(const Attachment& bus) {
    arena::Stamps s;
    s.layout = arena::layout_fingerprint;
    s.bus = bus.header.uuid;
    os::random_bytes(s.incarnation);
    s.bus_inode = bus.header.inode;
    s.pid_namespace = os::pid_namespace();
    s.mount_namespace = os::mount_namespace();
    s.geometry = bus.header.geometry;
    os::boot_id().copy(s.boot.data(), s.boot.size() - 1);
    os::platform().copy(s.platform.data(), s.platform.size() - 1);
    if (!bus.path.empty())
        std::filesystem::absolute(bus.path).string().copy(s.folder.data(), s.folder.size() - 1);
    return s;
}

namespace {

// As we write it. Another path is somebody's trick, or damage: then it says nothing.
bool is_plain(std::string_view path) {
    if (!path.starts_with('/') || path.find('\0') != path.npos) return false;
    const auto whole = std::string(path) + '/';
    return whole.find("//") == whole.npos && whole.find("/./") == whole.npos &&
           whole.find("/../") == whole.npos;
}

// For those who open the bus from another working folder.
std::string whole_path(const std::string& folder) {
    std::error_code none;
    auto path = std::filesystem::weakly_canonical(std::filesystem::absolute(folder), none).string();
    if (none) path = std::filesystem::absolute(folder).lexically_normal().string();
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    return path;
}

// Is the bus of that arena in that folder? Another one may have been made where it was.
bool is_there(os::Folder* folder, const arena::Stamps& stamps) {
    const auto file =
        folder == nullptr ? std::nullopt : folder->open("bus", os::Create::never, false);
    if (!file || file->inode() != stamps.bus_inode) return false;
    std::array<std::byte, 2 * log::bus_header_size> bytes{};
    const auto header = log::decode_bus(std::span(bytes).first(file->read(0, bytes)));
    return !header.value || header.value->uuid == stamps.bus;  // unreadable: perhaps
}

}  // namespace

ArenaFile::ArenaFile(Attachment& bus, const std::string& folder, unsigned permissions)
    : bus_(bus), folder_(folder), permissions_(permissions) {
    name_ = fmt::format("mmsb-{}-{}.arena", hex(bus.header.uuid), bus.header.inode);
    temporary_ = fmt::format("{}.{}.new", name_, os::process_id());
    if (const auto file = bus.folder->open("arena", os::Create::never, false)) {
        std::vector<std::byte> text(4096);
        text.resize(file->read(0, text));
        path_ = remembered_ = text_of(text);
        if (!is_plain(path_)) path_.clear();
        if (folder_.empty() && path_.ends_with("/" + name_))
            folder_ = path_.substr(0, path_.size() - name_.size() - 1);
    }
    if (!folder_.empty()) folder_ = whole_path(folder_);
    if (folder_.empty())
        folder_ = os::free_space("/dev/shm") >= least_shm ? "/dev/shm" : whole_path(bus.path);
    if (folder_ != path_.substr(0, path_.rfind('/')) || !path_.ends_with(name_))
        path_ = folder_ + "/" + name_;
    in_ = os::open_folder(folder_, false, permissions_);
}

ArenaFile::~ArenaFile() {
    if (!created_) return;
    try {
        in_->remove(temporary_);
    } catch (const std::exception&) {
        // The next one who makes an arena sweeps it.
    }
}

void throw_no_arena_folder(const std::string& path) {
    throw Io(ErrorCode::io, path + ": no such folder for the arena",
             {.path = path, .system = ENOENT});
}

std::optional<os::File> ArenaFile::open(bool writable) {
    if (!in_) return std::nullopt;
    return in_->open(name_, os::Create::never, writable);
}

os::File ArenaFile::create() {
    if (!in_) throw_no_arena_folder(folder_);
    sweep();
    in_->remove(temporary_);
    auto file = std::move(*in_->open(temporary_, os::Create::always, true));
    created_ = true;
    file.set_path(path_);
    return file;
}

void ArenaFile::publish() {
    in_->rename(temporary_, name_);
    created_ = false;
    MMSB_STEP("attach.arena_named");
    remember();
}

void ArenaFile::remember() {
    if (remembered_ == path_) return;
    auto file = bus_.folder->open("arena.new", os::Create::if_need, true);
    file->truncate(0);
    file->write(0, bytes_of(path_));
    bus_.folder->rename("arena.new", "arena");
    remembered_ = path_;
}

void ArenaFile::remove() {
    if (in_) in_->remove(name_);
}

// Arenas whose bus was deleted by hand, and half-made ones of processes that died, would hold
// memory until the next boot. Only what its last user closed cleanly, and whose bus is gone, is
// removed. (In a container with other mounts a bus may be there all the same, and just be opened.)
void ArenaFile::sweep() {
    for (const auto& name : in_->list()) {
        if (!name.starts_with("mmsb-") || name.find(".arena") == std::string::npos || name == name_)
            continue;
        try {
            const auto file = in_->open(name, os::Create::never, false);
            if (!file || file->owner() != os::user_id()) continue;
            const auto stamps = arena::read_stamps(*file);
            if (name.ends_with(".new")) {
                if (stamps && stamps->pid_namespace != os::pid_namespace()) continue;
                const auto dot = name.rfind('.', name.size() - 5);
                if (!os::process_is_alive(std::atoi(name.c_str() + dot + 1))) in_->remove(name);
                continue;
            }
            if (!stamps || stamps->mount_namespace != os::mount_namespace() ||
                stamps->layout != arena::layout_fingerprint)
                continue;
            const std::string folder(stamps->folder.data(),
                                     strnlen(stamps->folder.data(), stamps->folder.size()));
            std::array<std::byte, 8> clean{};
            file->read(offsetof(arena::Control, clean), clean);
            const auto theirs = os::open_folder(folder, false, permissions_);
            if (clean[0] == std::byte{1} && !is_there(theirs.get(), *stamps)) in_->remove(name);
        } catch (const Error&) {
            continue;  // another user's, or just being removed
        }
    }
}

}  // namespace mmsb::state
