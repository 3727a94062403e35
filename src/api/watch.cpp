// Watches: descriptors that are readable while watched pages have changed.
#include "api/watcher.hpp"
#include "state/cursor.hpp"
#include "state/read.hpp"

#include <mmsb/observer.hpp>

#include <algorithm>
#include <system_error>

namespace mmsb {

namespace detail {

// ---- one Watch ----------------------------------------------------------------------------------

Watched::Watched(state::Attachment& bus, const Handle& handle, PageList pages)
    : all_(pages.get().empty()) {
    for (const auto& page : pages.get()) {
        check_same_bus(page, handle);
        Seen seen{.line = Bus::handle_of(page).line};
        const auto now = state::read_line(bus, page.id(), seen.line);
        seen.lsn = now.lsn;
        seen.epoch = Epoch{now.epoch};
        pages_.emplace(page.id(), seen);
        wakes_ |= state::wake_bit(seen.line);
    }
    if (!all_) return;
    seen_ = state::newest(bus);
    wakes_ = state::every_commit;
}

bool Watched::changed(state::Attachment& bus) {
    if (all_) return state::newest(bus).sequence > seen_.sequence;
    return std::ranges::any_of(pages_, [&](auto& each) {
        auto& [page, seen] = each;
        arena::LineCopy now;
        const auto* line = bus.arena->line(seen.line);
        if (line != nullptr && arena::Arena::copy(*line, now) && now.id == number(page))
            return now.lsn != seen.lsn;
        try {
            return state::read_line(bus, page, seen.line).lsn != seen.lsn;
        } catch (const PageNotFound&) {
            return true;
        }
    });
}

void Watched::look(state::Attachment& bus) noexcept {
    const std::lock_guard lock(mutex_);
    if (readable_.load()) return;
    try {
        if (!changed(bus)) return;
    } catch (...) {  // take() meets it, too
    }
    readable_.store(true);
    event_.set();
}

bool Watched::take(state::Attachment& bus, std::vector<PageChange>& changes) {
    const std::lock_guard lock(mutex_);
    all_ ? take_all(bus, changes) : take_pages(bus, changes);
    if (!readable_.exchange(false)) return false;
    event_.clear();
    return true;
}

void Watched::take_pages(state::Attachment& bus, std::vector<PageChange>& changes) {
    struct Now {
        std::map<PageId, Seen>::iterator at;
        std::optional<Seen> seen;
    };
    std::vector<Now> moved;  // where something fails, nothing has been seen
    for (auto at = pages_.begin(); at != pages_.end(); ++at) {
        const auto& [page, seen] = *at;
        auto next = seen;
        try {
            const auto now = state::read_line(bus, page, next.line);
            if (now.lsn == seen.lsn) continue;
            changes.push_back({page, {Epoch{now.epoch}, Sequence{now.sequence}, now.stale()}});
            next.lsn = now.lsn;
            next.epoch = Epoch{now.epoch};
            moved.push_back({at, next});
        } catch (const PageNotFound& gone) {
            changes.push_back({page, {seen.epoch, gone.deleted_at()}});
            moved.push_back({at, std::nullopt});
        }
    }
    for (const auto& [at, seen] : moved) {
        if (seen)
            at->second = *seen;
        else
            pages_.erase(at);
    }
}

void Watched::take_all(state::Attachment& bus, std::vector<PageChange>& changes) {
    const auto now = state::newest(bus);
    std::map<PageId, Version> found;
    bool complete = bus.logging;
    try {
        state::Cursor cursor(bus, seen_.lsn, now.lsn);
        while (cursor.next()) {
            if (cursor.record().kind != log::RecordKind::commit) continue;
            log::EntryReader reader(cursor.body());
            for (log::Entry entry; reader.next(entry);)
                if (entry.kind == log::EntryKind::page)
                    found[entry.page.page] = {entry.page.epoch, cursor.record().sequence,
                                              entry.page.stale};
        }
    } catch (const HistoryDropped&) {
        complete = false;
    }
    if (!complete) {  // the pages know it themselves, but for those that are gone
        bus.catalog.follow_logged(bus);
        for (auto [page, line] : bus.catalog.pages()) {
            try {
                const auto is = state::read_line(bus, page, line);
                if (is.sequence > number(seen_.sequence))
                    found[page] = {Epoch{is.epoch}, Sequence{is.sequence}, is.stale()};
            } catch (const PageNotFound&) {
                continue;
            }
        }
    }
    changes.reserve(found.size());
    seen_ = now;
    for (const auto& [page, version] : found) changes.push_back({page, version});
}

// ---- the thread ---------------------------------------------------------------------------------

void Watcher::add(const std::shared_ptr<Watched>& watched) {
    const std::lock_guard control(control_);
    {
        const std::lock_guard lock(mutex_);
        watched_.push_back(watched);
    }
    if (thread_.joinable()) return look_again();
    try {
        start();
    } catch (const std::system_error& e) {
        forget_all();
        throw OutOfSpace(ErrorCode::out_of_space,
                         std::string("no thread for a Watch can be started: ") + e.what(),
                         {.path = "threads", .system = e.code().value()});
    } catch (...) {
        forget_all();
        throw;
    }
}

// Where no thread could be started: there were no others.
void Watcher::forget_all() noexcept {
    const std::lock_guard lock(mutex_);
    watched_.clear();
}

void Watcher::remove(const std::shared_ptr<Watched>& watched) noexcept {
    const std::lock_guard control(control_);
    bool none = false;
    {
        const std::lock_guard lock(mutex_);
        std::erase(watched_, watched);
        none = watched_.empty();
    }
    if (none) stop_thread();
}

void Watcher::look_again() noexcept {
    changes_.fetch_add(1);
    os::futex_wake(changes_);
    if (at_bell_.load()) state::ring(bus_.at());
}

// In shared memory the thread is told by the commit. A commit before that, of whatever page has the
// same bits, may take them away: then the thread finds that something has changed here, because
// that comes before they are announced, and announces them itself.
void Watcher::rearm(Watched& watched) noexcept {
    changes_.fetch_add(1);
    state::announce(bus_.at(), watched.wakes());
    watched.look(bus_.at());
    if (!at_bell_.load()) os::futex_wake(changes_);
}

void Watcher::end() noexcept {
    const std::lock_guard control(control_);
    stop_thread();
    const std::lock_guard lock(mutex_);
    for (const auto& watched : watched_) watched->close();
    watched_.clear();
}

void Watcher::start() {
    stopping_.store(false);
    thread_ = std::thread([this] { run(); });
}

void Watcher::stop_thread() noexcept {
    if (!thread_.joinable()) return;
    stopping_.store(true);
    look_again();
    thread_.join();
}

state::Sleep Watcher::look_at_all() noexcept {
    state::Sleep sleep;
    const std::lock_guard lock(mutex_);
    for (const auto& watched : watched_) {
        watched->look(bus_.at());
        sleep.wakes |= watched->wakes();
        sleep.announced |= watched->awaits();
    }
    return sleep;
}

// Sleeps in shared memory. Where all are readable and nobody takes for a while, in our own: so a
// Watch that nobody takes from costs writers nothing.
void Watcher::run() noexcept {
    while (!stopping_.load()) {
        const auto changes = changes_.load();
        auto& bus = bus_.at();
        const auto& words = bus.words();
        auto applied = words.applied.load(), logged = words.logged.load();
        const auto sleep = look_at_all();
        const auto look = [&](state::Look how) {
            const auto now = words.applied.load();
            const auto now_logged = words.logged.load();
            if (now == applied && (how == state::Look::quick || now_logged == logged)) return false;
            applied = now;
            logged = now_logged;
            return look_at_all().announced != sleep.announced;
        };
        auto waited = state::Waited::timed_out;
        if (sleep.wakes != 0) {
            const Timeout longest = sleep.announced == 0 ? Timeout(state::sleep_step) : forever;
            at_bell_.store(true);
            waited = state::wait(bus, sleep, state::Deadline(longest), look, [&] {
                bus_.look_for_arena();
                return stopping_.load() || changes_.load() != changes || &bus != &bus_.at();
            });
            at_bell_.store(false);
        }
        // Who takes from now on sees that it is no longer there, and before that has changed this.
        if (waited == state::Waited::timed_out) os::futex_wait(changes_, changes, forever);
    }
}

void end_watches(Bus& bus) noexcept {
    if (bus.watcher) bus.watcher->end();
    bus.watcher.reset();
}

Watch Bus::watch(std::unique_ptr<Watch::Impl> impl) { return Watch(std::move(impl)); }

}  // namespace detail

// ---- the facade ---------------------------------------------------------------------------------

struct Watch::Impl {
    detail::Handle bus{};
    std::shared_ptr<detail::Watched> watched{};

    Impl(const detail::Handle& b, std::shared_ptr<detail::Watched> w)
        : bus(b), watched(std::move(w)) {}
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        try {
            const detail::Pin pin(bus);
            pin->watcher->remove(watched);
        } catch (const std::exception&) {  // stopped, or the parent's: nobody looks any more
        }
    }
};

Watch State::watch(PageList pages) const {
    const detail::Pin bus(bus_);
    auto watched = std::make_shared<detail::Watched>(bus.at(), detail::Bus::bare(bus_), pages);
    std::shared_ptr<detail::Watcher> watcher;
    {
        const std::lock_guard lock(bus->watcher_mutex);
        if (!bus->watcher) bus->watcher = std::make_shared<detail::Watcher>(*bus.operator->());
        watcher = bus->watcher;
    }
    auto impl = std::make_unique<Watch::Impl>(bus_, watched);
    watcher->add(watched);
    return detail::Bus::watch(std::move(impl));
}

Watch::Watch(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Watch::Watch(Watch&&) noexcept = default;
Watch& Watch::operator=(Watch&&) noexcept = default;
Watch::~Watch() = default;

int Watch::fd() const noexcept { return impl_ ? impl_->watched->fd() : -1; }

std::vector<PageChange> Watch::take() {
    if (!impl_) return {};
    const detail::Pin bus(impl_->bus);
    std::vector<PageChange> changes;
    if (impl_->watched->take(bus.at(), changes)) bus->watcher->rearm(*impl_->watched);
    return changes;
}

}  // namespace mmsb
