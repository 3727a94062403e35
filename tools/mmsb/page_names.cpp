#include "page_names.hpp"

#include <algorithm>
#include <set>

namespace mmsb::tool {

namespace {

// As of where the past is kept from.
std::vector<PageInfo> pages_of_oldest(const State& bus) {
    for (;;) {
        const Sequence oldest = bus.oldest();
        try {
            return bus.at(oldest).pages();
        } catch (const HistoryDropped&) {
            if (bus.oldest() == oldest) throw;  // else somebody drops some of it just now
        }
    }
}

bool is_hiding(const LogFilter& filter) {
    return !filter.pages.empty() || !filter.source.empty() || filter.tag || filter.since;
}

}  // namespace

PageNames::PageNames(const State& bus, const LogFilter& filter) : bus_(bus) {
    // Where what named a page is no longer kept, its name of today is a good guess.
    add(bus.snapshot().pages());
    const bool is_to_come = filter.from > bus.sequence();
    const Sequence from = is_to_come ? filter.from : Sequence::zero;
    if (is_hiding(filter) || (!is_to_come && filter.from > bus.oldest() + 1))
        structure_ = bus.tlog({.from = from, .structure = true});
    if (!is_to_come && bus.oldest() != Sequence::zero) add(pages_of_oldest(bus));
}

void PageNames::follow(const Record& record) {
    try {
        if (structure_) return follow_structure(record.sequence);
    } catch (const HistoryDropped&) {  // meanwhile: what is shown lies behind that
        structure_.reset();
    }
    take(record);
}

PageInfo PageNames::named(PageInfo page) const {
    if (page.name.empty()) page.name = name(page.id);
    return page;
}

std::string PageNames::name(PageId page) const {
    const auto found = names_.find(page);
    return found == names_.end() ? std::string() : found->second;
}

std::string PageNames::title(PageId page) const {
    return tool::title({.id = page, .name = name(page)});
}

void PageNames::add(const std::vector<PageInfo>& pages) {
    for (const PageInfo& page : pages) names_[page.id] = page.name;
}

void PageNames::take(const Record& record) {
    for (const PageInfo& page : record.pages)
        if (!page.name.empty()) names_[page.id] = page.name;
}

void PageNames::follow_structure(Sequence upto) {
    for (;; next_.reset()) {
        if (!next_ && upto <= known_) return;
        if (!next_) {
            const Sequence now = bus_.sequence();
            next_ = structure_->next(Timeout::zero());
            if (!next_) {
                known_ = now;
                return;
            }
        }
        if (next_->sequence > upto) return;
        take(*next_);
    }
}

std::vector<PageId> pages_named(const State& bus, const std::vector<std::string>& wanted) {
    std::map<std::string, std::vector<PageId>> found;
    for (const std::string& name : wanted) found[name];
    std::set<PageId> all;
    const auto look_at = [&](const std::vector<PageInfo>& some) {
        for (const PageInfo& page : some) {
            all.insert(page.id);
            const auto name = found.find(page.name);
            if (name != found.end() && !page.name.empty()) name->second.push_back(page.id);
        }
    };
    if (bus.oldest() != Sequence::zero) look_at(pages_of_oldest(bus));
    for (const Record& record : bus.tlog({.structure = true})) look_at(record.pages);
    std::vector<PageId> pages;
    for (auto& [name, ids] : found) {
        if (ids.empty()) {
            const auto number = page_number(name);
            ids.push_back(number && all.contains(*number) ? *number
                                                          : page_in(bus.snapshot(), name).id);
        }
        pages.insert(pages.end(), ids.begin(), ids.end());
    }
    std::ranges::sort(pages);
    pages.erase(std::unique(pages.begin(), pages.end()), pages.end());
    return pages;
}

}  // namespace mmsb::tool
