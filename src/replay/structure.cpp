#include "replay/structure.hpp"

#include <fmt/format.h>

namespace mmsb::replay {

bool DependencyChange::take(const log::EdgeEntry& entry) {
    const Edge edge{entry.parent, entry.child, entry.type};
    if (added_.contains(edge) || removed_.contains(edge)) return false;
    (entry.added ? added_ : removed_).insert(edge);
    return true;
}

bool DependencyChange::take(const log::FormulaEntry& entry) {
    if (formulas_.contains(entry.child) || freed_.contains(entry.child)) return false;
    if (entry.added)
        formulas_.emplace(entry.child, Formula{std::string(entry.function),
                                               {entry.arguments.begin(), entry.arguments.end()},
                                               log::page_ids(entry.parents)});
    else
        freed_.insert(entry.child);
    return true;
}

std::string DependencyChange::problem(const Dependencies& before,
                                      FunctionRef<bool(PageId)> is_there) const {
    for (const auto& edge : removed_)
        if (!before.edges.contains(edge))
            return fmt::format("the edge from page {} to page {} is not there", number(edge.parent),
                               number(edge.child));
    for (const auto page : freed_)
        if (!before.formulas.contains(page))
            return fmt::format("page {} has no formula", number(page));
    if (const auto page = missing_page({added_, formulas_}, is_there))
        return fmt::format("page {} is not there, and has an edge", number(*page));
    return {};
}

void DependencyChange::apply(Dependencies& to) noexcept {
    for (const auto& edge : removed_) to.edges.erase(edge);
    for (const auto page : freed_) to.formulas.erase(page);
    for (const auto& [page, formula] : formulas_) to.formulas.erase(page);
    to.edges.merge(added_);
    to.formulas.merge(formulas_);
}

std::optional<PageId> missing_page(const Dependencies& of, FunctionRef<bool(PageId)> is_there) {
    for (const auto& edge : of.edges)
        for (const auto page : {edge.parent, edge.child})
            if (!is_there(page)) return page;
    for (const auto& [child, formula] : of.formulas) {
        if (!is_there(child)) return child;
        for (const auto parent : formula.parents)
            if (!is_there(parent)) return parent;
    }
    return std::nullopt;
}

}  // namespace mmsb::replay
