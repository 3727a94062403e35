// The benchmark categories of the original, under their names and at their sizes, by Google
// Benchmark: allocation, delta, propagation, persistence, replay, stress. What each of them has
// made is looked at before it is timed; what is wrong ends the program.
//
//     bench_categories --json FILE       or any option of Google Benchmark's
#include <benchmark/benchmark.h>

#include <exception>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
    std::vector<std::string> words(argv, argv + argc);
    // As the other benchmarks have it.
    for (std::size_t i = 0; i + 1 < words.size(); ++i)
        if (words[i] == "--json") {
            words[i] = "--benchmark_out=" + words[i + 1];
            words[i + 1] = "--benchmark_out_format=json";
        }
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    int count = argc;
    benchmark::Initialize(&count, arguments.data());
    if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
} catch (const std::exception& e) {
    std::cerr << "bench_categories: " << e.what() << '\n';
    return 1;
}
