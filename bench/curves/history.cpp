// What a long past costs: adding to it, reading all of it, opening a bus that has it, and going
// back into its middle. No checkpoint shortens it.
#include "curves/bus.hpp"

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace bench {

namespace {

constexpr std::size_t pages = 1000;

template <class F>
double took_ms(F&& call) {
    const auto began = std::chrono::steady_clock::now();
    call();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began)
        .count();
}

// Returns how many of them change the first page.
std::size_t append(CurveBus& bus, std::size_t records) {
    std::size_t of_first = 0;
    for (std::size_t i = 0; i < records; ++i) {
        const auto n = bus.contents.any();
        bus.contents.scatter(n, 10);
        const auto committed = bus.handles[n].update(bus.contents.page(n));
        of_first += n == 0 && committed.changed() ? 1 : 0;
    }
    return of_first;
}

double history_ms(const CurveBus& bus, std::size_t expected) {
    std::size_t found = 0;
    const auto took = took_ms([&] {
        for (const auto& change : bus.handles[0].history()) found += change.changed_bytes != 0;
    });
    if (found != expected) throw std::runtime_error("a page's history is wrong");
    return took;
}

// From its files alone: a copy has them, and no shared memory yet.
double rebuild_ms(CurveBus& bus, const CurveOptions& options) {
    auto config = bus.config();
    config.path = options.folder + "/copy";
    bus->copy_to(config.path);
    std::optional<mmsb::State> copy;
    const auto took = took_ms([&] { copy = mmsb::start(config); });
    bus.check(*copy);
    copy.reset();
    mmsb::remove_bus(config.path);
    return took;
}

double reopen_ms(CurveBus& bus) {
    bus.close();
    const auto took = took_ms([&] { bus.open(); });
    bus.handles = bus->pages();
    return took;
}

}  // namespace

Curve by_history(const CurveOptions& options) {
    Curve curve{.name = "history",
                .title = "What a past of so many commits costs",
                .x = "commits in the log",
                .y = "ms"};
    Series appended{"append all of them"}, verified{"verify: replay all of them"},
        rebuilt{"open, from the files alone"}, reopened{"open, the shared memory is there"},
        first{"a page's history, the first one"}, again{"a page's history, again"},
        past{"read a page as of the middle"}, later{"the log from the middle on, ten commits"};
    const std::size_t most = options.quick ? 10'000 : options.longest;
    CurveBus bus(options, pages, page_size);
    double append_ms = 0;
    std::size_t there = 0, of_first = 1;
    for (std::size_t records = options.quick ? 10 : 10'000; records <= most; records *= 10) {
        append_ms += took_ms([&] { of_first += append(bus, records - there); });
        there = records;
        bus.check(*bus);
        appended.points.emplace_back(records, append_ms);
        verified.points.emplace_back(records, took_ms([&] {
                                         if (!bus->verify().good)
                                             throw std::runtime_error("verify finds a difference");
                                     }));
        rebuilt.points.emplace_back(records, rebuild_ms(bus, options));
        reopened.points.emplace_back(records, reopen_ms(bus));
        const mmsb::Sequence middle{mmsb::number(bus->sequence()) / 2};
        first.points.emplace_back(records, history_ms(bus, of_first));
        again.points.emplace_back(records, history_ms(bus, of_first));
        past.points.emplace_back(records, took_ms([&] {
                                     if (bus->at(middle).bytes(bus.handles[0]).size() != page_size)
                                         throw std::runtime_error("a page of the past is wrong");
                                 }));
        const auto rest = mmsb::number(bus->sequence()) - mmsb::number(middle) + 1;
        later.points.emplace_back(
            records, took_ms([&] {
                auto log = bus->tlog({.from = middle, .to = middle + 9});
                if (std::ranges::distance(log) !=
                    static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(rest, 10)))
                    throw std::runtime_error("the log is wrong");
            }));
    }
    curve.series = {std::move(appended), std::move(verified), std::move(rebuilt),
                    std::move(reopened), std::move(first),    std::move(again),
                    std::move(past),     std::move(later)};
    return curve;
}

}  // namespace bench
