// Derived pages: this machine's load, sampled into a page, and what follows from it by itself, in
// the same commit: a window of samples, the load over it, its moving average, an alarm. A second
// process is told of the alarm, and why. Then: how it was before.
#include <mmsb/mmsb.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>

namespace {

constexpr auto path = "sensors.bus";
constexpr std::uint64_t samples = 40;
constexpr auto between = std::chrono::milliseconds(20);
constexpr double alarm_above = 0.01;  // of all processors: nearly any work

struct Sample {
    std::uint64_t tick = 0, busy = 0, total = 0;  // in the kernel's clock ticks, of all processors
    std::uint64_t memory_kib = 0, free_kib = 0;
};
struct Window {
    std::array<Sample, 16> last;  // by tick
};

// /proc/stat: user nice system idle iowait irq softirq steal ...
Sample sample(std::uint64_t tick) {
    Sample now{.tick = tick};
    std::ifstream stat("/proc/stat");
    std::string word;
    stat >> word;
    for (std::uint64_t field = 0, value = 0; field < 8 && stat >> value; ++field) {
        now.total += value;
        if (field != 3 && field != 4) now.busy += value;
    }
    std::ifstream memory("/proc/meminfo");
    std::uint64_t kib = 0;
    for (std::string unit; memory >> word >> kib >> unit;) {
        if (word == "MemTotal:") now.memory_kib = kib;
        if (word == "MemAvailable:") now.free_kib = kib;
    }
    return now;
}

// The code behind the formulas' names. The window and the average need what they were before: they
// accumulate. The others are what their parents are, and nothing else.
void register_functions(const mmsb::State& bus) {
    bus.register_recompute("sensors.window/1",
                           [](mmsb::Recompute& r) {
                               const auto& now = r.parent<Sample>(0)[0];
                               r.out<Window>()[0].last[now.tick % 16] = now;
                           },
                           {.accumulates = true});
    bus.register_recompute("sensors.load/1", [](mmsb::Recompute& r) {
        auto all = r.parent<Window>(0)[0].last;
        std::ranges::sort(all, {}, &Sample::total);
        const auto first = std::ranges::upper_bound(all, 0U, {}, &Sample::total);
        const auto passed = first == all.end() ? 0 : all.back().total - first->total;
        r.out<double>()[0] =
            passed == 0 ? 0 : double(all.back().busy - first->busy) / double(passed);
    });
    bus.register_recompute("sensors.memory/1", [](mmsb::Recompute& r) {
        const auto& now = r.parent<Sample>(0)[0];
        r.out<double>()[0] =
            now.memory_kib == 0 ? 0 : 1 - double(now.free_kib) / double(now.memory_kib);
    });
    bus.register_recompute("sensors.average/1",
                           [](mmsb::Recompute& r) {
                               auto& average = r.out<double>()[0];
                               average += (r.parent<double>(0)[0] - average) / 8;
                           },
                           {.accumulates = true});
}

// The second process: it has no function, and needs none to be told.
int watch() {
    const auto bus = mmsb::start({.path = path});
    const auto alarm = bus.open<std::uint8_t>("alarm");
    const auto subscription = bus.subscribe(
        {.pages = {alarm}, .types = {mmsb::EventType::page_changed}, .from = mmsb::Sequence{1}},
        [&](const mmsb::Event& event) {
            std::cout << "the watcher is told: alarm is " << int(bus.at(event.sequence).get(alarm))
                      << ", because\n";
            for (const auto& cause : bus.graph().why(alarm, event.sequence))
                std::cout << "    " << cause << '\n';
            std::cout.flush();
        });
    const auto done = bus.open<std::uint8_t>("done");
    static_cast<void>(done.wait_until([](std::uint8_t d) { return d == 1; }));
    static_cast<void>(subscription.wait_for(bus.sequence()));
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    if (count > 1 && std::string_view(arguments[1]) == "watch") return watch();
    const auto bus = mmsb::start({.path = path, .source = "sampler"});
    register_functions(bus);
    const auto now = bus.open<Sample>("sample");
    const auto window = bus.open<Window>("window");
    const auto load = bus.open<double>("load"), average = bus.open<double>("average"),
               memory = bus.open<double>("memory");
    const auto alarm = bus.open<std::uint8_t>("alarm"), done = bus.open<std::uint8_t>("done");
    done.update(0);
    bus.transact([&](mmsb::Transaction& tx) {
        tx.derive(window, {now}, mmsb::formula::call("sensors.window/1"));
        tx.derive(load, {window}, mmsb::formula::call("sensors.load/1"));
        tx.derive(memory, {now}, mmsb::formula::call("sensors.memory/1"));
        tx.derive(average, {load}, mmsb::formula::call("sensors.average/1"));
        tx.derive(alarm, {average}, mmsb::formula::threshold(alarm_above));
    });

    int status = 0;
    std::thread watcher(
        [&] { status = std::system(('"' + std::string(arguments[0]) + "\" watch").c_str()); });
    for (std::uint64_t tick = 1; tick <= samples; ++tick) {
        now.update(sample(tick), {.tag = tick});
        std::this_thread::sleep_for(between);
    }
    done.update(1);
    watcher.join();

    std::cout << "sequence  load  average  memory  alarm\n";
    for (const auto& change : now.history({.newest_first = true})) {
        if (change.tag == 0 || change.tag % 8 != 0) continue;
        const auto then = bus.at(change.sequence);
        std::cout << then.sequence() << "  " << then.get(load) << "  " << then.get(average) << "  "
                  << then.get(memory) << "  " << int(then.get(alarm)) << '\n';
    }
    const auto report = bus.verify();
    std::cout << (report.good ? "verified: the log leads to just these pages\n" : "it differs\n");
    return report.good && status == 0 ? 0 : 1;
}
