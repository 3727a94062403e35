// How long it takes until all pages that depend on one are up to date, shape by shape, beside a
// plain loop, oneTBB's flow graph and libraries of JavaScript. What each engine's pages hold at the
// end is compared with a model.
#include "figures.hpp"
#include "options.hpp"
#include "propagate/shapes.hpp"
#include "propagate/signals.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>

namespace {

using bench::Nodes;
using bench::Shape;

struct Options {
    int rounds = 5, turn_ms = 200;
    std::uint32_t scale = 1;  ///< Divides the large shapes, for a miniature.
    std::string json{}, signals{},
        folder = std::filesystem::temp_directory_path() / fmt::format("mmsb-bench-{}", getpid());
};

Shape chain(std::uint32_t n) {
    Shape shape{fmt::format("chain of {}", n), {{}}, n};
    for (std::uint32_t i = 0; i < n; ++i) shape.parents.push_back({i});
    return shape;
}
Shape fan(std::uint32_t n) {
    Shape shape{fmt::format("1 source, {} derived", n), {{}}, n};
    for (std::uint32_t i = 0; i < n; ++i) shape.parents.push_back({0});
    return shape;
}
Shape diamond(std::uint32_t n) {
    auto shape = fan(n);
    shape.name = fmt::format("diamond of width {}", n);
    Nodes all(n);
    for (std::uint32_t i = 0; i < n; ++i) all[i] = i + 1;
    shape.parents.push_back(all);
    shape.touched = n + 1;
    return shape;
}
// Each of four nodes a layer from itself and its neighbour in the layer before.
Shape layered(std::uint32_t layers) {
    constexpr std::uint32_t width = 4;
    Shape shape{fmt::format("layered {} x 4", layers), {{}, {0}, {0}, {0}, {0}}, 4 * layers};
    for (std::uint32_t layer = 1; layer < layers; ++layer)
        for (std::uint32_t i = 0; i < width; ++i) {
            const auto first = 1 + (layer - 1) * width;
            shape.parents.push_back({first + i, first + (i + 1) % width});
        }
    return shape;
}
Shape cutoff(std::uint32_t n) {
    Shape shape{fmt::format("cutoff before {}", n), {{}, {0}}, 1, true};
    for (std::uint32_t i = 0; i < n; ++i) shape.parents.push_back({1});
    return shape;
}
Shape forest(std::uint32_t chains) {
    constexpr std::uint32_t length = 10;
    Shape shape{fmt::format("forest of {} chains of 10", chains), {}, length};
    for (std::uint32_t c = 0; c < chains; ++c) {
        shape.parents.emplace_back();
        for (std::uint32_t i = 0; i < length; ++i)
            shape.parents.push_back({static_cast<std::uint32_t>(shape.parents.size() - 1)});
    }
    return shape;
}

struct Engine {
    std::string name{};
    std::function<double(const Shape&)> turn{};  ///< ns an update.
};

void check(const Shape& shape, bench::Propagator& at, std::uint64_t value) {
    std::vector<bench::Page> model(shape.parents.size());
    std::memcpy(model[0].data(), &value, sizeof value);
    const bool one_chain = shape.parents.size() > 10 && shape.touched == 10;  // of a forest
    const auto nodes = one_chain ? 11 : shape.parents.size();
    for (std::size_t node = 0; node < nodes; ++node) {
        std::vector<const bench::Page*> parents;
        for (const auto parent : shape.parents[node]) parents.push_back(&model[parent]);
        if (!parents.empty()) compute(shape, node, parents, model[node]);
        if (at.read(node) != model[node])
            throw std::runtime_error(fmt::format("{}: node {} is wrong", shape.name, node));
    }
}

double measure(const Shape& shape, const std::unique_ptr<bench::Propagator>& at, int turn_ms) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(turn_ms);
    std::uint64_t value = 1;
    at->update(value);
    const auto began = std::chrono::steady_clock::now();
    do at->update(++value);
    while (value % 8 != 0 || std::chrono::steady_clock::now() < until);
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - began;
    check(shape, *at, value);
    return took.count() / static_cast<double>(value - 1);
}

Options parse(int argc, char** argv) {
    Options options;
    bench::CommandLine("Derived pages of 1 KiB, beside a plain loop and other engines.")
        .option("--rounds", options.rounds, "rounds, of which the medians are shown")
        .option("--turn-ms", options.turn_ms, "of one engine on one shape")
        .option("--scale", options.scale, "divides the sizes of the large shapes")
        .option("--folder", options.folder, "where buses are made")
        .option("--signals", options.signals, "where propagate/signals is installed by npm")
        .option("--json", options.json, "file for the figures")
        .read(argc, argv);
    return options;
}

std::vector<Engine> engines_of(const Options& options) {
    const auto here = [&options](const std::string& name, auto make) {
        return Engine{
            name, [=](const Shape& shape) { return measure(shape, make(shape), options.turn_ms); }};
    };
    std::vector<Engine> engines{here("floor: plain loop", bench::plain_loop),
                                here("oneTBB flow graph", bench::flow_graph)};
    const bench::Signals signals{options.signals, options.turn_ms};
    if (const auto why = missing(signals); !why.empty())
        fmt::print("Without {}: {}\n\n", fmt::join(bench::signals_libraries, ", "), why);
    else
        for (const std::string library : bench::signals_libraries)
            engines.push_back(
                {library, [=](const Shape& shape) { return turn(signals, library, shape); }});
    const auto on_disk = [&options](auto make, bench::Reach reach) {
        return [&options, make, reach](const Shape& shape) {
            static int count = 0;
            return make(shape, fmt::format("{}/{}", options.folder, ++count), reach);
        };
    };
    using bench::Reach;
    for (const auto& [reach, with] :
         {std::pair{Reach::page, ""}, std::pair{Reach::stretches, ", stretches"}}) {
        engines.push_back(here(fmt::format("MMSB alone{}", with), [reach](const Shape& shape) {
            return bench::propagation_alone(shape, reach);
        }));
        engines.push_back(
            here(fmt::format("MMSB unlogged{}", with), on_disk(bench::unlogged, reach)));
        engines.push_back(
            here(fmt::format("MMSB logged{}", with), on_disk(bench::whole_commit, reach)));
    }
    return engines;
}

}  // namespace

int main(int argc, char** argv) try {
    const auto options = parse(argc, argv);
    const auto large = 1000 / options.scale;
    const std::vector<Shape> shapes{chain(1),       chain(10),       chain(large),
                                    fan(large),     fan(20 * large), diamond(100),
                                    layered(large), cutoff(large),   forest(10 * large)};
    const auto engines = engines_of(options);
    std::filesystem::create_directories(options.folder);
    fmt::print("ns until all is up to date, pages of 1 KiB, {} rounds, medians\n\n",
               options.rounds);
    fmt::print("{:<28}", "shape");
    for (const auto& engine : engines) fmt::print(" {:>24}", engine.name);
    fmt::print(" {:>12}\n", "a node");
    nlohmann::json figures;
    for (const auto& shape : shapes) {
        std::vector<std::vector<double>> ns(engines.size());
        for (int round = 0; round < options.rounds; ++round)
            for (std::size_t e = 0; e < engines.size(); ++e)
                ns[e].push_back(engines[e].turn(shape));
        fmt::print("{:<28}", shape.name);
        for (std::size_t e = 0; e < engines.size(); ++e) {
            fmt::print(" {:>24.0f}", bench::median(ns[e]));
            figures[shape.name][engines[e].name] = ns[e];
        }
        fmt::print(" {:>12.1f}\n", bench::median(ns.back()) / static_cast<double>(shape.touched));
        std::cout.flush();
    }
    std::filesystem::remove_all(options.folder);
    if (!options.json.empty()) std::ofstream(options.json) << figures.dump(1) << '\n';
    return 0;
} catch (const std::exception& e) {
    std::cerr << "bench_propagate: " << e.what() << '\n';
    return 1;
}
