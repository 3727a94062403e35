#include "state/examine.hpp"
#include "state/outside.hpp"

namespace mmsb {

std::string_view to_string(FileKind kind) noexcept {
    switch (kind) {
        case FileKind::header:
            return "header";
        case FileKind::segment:
            return "segment";
        case FileKind::blob:
            return "blob";
        case FileKind::checkpoint:
            return "checkpoint";
        case FileKind::other:
            return "other";
    }
    return "unknown";
}

std::string_view to_string(FileHealth health) noexcept {
    switch (health) {
        case FileHealth::good:
            return "good";
        case FileHealth::torn:
            return "torn";
        case FileHealth::damaged:
            return "damaged";
        case FileHealth::missing:
            return "missing";
        case FileHealth::cut_off:
            return "cut off";
        case FileHealth::unused:
            return "unused";
    }
    return "unknown";
}

Diagnosis examine(const std::string& path) {
    state::require_path(path);
    return state::examine(path);
}

}  // namespace mmsb
