/// bench/options: the command line of a benchmark.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdlib>
#include <string>

namespace bench {

class CommandLine {
public:
    explicit CommandLine(const std::string& what) : app_(what) {}
    template <class T>
    CommandLine& option(const std::string& name, T& value, const std::string& what) {
        app_.add_option(name, value, what)->capture_default_str();
        return *this;
    }
    CommandLine& flag(const std::string& name, bool& value, const std::string& what) {
        app_.add_flag(name, value, what);
        return *this;
    }
    /// Several, with commas between.
    template <class T>
    CommandLine& list(const std::string& name, std::vector<T>& values, const std::string& what) {
        app_.add_option(name, values, what)->delimiter(',')->capture_default_str();
        return *this;
    }
    /// Ends the program where it asked for help, or is wrong.
    void read(int argc, char** argv) {
        try {
            app_.parse(argc, argv);
        } catch (const CLI::ParseError& e) {
            std::exit(app_.exit(e));
        }
    }

private:
    CLI::App app_;
};

}  // namespace bench
