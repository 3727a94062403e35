// A bus with derived pages, for the tests of the command line.
#include <mmsb/mmsb.hpp>

#include <numeric>

int main(int, char** argv) {
    const auto bus = mmsb::start({.path = argv[1], .source = "plant"});
    const auto temps = bus.create<double[]>(8, {.name = "temps"});
    const auto mean = bus.create<double>({.name = "mean"});
    const auto alarm = bus.create<std::uint8_t>({.name = "alarm"});
    const auto report = bus.create_page(10, {.name = "a \"report\""});
    bus.register_recompute("demo.mean/1", [](mmsb::Recompute& r) {
        const auto in = r.parent<double>(0);
        r.out<double>()[0] =
            std::accumulate(in.begin(), in.end(), 0.0) / static_cast<double>(in.size());
    });
    bus.transact([&](mmsb::Transaction& tx) {
        tx.derive(mean, {temps}, mmsb::formula::call("demo.mean/1"));
        tx.derive(alarm, {mean}, mmsb::formula::threshold(80.0));
        tx.add_dependency(mean, report, mmsb::EdgeType::compiler);
        tx.add_dependency(alarm, report, mmsb::EdgeType::compiler);
    });
    temps.update([](std::span<double> t) { t[3] = 700.0; }, {.label = "measured", .tag = 3});
}
