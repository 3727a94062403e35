#include <mmsb/error.hpp>

#include <cstring>

namespace mmsb {

std::string_view to_string(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::invalid_argument:
            return "invalid argument";
        case ErrorCode::wrong_context:
            return "wrong context";
        case ErrorCode::type_mismatch:
            return "type mismatch";
        case ErrorCode::page_not_found:
            return "page not found";
        case ErrorCode::invalid_delta:
            return "invalid delta";
        case ErrorCode::conflict:
            return "conflict";
        case ErrorCode::busy:
            return "busy";
        case ErrorCode::not_durable:
            return "not durable";
        case ErrorCode::out_of_space:
            return "out of space";
        case ErrorCode::io:
            return "io";
        case ErrorCode::not_a_bus:
            return "not a bus";
        case ErrorCode::newer_format:
            return "newer format";
        case ErrorCode::arena_elsewhere:
            return "arena elsewhere";
        case ErrorCode::corrupt:
            return "corrupt";
        case ErrorCode::history_dropped:
            return "history dropped";
        case ErrorCode::read_only:
            return "read only";
        case ErrorCode::closed:
            return "closed";
        case ErrorCode::poisoned:
            return "poisoned";
        case ErrorCode::graph_cycle:
            return "graph cycle";
        case ErrorCode::recompute_failed:
            return "recompute failed";
    }
    return "unknown";
}

Error::Error(ErrorCode code, const std::string& what, ErrorDetails details)
    : std::runtime_error(what),
      code_(code),
      details_(std::make_shared<const ErrorDetails>(std::move(details))) {}

std::string Poisoned::errno_name() const {
#if defined(__GLIBC__)
    if (const char* const name = ::strerrorname_np(system_error()); name != nullptr) return name;
#endif
    return "errno " + std::to_string(system_error());
}

}  // namespace mmsb
