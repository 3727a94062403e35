#include "api/stream.hpp"
#include "state/cursor.hpp"
#include "state/page_at.hpp"
#include "state/past.hpp"
#include "state/seek.hpp"
#include "state/structure_at.hpp"

#include <mmsb/view.hpp>

#include <fmt/format.h>
#include <algorithm>

namespace mmsb {

using detail::Bus;

namespace detail {

View Bus::view(std::unique_ptr<View::Impl> impl) { return View(std::move(impl)); }
const View::Impl& Bus::impl_of(const View& view) { return view.impl(); }

void throw_not_there(PageId page, Sequence at) {
    throw PageNotFound(
        ErrorCode::page_not_found,
        fmt::format("page {} was not there at sequence {}", number(page), number(at)),
        {.page = page});
}

}  // namespace detail

namespace {

// What is asked for further pages is probably asked for all. Below this they are kept at once.
constexpr std::size_t most_alone = 64;
constexpr std::uint64_t all_at_once = 64 * limits::mib;

}  // namespace

const replay::Image& View::Impl::image(const replay::Keep& keep) const {
    if (!all) {
        all.emplace(state::image_at(Bus::get(bus).at(), sequence, keep));
        size_of_all = 0;
        for (const auto& [id, page] : all->pages()) size_of_all += page.size;
    }
    return *all;
}

// None: image() has it, or is as quick.
const replay::Structure* View::Impl::structure() const {
    if (all) return nullptr;
    if (!names) names = state::structure_at(Bus::get(bus).at(), sequence);
    return names ? &*names : nullptr;
}

// None: it is to be had with the others.
const replay::ImagePage* View::Impl::by_itself(PageId page) const {
    if (const auto found = pages.find(page); found != pages.end()) return &found->second;
    if (pages.size() >= most_alone && (!all || size_of_all <= all_at_once)) return nullptr;
    const auto found = state::page_at(Bus::get(bus).at(), sequence, page);
    if (!found) return nullptr;
    const auto* there = found->find(page);
    if (there == nullptr) detail::throw_not_there(page, sequence);
    return &pages.emplace(page, *there).first->second;
}

PageInfo View::Impl::info(PageId page) const {
    if (const auto* known = structure(); known != nullptr)
        if (const auto* there = by_itself(page); there != nullptr)
            return replay::info_of(page, *there, known->dependencies);
    const auto& known = image({replay::Keep::Which::none, {}});
    const auto* there = known.find(page);
    if (there == nullptr) detail::throw_not_there(page, sequence);
    return known.info(page, *there);
}

// Of all pages. False: many have changed since, and image() is as quick.
bool View::Impl::infos(std::vector<PageInfo>& out) const {
    const auto* known = structure();
    if (known == nullptr) return false;
    auto& at = Bus::get(bus).at();
    for (const auto& [id, page] : known->pages) {
        const auto line = state::unchanged_since(at, sequence, id);
        if (line) {
            out.push_back(replay::info_of(id, page, line->size, Epoch{line->epoch},
                                          known->dependencies.formulas.contains(id),
                                          line->stale()));
        } else {
            const auto* there = by_itself(id);
            if (there == nullptr) return false;
            out.push_back(replay::info_of(id, *there, known->dependencies));
        }
    }
    return true;
}

std::span<const std::byte> View::Impl::bytes(PageId page) const {
    static_cast<void>(Bus::get(bus));
    if (const auto there = std::ranges::lower_bound(snapshot, page, {}, &state::Wanted::page);
        there != snapshot.end() && there->page == page)
        return there->bytes;
    const std::lock_guard lock(mutex);
    if (const auto* there = by_itself(page); there != nullptr) return there->bytes;
    const bool first = !all;
    const auto& known = image({replay::Keep::Which::some, {page}});
    const auto* there = known.find(page);
    if (there == nullptr) detail::throw_not_there(page, sequence);
    if (first) return pages.emplace(page, *there).first->second.bytes;
    replay::Keep keep{replay::Keep::Which::some, {page}};
    if (size_of_all <= all_at_once) keep = {};
    const auto rebuilt = state::image_at(Bus::get(bus).at(), sequence, keep);
    for (const auto& [id, p] : rebuilt.pages())
        if (keep.keeps(id)) pages.emplace(id, p);
    return pages.at(page).bytes;
}

View::View(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
View::View(View&&) noexcept = default;
View& View::operator=(View&&) noexcept = default;
View::~View() = default;

const View::Impl& View::impl() const {
    if (!impl_) detail::throw_moved_from("view");
    return *impl_;
}

Sequence View::sequence() const noexcept { return impl_ ? impl_->sequence : Sequence::zero; }

Time View::time() const {
    const std::lock_guard lock(impl().mutex);
    auto& at = Bus::get(impl().bus).at();
    if (!impl().all && at.logging && impl().sequence > state::oldest_view(at)) {
        const auto commit = state::record_at(at, state::start_of(at, impl().sequence));
        return detail::time_of(commit.record());
    }
    return Time(std::chrono::nanoseconds(impl().image({replay::Keep::Which::none, {}}).time_ns()));
}

std::optional<PageInfo> View::find_page(std::string_view name) const {
    const std::lock_guard lock(impl().mutex);
    const auto find_in = [&](const auto& pages) -> std::optional<PageInfo> {
        for (const auto& [id, page] : pages)
            if (!name.empty() && page.name == name) return impl().info(id);
        return std::nullopt;
    };
    if (const auto* known = impl().structure(); known != nullptr) return find_in(known->pages);
    return find_in(impl().image({replay::Keep::Which::none, {}}).pages());
}

PageInfo View::info(PageId page) const {
    const std::lock_guard lock(impl().mutex);
    return impl().info(page);
}

std::vector<PageInfo> View::pages() const {
    const std::lock_guard lock(impl().mutex);
    std::vector<PageInfo> all;
    if (impl().infos(all)) return all;
    all.clear();
    const auto& image = impl().image({replay::Keep::Which::none, {}});
    for (const auto& [id, page] : image.pages()) all.push_back(image.info(id, page));
    return all;
}

std::vector<Edge> View::edges() const {
    const std::lock_guard lock(impl().mutex);
    const auto* known = impl().structure();
    const auto& [added, formulas] =
        known != nullptr ? known->dependencies
                         : impl().image({replay::Keep::Which::none, {}}).dependencies();
    auto all = added;
    for (const auto& [child, formula] : formulas)
        for (const auto parent : formula.parents) all.insert({parent, child, EdgeType::data});
    return {all.begin(), all.end()};
}

std::span<const std::byte> View::bytes(PageId page) const& { return impl().bytes(page); }

std::span<const std::byte> View::typed(PageId page, std::size_t size, bool exactly) const {
    const auto bytes = impl().bytes(page);
    if (exactly ? bytes.size() != size : bytes.size() % size != 0)
        throw TypeMismatch(
            ErrorCode::type_mismatch,
            fmt::format("page {} had {} bytes at sequence {}", number(page), bytes.size(),
                        number(impl().sequence)),
            {.page = page,
             .expected = fmt::format("{}{} bytes", exactly ? "" : "a multiple of ", size),
             .found = fmt::format("{}", bytes.size())});
    return bytes;
}

}  // namespace mmsb
