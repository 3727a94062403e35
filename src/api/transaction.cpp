#include "api/transaction_impl.hpp"
#include "state/commit.hpp"
#include "state/read.hpp"

#include <mmsb/transaction.hpp>

#include <fmt/format.h>
#include <algorithm>

namespace mmsb {

using detail::Bus;

// ---- what it holds
// --------------------------------------------------------------------------------

Transaction::Impl::~Impl() {
    constexpr std::size_t most_kept = 4096;
    clear();
    if (staged.pages.capacity() > most_kept) memory.drop();
}

void Transaction::Impl::clear() noexcept {
    pages = Pages(&resource);  // it has memory of the pieces' also when it is empty
    reads.clear();
    names.clear();
    staged.pages.clear();
    staged.reads.clear();
    staged.names.clear();
    staged.graph.clear();
    staged.clear_made();
    memory->pieces.clear();
    as_of = 0;
}

detail::TransactionPage Transaction::Impl::there(StagedAt& page) const {
    auto& its = staged.pages[page.at];
    if (its.deleted)
        throw PageNotFound(ErrorCode::page_not_found,
                           fmt::format("page {} is deleted in this transaction", number(its.page)),
                           {.page = its.page});
    return {its, page.overlay};
}

std::optional<detail::TransactionPage> Transaction::Impl::find(const Page& page) {
    detail::check_same_bus(page, bus);
    const auto found = pages.find(page.id());
    if (found == pages.end()) return std::nullopt;
    return there(found->second);
}

detail::TransactionPage Transaction::Impl::add(PageId page, std::uint32_t line) {
    const auto at =
        pages.emplace(page, StagedAt{staged.pages.size(), detail::Overlay(resource)}).first;
    try {
        auto& made = staged.pages.emplace_back();
        made.page = page;
        made.line = line;
        return {made, at->second.overlay};
    } catch (...) {
        pages.erase(at);
        throw;
    }
}

detail::TransactionPage Transaction::Impl::stage_unseen(const Page& page) {
    detail::check_same_bus(page, bus);
    if (const auto found = pages.find(page.id()); found != pages.end()) return there(found->second);
    auto& attachment = at().at();
    const auto& handle = Bus::handle_of(page);
    if (handle.line != state::unknown_line) __builtin_prefetch(attachment.arena->line(handle.line));
    state::prefetch(attachment, handle.hint);  // compared by the commit
    return add(page.id(), handle.line);
}

detail::TransactionPage Transaction::Impl::stage(const Page& page) {
    const auto before = staged.pages.size();
    const auto made = stage_unseen(page);
    if (staged.pages.size() == before) return made;
    try {
        static_cast<void>(state::find_line(at().at(), page.id(), made.staged.line));
    } catch (...) {
        unstage();
        throw;
    }
    return made;
}

bool Transaction::Impl::will_be_derived(PageId page) const {
    using ChangeKind = state::GraphChange::Kind;
    auto& attachment = at().at();
    attachment.catalog.follow_logged(attachment);
    bool derived = attachment.catalog.is_derived(page);
    for (const auto& [kind, edge, rule] : staged.graph)
        if (edge.child == page && kind >= ChangeKind::set_rule)
            derived = kind == ChangeKind::set_rule;
    return derived;
}

void Transaction::Impl::unstage() noexcept {
    pages.erase(staged.pages.back().page);
    staged.pages.pop_back();
}

std::uint64_t Transaction::Impl::size_of(state::StagedPage& page) const {
    return page.size ? *page.size : state::read_line(at().at(), page.page, page.line).size;
}

CommitOutcome Transaction::Impl::commit(const CommitOptions& options) {
    auto& open = at();
    open.refuse_writing();
    if (options.expected)
        throw InvalidArgument(ErrorCode::invalid_argument,
                              "CommitOptions::expected is for one page's call",
                              {.expected = "none", .found = "an epoch"});
    for (auto& [id, page] : pages) staged.pages[page.at].writes = page.overlay.writes();
    std::erase_if(staged.pages, [](const auto& page) { return page.created && page.deleted; });
    for (const auto& [id, read] : reads) staged.reads.push_back(read);
    for (const auto& [name, found] : names) staged.names.push_back({name, found});
    const auto result = state::commit(open.at(), open.handle, staged, options);
    return {result.status, result.committed, result.conflict};
}

namespace detail {
// Whatever comes of a commit, the transaction is empty afterwards and may be used again.
struct ClearAtEnd {
    Transaction::Impl& impl;
    ~ClearAtEnd() { impl.clear(); }
};
}  // namespace detail

// ---- the facade
// -----------------------------------------------------------------------------------

Transaction::Transaction(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Transaction::Transaction(Transaction&&) noexcept = default;

Transaction::Impl& Transaction::impl() const {
    if (!impl_) [[unlikely]]
        throw WrongContext(ErrorCode::wrong_context, "this transaction was moved from",
                           {.expected = "the one that it was moved to", .found = "what is left"});
    return *impl_;
}
Transaction& Transaction::operator=(Transaction&& other) noexcept {
    if (this != &other) {
        discard();
        impl_ = std::move(other.impl_);
    }
    return *this;
}
Transaction::~Transaction() { discard(); }

void Transaction::discard() noexcept {
    if (!impl_ || impl().empty()) return;
    try {
        auto& bus = impl().at();
        if (!impl().pages.empty() && !bus.read_only) bus.at().words().abandoned.fetch_add(1);
    } catch (const std::exception&) {  // stopped meanwhile: nobody counts any more
    }
    impl().clear();
}

std::size_t Transaction::size(Page page) {
    const auto staged = impl().find(page);
    if (staged && staged->staged.size) return static_cast<std::size_t>(*staged->staged.size);
    return static_cast<std::size_t>(impl().live_size(page));
}

Bytes Transaction::read(Page page) {
    Bytes bytes(size(page));
    read_into(page, bytes);
    return bytes;
}

void Transaction::read_into(Page page, std::span<std::byte> out, std::size_t offset) {
    const auto whole = size(page);
    if (offset > whole || out.size() > whole - offset)
        state::throw_outside("a read", page.id(), whole, offset, out.size());
    const auto staged = impl().find(page);
    if (staged && staged->staged.created)
        std::ranges::fill(out, std::byte{0});
    else
        impl().read_live(page, out, offset);
    if (staged) staged->overlay.over(out, offset);
}

std::optional<Page> Transaction::find_page(std::string_view name) {
    if (name.empty()) return std::nullopt;  // many pages have none
    for (const auto& page : impl().staged.pages)
        if (!page.deleted && page.name && *page.name == name)
            return Bus::page(impl().bus, page.line, page.page);
    auto& bus = impl().at().at();
    const auto logged = impl().logged();
    bus.catalog.follow_logged(bus);
    const auto found = bus.catalog.find(name);
    impl().names.emplace(std::string(name), found ? found->first : PageId::none);
    impl().go_together(logged);
    if (!found) return std::nullopt;
    const auto staged = impl().pages.find(found->first);
    if (staged != impl().pages.end()) {
        const auto& page = impl().staged.pages[staged->second.at];
        if (page.deleted || page.name) return std::nullopt;
    }
    return Bus::page(impl().bus, found->second, found->first);
}

void Transaction::update(Page page, std::span<const std::byte> bytes) {
    detail::Staging staging(impl());
    const auto [staged, overlay] = impl().stage_unseen(page);
    // A first short write is copied while the page's line is on its way.
    const bool early = staging.is_new() && bytes.size() <= detail::Overlay::short_write;
    if (early) {
        staging.takes_bytes();
        overlay.put(0, bytes);
    }
    // A whole update must fit the page as it is at the commit, whatever it is then: a blind write.
    const auto now = impl().size_of(staged);
    if (bytes.size() != now) state::throw_other_size(page.id(), now, bytes.size());
    if (!early) {
        overlay.cut(now);
        overlay.put(0, bytes);
    }
    staged.size_then = now;
    staging.done();
}

void Transaction::write(Page page, std::size_t offset, std::span<const std::byte> bytes) {
    detail::Staging staging(impl());
    const auto [staged, overlay] = impl().stage(page);
    const auto size = impl().size_of(staged);
    if (offset > size || bytes.size() > size - offset)
        state::throw_outside("a write", page.id(), size, offset, bytes.size());
    overlay.put(offset, bytes);
    staging.done();
}

void Transaction::apply(Page page, const Delta& delta) {
    detail::Staging staging(impl());
    const auto [staged, overlay] = impl().stage(page);
    const auto size = impl().size_of(staged);
    if (delta.page_size() != size)
        throw InvalidDelta(ErrorCode::invalid_delta,
                           fmt::format("a delta of {} bytes for page {} of {}", delta.page_size(),
                                       number(page.id()), size),
                           {.page = page.id(),
                            .expected = fmt::format("{} bytes", size),
                            .found = fmt::format("{}", delta.page_size())});
    for (const auto& run : delta.runs()) overlay.put(run.offset, run.bytes);
    if (staged.size_then == staged.any_size) staged.size_then = size;  // else of what is under it
    staging.done();
}

void Transaction::restore(const View& view, PageList pages) {
    // What may throw comes first: then nothing is staged.
    std::vector<std::pair<Page, std::span<const std::byte>>> wanted;
    for (const auto& page : pages.get()) {
        detail::check_same_bus(page, impl().bus);
        if (impl().will_be_derived(page)) continue;
        wanted.emplace_back(page, view.bytes(page.id()));
        static_cast<void>(size(page));
    }
    for (const auto& [page, bytes] : wanted) {
        if (bytes.size() != size(page)) resize(page, bytes.size());
        update(page, bytes);
    }
}

Page Transaction::create_page(std::size_t size, const PageOptions& options) {
    auto& open = impl().at();
    open.refuse_read_only();
    detail::check_page_options(options, size);
    const auto id = state::take_page_id(open.at());
    detail::Staging staging(impl());
    const auto [page, overlay] = impl().add(id, state::unknown_line);
    page.created = true;
    page.size = size;
    page.location = detail::location_for(open, options.location);
    if (!options.name.empty()) page.name = std::string(options.name);
    page.metadata.assign(options.metadata.begin(), options.metadata.end());
    overlay.put(0, options.contents);
    staging.done();
    return Bus::page(impl().bus, state::unknown_line, id);
}

void Transaction::delete_page(Page page) {
    const auto [staged, overlay] = impl().stage(page);
    staged.deleted = true;
    staged.size_then = staged.any_size;
    overlay.clear();
}

void Transaction::resize(Page page, std::size_t size) {
    detail::check_page_options({}, size);
    detail::Staging staging(impl());
    const auto [staged, overlay] = impl().stage(page);
    // Growing again after shrinking shows zeros, not what was there: what is live beyond the
    // smallest size on the way is covered by zeros.
    auto line = staged.line;
    const auto live = staged.created ? 0 : state::read_line(impl().at().at(), page.id(), line).size;
    const auto before = staged.size.value_or(live);
    if (size > before && before < live) {
        const Bytes zeros(static_cast<std::size_t>(std::min<std::uint64_t>(size, live) - before));
        overlay.put(before, zeros);
        if (staged.size_then == staged.any_size) staged.size_then = live;
    }
    overlay.cut(size);
    staged.size = size;
    staging.done();
}

void Transaction::rename(Page page, std::string_view name) {
    detail::check_name(name);
    impl().stage(page).staged.name = std::string(name);
}

void Transaction::set_metadata(Page page, std::string_view key, std::string_view value) {
    detail::check_metadata(key, value);
    std::pair<std::string, std::string> fresh(key, value);
    detail::Staging staging(impl());
    auto& metadata = impl().stage(page).staged.metadata;
    metadata.reserve(metadata.size() + 1);
    std::erase_if(metadata, [&](const auto& had) { return had.first == fresh.first; });
    metadata.push_back(std::move(fresh));
    staging.done();
}

CommitOutcome Transaction::try_commit(const CommitOptions& options) {
    impl().at().refuse_writing();
    const detail::ClearAtEnd always{impl()};
    try {
        return impl().commit(options);
    } catch (const Busy&) {
        return {.status = CommitStatus::busy};
    } catch (const Conflict& e) {  // of what derived pages are computed from
        return {.status = CommitStatus::conflict, .page = e.page()};
    }
}

Committed Transaction::commit(const CommitOptions& options) {
    impl().at().refuse_writing();
    const detail::ClearAtEnd always{impl()};
    const auto outcome = impl().commit(options);
    if (outcome.status == CommitStatus::conflict) detail::throw_changed(outcome.page);
    return outcome.committed;
}

}  // namespace mmsb
