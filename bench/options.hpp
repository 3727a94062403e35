/// bench/options: the command line of a benchmark.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
}  // namespace CLI

namespace bench {

/// What is referred to must live until read() was called. CLI11 stands behind it and is seen by one
/// source: it takes twenty seconds to compile.
class CommandLine {
public:
    explicit CommandLine(const std::string& what);
    ~CommandLine();
    CommandLine(const CommandLine&) = delete;
    CommandLine& operator=(const CommandLine&) = delete;
    /// Of int, std::uint32_t, std::uint64_t and std::string.
    template <class T>
    CommandLine& option(const std::string& name, T& value, const std::string& what);
    CommandLine& flag(const std::string& name, bool& value, const std::string& what);
    /// Several, with commas between. Of std::size_t and std::string.
    template <class T>
    CommandLine& list(const std::string& name, std::vector<T>& values, const std::string& what);
    /// Ends the program where it asked for help, or is wrong.
    void read(int argc, char** argv);

private:
    std::unique_ptr<CLI::App> app_;
};

}  // namespace bench
