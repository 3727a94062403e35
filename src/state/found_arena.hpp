/// state/found_arena: is what lies in the arena's place the arena of this bus, and whole?
#pragma once

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

}  // namespace mmsb::state
