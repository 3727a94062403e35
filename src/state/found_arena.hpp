/// state/found_arena: is what lies in the arena's place the arena of this bus, whole, and of
/// somebody who may be trusted? And may there be a bus at all?
#pragma once

#include "os/file_system.hpp"
#include "state/attachment.hpp"

namespace mmsb::state {

enum class Found : std::uint8_t {
    good,
    none,       ///< Nothing, another bus's, a copy's original's, or from before a reboot.
    elsewhere,  ///< Of this bus and boot, but of another build, or another user's.
    cut_short,  ///< Somebody made the file shorter: it holds nothing.
};
/// `stamps`: of what is there. Throws Io.
[[nodiscard]] Found look_at(const Attachment& bus, const std::optional<os::File>& file,
                            arena::Stamps& stamps);

[[noreturn]] void throw_elsewhere(const Attachment& bus, const std::string& arena_path);
[[noreturn]] void throw_cut_short(const Attachment& bus, const std::string& arena_path);

/// Throws NotABus where there is no folder, and none is to be made.
[[nodiscard]] std::unique_ptr<os::Folder> open_bus_folder(const Config& config, bool create);
/// As above, but nullptr there. Throws NotABus where the path leads to something else.
[[nodiscard]] std::unique_ptr<os::Folder> find_bus_folder(const Config& config, bool create);
/// Throws InvalidArgument where bus or arena lie, or would be made, on a network file system that
/// was not asked for. `kind` gives the name of the one that a folder lies on, empty for none.
void refuse_network(const Config& config, FunctionRef<std::string_view(const std::string&)> kind =
                                              os::network_file_system);

}  // namespace mmsb::state
