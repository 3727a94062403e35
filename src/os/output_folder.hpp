/// os/output_folder: a folder outside any bus to write files into, and nowhere else: no symbolic
/// link below it is followed. Modes are as the umask says.
///
/// Threads: `const` functions from any thread. Errors: Io and OutOfSpace with the path.
#pragma once

#include "os/file.hpp"

namespace mmsb::os {

class OutputFolder {
public:
    /// Makes the folder and its parents if need be.
    explicit OutputFolder(const std::string& path);
    /// A file below the folder, and the folders on the way to it; a file that is there is replaced.
    /// It has its name only once all of it is on the disk. REQUIRES a relative path of plain names,
    /// parted by single slashes.
    void write(const std::string& path, std::span<const std::byte> bytes) const;

private:
    [[nodiscard]] File folder_for(const std::string& path) const;

    File folder_{};
};

}  // namespace mmsb::os
