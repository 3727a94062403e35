/// replay/structure: what the pages are, without their bytes: lines, names, metadata, sources.
#pragma once

#include "log/format.hpp"

#include <mmsb/types.hpp>

#include <map>
#include <string>

namespace mmsb::replay {

struct PageStructure {
    std::uint32_t line = 0;
    Location location = Location::cpu;
    std::string name{};
    Metadata metadata{};
};

/// As of one structural record.
struct Structure {
    log::Lsn head = 0;  ///< Start of the newest structural record that is in it; 0: none.
    std::map<PageId, PageStructure> pages{};
    std::map<std::uint32_t, std::string> sources{};  ///< By number.
};

}  // namespace mmsb::replay
