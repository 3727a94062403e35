// What an edge costs, by the order in which a graph grows: kept in topological order, with its
// check for cycles, beside a depth-first search for each edge and no check at all. At the end each
// refuses edges that would close a cycle, and what it keeps is looked at.
#include "edges/engines.hpp"
#include "figures.hpp"
#include "options.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <iostream>

namespace {

using bench::EdgeKeeper;
using bench::Growth;

struct Options {
    int rounds = 3, cap_ms = 2000;
    std::uint32_t nodes = 100'000, edges = 500'000;
    std::string json{};
};

struct Engine {
    std::string name{};
    std::function<std::unique_ptr<EdgeKeeper>(std::uint32_t)> make{};
    bool refuses = true;
};

/// Of one engine on one growth, by round.
struct Figures {
    std::vector<double> ns{}, last_ns{};  ///< An edge; one of the last hundredth.
    std::size_t edges = 0;                ///< Until the cap; the least of all rounds.
};

void check_refusals(EdgeKeeper& keeper, std::span<const bench::NodePair> edges) {
    constexpr std::size_t tries = 20;
    for (std::size_t i = 0; i != tries; ++i) {
        const auto& [parent, child] = edges[i * (edges.size() - 1) / tries];
        if (keeper.add(child, parent)) throw std::runtime_error("a cycle was not found");
    }
}

void run(const Engine& engine, const Growth& growth, const Options& options, Figures& figures) {
    using Clock = std::chrono::steady_clock;
    const auto keeper = engine.make(options.nodes);
    const auto stretch = std::max<std::size_t>(growth.edges.size() / 100, 1);
    const auto began = Clock::now();
    const auto until = began + std::chrono::milliseconds(options.cap_ms);
    auto last_began = began, now = began;
    std::size_t done = 0, last = 0;
    while (done != growth.edges.size() && now < until) {
        last_began = now;
        last = 0;
        // The clock is looked at often where each edge takes long.
        do {
            const auto end =
                std::min(done + std::max<std::size_t>(stretch / 50, 1), growth.edges.size());
            for (; done != end; ++done, ++last)
                if (!keeper->add(growth.edges[done].first, growth.edges[done].second))
                    throw std::runtime_error(fmt::format("{}: an edge is refused", engine.name));
            now = Clock::now();
        } while (last < stretch && done != growth.edges.size() && now < until);
    }
    const auto ns_each = [](auto took, std::size_t n) {
        return std::chrono::duration<double, std::nano>(took).count() / static_cast<double>(n);
    };
    figures.ns.push_back(ns_each(now - began, done));
    figures.last_ns.push_back(ns_each(now - last_began, last));
    figures.edges = std::min(figures.edges == 0 ? done : figures.edges, done);
    if (engine.refuses) check_refusals(*keeper, std::span(growth.edges).first(done));
    keeper->check();
}

Options parse(int argc, char** argv) {
    Options options;
    bench::CommandLine("An edge of a dependency graph, by the order in which the graph grows.")
        .option("--rounds", options.rounds, "rounds, of which the medians are shown")
        .option("--nodes", options.nodes, "of each graph")
        .option("--edges", options.edges, "of each graph, about")
        .option("--cap-ms", options.cap_ms, "of one engine on one graph; then it is stopped")
        .option("--json", options.json, "file for the figures")
        .read(argc, argv);
    return options;
}

}  // namespace

int main(int argc, char** argv) try {
    const auto options = parse(argc, argv);
    const std::vector<Engine> engines{{"floor: no check", bench::no_check, false},
                                      {"depth-first search", bench::depth_first},
                                      {"MMSB, order alone", bench::order_alone},
                                      {"MMSB, whole graph", bench::whole_graph}};
    fmt::print(
        "ns an edge, {} nodes, {} edges, {} rounds, medians; those of the last hundredth in "
        "brackets\n\n",
        options.nodes, options.edges, options.rounds);
    fmt::print("{:<28}", "grown");
    for (const auto& engine : engines) fmt::print(" {:>28}", engine.name);
    fmt::print(" {:>18}\n", "loaded at once");
    nlohmann::json json;
    for (const auto& growth : bench::growths(options.nodes, options.edges)) {
        std::vector<Figures> figures(engines.size());
        std::vector<double> loads;
        for (int round = 0; round < options.rounds; ++round) {
            for (std::size_t e = 0; e < engines.size(); ++e)
                run(engines[e], growth, options, figures[e]);
            loads.push_back(bench::load_ns(growth.edges) /
                            static_cast<double>(growth.edges.size()));
        }
        fmt::print("{:<28}", growth.name);
        for (std::size_t e = 0; e < engines.size(); ++e) {
            const auto& [ns, last_ns, edges] = figures[e];
            fmt::print(
                " {:>28}",
                fmt::format("{:.0f} ({:.0f}){}", bench::median(ns), bench::median(last_ns),
                            edges < growth.edges.size() ? fmt::format(", at {}", edges) : ""));
            json[growth.name][engines[e].name] = {
                {"ns", ns}, {"last_ns", last_ns}, {"edges", edges}};
        }
        json[growth.name]["loaded at once"] = {{"ns", loads}};
        fmt::print(" {:>18.0f}\n", bench::median(loads));
        std::cout.flush();
    }
    if (!options.json.empty()) std::ofstream(options.json) << json.dump(1) << '\n';
    return 0;
} catch (const std::exception& e) {
    std::cerr << "bench_edges: " << e.what() << '\n';
    return 1;
}
