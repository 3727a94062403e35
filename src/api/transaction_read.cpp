// What a transaction reads: watched, and all of it of one sequence.
#include "api/transaction_impl.hpp"
#include "state/read.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb {

using detail::Bus;
using detail::throw_changed;

void detail::throw_changed(PageId page) {
    throw Conflict(ErrorCode::conflict,
                   fmt::format("page {} has changed since this transaction read it", number(page)),
                   {.page = page, .expected = "what was read", .found = "a newer version"});
}

void Transaction::Impl::watch(PageId page, std::uint32_t line, Epoch epoch, log::Lsn logged) {
    const auto [known, fresh] = reads.emplace(page, state::WatchedPage{page, line, epoch});
    if (!fresh && known->second.epoch != epoch) throw_changed(page);
    if (fresh) go_together(logged);
}

void Transaction::Impl::go_together(log::Lsn logged) {
    auto& attachment = at().at();
    if (logged != as_of && reads.size() + names.size() > 1) {
        for (auto& [id, read] : reads) {
            try {
                if (state::read_line(attachment, id, read.line).epoch != number(read.epoch))
                    throw_changed(id);
            } catch (const PageNotFound&) {
                throw_changed(id);
            }
        }
        if (!names.empty()) attachment.catalog.follow_logged(attachment);
        for (const auto& [name, page] : names) {
            const auto now = attachment.catalog.find(name);
            if ((now ? now->first : PageId::none) != page) throw_changed(now ? now->first : page);
        }
    }
    as_of = logged;
}

log::Lsn Transaction::Impl::logged() const {
    return at().at().words().logged.load(std::memory_order_acquire);
}

std::uint64_t Transaction::Impl::live_size(const Page& page) {
    auto line = Bus::handle_of(page).line;
    const auto before = logged();
    const auto now = state::read_line(at().at(), page.id(), line);
    watch(page.id(), line, Epoch{now.epoch}, before);
    return now.size;
}

void Transaction::Impl::read_live(const Page& page, std::span<std::byte> out,
                                  std::uint64_t offset) {
    const auto& handle = Bus::handle_of(page);
    auto line = handle.line;
    const auto live = live_size(page);
    const auto there = std::min<std::uint64_t>(out.size(), live - std::min(offset, live));
    std::ranges::fill(out.subspan(static_cast<std::size_t>(there)), std::byte{0});
    if (there == 0) return;
    try {
        const auto part = out.first(static_cast<std::size_t>(there));
        const auto read = state::read_into(at().at(), page.id(), line, handle.hint, part, offset);
        watch(page.id(), line, read.epoch, as_of);
    } catch (const InvalidArgument&) {
        static_cast<void>(live_size(page));  // it became smaller since: that is a conflict
        throw;
    }
}

}  // namespace mmsb
