/// state/lines_by_id: which line each page was found at last. A hint: a look-up in the catalog
/// costs more than all the rest of a record that is replayed.
#pragma once

#include "state/attachment.hpp"

#include <vector>

namespace mmsb::state {

/// Threads: one.
class LinesById {
public:
    /// unknown_line where none was set.
    [[nodiscard]] std::uint32_t find(PageId id) const noexcept {
        return number(id) < lines_.size() ? lines_[number(id)] : unknown_line;
    }
    void set(PageId id, std::uint32_t line) {
        // Ids are given in order, and so there are few holes.
        constexpr std::uint64_t most = std::uint64_t{1} << 24U;
        if (number(id) >= most) return;
        if (number(id) >= lines_.size())
            lines_.resize(number(id) + number(id) / 2 + 1, unknown_line);
        lines_[number(id)] = line;
    }

private:
    std::vector<std::uint32_t> lines_{};
};

}  // namespace mmsb::state
