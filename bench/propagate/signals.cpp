#include "propagate/signals.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <vector>

namespace bench {

namespace {

namespace fs = std::filesystem;

constexpr auto no_node_status = 127;

// Its exit status. Standard input and output are those files.
int node(std::vector<std::string> arguments, const fs::path& in, const fs::path& out) {
    arguments.insert(arguments.begin(), "node");
    std::vector<char*> words;
    words.reserve(arguments.size() + 1);
    for (auto& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, in.c_str(), O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out.c_str(),
                                       O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t process = -1;
    const auto error = ::posix_spawnp(&process, "node", &files, nullptr, words.data(), environ);
    ::posix_spawn_file_actions_destroy(&files);
    if (error != 0) return no_node_status;
    int status = 0;
    ::waitpid(process, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::int32_t mix(std::int32_t sum, std::int32_t value) {
    auto mixed = static_cast<std::uint32_t>(sum ^ value) * 0x9e3779b1U;
    mixed ^= mixed >> 15U;
    return static_cast<std::int32_t>(mixed);
}

void check(const Shape& shape, const nlohmann::json& reply) {
    const auto values = reply.at("values").get<std::vector<std::int32_t>>();
    std::vector<std::int32_t> model(shape.parents.size());
    model.at(0) = reply.at("value");
    for (std::size_t node = 0; node < model.size(); ++node) {
        if (!shape.parents[node].empty()) {
            model[node] = 1;
            for (const auto parent : shape.parents[node])
                model[node] = mix(model[node], model[parent]);
        }
        if (shape.cuts && node == 1) model[node] = 7;
        if (values.at(node) != model[node])
            throw std::runtime_error(fmt::format("{}: node {} is wrong", shape.name, node));
    }
}

}  // namespace

std::string missing(const Signals& signals) {
    if (signals.folder.empty()) return "--signals names no folder";
    if (node({"--version"}, "/dev/null", "/dev/null") != 0) return "there is no node";
    for (const auto* library : signals_libraries)
        if (!fs::exists(fs::path(signals.folder) / "node_modules" / library))
            return fmt::format("npm has not installed {} in {}", library, signals.folder);
    return {};
}

double turn(const Signals& signals, const std::string& library, const Shape& shape) {
    const auto in = fs::temp_directory_path() / fmt::format("mmsb-signals-{}-in", ::getpid());
    const auto out = fs::temp_directory_path() / fmt::format("mmsb-signals-{}-out", ::getpid());
    const nlohmann::json request{{"library", library},
                                 {"parents", shape.parents},
                                 {"cuts", shape.cuts},
                                 {"turn_ms", signals.turn_ms}};
    std::ofstream(in) << request;
    const auto status = node({fs::path(signals.folder) / "turn.mjs"}, in, out);
    const auto reply = nlohmann::json::parse(std::ifstream(out), nullptr, false);
    fs::remove(in);
    fs::remove(out);
    if (status != 0 || reply.is_discarded())
        throw std::runtime_error(
            fmt::format("{}, {}: node ended with {}", library, shape.name, status));
    check(shape, reply);
    return reply.at("ns");
}

}  // namespace bench
