/// log/segments_new_file: a file of the log's folder, or of the checkpoints', that gets its name
/// only when it is complete. For log and state.
#pragma once

#include "log/format.hpp"
#include "os/file.hpp"

#include <string>

namespace mmsb::log {

/// Locked (flock) as long as it lives, which tells a file being made from one left by a crash.
/// Removed when destroyed unpublished.
class NewFile {
public:
    explicit NewFile(os::Folder& folder);
    ~NewFile();
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;

    [[nodiscard]] const os::File& file() const noexcept { return lock_.file(); }
    /// False where `name` is taken.
    [[nodiscard]] bool publish(const std::string& name);

    /// Removes what crashed processes left.
    static void sweep(os::Folder& folder);

private:
    os::Folder& folder_;
    std::string name_{};
    os::FileLock lock_{};
};

/// Throws what a refused header of the file `path` is: NewerFormat or Corrupt (a foreign file,
/// too).
[[noreturn]] void refuse(const std::string& path, const Refusal& refusal);

}  // namespace mmsb::log
