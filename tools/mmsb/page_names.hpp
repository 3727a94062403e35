/// page_names: what pages were called when, for who lists the past.
#pragma once

#include "command.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mmsb::tool {

/// The names that pages have while the log is read. One thread; the bus outlives it.
class PageNames {
public:
    /// For who reads what `filter` admits.
    PageNames(const State& bus, const LogFilter& filter);
    /// To what they are behind that commit, the next that is shown.
    void follow(const Record& record);
    /// With its name, where it has none in itself.
    [[nodiscard]] PageInfo named(PageInfo page) const;
    /// "" where it has none. One that was deleted keeps its last one.
    [[nodiscard]] std::string name(PageId page) const;
    [[nodiscard]] std::string title(PageId page) const;

private:
    void add(const std::vector<PageInfo>& pages);
    void take(const Record& record);
    void follow_structure(Sequence upto);

    const State& bus_;
    std::map<PageId, std::string> names_{};
    std::optional<TLog> structure_{};  ///< Where the filter hides what names pages.
    std::optional<Record> next_{};     ///< Read from there, and not taken yet.
    Sequence known_ = Sequence::zero;  ///< Up to here nothing else comes from there.
};

/// All pages that ever had one of the names, or are given by number, whether they are there still.
/// Throws PageNotFound.
[[nodiscard]] std::vector<PageId> pages_named(const State& bus,
                                              const std::vector<std::string>& wanted);

}  // namespace mmsb::tool
