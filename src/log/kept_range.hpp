/// log/kept_range: where records of one segment lie and what reads them, kept so that asking again
/// takes no lock.
#pragma once

#include "log/record.hpp"

#include <atomic>
#include <cstdint>
#include <optional>

namespace mmsb::log {

/// The LSNs that one segment maps.
struct Range {
    Lsn start = 0;
    Lsn end = 0;  ///< Its capacity, or where the next one starts.
    Context context{};
    [[nodiscard]] bool holds(Lsn lsn) const noexcept { return lsn >= start && lsn < end; }
    friend bool operator==(const Range&, const Range&) = default;
};

/// One of them. Threads: get() from any; set() and forget() one at a time.
class KeptRange {
public:
    /// The one that is kept, if it holds `lsn`.
    [[nodiscard]] std::optional<Range> get(Lsn lsn) const noexcept;
    /// Keeps the newer one: who reads what is old does not take it from those who read what is new.
    void set(const Range& range) noexcept;
    void forget() noexcept { store({}); }

private:
    void store(const Range& range) noexcept;

    std::atomic<std::uint64_t> version_{0};  ///< Odd while the others change.
    std::atomic<Lsn> start_{0}, end_{0};
    std::atomic<std::uint64_t> salt_{0};
    std::atomic<std::int64_t> base_time_ns_{0};
};

}  // namespace mmsb::log
