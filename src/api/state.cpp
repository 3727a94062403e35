#include "api/bus.hpp"
#include "api/transaction_impl.hpp"
#include "state/commit.hpp"
#include "state/outside.hpp"
#include "state/past.hpp"
#include "state/read.hpp"
#include "state/turn.hpp"

#include <mmsb/mmsb.hpp>

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <algorithm>
#include <ostream>

namespace mmsb {

using detail::Bus;

namespace {

constexpr std::string_view type_key = "mmsb_type";

void check_config(const Config& config) {
    const auto refuse = [](const std::string& what, const std::string& expected,
                           const std::string& found) {
        throw InvalidArgument(ErrorCode::invalid_argument, what,
                              {.expected = expected, .found = found});
    };
    const bool has_path = !config.path.empty();
    for (const auto* path : {&config.path, &config.arena_folder, &config.from_checkpoint})
        state::require_path(*path);
    if (config.durability > Durability::sync || config.open > Open::good_prefix)
        refuse("there is no such Durability or Open", "Durability and Open as they are named",
               fmt::format("{} and {}", static_cast<unsigned>(config.durability),
                           static_cast<unsigned>(config.open)));
    if (!has_path && config.durability != Durability::process)
        refuse("a bus without a path is private memory and survives no power loss",
               "Durability::process", "more");
    if (!has_path && (config.open == Open::existing || config.open == Open::read_only ||
                      config.open == Open::good_prefix))
        refuse("a bus without a path is always new", "a path", "none");
    if (has_path && !config.enable_logging)
        refuse("only a bus without a path can do without a log", "enable_logging", "false");
    if (config.max_tlog_age.count() < 0 || config.checkpoint_interval.count() < 0)
        refuse("an age or interval is negative", "0 s or more", "less");
    if (config.interval.count() <= 0)
        refuse("the interval is not positive", "1 ms or more",
               fmt::format("{} ms", config.interval.count()));
    if (config.lock_timeout.count() < 0)
        refuse("lock_timeout is negative", "0 ms or more",
               fmt::format("{} ms", config.lock_timeout.count()));
    if (config.page_size_default > limits::page_size)
        refuse("page_size_default is too large", fmt::format("{} at most", limits::page_size),
               fmt::format("{}", config.page_size_default));
    if (config.source.size() > limits::name_size)
        refuse("the source's name is too long", fmt::format("{} bytes at most", limits::name_size),
               fmt::format("{}", config.source.size()));
}

PageOptions with_type(const PageOptions& options, std::string_view type) {
    PageOptions typed = options;
    if (!type.empty()) typed.metadata[std::string(type_key)] = type;
    return typed;
}

void check_type(const Page& page, std::size_t size, bool many, std::string_view type) {
    const auto info = page.info();
    const auto found = info.metadata.find(type_key);
    const auto its = found == info.metadata.end() ? std::string() : found->second;
    if (many ? info.size % size != 0 : info.size != size)
        throw TypeMismatch(
            ErrorCode::type_mismatch,
            fmt::format("page {} \"{}\" has {} bytes", number(info.id), info.name, info.size),
            {.page = info.id,
             .name = info.name,
             .expected = fmt::format("{}{} bytes", many ? "a multiple of " : "", size),
             .found = fmt::format("{} bytes", info.size)});
    if (!type.empty() && its != type)
        throw TypeMismatch(
            ErrorCode::type_mismatch,
            fmt::format("page {} \"{}\" holds \"{}\", not \"{}\"", number(info.id), info.name, its,
                        type),
            {.page = info.id, .name = info.name, .expected = std::string(type), .found = its});
}

// One commit that makes a page; nullopt where `only_if_free` and the name is taken meanwhile.
std::optional<Page> create_one(const detail::Handle& handle, std::size_t size,
                               const PageOptions& options, bool only_if_free) {
    auto& bus = Bus::get(handle);
    bus.refuse_writing();
    detail::check_page_options(options, size);
    state::Staged s;
    auto& page = s.pages.emplace_back();
    page.page = state::take_page_id(bus.at());
    page.created = true;
    page.size = size;
    page.location = detail::location_for(bus, options.location);
    if (!options.name.empty()) page.name = std::string(options.name);
    page.metadata.assign(options.metadata.begin(), options.metadata.end());
    const state::Write contents{0, options.contents};
    if (!options.contents.empty()) page.writes = {&contents, 1};
    if (only_if_free) s.names.push_back({std::string(options.name), PageId::none});
    const auto result = state::commit(bus.at(), bus.handle, s, {});
    if (result.status == CommitStatus::conflict) return std::nullopt;
    return Bus::page(handle, s.pages.front().line, s.pages.front().page);
}

// The page of that name, which `check` may refuse; or a new one.
template <class F>
Page open_or_make(const State& state, const detail::Handle& handle, std::string_view name,
                  std::size_t size, const PageOptions& options, const F& check) {
    if (name.empty())
        throw InvalidArgument(ErrorCode::invalid_argument, "a page is opened by its name",
                              {.expected = "a name", .found = "\"\""});
    PageOptions named = options;
    named.name = name;
    for (;;) {
        if (const auto found = state.find_page(name)) {
            try {
                check(*found);
                return *found;
            } catch (const PageNotFound&) {
                const auto now = state.find_page(name);
                if (now && now->id() == found->id()) throw;  // its line was written over
                continue;                                    // deleted since
            }
        }
        if (const auto made = create_one(handle, size, named, true)) return *made;
    }
}

}  // namespace

// ---- opening and closing
// --------------------------------------------------------------------------

State start(const Config& config) {
    check_config(config);
    const auto geometry =
        config.path.empty() ? state::private_geometry(config) : limits::Geometry{};
    return Bus::state(Bus::open({.config = config, .geometry = geometry}));
}

// The handle is left as it was: it is known as a closed bus's from here on, and nothing is written
// that a call which waits may still be reading.
void stop(State&& state, const std::string& checkpoint_file) {
    const auto handle = Bus::handle_of(state);
    std::exception_ptr failed;
    try {
        if (!checkpoint_file.empty()) static_cast<void>(state.checkpoint(checkpoint_file));
    } catch (...) {
        failed = std::current_exception();  // it is closed all the same
    }
    Bus::close(handle);
    if (failed) std::rethrow_exception(failed);
}

void remove_bus(const std::string& path) {
    state::require_path(path);
    state::remove_bus(path);
}

namespace {

void close_quietly(const detail::Handle& handle) noexcept {
    if (handle.bus == nullptr || handle.bus->generation.load() != handle.generation) return;
    // Another opening may have the slot afterwards. (Swapping a function allocates nothing.)
    std::function<void(const Notice&)> on_notice;
    on_notice.swap(handle.bus->config.on_notice);
    try {
        Bus::close(handle);
    } catch (const std::exception& e) {
        try {
            if (on_notice) on_notice({Notice::Level::warning, e.what()});
        } catch (...) {  // nothing to tell it to
        }
    }
}

}  // namespace

// What was moved from is known as closed: of no generation.
State::State(State&& other) noexcept
    : bus_(std::exchange(other.bus_, detail::Handle{.bus = other.bus_.bus})) {}

State& State::operator=(State&& other) noexcept {
    if (this != &other) {
        close_quietly(bus_);
        bus_ = std::exchange(other.bus_, detail::Handle{.bus = other.bus_.bus});
    }
    return *this;
}

State::~State() { close_quietly(bus_); }

// ---- pages
// ----------------------------------------------------------------------------------------

Page State::create_page(std::size_t size, const PageOptions& options) const {
    return *create_one(bus_, size, options, false);
}

Page State::create_page(const PageOptions& options) const {
    return create_page(config().page_size_default, options);
}

Page State::open_page(std::string_view name, std::size_t size, const PageOptions& options) const {
    return open_or_make(*this, bus_, name, size, options, [&](const Page& found) {
        const auto its = found.size();
        if (its == size) return;
        throw InvalidArgument(ErrorCode::invalid_argument,
                              fmt::format("page \"{}\" has {} bytes, not {}", name, its, size),
                              {.page = found.id(),
                               .name = std::string(name),
                               .expected = fmt::format("{} bytes", size),
                               .found = fmt::format("{}", its)});
    });
}

std::optional<Page> State::find_page(std::string_view name) const {
    auto& bus = Bus::get(bus_).at();
    bus.catalog.follow_logged(bus);
    const auto found = bus.catalog.find(name);
    if (!found) return std::nullopt;
    return Bus::page(bus_, found->second, found->first);
}

std::optional<Page> State::find_page(PageId id) const {
    auto& bus = Bus::get(bus_).at();
    bus.catalog.follow_logged(bus);
    const auto line = bus.catalog.line_of(id);
    if (!line) return std::nullopt;
    return Bus::page(bus_, *line, id);
}

Page State::page(std::string_view name) const {
    const auto found = find_page(name);
    if (!found) state::throw_not_found(Bus::get(bus_).at(), name);
    return *found;
}

Page State::page(PageId id) const {
    const auto found = find_page(id);
    if (!found) state::throw_not_found(Bus::get(bus_).at(), id);
    return *found;
}

std::vector<Page> State::pages() const {
    auto& bus = Bus::get(bus_).at();
    bus.catalog.follow_logged(bus);
    std::vector<Page> all;
    for (const auto& [id, line] : bus.catalog.pages()) all.push_back(Bus::page(bus_, line, id));
    return all;
}

Committed State::delete_page(Page page, const CommitOptions& options) const {
    detail::check_same_bus(page, bus_);
    state::Staged s;
    s.pages.push_back({.page = page.id(),
                       .line = Bus::handle_of(page).line,
                       .deleted = true,
                       .expected = options.expected});
    return Bus::get(bus_).commit(s, options);
}

Page State::create_typed(std::size_t size, std::string_view type,
                         const PageOptions& options) const {
    return create_page(size, with_type(options, type));
}

Page State::open_typed(std::string_view name, std::size_t size, std::string_view type,
                       const PageOptions& options) const {
    return open_or_make(*this, bus_, name, size, with_type(options, type),
                        [&](const Page& found) { check_type(found, size, false, type); });
}

Page State::find_typed(std::string_view name, std::size_t size, bool many,
                       std::string_view type) const {
    const auto found = page(name);
    check_type(found, size, many, type);
    return found;
}

// ---- transactions
// ---------------------------------------------------------------------------------

Transaction detail::Bus::transaction(std::unique_ptr<Transaction::Impl> impl) {
    return Transaction(std::move(impl));
}

Transaction State::transaction() const {
    static_cast<void>(Bus::get(bus_));
    return Bus::transaction(std::make_unique<Transaction::Impl>(bus_));
}

Committed State::transact(FunctionRef<void(Transaction&)> fn, const CommitOptions& options) const {
    auto& bus = Bus::get(bus_);
    bus.refuse_writing();
    state::Turn turn(bus.at());
    for (int attempt = 1;; ++attempt) {
        Transaction tx = transaction();
        try {
            {
                const state::InsideFunction inside(bus.at());
                fn(tx);
            }
            return tx.commit(options);
        } catch (const Conflict&) {
            if (attempt >= options.attempts) throw;
            turn.conflicted();
        }
    }
}

Committed State::restore(const View& view, PageList pages, const CommitOptions& options) const {
    return transact([&](Transaction& tx) { tx.restore(view, pages); }, options);
}

// ---- time
// -----------------------------------------------------------------------------------------

Sequence State::sequence() const { return state::newest(Bus::get(bus_).at()).sequence; }

View State::snapshot(PageList pages) const {
    auto& bus = Bus::get(bus_).at();
    auto impl = std::make_unique<View::Impl>();
    impl->bus = bus_;
    auto& wanted = impl->snapshot;
    wanted.reserve(pages.get().size());
    for (const auto& page : pages.get()) {
        detail::check_same_bus(page, bus_);
        const auto& handle = Bus::handle_of(page);
        if (const auto* line = bus.arena->line(handle.line)) __builtin_prefetch(line);
        state::prefetch(bus, handle.hint);
        wanted.push_back({.page = page.id(), .line = handle.line});
    }
    auto read = state::read_many(bus, wanted);
    impl->sequence = read.position.sequence;
    impl->memory = std::move(read.memory);
    for (const auto& page : wanted)
        if (!page.found) state::throw_not_found(bus, page.page);
    std::ranges::sort(wanted, {}, &state::Wanted::page);
    return Bus::view(std::move(impl));
}

View State::at(Sequence sequence) const {
    auto& bus = Bus::get(bus_).at();
    auto impl = std::make_unique<View::Impl>();
    impl->bus = bus_;
    impl->sequence = sequence == Sequence::newest ? state::newest(bus).sequence : sequence;
    state::check_view(bus, impl->sequence);
    return Bus::view(std::move(impl));
}

TLog State::tlog(const LogFilter& filter) const { return TLog(detail::open_tlog(bus_, filter)); }

}  // namespace mmsb
