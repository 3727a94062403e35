#include "manual.hpp"

#include "exit_code.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>

namespace mmsb::tool {
namespace {

// Text that roff prints as it stands.
std::string roff(std::string_view text) {
    std::string out;
    bool at_start = true;
    for (const char c : text) {
        if (at_start && (c == '.' || c == '\'')) out += "\\&";
        at_start = c == '\n';
        switch (c) {
            case '\\':
                out += "\\e";
                break;
            case '-':
                out += "\\-";
                break;
            case '\'':
                out += "\\(aq";
                break;
            case '`':
                out += "\\(ga";
                break;
            case '^':
                out += "\\(ha";
                break;
            case '~':
                out += "\\(ti";
                break;
            default:
                out += c;
        }
    }
    return out;
}

std::string heading(std::string_view title) { return fmt::format(".SH {}\n", title); }

std::string title_line(std::string_view page) {
    std::string upper(page);
    std::ranges::transform(upper, upper.begin(),
                           [](char c) { return c >= 'a' && c <= 'z' ? char(c - 32) : c; });
    return fmt::format(".TH \"{}\" 1 \"\" \"{}\" \"User Commands\"\n", roff(upper),
                       roff(version_text()));
}

// Paragraphs, parted by empty lines.
std::string paragraphs(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find("\n\n"), text.size());
        out += (out.empty() ? "" : ".PP\n") + roff(text.substr(0, end)) + '\n';
        text.remove_prefix(std::min(end + 2, text.size()));
    }
    return out;
}

std::string as_it_stands(std::string_view text) {
    return fmt::format(".nf\n{}\n.fi\n", roff(text));
}

std::string option_list(const std::vector<const CLI::Option*>& options) {
    std::string out;
    for (const CLI::Option* option : options)
        out += fmt::format(".TP\n.B {}\n{}\n", roff(left_column(*option)),
                           roff(option->get_description()));
    return out;
}

std::string exit_status() {
    std::string out = heading("EXIT STATUS");
    for (const ExitRow& row : exit_rows()) {
        std::string errors;
        for (const ErrorCode error : row.errors)
            errors += (errors.empty() ? "" : ", ") + std::string(to_string(error));
        out += fmt::format(".TP\n.B {}\n{}{}\n", row.code, roff(row.meaning),
                           errors.empty() ? "." : roff(fmt::format(" ({}).", errors)));
    }
    return out;
}

std::string environment() {
    return heading("ENVIRONMENT") +
           ".TP\n.B NO_COLOR\nWhere it is set and not empty, nothing is coloured.\n";
}

const CLI::App& command_of(const Program& program, const CommandText& text) {
    return *program.app().get_subcommand(std::string(text.name));
}

bool hidden(const Program& program, const CommandText& text) {
    return command_of(program, text).get_group().empty();
}

}  // namespace

std::string manual_page(const Program& program) {
    std::string out = title_line("mmsb") + heading("NAME") +
                      "mmsb \\- keep the past of files, and look at memory\\-mapped state buses\n" +
                      heading("SYNOPSIS") + ".B mmsb\n.I COMMAND\n[\\fIARGUMENT\\fR...]\n" +
                      heading("DESCRIPTION") + paragraphs(program.app().get_description()) +
                      heading("COMMANDS");
    for (const CommandText& text : program.texts()) {
        if (!hidden(program, text))
            out += fmt::format(".TP\n.BR mmsb\\-{} (1)\n{}\n", text.name, roff(text.summary));
    }
    out += heading("OPTIONS") + option_list(options_of(program.app()));
    out += heading("JSON") +
           roff(
               "With --json a command prints one JSON object a line. The fields are stable: new "
               "ones may\ncome, none goes or changes its meaning. Ids, sequences and epochs are "
               "numbers, times are ISO\n8601 in UTC with nanoseconds. In names and labels, bytes "
               "that are not UTF-8 become U+FFFD.\nErrors are a line on stderr there too.\n");
    out += exit_status() + environment() + heading("SEE ALSO");
    std::string others;
    for (const CommandText& text : program.texts()) {
        if (!hidden(program, text))
            others += fmt::format("{}.BR mmsb\\-{} (1)", others.empty() ? "" : ",\n", text.name);
    }
    return out + others + '\n';
}

std::string manual_page(const Program& program, const CommandText& text) {
    const CLI::App& command = command_of(program, text);
    const std::string name = fmt::format("mmsb-{}", text.name);
    std::string summary(text.summary);
    if (summary.ends_with('.')) summary.pop_back();
    std::string out = title_line(name) + heading("NAME") + roff(name) + " \\- " + roff(summary) +
                      '\n' + heading("SYNOPSIS") +
                      fmt::format(".B mmsb {}\n{}\n", roff(text.name), roff(text.usage)) +
                      heading("DESCRIPTION") + paragraphs(text.description);
    const auto arguments = arguments_of(command);
    if (!arguments.empty()) out += heading("ARGUMENTS") + option_list(arguments);
    out += heading("OPTIONS") + option_list(options_of(command));
    out += heading("EXAMPLES") + as_it_stands(text.example);
    if (!text.json.empty())
        out += heading("JSON") + "The fields of each object:\n.PP\n" + as_it_stands(text.json);
    return out + exit_status() + environment() + heading("SEE ALSO") + ".BR mmsb (1)\n";
}

}  // namespace mmsb::tool
