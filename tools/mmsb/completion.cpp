#include "manual.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>

namespace mmsb::tool {
namespace {

struct Flag {
    std::vector<std::string> names;  // "-q", "--quiet"
    std::string description;
    bool takes_value = false;
    std::vector<std::string> choices;  // Of the value.
};
struct Words {
    std::string name, summary;
    std::vector<Flag> flags;
    std::vector<std::string> choices;  // Of the first argument, where it has some.
};

// CLI11 keeps the choices of IsMember only in the name of the type, as "TEXT:{a,b}".
std::vector<std::string> choices_of(const CLI::Option& option) {
    const std::string type = option.get_type_name();
    const std::size_t open = type.find('{');
    const std::size_t close = type.find('}');
    if (open == std::string::npos || close == std::string::npos) return {};
    return CLI::detail::split(type.substr(open + 1, close - open - 1), ',');
}

std::vector<Flag> flags_of(const CLI::App& command) {
    std::vector<Flag> flags;
    for (const CLI::Option* option : options_of(command)) {
        Flag flag;
        flag.description = option->get_description();
        flag.takes_value = option->get_items_expected_max() > 0;
        flag.choices = choices_of(*option);
        for (const std::string& name : option->get_snames()) flag.names.push_back("-" + name);
        for (const std::string& name : option->get_lnames()) flag.names.push_back("--" + name);
        flags.push_back(std::move(flag));
    }
    return flags;
}

std::vector<Words> words_of(const Program& program) {
    std::vector<Words> all;
    for (const CLI::App* command : program.app().get_subcommands({})) {
        if (command->get_group().empty()) continue;
        Words words{command->get_name(), command->get_description(), flags_of(*command), {}};
        const auto arguments = arguments_of(*command);
        if (!arguments.empty()) words.choices = choices_of(*arguments.front());
        all.push_back(std::move(words));
    }
    return all;
}

std::string names_of(const std::vector<Flag>& flags) {
    std::vector<std::string> names;
    for (const Flag& flag : flags) names.insert(names.end(), flag.names.begin(), flag.names.end());
    return fmt::format("{}", fmt::join(names, " "));
}

std::string bash(const Program& program) {
    const std::vector<Words> all = words_of(program);
    std::vector<std::string> commands;
    std::string cases;
    for (const Words& words : all) {
        commands.push_back(words.name);
        std::string values;
        for (const Flag& flag : words.flags) {
            if (!flag.choices.empty())
                values += fmt::format("            {}) words=\"{}\" ;;\n",
                                      fmt::join(flag.names, "|"), fmt::join(flag.choices, " "));
            else if (flag.takes_value)
                values += fmt::format("            {}) return ;;\n", fmt::join(flag.names, "|"));
        }
        cases += fmt::format(
            "        {})\n            options=\"{}\" words=\"{}\"\n            case $previous in\n"
            "{}            esac ;;\n",
            words.name, names_of(words.flags), fmt::join(words.choices, " "), values);
    }
    return fmt::format(
        "# bash completion of mmsb; made by `mmsb completion bash`.\n"
        "_mmsb() {{\n"
        "    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}\n"
        "    local command='' options='' words=''\n"
        "    COMPREPLY=()\n"
        "    if ((COMP_CWORD > 1)); then command=${{COMP_WORDS[1]}}; fi\n"
        "    case $command in\n"
        "        '') options=\"{}\" words=\"{}\" ;;\n"
        "{}"
        "    esac\n"
        "    if [[ $current == -* ]]; then words=$options; fi\n"
        "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
        "}}\n"
        "complete -o default -F _mmsb mmsb\n",
        names_of(flags_of(program.app())), fmt::join(commands, " "), cases);
}

// Within single quotes of zsh and fish.
std::string quoted(std::string_view text, std::string_view quote) {
    std::string out;
    for (const char c : text) {
        if (c == '\'') {
            out += quote;
        } else {
            out += c;
        }
    }
    return out;
}

// Within a [description] of _arguments: brackets and colons mean something there.
std::string zsh_description(std::string_view text) {
    std::string out;
    for (const char c : quoted(text, "'\\''")) {
        if (c == '[' || c == ']' || c == ':') out += '\\';
        out += c;
    }
    return out;
}

std::string zsh_flags(const std::vector<Flag>& flags) {
    std::string out;
    for (const Flag& flag : flags) {
        for (const std::string& name : flag.names) {
            std::string value;
            if (!flag.choices.empty()) {
                value = fmt::format(":value:({})", fmt::join(flag.choices, " "));
            } else if (flag.takes_value) {
                value = ":value: ";
            }
            out += fmt::format(" \\\n                '*{}[{}]{}'", name,
                               zsh_description(flag.description), value);
        }
    }
    return out;
}

std::string zsh(const Program& program) {
    std::string commands;
    std::string cases;
    for (const Words& words : words_of(program)) {
        commands += fmt::format("        '{}:{}'\n", words.name, zsh_description(words.summary));
        const std::string rest = words.choices.empty()
                                     ? "'*:file:_files'"
                                     : fmt::format("'1:value:({})'", fmt::join(words.choices, " "));
        cases += fmt::format("        {})\n            _arguments{} \\\n                {} ;;\n",
                             words.name, zsh_flags(words.flags), rest);
    }
    return fmt::format(
        "#compdef mmsb\n"
        "# zsh completion of mmsb; made by `mmsb completion zsh`.\n"
        "_mmsb() {{\n"
        "    local -a commands=(\n{}    )\n"
        "    if ((CURRENT == 2)); then\n"
        "        _describe command commands\n"
        "        compadd -- {}\n"
        "        return\n"
        "    fi\n"
        "    local command=$words[2]\n"
        "    shift words\n"
        "    ((CURRENT--))\n"
        "    case $command in\n{}"
        "    esac\n"
        "}}\n"
        "if [ \"$funcstack[1]\" = _mmsb ]; then _mmsb \"$@\"; else compdef _mmsb mmsb; fi\n",
        commands, names_of(flags_of(program.app())), cases);
}

std::string fish_flags(const std::vector<Flag>& flags, const std::string& condition) {
    std::string out;
    for (const Flag& flag : flags) {
        out += fmt::format("complete -c mmsb -n '{}'", condition);
        for (const std::string& name : flag.names) {
            out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
        }
        if (flag.takes_value) out += " -x";
        if (!flag.choices.empty()) out += fmt::format(" -a '{}'", fmt::join(flag.choices, " "));
        out += fmt::format(" -d '{}'\n", quoted(flag.description, "\\'"));
    }
    return out;
}

std::string fish(const Program& program) {
    const std::string none = "__fish_use_subcommand";
    std::string out = "# fish completion of mmsb; made by `mmsb completion fish`.\n" +
                      fish_flags(flags_of(program.app()), none);
    for (const Words& words : words_of(program)) {
        out += fmt::format("complete -c mmsb -n '{}' -f -a {} -d '{}'\n", none, words.name,
                           quoted(words.summary, "\\'"));
        const std::string chosen = "__fish_seen_subcommand_from " + words.name;
        if (!words.choices.empty())
            out += fmt::format("complete -c mmsb -n '{}' -f -a '{}'\n", chosen,
                               fmt::join(words.choices, " "));
        out += fish_flags(words.flags, chosen);
    }
    return out;
}

}  // namespace

std::string completion_script(const Program& program, std::string_view shell) {
    if (shell == "bash") return bash(program);
    return shell == "zsh" ? zsh(program) : fish(program);
}

}  // namespace mmsb::tool
