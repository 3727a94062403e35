#include "api/observer.hpp"

#include "api/stream.hpp"  // IWYU pragma: keep

#include <mmsb/state.hpp>

#include <fmt/format.h>
#include <algorithm>
#include <limits>
#include <system_error>

namespace mmsb {

namespace detail {

// ---- one subscription ---------------------------------------------------------------------------

Subscriber::Subscriber(state::Attachment& bus, const EventFilter& filter,
                       std::function<void(const Event&)> function)
    : source_(bus, filter), endless_(!filter.to), function_(std::move(function)) {
    told_ = source_.sequence();
}

namespace {

void warn(const state::Attachment& bus, std::string_view what, std::string_view why) noexcept {
    try {
        bus.notice(Notice::Level::warning, fmt::format("{}: {}", what, why));
    } catch (const std::exception&) {  // no memory for the text
    }
}

}  // namespace

void Subscriber::call(state::Attachment& bus, const Event& event) noexcept {
    {
        const std::lock_guard lock(mutex_);
        if (ended_.load()) return;
        calling_ = true;
    }
    constexpr std::string_view threw = "a function that was told of an event threw";
    try {
        function_(event);
        called();
    } catch (const std::exception& e) {
        called();  // first: who is told of it may be waiting for that
        warn(bus, threw, e.what());
    } catch (...) {
        called();
        warn(bus, threw, "what is no exception");
    }
}

void Subscriber::called() noexcept {
    const std::lock_guard lock(mutex_);
    calling_ = false;
    changed_.notify_all();
}

void Subscriber::told(Sequence sequence) noexcept {
    const std::lock_guard lock(mutex_);
    if (sequence <= told_) return;
    told_ = sequence;
    changed_.notify_all();
}

bool Subscriber::tell(state::Attachment& bus) noexcept {
    std::size_t records = 4096;  // then others have their turn, and who stops the thread
    try {
        source_.look(bus);
        for (Event event; !is_ended() && source_.next(bus, event, records);) {
            told(event.sequence - 1);
            call(bus, event);
        }
        if (is_ended()) return false;
        told(source_.ended() ? Sequence::newest : source_.sequence());
        return records == 0;
    } catch (const HistoryDropped&) {
        try {
            source_.skip_to_now(bus);
            call(bus, {.type = EventType::gap, .sequence = source_.sequence()});
            told(source_.sequence());
        } catch (const std::exception& e) {
            warn(bus, "what was folded away is tried again", e.what());
        }
    } catch (const std::exception& e) {
        warn(bus, "a subscription ends: the log cannot be read", e.what());
        end(false);
    }
    return false;
}

void Subscriber::tell_now(state::Attachment& bus, const Event& event) noexcept {
    if (endless_ && source_.admits(event)) call(bus, event);
}

void Subscriber::end(bool wait) noexcept {
    std::unique_lock lock(mutex_);
    ended_.store(true);
    changed_.notify_all();
    if (wait) changed_.wait(lock, [this] { return !calling_; });
}

void Subscriber::drop_function() noexcept {
    std::function<void(const Event&)> function;  // destroyed under no lock
    const std::lock_guard lock(mutex_);
    function.swap(function_);
}

bool Subscriber::wait_for(Sequence sequence, const state::Deadline& end) const {
    std::unique_lock lock(mutex_);
    const auto done = [&] { return told_ >= sequence || ended_.load(); };
    while (!done()) {
        const auto left = end.left();
        if (left <= Timeout::zero()) return false;
        // A clock's end is not to be computed with: by steps.
        constexpr Timeout step = std::chrono::seconds(1);
        changed_.wait_for(lock, std::min(left, step));
    }
    return told_ >= sequence;
}

// ---- the thread ---------------------------------------------------------------------------------

void Observer::add(const std::shared_ptr<Subscriber>& subscriber) {
    const std::lock_guard control(control_);
    {
        const std::lock_guard lock(list_);
        subscribers_.push_back(subscriber);
    }
    if (thread_.joinable()) return wake();
    stopping_.store(false);
    checkpoint_ = bus_.at().words().checkpoint_sequence.load();
    try {
        thread_ = std::thread([this] { run(); });
    } catch (const std::system_error& e) {
        const std::lock_guard lock(list_);
        subscribers_.clear();
        throw OutOfSpace(ErrorCode::out_of_space,
                         std::string("no thread for subscriptions can be started: ") + e.what(),
                         {.path = "threads", .system = e.code().value()});
    }
}

// On the thread itself nothing is taken from the list: so the thread, which may be in a function of
// the last one, is not waited for by who removes another.
void Observer::remove(const std::shared_ptr<Subscriber>& subscriber) noexcept {
    if (is_this_thread()) return subscriber->end(false);
    subscriber->end(true);
    const std::lock_guard control(control_);
    bool none = false;
    {
        const std::lock_guard lock(list_);
        std::erase(subscribers_, subscriber);
        none = subscribers_.empty();
    }
    if (none) stop_thread();
}

void Observer::end() noexcept {
    std::vector<std::shared_ptr<Subscriber>> all;  // destroyed under no lock
    const std::lock_guard control(control_);
    {
        const std::lock_guard lock(list_);
        for (const auto& subscriber : subscribers_) subscriber->end(false);
    }
    stop_thread();
    const std::lock_guard lock(list_);
    subscribers_.swap(all);
}

void Observer::wake() noexcept {
    changes_.fetch_add(1);
    os::futex_wake(changes_);
    state::ring(bus_.at());
}

void Observer::stop_thread() noexcept {
    if (!thread_.joinable()) return;
    stopping_.store(true);
    wake();
    thread_.join();
    id_.store({});
}

std::vector<std::shared_ptr<Subscriber>> Observer::all() {
    const std::lock_guard lock(list_);
    return subscribers_;
}

void Observer::tell_of_checkpoint(state::Attachment& bus) {
    const auto newest = bus.words().checkpoint_sequence.load();
    if (newest == checkpoint_) return;
    checkpoint_ = newest;
    const Event event{.type = EventType::checkpoint_done, .sequence = Sequence{newest}};
    for (const auto& subscriber : all()) subscriber->tell_now(bus, event);
}

void Observer::run() noexcept {
    id_.store(std::this_thread::get_id());
    while (!stopping_.load()) {
        try {
            round();
        } catch (const std::exception&) {  // no memory: later, perhaps
            std::this_thread::sleep_for(state::sleep_step);
        }
    }
}

// What their functions have captured is destroyed under no lock. False: there were none.
bool Observer::forget_ended() {
    std::vector<std::shared_ptr<Subscriber>> ended;
    const std::lock_guard lock(list_);
    for (const auto& each : subscribers_)
        if (each->is_ended()) ended.push_back(each);
    std::erase_if(subscribers_,
                  [&](const auto& each) { return std::ranges::find(ended, each) != ended.end(); });
    return !ended.empty();
}

void Observer::round() {
    const auto changes = changes_.load();
    auto& bus = bus_.at();
    const auto& words = bus.words();
    const auto logged = words.logged.load();
    bool none = false, more = false;
    // (Not kept while this sleeps.)
    for (const auto& subscriber : all()) more |= subscriber->tell(bus);
    tell_of_checkpoint(bus);
    while (forget_ended()) {  // a function may have owned another subscription
    }
    if (more) return;
    {
        const std::lock_guard lock(list_);
        none = subscribers_.empty();
    }
    if (none) {
        os::futex_wait(changes_, changes, forever);
        return;
    }
    const auto look = [&](state::Look) {
        return words.logged.load() != logged || words.checkpoint_sequence.load() != checkpoint_;
    };
    constexpr state::Sleep sleep{state::every_commit, state::every_commit};
    static_cast<void>(state::wait(bus, sleep, state::Deadline(forever), look, [&] {
        bus_.look_for_arena();
        return stopping_.load() || changes_.load() != changes || &bus != &bus_.at();
    }));
}

void end_observer(Bus& bus) noexcept {
    if (bus.observer) bus.observer->end();
    bus.observer.reset();
}

void refuse_inside_subscription(Bus& bus) {
    std::shared_ptr<Observer> observer;
    {
        const std::lock_guard lock(bus.watcher_mutex);
        observer = bus.observer;
    }
    if (observer && observer->is_this_thread())
        throw WrongContext(ErrorCode::wrong_context,
                           "a function that is told of events cannot stop its State",
                           {.expected = "another thread", .found = "the subscriptions'"});
}

template class Stream<Event>;

Subscription Bus::subscription(std::unique_ptr<Subscription::Impl> impl) {
    return Subscription(std::move(impl));
}

}  // namespace detail

// ---- the facade ---------------------------------------------------------------------------------

Events State::events(const EventFilter& filter) const {
    const auto source = std::make_shared<detail::EventSource>(detail::Bus::get(bus_).at(), filter);
    auto impl = std::make_shared<Events::Impl>();
    impl->bus = detail::Bus::bare(bus_);
    impl->next = [source, bus = impl->bus](Event& event) {
        auto records = std::numeric_limits<std::size_t>::max();
        return source->next(detail::Bus::get(bus).at(), event, records);
    };
    impl->wait = [source](const detail::Pin& bus, const state::Deadline& end) {
        if (source->ended()) return false;
        if (source->look(bus.at())) return true;
        if (!bus.wait(state::every_commit, end,
                      [&](state::Look) { return source->look(bus.at()); }))
            return false;
        return true;
    };
    return Events(std::move(impl));
}

struct Subscription::Impl {
    detail::Handle bus{};
    std::shared_ptr<detail::Observer> observer{};
    std::shared_ptr<detail::Subscriber> subscriber{};

    Impl(const detail::Handle& b, std::shared_ptr<detail::Observer> o,
         std::shared_ptr<detail::Subscriber> s)
        : bus(b), observer(std::move(o)), subscriber(std::move(s)) {}
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        const bool elsewhere = !observer->is_this_thread();
        try {
            const detail::Pin pin(bus);
            observer->remove(subscriber);
        } catch (const BusClosed&) {  // it is being stopped, and its function may still run
            subscriber->end(elsewhere);
        } catch (const WrongContext&) {  // the parent's: no thread is here
            return;
        } catch (const std::exception&) {  // its memory was taken away
            subscriber->end(elsewhere);
        }
        // Without the pin: it may be what has the State.
        if (elsewhere) subscriber->drop_function();
    }
};

Subscription State::subscribe(const EventFilter& filter,
                              std::function<void(const Event&)> function) const {
    const detail::Pin bus(bus_);
    if (!function)
        throw InvalidArgument(ErrorCode::invalid_argument, "a function is to be called",
                              {.expected = "a function", .found = "none"});
    auto subscriber = std::make_shared<detail::Subscriber>(bus.at(), filter, std::move(function));
    std::shared_ptr<detail::Observer> observer;
    {
        const std::lock_guard lock(bus->watcher_mutex);
        if (!bus->observer) bus->observer = std::make_shared<detail::Observer>(*bus.operator->());
        observer = bus->observer;
    }
    auto impl = std::make_unique<Subscription::Impl>(detail::Bus::bare(bus_), observer, subscriber);
    observer->add(subscriber);
    return detail::Bus::subscription(std::move(impl));
}

Subscription::Subscription(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Subscription::Subscription(Subscription&&) noexcept = default;
Subscription& Subscription::operator=(Subscription&&) noexcept = default;
Subscription::~Subscription() = default;

bool Subscription::wait_for(Sequence sequence, Timeout timeout) const {
    if (!impl_) return false;
    static_cast<void>(detail::Bus::get(impl_->bus));
    if (impl_->observer->is_this_thread())
        throw WrongContext(ErrorCode::wrong_context,
                           "a function that is told of events cannot wait for it to be told",
                           {.expected = "another thread", .found = "the subscriptions'"});
    if (sequence == Sequence::newest)
        sequence = state::newest(detail::Bus::get(impl_->bus).at()).sequence;
    if (impl_->subscriber->wait_for(sequence, state::Deadline(timeout))) return true;
    static_cast<void>(detail::Bus::get(impl_->bus));  // BusClosed
    return false;
}

}  // namespace mmsb
