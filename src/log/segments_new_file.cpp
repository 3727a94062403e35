#include "log/segments_new_file.hpp"

#include "os/process.hpp"

#include <mmsb/error.hpp>

#include <fmt/format.h>

namespace mmsb::log {
namespace {
constexpr std::string_view suffix = ".new";
}

NewFile::NewFile(os::Folder& folder) : folder_(folder) {
    for (;;) {
        auto name = os::random_name().append(suffix);
        auto file = folder.open(name, os::Create::always, true);
        os::FileLock lock(std::move(*file));
        // Before the lock was taken a sweeper may have had the file: then another name.
        if (!lock.try_exclusive() || !folder.open(name, os::Create::never, false)) continue;
        name_ = std::move(name);
        lock_ = std::move(lock);
        return;
    }
}

NewFile::~NewFile() {
    if (name_.empty()) return;
    try {
        folder_.remove(name_);
    } catch (const std::exception&) {
        // It is swept later.
    }
}

bool NewFile::publish(const std::string& name) {
    if (!folder_.rename_new(name_, name)) return false;
    name_.clear();
    return true;
}

void NewFile::sweep(os::Folder& folder) {
    for (const auto& name : folder.list()) {
        if (!name.ends_with(suffix)) continue;
        auto file = folder.open(name, os::Create::never, true);
        if (!file) continue;
        os::FileLock lock(std::move(*file));
        if (lock.try_exclusive()) folder.remove(name);
    }
}

void refuse(const std::string& path, const Refusal& refusal) {
    const auto what = fmt::format("{} at byte {}: expected {}, found {}", path, refusal.offset,
                                  refusal.expected, refusal.found);
    ErrorDetails details;
    details.path = path;
    details.offset = refusal.offset;
    details.expected = refusal.expected;
    details.found = refusal.found;
    if (refusal.kind == Refusal::Kind::newer)
        throw NewerFormat(ErrorCode::newer_format, what, std::move(details));
    // A foreign file in a bus's own place and under its name is damage of that bus.
    throw Corrupt(ErrorCode::corrupt, what, std::move(details));
}

}  // namespace mmsb::log
