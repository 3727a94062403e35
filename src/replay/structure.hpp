/// replay/structure: what the pages are, without their bytes: lines, names, metadata, sources, and
/// what depends on what.
#pragma once

#include "log/record.hpp"

#include <mmsb/types.hpp>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace mmsb::replay {

struct PageStructure {
    std::uint32_t line = 0;
    Location location = Location::cpu;
    std::string name{};
    Metadata metadata{};
};

/// By what a page is computed.
struct Formula {
    std::string function{};
    Bytes arguments{};
    std::vector<PageId> parents{};  ///< At least one.
    friend bool operator==(const Formula&, const Formula&) = default;
};
/// Which page depends on which. Those that a formula names are its parents' children, too.
struct Dependencies {
    std::set<Edge> edges{};
    std::map<PageId, Formula> formulas{};  ///< By the page that it computes.
    [[nodiscard]] bool empty() const noexcept { return edges.empty() && formulas.empty(); }
    friend bool operator==(const Dependencies&, const Dependencies&) = default;
};
/// What one record does to them. It names an edge, and a page's formula, once at most.
class DependencyChange {
public:
    /// Takes in an entry. False: it names what was named before.
    [[nodiscard]] bool take(const log::EdgeEntry& entry);
    [[nodiscard]] bool take(const log::FormulaEntry& entry);
    [[nodiscard]] bool empty() const noexcept {
        return added_.empty() && removed_.empty() && formulas_.empty() && freed_.empty();
    }
    /// What contradicts `before`, or a page that is not there after the record; else empty.
    [[nodiscard]] std::string problem(const Dependencies& before,
                                      FunctionRef<bool(PageId)> is_there) const;
    /// Moves what was taken in. Cannot fail.
    void apply(Dependencies& to) noexcept;

private:
    std::set<Edge> added_{}, removed_{};
    std::map<PageId, Formula> formulas_{};
    std::set<PageId> freed_{};
};

/// Do edges and formulas name pages that `is_there`, and no other?
[[nodiscard]] std::optional<PageId> missing_page(const Dependencies& of,
                                                 FunctionRef<bool(PageId)> is_there);

/// As of one structural record.
struct Structure {
    log::Lsn head = 0;  ///< Start of the newest structural record that is in it; 0: none.
    std::map<PageId, PageStructure> pages{};
    std::map<std::uint32_t, std::string> sources{};  ///< By number.
    Dependencies dependencies{};
};

}  // namespace mmsb::replay
