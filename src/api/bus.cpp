#include "api/bus.hpp"

#include "state/commit.hpp"
#include "state/flush.hpp"
#include "state/read.hpp"
#include "state/salvage.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <deque>
#include <filesystem>
#include <utility>

namespace mmsb::detail {

namespace {

struct Slots {
    std::mutex mutex{};
    std::deque<Bus> all{};
    std::vector<Bus*> free{};
};
// Never destroyed: handles may be used while the program ends.
Slots& slots() {
    static auto* s = new Slots;
    return *s;
}

void give_back(Bus* bus) noexcept {
    auto& s = slots();
    const std::lock_guard lock(s.mutex);
    s.free.push_back(bus);  // has room for all
}

// One for a bus that is being opened.
class Slot {
public:
    Slot() {
        auto& s = slots();
        const std::lock_guard lock(s.mutex);
        s.free.reserve(s.all.size() + 1);
        if (s.free.empty()) s.free.push_back(&s.all.emplace_back());
        bus_ = s.free.back();
        s.free.pop_back();
    }
    ~Slot() {
        if (bus_ != nullptr) give_back(bus_);
    }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    [[nodiscard]] Bus* keep() noexcept { return std::exchange(bus_, nullptr); }

private:
    Bus* bus_ = nullptr;
};

[[noreturn]] void throw_closed() {
    throw BusClosed(ErrorCode::closed, "the State of this handle was stopped",
                    {.expected = "an open bus", .found = "a stopped one"});
}

}  // namespace

void Bus::look_at_odd() {
    at().require_memory();
    look_for_arena();
}

void Bus::refuse(const Handle& handle) {
    if (handle.bus == nullptr)
        throw PageNotFound(ErrorCode::page_not_found,
                           "this handle is no page: it was made by no bus");
    if (handle.bus->generation.load(std::memory_order_acquire) != handle.generation) throw_closed();
    throw WrongContext(ErrorCode::wrong_context,
                       "this handle was made before fork(); the child has to call start() itself",
                       {.expected = "the process that opened the bus", .found = "its child"});
}

void Bus::look_for_arena_now() noexcept {
    auto due = next_look_ns.load(std::memory_order_relaxed);
    const auto now = os::steady_ns();
    constexpr std::chrono::nanoseconds pause = state::sleep_step;
    if (now < due || !next_look_ns.compare_exchange_strong(due, now + pause.count())) return;
    const std::lock_guard lock(successor_mutex);
    if (successor) return;
    successor = state::view_again(*attachment, config, on_notice);
    if (successor) current.store(successor.get(), std::memory_order_release);
}

namespace {

// As it is now, wherever the process goes: a viewer looks there again.
std::string whole_path(const std::string& path) {
    std::error_code error;  // the folder that it is relative to may be gone
    const auto whole =
        path.empty() ? std::filesystem::path() : std::filesystem::absolute(path, error);
    return error ? path : whole.string();
}

// So that it can be computed with: no nanoseconds are more than 292 years.
void shorten_times(Config& config) {
    constexpr std::chrono::hours most{100 * 365 * 24};
    config.lock_timeout = std::min<std::chrono::milliseconds>(config.lock_timeout, most);
    config.interval = std::min<std::chrono::milliseconds>(config.interval, most);
    config.checkpoint_interval = std::min<std::chrono::seconds>(config.checkpoint_interval, most);
}

}  // namespace

Handle Bus::open(const state::OpenOptions& options) {
    const bool good_prefix = options.config.open == Open::good_prefix;
    auto asked = options;
    asked.on_notice = state::notices_of(options);
    shorten_times(asked.config);
    auto config = asked.config;
    config.path = whole_path(config.path);
    config.arena_folder = whole_path(config.arena_folder);
    if (config.source.empty()) config.source = os::program_name();
    if (config.path.empty() && config.max_tlog_size == 0)
        config.max_tlog_size = limits::private_history;
    state::HandleOptions handle{config.source, config.durability, config.lock_timeout,
                                config.enable_instrumentation, config.interval};
    Slot slot;
    auto attachment = good_prefix ? state::attach_good_prefix(asked) : state::attach(asked);
    // It is open: nothing that fails may come any more.
    Bus* const bus = slot.keep();
    bus->config = std::move(config);
    bus->handle = std::move(handle);
    bus->read_only = good_prefix || options.config.open == Open::read_only;
    if (bus->config.durability == Durability::interval)
        state::sync_every(*attachment, bus->config.interval);
    bus->on_notice = std::move(asked.on_notice);
    bus->attachment = std::move(attachment);
    bus->current.store(bus->attachment.get(), std::memory_order_release);
    bus->token = {};
    bus->unlogged.clear();
    const auto generation = bus->generation.load() + 1;
    bus->generation.store(generation, std::memory_order_release);
    return {bus, generation, 0};
}

void Bus::close(const Handle& handle) {
    Bus& bus = slot_of(handle);
    refuse_inside_subscription(bus);
    auto open = handle.generation;
    if (!bus.generation.compare_exchange_strong(open, handle.generation + 1)) throw_closed();
    // Who waits is told, and is gone before anything is taken from under him.
    state::ring(bus.at());
    for (auto pins = bus.pins.load(); pins != 0; pins = bus.pins.load()) {
        os::futex_wait(bus.pins, pins, state::sleep_step);
        state::ring(bus.at());
    }
    end_watches(bus);
    end_observer(bus);
    auto attachment = std::move(bus.attachment);
    auto successor = std::move(bus.successor);
    const auto on_notice = std::move(bus.on_notice);
    bus.attachment.reset();
    bus.successor.reset();
    give_back(&bus);
    if (successor) state::leave(std::move(successor), on_notice);
    state::leave(std::move(attachment), on_notice);
}

Pin::Pin(const Handle& handle) : bus_(&Bus::slot_of(handle)), generation_(handle.generation) {
    bus_->pins.fetch_add(1);
    const bool closed = closing();
    if (!closed && !at().is_lost()) return;
    unpin();
    if (closed) throw_closed();
    static_cast<void>(Bus::get(handle));
    throw_closed();  // meanwhile
}

Pin::~Pin() { unpin(); }

void Pin::unpin() noexcept {
    // Where stop() waits for it, the last one tells.
    if (bus_->pins.fetch_sub(1) == 1 && closing()) os::futex_wake(bus_->pins);
}

void Pin::require_open() const {
    if (closing()) throw_closed();
}

bool Pin::closing() const noexcept { return bus_->generation.load() != generation_; }

bool Pin::wait(state::WakeBits bits, const state::Deadline& end,
               FunctionRef<bool(state::Look)> look) const {
    const auto waited = state::wait(at(), {bits, bits}, end, look, [this] {
        at().require_memory();
        bus_->look_for_arena();
        return closing();
    });
    if (waited == state::Waited::interrupted) throw_closed();
    return waited == state::Waited::found;
}

void Bus::refuse_read_only() const {
    if (read_only)
        throw ReadOnly(ErrorCode::read_only, config.path + " is open read-only",
                       {.path = config.path,
                        .expected = "a State that may write",
                        .found = "Open::read_only"});
}

void Bus::refuse_writing() const {
    refuse_read_only();
    state::refuse_inside_function(at());
}

Committed Bus::commit(state::Staged& staged, const CommitOptions& options) const {
    refuse_writing();
    const auto result = state::commit(at(), handle, staged, options);
    if (result.status == CommitStatus::conflict)
        throw Conflict(
            ErrorCode::conflict,
            fmt::format("page {} has changed since it was read", number(result.conflict)),
            {.page = result.conflict, .expected = "what was read", .found = "a newer version"});
    return result.committed;
}

void throw_moved_from(std::string_view what) {
    throw WrongContext(ErrorCode::wrong_context, fmt::format("this {} was moved from", what),
                       {.expected = "one that was not moved from", .found = "nothing in it"});
}

void check_same_bus(const Page& page, const Handle& bus) {
    const auto& ours = Bus::get(bus);
    const auto& handle = Bus::handle_of(page);
    if (handle.bus == bus.bus && handle.generation == bus.generation) return;
    const auto& theirs = Bus::get(handle);
    if (&theirs.at() != &ours.at())
        throw InvalidArgument(
            ErrorCode::invalid_argument,
            fmt::format("page {} is of another bus", number(page.id())),
            {.page = page.id(), .expected = "a page of this bus", .found = theirs.config.path});
}

void check_name(std::string_view name) {
    if (name.size() > limits::name_size)
        throw InvalidArgument(ErrorCode::invalid_argument, "the page's name is too long",
                              {.name = std::string(name),
                               .expected = fmt::format("{} bytes at most", limits::name_size),
                               .found = fmt::format("{}", name.size())});
}

void check_metadata(std::string_view key, std::string_view value) {
    if (key.empty())
        throw InvalidArgument(ErrorCode::invalid_argument, "a metadata key is empty",
                              {.expected = "a key", .found = "\"\""});
    if (key.size() + value.size() > limits::metadata_size)
        throw InvalidArgument(ErrorCode::invalid_argument, "a page's metadata would be too large",
                              {.expected = fmt::format("{} bytes at most", limits::metadata_size),
                               .found = fmt::format("{}", key.size() + value.size())});
}

void check_page_options(const PageOptions& options, std::size_t size) {
    check_name(options.name);
    if (size > limits::page_size)
        throw InvalidArgument(ErrorCode::invalid_argument,
                              fmt::format("a page of {} bytes is too large", size),
                              {.expected = fmt::format("{} bytes at most", limits::page_size),
                               .found = fmt::format("{}", size)});
    if (options.contents.size() > size)
        throw InvalidArgument(ErrorCode::invalid_argument, "the contents are larger than the page",
                              {.expected = fmt::format("{} bytes at most", size),
                               .found = fmt::format("{}", options.contents.size())});
    if (static_cast<unsigned>(options.location) > 2)
        throw InvalidArgument(
            ErrorCode::invalid_argument, "there is no such location",
            {.expected = "cpu, gpu or unified",
             .found = fmt::format("{}", static_cast<unsigned>(options.location))});
    for (const auto& [key, value] : options.metadata) check_metadata(key, value);
}

Location location_for(const Bus& bus, Location asked) {
    if (asked != Location::cpu)
        bus.at().notice(
            Notice::Level::warning,
            fmt::format("no GPU backend in this release: a page asked for as {} is made on the CPU",
                        to_string(asked)));
    return Location::cpu;
}

PageInfo info_of(state::Attachment& bus, PageId page, std::uint32_t& line) {
    // The line is of one moment, the catalog of a later one: where nothing of the structure was
    // committed in between, or nothing of this page, they go together.
    for (auto now = state::read_line(bus, page, line);;) {
        bus.catalog.follow_logged(bus);
        const auto head = bus.catalog.head();  // where its newest record begins
        auto known = bus.catalog.page(page);
        if (!known) state::throw_not_found(bus, page);
        auto info = replay::info_of(page, *std::move(known), now.size, Epoch{now.epoch},
                                    bus.catalog.is_derived(page), now.stale());
        if (head == bus.catalog.head() && head < now.lsn) return info;
        const auto then = std::exchange(now, state::read_line(bus, page, line)).lsn;
        if (then == now.lsn) return info;
    }
}

}  // namespace mmsb::detail
