// completion, man: what the command line says of itself to shells and to man.
#include "command.hpp"
#include "exit_code.hpp"
#include "manual.hpp"
#include "os_files.hpp"

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace mmsb::tool {
namespace {

constexpr CommandText completion_text{
    .name = "completion",
    .summary = "Print the completion script of a shell.",
    .usage = "[OPTIONS] bash|zsh|fish",
    .description = "Prints a script by which the shell completes commands and options.",
    .example =
        "$ source <(mmsb completion bash)\n"
        "$ mmsb completion zsh > \"${fpath[1]}/_mmsb\"\n"
        "$ mmsb completion fish > ~/.config/fish/completions/mmsb.fish",
    .json = "",
};

constexpr CommandText man_text{
    .name = "man",
    .summary = "Write the manual pages.",
    .usage = "[OPTIONS] DIR",
    .description = "Writes mmsb.1 and a page for each command into DIR, in roff.",
    .example = "$ mmsb man man1 && man man1/mmsb-log.1",
    .json = "",
};

void write_page(const std::filesystem::path& file, const std::string& text) {
    errno = 0;
    std::ofstream out(file, std::ios::binary);
    out << text;
    if (!out.flush()) throw_io("cannot write", file.string(), errno);
}

int write_manual(const Program& program, const std::filesystem::path& folder) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) throw_io("cannot make the folder", folder.string(), error.value());
    write_page(folder / "mmsb.1", manual_page(program));
    for (const CommandText& text : program.texts()) {
        if (text.name != man_text.name)
            write_page(folder / fmt::format("mmsb-{}.1", text.name), manual_page(program, text));
    }
    return exit_ok;
}

}  // namespace

void add_describe(Program& program) {
    auto shell = std::make_shared<std::string>();
    Command completion = program.add(completion_text, [shell, &program](Context& context) {
        context.out.write(completion_script(program, *shell));
        return exit_ok;
    });
    completion.argument("SHELL", *shell, "bash, zsh or fish.");
    completion.choices("SHELL", {"bash", "zsh", "fish"});
    auto folder = std::make_shared<std::string>();
    Command man = program.add(
        man_text, [folder, &program](Context&) { return write_manual(program, *folder); });
    man.argument("DIR", *folder, "Where to write.");
    man.hide();  // For the build; nobody needs it in the list.
}

}  // namespace mmsb::tool
