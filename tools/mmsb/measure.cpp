#include "measure.hpp"

#include "os_files.hpp"
#include "output.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <random>
#include <span>
#include <system_error>
#include <thread>
#include <vector>

namespace mmsb::tool {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::uint64_t together =
    1000;  // That are timed as one, where a clock would be in the way.

double nanoseconds(Clock::duration took) {
    return std::chrono::duration<double, std::nano>(took).count();
}

double quantile(std::vector<double> of, double at) {
    if (of.empty()) return 0;
    std::ranges::sort(of);
    return of[static_cast<std::size_t>(at * static_cast<double>(of.size() - 1))];
}

Config config_of(const std::string& path, Durability durability) {
    Config config{.path = path, .durability = durability, .source = "mmsb bench"};
    config.on_notice = [](const Notice&) {};
    return config;
}

}  // namespace

std::string_view to_string(Subject subject) noexcept {
    switch (subject) {
        case Subject::update:
            return "update";
        case Subject::read:
            return "read";
        case Subject::replay:
            return "replay";
        case Subject::reopen:
            return "reopen";
        case Subject::rebuild:
            return "rebuild";
    }
    return {};
}

// Pages on a bus, and what they have to hold. A writer has every page whose number is its own,
// modulo the number of writers.
struct Bench::Pages {
    Pages(const State& bus, unsigned writer, unsigned writers) : random(writer + 1) {
        auto tx = bus.transaction();
        for (std::size_t n = writer; n < bench_pages; n += writers) {
            handles.push_back(tx.create_page(bench_page_size));
        }
        tx.commit();
        // Those of the transaction were made before their pages had a place, and look it up each
        // time.
        for (Page& handle : handles) handle = bus.page(handle.id());
        bytes.resize(handles.size() * bench_page_size);
    }
    std::size_t any() { return random() % handles.size(); }
    std::span<std::byte> of(std::size_t n) {
        return std::span(bytes).subspan(n * bench_page_size, bench_page_size);
    }
    std::size_t step() {
        const std::size_t n = any();
        for (int i = 0; i < 10; ++i) {
            const auto r = random();
            of(n)[r % bench_page_size] ^= static_cast<std::byte>(1 + (r >> 32U) % 255);
        }
        return n;
    }
    // Whatever handle on the bus they are read through.
    void check(const State& bus) {
        for (std::size_t n = 0; n < handles.size(); ++n)
            if (!std::ranges::equal(bus.page(handles[n].id()).read(), of(n)))
                throw Corrupt(ErrorCode::corrupt,
                              fmt::format("page {} does not hold what was committed",
                                          number(handles[n].id())),
                              {.page = handles[n].id(), .path = bus.config().path});
    }
    std::mt19937_64 random;
    std::vector<Page> handles{};
    Bytes bytes{};
};

Bench::Bench(BenchOptions options, Signals& signals)
    : options_(std::move(options)), signals_(signals) {
    std::random_device random;
    std::error_code error;
    do folder_ = fmt::format("{}/mmsb-bench-{:08x}", options_.folder, random());
    while (!std::filesystem::create_directory(folder_, error) && !error);
    if (error) throw_io("cannot make a folder in", options_.folder, error.value());
}

Bench::~Bench() {
    try {
        for (int bus = 1; bus <= buses_; ++bus) {
            const std::string path = fmt::format("{}/{}", folder_, bus);
            if (signature_of(path)) remove_bus(path);
        }
        std::filesystem::remove_all(folder_);
    } catch (const std::exception& error) {
        say(fmt::format("warning: {} may be left: {}", folder_, error.what()));
    }
}

std::string Bench::next_bus() { return fmt::format("{}/{}", folder_, ++buses_); }

void Bench::check_signals() {
    while (const auto signal = signals_.next())
        if (!signal->of_child) throw Interrupted{signal->number};
}

Figure Bench::measure(const Measurement& what) {
    const double seconds = what.share * static_cast<double>(options_.seconds);
    switch (what.subject) {
        case Subject::update:
            return what.durability == Durability::sync ? waiting_updates(what, seconds)
                                                       : updates(what, seconds);
        case Subject::read:
            return reads(seconds);
        default:
            return of_history(what.subject);
    }
}

Figure Bench::updates(const Measurement& what, double seconds) {
    const std::string path = next_bus();
    Figure figure;
    {
        const State bus = start(config_of(path, what.durability));
        Pages pages(bus, 0, 1);
        auto tx = bus.transaction();
        const auto most = options_.seconds * 100'000;  // So that the log does not fill the disk.
        std::vector<double> each;
        const auto began = Clock::now();
        const auto end = began + std::chrono::duration<double>(seconds);
        for (auto last = began; last < end && figure.count < most;) {
            check_signals();
            for (std::uint64_t i = 1; i <= together; ++i) {
                const std::size_t n = pages.step();
                if (what.updates_a_commit == 1) {
                    pages.handles[n].update(pages.of(n));
                    continue;
                }
                tx.update(pages.handles[n], pages.of(n));
                if (i % what.updates_a_commit == 0) tx.commit();
            }
            figure.count += together;
            const auto now = Clock::now();
            each.push_back(nanoseconds(now - last) / static_cast<double>(together));
            last = now;
        }
        figure.per_second =
            static_cast<double>(figure.count) * 1e9 / nanoseconds(Clock::now() - began);
        figure.median_ns = quantile(each, 0.5);
        pages.check(bus);
    }
    remove_bus(path);
    return figure;
}

Figure Bench::waiting_updates(const Measurement& what, double seconds) {
    const std::string path = next_bus();
    Figure figure;
    {
        const State bus = start(config_of(path, what.durability));
        std::vector<Pages> pages;
        pages.reserve(what.writers);
        for (unsigned w = 0; w < what.writers; ++w) pages.emplace_back(bus, w, what.writers);
        std::vector<std::vector<double>> took(what.writers);
        std::vector<std::exception_ptr> failed(what.writers);
        std::atomic<bool> stop{false};
        const auto write = [&](unsigned w) {
            try {
                while (!stop.load(std::memory_order_relaxed)) {
                    const std::size_t n = pages[w].step();
                    const auto before = Clock::now();
                    pages[w].handles[n].update(pages[w].of(n));
                    took[w].push_back(nanoseconds(Clock::now() - before));
                }
            } catch (...) {
                failed[w] = std::current_exception();
            }
        };
        const auto began = Clock::now();
        std::vector<std::jthread> threads;
        threads.reserve(what.writers);
        for (unsigned w = 0; w < what.writers; ++w) threads.emplace_back(write, w);
        try {
            while (Clock::now() < began + std::chrono::duration<double>(seconds)) {
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
                check_signals();
            }
        } catch (...) {
            stop = true;
            throw;  // the threads end before what they use does
        }
        stop = true;
        threads.clear();
        const double all = nanoseconds(Clock::now() - began);
        for (const auto& failure : failed)
            if (failure) std::rethrow_exception(failure);
        for (auto& mine : pages) mine.check(bus);
        std::vector<double> each;
        for (const auto& mine : took) each.insert(each.end(), mine.begin(), mine.end());
        figure = {.count = each.size(),
                  .per_second = static_cast<double>(each.size()) * 1e9 / all,
                  .median_ns = quantile(each, 0.5),
                  .p99_ns = quantile(each, 0.99)};
    }
    remove_bus(path);
    return figure;
}

Figure Bench::reads(double seconds) {
    const std::string path = next_bus();
    Figure figure;
    {
        const State bus = start(config_of(path, Durability::process));
        Pages pages(bus, 0, 1);
        for (std::size_t i = 0; i < bench_pages; ++i) {
            const std::size_t n = pages.step();
            pages.handles[n].update(pages.of(n));
        }
        pages.check(bus);
        Bytes out(bench_page_size);
        std::vector<double> each;
        const auto began = Clock::now();
        for (auto last = began; last < began + std::chrono::duration<double>(seconds);) {
            check_signals();
            for (std::uint64_t i = 0; i < together; ++i) pages.handles[pages.any()].read_into(out);
            figure.count += together;
            const auto now = Clock::now();
            each.push_back(nanoseconds(now - last) / static_cast<double>(together));
            last = now;
        }
        figure.per_second =
            static_cast<double>(figure.count) * 1e9 / nanoseconds(Clock::now() - began);
        figure.median_ns = quantile(each, 0.5);
    }
    remove_bus(path);
    return figure;
}

// A bus with a past that no checkpoint shortens.
struct Bench::History {
    History(const std::string& path, std::uint64_t commits, const std::function<void()>& pause)
        : config(config_of(path, Durability::process)), records(commits) {
        config.checkpoint_interval = std::chrono::seconds(0);
        bus = start(config);
        pages.emplace(*bus, 0, 1);
        bus->checkpoint();
        for (std::uint64_t i = 0; i < records; ++i) {
            if (i % together == 0) pause();
            const std::size_t n = pages->step();
            pages->handles[n].update(pages->of(n));
        }
    }
    // Of each: nanoseconds.
    double open(const std::string& path, std::optional<State>& opened) {
        config.path = path;
        const auto began = Clock::now();
        opened = start(config);
        static_cast<void>(opened->page(pages->handles.front().id()).read());
        return nanoseconds(Clock::now() - began);
    }
    double reopen() {
        const std::string path = config.path;
        bus.reset();
        return open(path, bus);
    }
    double rebuild(const std::string& copy) {
        const std::string path = config.path;
        bus->copy_to(copy);  // It has the files of the bus, and no memory yet.
        std::optional<State> opened;
        const double took = open(copy, opened);
        pages->check(*opened);
        opened.reset();
        remove_bus(copy);
        config.path = path;
        return took;
    }
    double replay() {
        const auto began = Clock::now();
        const VerifyReport report = bus->verify();
        const double took = nanoseconds(Clock::now() - began);
        if (!report.good)
            throw Corrupt(ErrorCode::corrupt, "the log gives other pages than there are",
                          {.page = report.page, .path = config.path, .offset = report.offset});
        records = report.records;
        return took;
    }
    Config config;
    std::uint64_t records;
    std::optional<State> bus{};
    std::optional<Pages> pages{};
};

Figure Bench::of_history(Subject subject) {
    constexpr int times = 5;
    const std::string path = next_bus();
    Figure figure;
    {
        const auto commits = std::max<std::uint64_t>(options_.seconds * 1'000'000 / 60, 1000);
        History history(path, commits, [this] { check_signals(); });
        std::vector<double> each;
        double all = 0;
        for (int i = 0; i < times; ++i) {
            check_signals();
            const double took = subject == Subject::replay   ? history.replay()
                                : subject == Subject::reopen ? history.reopen()
                                                             : history.rebuild(next_bus());
            const auto count = subject == Subject::replay ? history.records : 1;
            all += took;
            figure.count += count;
            each.push_back(took / static_cast<double>(count));
        }
        history.pages->check(*history.bus);
        figure.records = subject == Subject::reopen ? 0 : history.records;
        figure.per_second = static_cast<double>(figure.count) * 1e9 / all;
        figure.median_ns = quantile(each, 0.5);
    }
    remove_bus(path);
    return figure;
}

}  // namespace mmsb::tool
