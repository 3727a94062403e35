#include "command.hpp"

#include "exit_code.hpp"
#include "parse.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>

namespace mmsb::tool {
namespace {

constexpr std::string_view about =
    "One authoritative, versioned memory that programs share: pages of bytes, a log of each\n"
    "change, and any past state, bit for bit. This command keeps files on a bus, and looks at "
    "buses.";
constexpr std::string_view first_steps =
    "Example:\n"
    "  $ mmsb capture demo.bus notes.txt        keep what the file holds now\n"
    "  $ mmsb record demo.bus notes.txt         keep each change until Ctrl-C\n"
    "  $ mmsb log demo.bus                      who changed what, and when\n"
    "  $ mmsb export demo.bus --at 1 before     the files as they were then\n";

void paragraph(std::string& out, std::string_view left, std::string_view right) {
    constexpr std::size_t indent = 24;
    constexpr std::size_t width = 96;
    std::string line = fmt::format("  {:<{}}", left, indent - 2);
    if (left.size() + 3 > indent) {
        out += line + '\n';
        line = std::string(indent, ' ');
    }
    bool empty = true;
    while (!right.empty()) {
        const std::size_t space = std::min(right.find(' '), right.size());
        const std::string_view word = right.substr(0, space);
        right.remove_prefix(std::min(space + 1, right.size()));
        if (!empty && line.size() + 1 + word.size() > width) {
            out += line + '\n';
            line = std::string(indent, ' ');
            empty = true;
        }
        if (!empty) line += ' ';
        line += word;
        empty = false;
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
}

void group(std::string& out, std::string_view heading, const std::vector<const CLI::Option*>& all) {
    if (all.empty()) return;
    out += fmt::format("\n{}:\n", heading);
    for (const CLI::Option* option : all)
        paragraph(out, left_column(*option), option->get_description());
}

std::vector<const CLI::Option*> visible(const CLI::App& command, bool positional) {
    return command.get_options([positional](const CLI::Option* option) {
        return !option->get_group().empty() && option->get_positional() == positional;
    });
}

}  // namespace

Program::Program() : app_(std::make_unique<CLI::App>(std::string(about), "mmsb")) {
    app_->set_help_flag("-h,--help", "Show this help and exit.");
    app_->set_version_flag("--version", version_text(), "Show the version and exit.");
    app_->require_subcommand(0, 1);
}

Program::~Program() = default;

Command Program::add(const CommandText& text, Action action) {
    texts_.push_back(text);
    CLI::App& command = *app_->add_subcommand(std::string(text.name), std::string(text.summary));
    command.set_help_flag("-h,--help", "Show this help and exit.");
    if (!text.json.empty())
        command.add_flag("--json", json_, "Print JSON, one object a line; stable.");
    command.add_option("--color", colours_, "Colours: auto (on a terminal), always or never.")
        ->option_text("WHEN")
        ->check(CLI::IsMember({"auto", "always", "never"}));
    command.callback([this, act = std::move(action)] { action_ = act; });
    return Command(command);
}

const CommandText* Program::find(std::string_view name) const noexcept {
    const auto found = std::ranges::find(texts_, name, &CommandText::name);
    return found == texts_.end() ? nullptr : &*found;
}

int Program::run(std::vector<std::string> arguments, Output& out) {
    Context context{.out = out};
    // Only record has words of its own behind "--"; elsewhere it parts options from arguments.
    const auto bar = std::ranges::find(arguments, "--");
    if (!arguments.empty() && arguments.front() == "record" && bar != arguments.end()) {
        context.words.assign(bar + 1, arguments.end());
        if (context.words.empty()) throw CLI::ValidationError("a COMMAND is missing behind --");
        arguments.erase(bar, arguments.end());
    }
    std::ranges::reverse(arguments);
    try {
        app_->parse(std::move(arguments));
    } catch (const CLI::CallForHelp&) {
        const auto chosen = app_->get_subcommands();
        out.write(help_text(*this, chosen.empty() ? *app_ : *chosen.front()));
        return exit_ok;
    } catch (const CLI::CallForVersion&) {
        out.write(version_text() + '\n');
        return exit_ok;
    }
    if (!action_) throw CLI::ValidationError("a command is missing");
    context.json = json_;
    if (colours_ == "always") out.set_colours(When::always);
    if (colours_ == "never") out.set_colours(When::never);
    return action_(context);
}

std::vector<const CLI::Option*> options_of(const CLI::App& command) {
    return visible(command, false);
}

std::vector<const CLI::Option*> arguments_of(const CLI::App& command) {
    return visible(command, true);
}

std::string left_column(const CLI::Option& option) {
    if (option.get_positional()) return option.get_name(true);
    std::string text = option.get_name(false, true);
    if (const std::size_t comma = text.find(','); comma != std::string::npos)
        text.insert(comma + 1, " ");
    if (!option.get_option_text().empty()) text += ' ' + option.get_option_text();
    return text;
}

std::string help_text(const Program& program, const CLI::App& command) {
    const CommandText* const text = program.find(command.get_name());
    if (text == nullptr) {
        std::string out = fmt::format("Usage: mmsb COMMAND ...\n\n{}\n\nCommands:\n", about);
        for (const CLI::App* each : command.get_subcommands({})) {
            if (!each->get_group().empty())
                paragraph(out, each->get_name(), each->get_description());
        }
        group(out, "Options", options_of(command));
        return out + '\n' + std::string(first_steps) + '\n' + exit_summary() +
               "\nmmsb COMMAND --help, or man mmsb-COMMAND, says more.\n";
    }
    std::string out =
        fmt::format("Usage: mmsb {} {}\n\n{}\n", text->name, text->usage, text->description);
    group(out, "Arguments", arguments_of(command));
    group(out, "Options", options_of(command));
    out += "\nExample:\n";
    std::string_view example = text->example;
    while (!example.empty()) {
        const std::size_t end = std::min(example.find('\n'), example.size());
        out += fmt::format("  {}\n", example.substr(0, end));
        example.remove_prefix(std::min(end + 1, example.size()));
    }
    if (!text->json.empty()) out += fmt::format("\nJSON:\n{}\n", text->json);
    return out + '\n' + exit_summary();
}

std::string version_text() { return "mmsb " MMSB_TOOL_VERSION; }

namespace {

CLI::Validator not_empty() {
    return {[](const std::string& text) {
                return text.empty() ? std::string("is empty; is a variable not set?")
                                    : std::string();
            },
            ""};
}

}  // namespace

// An argument's own name is what the help shows: it needs no text behind it.
void Command::bus(std::string& path) { argument("BUS", path, "The folder of the bus."); }

void Command::argument(const char* name, std::string& value, const char* help, Need need) {
    app_->add_option(name, value, help)
        ->required(need == Need::required)
        ->check(not_empty())
        ->option_text(" ");
}
void Command::argument(const char* name, std::vector<std::string>& values, const char* help) {
    app_->add_option(name, values, help)->required()->check(not_empty())->option_text(" ");
}
void Command::argument(const char* name, const Setter& set, const char* help) {
    app_->add_option_function<std::string>(name, set, help)->required()->option_text(" ");
}

void Command::option(const char* names, const char* value, std::string& to, const char* help) {
    app_->add_option(names, to, help)->option_text(value);
}
void Command::option(const char* names, const char* value, std::uint64_t& to, const char* help) {
    // Strictly: CLI11's own conversion takes -1 for the largest number there is.
    option(names, value, [&to](const std::string& text) { to = parse_number(text); }, help);
}
void Command::option(const char* names, const char* value, std::optional<std::uint64_t>& to,
                     const char* help) {
    option(names, value, [&to](const std::string& text) { to = parse_number(text); }, help);
}
void Command::option(const char* names, const char* value, const Setter& set, const char* help) {
    app_->add_option_function<std::string>(names, set, help)->option_text(value);
}
void Command::option(const char* names, const char* value, std::vector<std::string>& to,
                     const char* help) {
    // (CLI11 would take [a,b] for two values.)
    app_->add_option(names, to, help)
        ->option_text(value)
        ->expected(1)
        ->take_all()
        ->allow_extra_args(false);
}
void Command::flag(const char* names, bool& to, const char* help) {
    app_->add_flag(names, to, help);
}

void Command::choices(const char* name, std::vector<std::string> values) {
    app_->get_option(name)->check(CLI::IsMember(std::move(values)));
}
void Command::not_both(const char* one, const char* other) {
    app_->get_option(one)->excludes(app_->get_option(other));
}
void Command::hide() { app_->group(""); }

namespace {

Config config_for(const std::string& path, Open open) {
    Config config{.path = path, .open = open, .survive_lost_memory = true};
    config.on_notice = [](const Notice& notice) {
        if (notice.level != Notice::Level::warning) return;
        say("warning: " + notice.text);
    };
    return config;
}

}  // namespace

State open_to_read(const std::string& path) { return start(config_for(path, Open::read_only)); }

namespace {

State open_as(std::string_view source, Config config) {
    config.source = source.empty() ? "mmsb" : source;
    return start(config);
}

}  // namespace

State open_existing(const std::string& path) {
    return open_as({}, config_for(path, Open::existing));
}

State open_to_write(const std::string& path, const std::string& source) {
    return open_as(source, config_for(path, Open::create_or_open));
}

VerifyReport verify_beside_others(const State& bus, const VerifyOptions& options) {
    constexpr int most = 10;
    for (int i = 1;; ++i) try {
            return bus.verify(options);
        } catch (const HistoryDropped&) {
            if (i == most) throw;
        }
}

std::string what_differs(const VerifyReport& report) {
    if (report.page == PageId::none) return "the dependency graph differs from its log";
    const auto page = fmt::format("page {}", number(report.page));
    if (!report.error.empty())
        return fmt::format("{}: {} threw: {}", page, printable(report.function),
                           printable(report.error));
    if (!report.function.empty())
        return fmt::format("{} is not what {} gives at offset {}", page, printable(report.function),
                           report.offset);
    return fmt::format("{} differs from its log at offset {}", page, report.offset);
}

View view_at(const State& bus, Sequence at) {
    return at == Sequence::newest ? bus.snapshot() : bus.at(at);
}

std::optional<PageId> page_number(std::string_view page) {
    if (page.starts_with('#')) page.remove_prefix(1);
    std::uint64_t id = 0;
    const auto [end, error] = std::from_chars(page.data(), page.data() + page.size(), id);
    if (error != std::errc{} || end != page.data() + page.size() || id == 0) return std::nullopt;
    return PageId{id};
}

PageInfo page_in(const View& view, const std::string& page) {
    if (auto found = view.find_page(page)) return *std::move(found);
    if (const auto number = page_number(page)) return view.info(*number);
    throw PageNotFound(ErrorCode::page_not_found,
                       fmt::format("there is no page '{}' at sequence {}", printable(page),
                                   number(view.sequence())),
                       {.name = page, .sequence = view.sequence()});
}

std::string title(const PageInfo& page) {
    return page.name.empty() ? fmt::format("#{}", number(page.id)) : printable(page.name);
}

Json page_json(const PageInfo& page) {
    Json object{{"id", number(page.id)}, {"name", nullptr}};
    if (!page.name.empty()) object["name"] = page.name;
    object["size"] = page.size;
    object["epoch"] = number(page.epoch);
    return object;
}

Json retention_json(const Retention& kept) {
    return {{"bytes", kept.bytes},
            {"records", kept.records},
            {"age_seconds", kept.age.count()},
            {"age_suspended", kept.age_suspended}};
}

Json runs_json(const std::vector<Delta::Run>& runs) {
    Json all = Json::array();
    for (const auto& run : runs)
        all.push_back({{"offset", run.offset}, {"size", run.bytes.size()}});
    return all;
}

}  // namespace mmsb::tool
