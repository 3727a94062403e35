#include "state/bus_file.hpp"

#include "base/steps.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

log::DecodedBus decode(const os::File& file) {
    std::array<std::byte, 2 * log::bus_header_size> bytes{};
    const auto size = file.read(0, bytes);
    auto decoded = log::decode_bus(std::span(bytes).first(size));
    if (!decoded.value) throw_refused(file.path(), decoded.refusal);
    return decoded;
}

// The slot that counts comes last: until the other one is on the disk, it is what there is.
void write_both(const os::File& file, const log::BusHeader& header, std::size_t counts) {
    const auto slot = log::encode_bus(header);
    // Whoever wrote what is there may have died before the disk had it: before it is written over.
    file.sync_data();
    for (const auto which : {1 - counts, counts}) {
        file.write(which * log::bus_header_size, slot);
        file.sync_data();
        MMSB_STEP("header.copy");
    }
}

os::FileLock locked(Attachment& bus) {
    auto file = bus.folder->open("bus", os::Create::never, true);
    if (!file) throw_no_bus(bus.path, "a file named bus", "none");
    os::FileLock lock(std::move(*file));
    if (!lock.exclusive(bus.lock_timeout))
        throw Busy(ErrorCode::busy,
                   fmt::format("{} has been locked by another process for {} ms",
                               lock.file().path(), bus.lock_timeout.count()),
                   {.path = lock.file().path()});
    return lock;
}

}  // namespace

log::BusHeader read_bus_file(Attachment& bus, const os::File& file, bool repair) {
    auto decoded = decode(file);
    if (decoded.both) return *decoded.value;
    // Somebody may just be changing it. Who may write waits for him, and mends what is left then.
    std::optional<os::FileLock> lock;
    if (repair) lock.emplace(locked(bus));
    decoded = decode(file);
    if (decoded.other)
        bus.notice(Notice::Level::warning,
                   fmt::format("{}: one of the two copies of the header is torn or damaged (at {}: "
                               "expected {}, found {}); the other one is good{}",
                               file.path(), decoded.other->offset, decoded.other->expected,
                               decoded.other->found,
                               repair ? ", and this one was written again from it" : ""));
    if (repair && !decoded.both) write_both(lock->file(), *decoded.value, decoded.slot);
    return *decoded.value;
}

void write_bus_file(const os::File& file, const log::BusHeader& header) {
    const auto slot = log::encode_bus(header);
    for (const std::size_t which : {0U, 1U}) file.write(which * log::bus_header_size, slot);
    file.sync_data();
}

log::BusHeader change_bus_file(Attachment& bus, FunctionRef<void(log::BusHeader&)> change) {
    const auto lock = locked(bus);
    const auto now = decode(lock.file());
    check_same_bus(bus, *now.value);
    auto header = *now.value;
    change(header);
    if (header == *now.value) {
        lock.file().sync_data();  // it may be of somebody who died before he had synced it
        return header;
    }
    ++header.generation;
    write_both(lock.file(), header, now.slot);
    return header;
}

void check_same_bus(const Attachment& bus, const log::BusHeader& header) {
    if (header.uuid != bus.header.uuid)
        throw_no_bus(bus.path, "the bus that was opened", "another bus in its place");
}

void throw_removed(const std::string& path) {
    throw_no_bus(path, "a bus", "one that was removed meanwhile");
}

void throw_no_bus(const std::string& path, const std::string& expected, const std::string& found) {
    throw NotABus(ErrorCode::not_a_bus,
                  fmt::format("{} is no bus: expected {}, found {}", path, expected, found),
                  {.path = path, .expected = expected, .found = found});
}

void throw_refused(const std::string& file, const log::Refusal& refusal) {
    const auto text = fmt::format("{} at byte {}: expected {}, found {}", file, refusal.offset,
                                  refusal.expected, refusal.found);
    ErrorDetails details{.path = file,
                         .expected = refusal.expected,
                         .found = refusal.found,
                         .offset = refusal.offset};
    if (refusal.kind == log::Refusal::Kind::foreign)
        throw NotABus(ErrorCode::not_a_bus, text, std::move(details));
    if (refusal.kind == log::Refusal::Kind::newer)
        throw NewerFormat(ErrorCode::newer_format, text, std::move(details));
    throw Corrupt(ErrorCode::corrupt, text, std::move(details));
}

}  // namespace mmsb::state
