/// state/outside: files that are written for a user lie outside of every bus.
#pragma once

#include <string>

namespace mmsb::state {

/// Throws InvalidArgument where a byte of zero would end the path before its end: of the file that
/// is meant then nobody has spoken.
void require_path(const std::string& path);
/// Where to write a file that may be replaced: what a symbolic link leads to. Throws
/// InvalidArgument inside the folder of a bus, and where something is there that is no file.
[[nodiscard]] std::string file_outside(const std::string& path);
/// Throws InvalidArgument if the folder is a bus, or in one.
void require_outside(const std::string& folder);

}  // namespace mmsb::state
