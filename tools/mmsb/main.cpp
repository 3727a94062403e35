#include "command.hpp"
#include "exit_code.hpp"
#include "os_stream.hpp"

#include <CLI/Error.hpp>

#include <new>

namespace {

using namespace mmsb::tool;

int fail(int code, std::string_view what, std::string_view hint = {}) {
    say(fmt::format("{}{}", what, hint));
    return code;
}

int fail(const mmsb::Error& error) {
    std::string what = error.what();
    if (!error.expected().empty() && !error.found().empty() &&
        (what.find(error.expected()) == std::string::npos ||
         what.find(error.found()) == std::string::npos)) {
        what += fmt::format(" (expected {}, found {})", error.expected(), error.found());
    }
    return fail(exit_code(error.code()), what);
}

int run(std::vector<std::string> arguments) {
    Output out(standard_output);
    Program program;
    for (const auto add : {add_capture, add_record, add_inspect, add_log, add_show, add_export,
                           add_diff, add_keep, add_doctor, add_graph, add_bench, add_describe}) {
        add(program);
    }
    const std::string hint = !arguments.empty() && program.find(arguments.front()) != nullptr
                                 ? fmt::format(" (mmsb {} --help says more)", arguments.front())
                                 : " (mmsb --help says more)";
    try {
        const int code = program.run(std::move(arguments), out);
        out.flush();
        return code;
    } catch (const CLI::ParseError& error) {
        return fail(exit_usage, error.what(), hint);
    } catch (const ReaderGone&) {
        throw;
    } catch (...) {
        out.flush();  // What was found before the error is worth its lines.
        throw;
    }
}

}  // namespace

int main(int argc, char** argv) {
    reserve_standard_files();
    // A reader that goes away is told by the write that fails, when everything is in order.
    survive_broken_pipes();
    try {
        return run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
    } catch (const ReaderGone&) {
        return exit_reader_gone;
    } catch (const mmsb::Error& error) {
        return fail(error);
    } catch (const std::bad_alloc&) {
        return fail(exit_code(mmsb::ErrorCode::out_of_space), "out of memory");
    } catch (const std::exception& error) {
        return fail(exit_internal, error.what());
    }
}
