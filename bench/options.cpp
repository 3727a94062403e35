#include "options.hpp"

#include <CLI/CLI.hpp>

#include <cstdlib>

namespace bench {

CommandLine::CommandLine(const std::string& what) : app_(std::make_unique<CLI::App>(what)) {}
CommandLine::~CommandLine() = default;

template <class T>
CommandLine& CommandLine::option(const std::string& name, T& value, const std::string& what) {
    app_->add_option(name, value, what)->capture_default_str();
    return *this;
}
template CommandLine& CommandLine::option(const std::string&, int&, const std::string&);
template CommandLine& CommandLine::option(const std::string&, std::uint32_t&, const std::string&);
template CommandLine& CommandLine::option(const std::string&, std::uint64_t&, const std::string&);
template CommandLine& CommandLine::option(const std::string&, std::string&, const std::string&);

CommandLine& CommandLine::flag(const std::string& name, bool& value, const std::string& what) {
    app_->add_flag(name, value, what);
    return *this;
}

template <class T>
CommandLine& CommandLine::list(const std::string& name, std::vector<T>& values,
                               const std::string& what) {
    app_->add_option(name, values, what)->delimiter(',')->capture_default_str();
    return *this;
}
template CommandLine& CommandLine::list(const std::string&, std::vector<std::size_t>&,
                                        const std::string&);
template CommandLine& CommandLine::list(const std::string&, std::vector<std::string>&,
                                        const std::string&);

void CommandLine::read(int argc, char** argv) {
    try {
        app_->parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        std::exit(app_->exit(e));
    }
}

}  // namespace bench
