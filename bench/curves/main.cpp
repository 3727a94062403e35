// How costs grow: prints each curve as a table and writes all of them as JSON, from which
// bench/plots/curves.py draws them.
#include "curves/curve.hpp"
#include "figures.hpp"
#include "options.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

namespace {

using Maker = bench::Curve (*)(const bench::CurveOptions&);
const std::vector<std::pair<std::string, Maker>>& makers() {
    static const std::vector<std::pair<std::string, Maker>> all = {
        {"pages", bench::by_pages},
        {"page-size", bench::by_page_size},
        {"change", bench::by_change},
        {"writers", bench::by_writers},
        {"history", bench::by_history},
        {"targets-find", bench::by_target_find},
        {"targets-encode", bench::by_target_encode},
    };
    return all;
}

// Point by point, the median of what each round has found.
bench::Curve median_of(const std::vector<bench::Curve>& rounds) {
    bench::Curve curve = rounds.front();
    for (std::size_t s = 0; s < curve.series.size(); ++s)
        for (std::size_t p = 0; p < curve.series[s].points.size(); ++p) {
            std::vector<double> all;
            // (Where memory has become scarce meanwhile, a later round has fewer of them.)
            for (const auto& round : rounds)
                if (p < round.series[s].points.size())
                    all.push_back(round.series[s].points[p].second);
            curve.series[s].points[p].second = bench::median(all);
        }
    return curve;
}

void print(const bench::Curve& curve) {
    fmt::print("\n{}: {}\n\n{:>20}", curve.name, curve.y, curve.x);
    std::set<double> xs;
    for (const auto& series : curve.series)
        for (const auto& [x, y] : series.points) xs.insert(x);
    for (const double x : xs) fmt::print(" {:>11}", x);
    fmt::print("\n");
    for (const auto& series : curve.series) {
        const std::map<double, double> points(series.points.begin(), series.points.end());
        fmt::print("{:>20}", "");
        for (const double x : xs)
            fmt::print(" {:>11}", points.contains(x) ? fmt::format("{:.4g}", points.at(x)) : "-");
        fmt::print("  {}\n", series.name);
    }
    std::cout.flush();
}

nlohmann::json json_of(const bench::Curve& curve) {
    auto series = nlohmann::json::array();
    for (const auto& one : curve.series)
        series.push_back({{"name", one.name}, {"floor", one.floor}, {"points", one.points}});
    return {{"name", curve.name},
            {"title", curve.title},
            {"x", curve.x},
            {"y", curve.y},
            {"series", series}};
}

}  // namespace

int main(int argc, char** argv) try {
    bench::CurveOptions options;
    options.folder =
        std::filesystem::temp_directory_path() / fmt::format("mmsb-curves-{}", getpid());
    std::vector<std::string> only;
    std::string json;
    int rounds = 5;
    bench::CommandLine("How costs grow")
        .flag("--quick", options.quick, "in miniature")
        .option("--longest", options.longest, "history, in commits; 60 bytes of disk each, twice")
        .option("--rounds", rounds, "of each curve, one curve after the other: medians count")
        .list("--only", only, "just these curves")
        .option("--json", json, "file for the figures")
        .read(argc, argv);
    std::map<std::string, std::vector<bench::Curve>> measured;
    for (int round = 0; round < rounds; ++round)
        for (const auto& [name, make] : makers())
            if (only.empty() || std::ranges::find(only, name) != only.end())
                measured[name].push_back(make(options));
    auto all = nlohmann::json::array();
    for (const auto& [name, make] : makers()) {
        if (!measured.contains(name)) continue;
        const auto curve = median_of(measured.at(name));
        print(curve);
        all.push_back(json_of(curve));
    }
    if (all.empty()) throw std::runtime_error("there is no curve of that name");
    std::filesystem::remove_all(options.folder);
    if (!json.empty()) std::ofstream(json) << all.dump(1) << '\n';
    return 0;
} catch (const std::exception& e) {
    std::cerr << "bench_curves: " << e.what() << '\n';
    return 1;
}
