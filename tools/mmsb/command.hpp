/// command: how a command of the command line is declared. Each group of commands has one source
/// file with an add_...() function; --help, manual pages and completions come from what it
/// declares.
#pragma once

#include "output.hpp"

#include <mmsb/mmsb.hpp>

#include <CLI/CLI.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mmsb::tool {

/// What a command says of itself; the options and arguments say the rest.
struct CommandText {
    std::string_view name, summary;
    std::string_view usage;        ///< Behind the name.
    std::string_view description;  ///< Paragraphs, parted by empty lines.
    std::string_view example;      ///< Lines as typed and printed, "$ " before what is typed.
    std::string_view json;         ///< What --json prints; empty: the command has no --json.
};

/// What a running command has.
struct Context {
    Output& out;
    bool json = false;
    std::vector<std::string> words{};  ///< What came behind "--" (record).
};
using Action = std::function<int(Context&)>;

/// The command line as a whole.
class Program {
public:
    Program();
    /// The new command, for its options and arguments; `action` runs where it was chosen.
    CLI::App& add(const CommandText& text, Action action);
    [[nodiscard]] CLI::App& app() noexcept { return app_; }
    [[nodiscard]] const CLI::App& app() const noexcept { return app_; }
    [[nodiscard]] const std::vector<CommandText>& texts() const noexcept { return texts_; }
    [[nodiscard]] const CommandText* find(std::string_view name) const noexcept;
    /// Parses and runs. Returns the exit code; errors are thrown.
    int run(std::vector<std::string> arguments, Output& out);

private:
    CLI::App app_;
    std::vector<CommandText> texts_{};
    Action action_{};
    bool json_ = false;
    std::string colours_{};
};

// One file each.
void add_capture(Program& program);   // capture
void add_record(Program& program);    // record
void add_inspect(Program& program);   // info, pages, stats, verify
void add_log(Program& program);       // log, watch
void add_show(Program& program);      // show
void add_export(Program& program);    // export
void add_diff(Program& program);      // diff
void add_keep(Program& program);      // checkpoint, copy, compact, remove
void add_describe(Program& program);  // completion, man

/// The help of a command (or of the whole), as --help prints it.
[[nodiscard]] std::string help_text(const Program& program, const CLI::App& command);
/// The options and arguments in the order of declaration, without the hidden ones.
[[nodiscard]] std::vector<const CLI::Option*> options_of(const CLI::App& command);
[[nodiscard]] std::vector<const CLI::Option*> arguments_of(const CLI::App& command);
/// "--limit N", "-q, --quiet", "BUS".
[[nodiscard]] std::string left_column(const CLI::Option& option);
[[nodiscard]] std::string version_text();

// ---- what several commands share ---------------------------------------------------------------

/// Declares the argument BUS.
void bus_argument(CLI::App& command, std::string& path);
/// Opens a bus that is there, to look at it.
[[nodiscard]] State open_to_read(const std::string& path);
/// Opens or makes one; `source` may be empty.
[[nodiscard]] State open_to_write(const std::string& path, const std::string& source);
/// The view at `at`; newest: now.
[[nodiscard]] View view_at(const State& bus, Sequence at);
/// By name, else by number ("12" or "#12"). Throws PageNotFound.
[[nodiscard]] PageInfo page_in(const View& view, const std::string& page);
/// For people: its name, or "#12" where it has none.
[[nodiscard]] std::string title(const PageInfo& page);
/// For JSON: number, name (null where it has none), size, epoch.
[[nodiscard]] Json page_json(const PageInfo& page);
/// [{"offset", "size"}, ...]
[[nodiscard]] Json runs_json(const std::vector<Delta::Run>& runs);

}  // namespace mmsb::tool
