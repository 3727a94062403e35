#include "options.hpp"

#include <CLI/CLI.hpp>

#include <cstdlib>

namespace bench {
namespace {

template <class T>
CLI::Option* add(CLI::App& app, const std::string& name, T& value, const std::string& what) {
    return app.add_option(name, value, what)->capture_default_str();
}

}  // namespace

CommandLine::CommandLine(const std::string& what) : app_(std::make_unique<CLI::App>(what)) {}
CommandLine::~CommandLine() = default;

CommandLine& CommandLine::option(const std::string& name, int& value, const std::string& what) {
    add(*app_, name, value, what);
    return *this;
}
CommandLine& CommandLine::option(const std::string& name, std::uint32_t& value,
                                 const std::string& what) {
    add(*app_, name, value, what);
    return *this;
}
CommandLine& CommandLine::option(const std::string& name, std::uint64_t& value,
                                 const std::string& what) {
    add(*app_, name, value, what);
    return *this;
}
CommandLine& CommandLine::option(const std::string& name, std::string& value,
                                 const std::string& what) {
    add(*app_, name, value, what);
    return *this;
}
CommandLine& CommandLine::flag(const std::string& name, bool& value, const std::string& what) {
    app_->add_flag(name, value, what);
    return *this;
}
CommandLine& CommandLine::list(const std::string& name, std::vector<std::size_t>& values,
                               const std::string& what) {
    add(*app_, name, values, what)->delimiter(',');
    return *this;
}
CommandLine& CommandLine::list(const std::string& name, std::vector<std::string>& values,
                               const std::string& what) {
    add(*app_, name, values, what)->delimiter(',');
    return *this;
}

void CommandLine::read(int argc, char** argv) {
    try {
        app_->parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        std::exit(app_->exit(e));
    }
}

}  // namespace bench
