// View::export_to: pages as files, below one folder whatever their names say.
#include "api/bus.hpp"
#include "os/output_folder.hpp"
#include "state/outside.hpp"
#include "state/past.hpp"

#include <mmsb/view.hpp>

#include <fmt/format.h>
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

namespace mmsb {

namespace {

// By the file's path.
using Plan = std::map<std::string, PageId>;

// Neither absolute nor upwards.
std::string file_for(std::string_view name, PageId id) {
    std::string path;
    while (!name.empty()) {
        const auto end = std::min(name.find('/'), name.size());
        const auto part = name.substr(0, end);
        name.remove_prefix(std::min(end + 1, name.size()));
        if (part.empty() || part == ".") continue;
        if (!path.empty()) path += '/';
        path += part == ".." ? "__" : part;
    }
    std::ranges::replace(path, '\0', '_');
    return path.empty() ? fmt::format("page-{}", number(id)) : path;
}

[[noreturn]] void refuse(PageId one, PageId other, const std::string& path) {
    throw InvalidArgument(
        ErrorCode::invalid_argument,
        fmt::format("pages {} and {} would both become {}", number(one), number(other), path),
        {.page = other, .name = path, .expected = "a file of its own", .found = path});
}

Plan plan_for(const replay::Image& image, const std::vector<PageId>& pages) {
    Plan plan;
    for (const auto id : pages) {
        const auto path = file_for(image.find(id)->name, id);
        const auto [other, fresh] = plan.emplace(path, id);
        if (!fresh && other->second != id) refuse(other->second, id, path);
    }
    // A file cannot be the folder of another.
    for (const auto& [path, id] : plan) {
        for (auto i = path.find('/'); i != std::string::npos; i = path.find('/', i + 1)) {
            const auto other = plan.find(path.substr(0, i));
            if (other != plan.end()) refuse(other->second, id, other->first);
        }
    }
    return plan;
}

}  // namespace

void View::export_to(const std::string& folder, const ExportOptions& options) const {
    const auto keep = options.pages.empty()
                          ? replay::Keep{}
                          : replay::Keep{replay::Keep::Which::some, options.pages};
    const auto image = state::image_at(detail::Bus::get(impl_->bus).at(), impl_->sequence, keep);
    auto pages = options.pages;
    for (const auto page : pages)
        if (image.find(page) == nullptr) detail::throw_not_there(page, impl_->sequence);
    if (pages.empty())
        for (const auto& [id, page] : image.pages()) pages.push_back(id);
    const auto plan = plan_for(image, pages);
    std::set<std::filesystem::path> folders{folder};
    for (const auto& [path, id] : plan)
        folders.insert((std::filesystem::path(folder) / path).parent_path());
    for (const auto& each : folders) state::require_outside(each.string());
    const os::OutputFolder out(folder);
    std::size_t done = 0;
    for (const auto& [path, id] : plan) {
        const auto& page = *image.find(id);
        out.write(path, page.bytes);
        ++done;
        if (options.on_file)
            options.on_file(image.info(id, page), path,
                            static_cast<double>(done) / static_cast<double>(plan.size()));
    }
}

}  // namespace mmsb
