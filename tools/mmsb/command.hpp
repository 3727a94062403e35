/// command: how a command of the command line is declared. Each group of commands has one source
/// file with an add_...() function; --help, manual pages and completions come from what it
/// declares.
#pragma once

#include "output.hpp"

#include <mmsb/mmsb.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
class Option;
}  // namespace CLI

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

/// A command's options and arguments, as it declares them; values that cannot be parsed are wrong
/// use. What is referred to must live as long as the Program. CLI11 stands behind it and is seen by
/// few source files: each that includes it takes eight seconds longer to compile.
class Command {
public:
    using Setter = std::function<void(const std::string&)>;  ///< Throws what parse.hpp throws.
    enum class Need : std::uint8_t { required, optional };

    explicit Command(CLI::App& app) noexcept : app_(&app) {}
    void bus(std::string& path);  ///< The argument BUS.
    /// An empty text is wrong use, here and below: mostly it is a variable that is not set, and an
    /// empty path means something else to the library.
    void argument(const char* name, std::string& value, const char* help,
                  Need need = Need::required);
    void argument(const char* name, std::vector<std::string>& values, const char* help);
    void argument(const char* name, const Setter& set, const char* help);
    /// `names`: "--at", or "-n,--name". `value`: what it is called in the help.
    void option(const char* names, const char* value, std::string& to, const char* help);
    void option(const char* names, const char* value, std::uint64_t& to, const char* help);
    void option(const char* names, const char* value, std::optional<std::uint64_t>& to,
                const char* help);
    void option(const char* names, const char* value, const Setter& set, const char* help);
    /// May be given more than once.
    void option(const char* names, const char* value, std::vector<std::string>& to,
                const char* help);
    void flag(const char* names, bool& to, const char* help);
    void choices(const char* name, std::vector<std::string> values);  ///< Of an argument's value.
    void not_both(const char* one, const char* other);
    void hide();  ///< From the list of commands.

private:
    CLI::App* app_;
};

/// The command line as a whole.
class Program {
public:
    Program();
    ~Program();
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    /// The new command, for its options and arguments; `action` runs where it was chosen.
    Command add(const CommandText& text, Action action);
    [[nodiscard]] const CLI::App& app() const noexcept { return *app_; }
    [[nodiscard]] const std::vector<CommandText>& texts() const noexcept { return texts_; }
    [[nodiscard]] const CommandText* find(std::string_view name) const noexcept;
    /// Parses and runs. Returns the exit code; errors are thrown.
    int run(std::vector<std::string> arguments, Output& out);

private:
    std::unique_ptr<CLI::App> app_;
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
void add_doctor(Program& program);    // doctor
void add_graph(Program& program);     // graph, why
void add_bench(Program& program);     // bench
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

/// Opens a bus that is there, to look at it.
[[nodiscard]] State open_to_read(const std::string& path);
/// Likewise, to write to what is there.
[[nodiscard]] State open_existing(const std::string& path);
/// Opens or makes one; `source` may be empty.
[[nodiscard]] State open_to_write(const std::string& path, const std::string& source);
/// Verifies, and again where others fold away meanwhile what is being read.
[[nodiscard]] VerifyReport verify_beside_others(const State& bus, const VerifyOptions& options);
/// REQUIRES a report that is not good.
[[nodiscard]] std::string what_differs(const VerifyReport& report);
/// The view at `at`; newest: now.
[[nodiscard]] View view_at(const State& bus, Sequence at);
/// "12" or "#12"; nothing where it is no page's number.
[[nodiscard]] std::optional<PageId> page_number(std::string_view page);
/// By name, else by number. Throws PageNotFound.
[[nodiscard]] PageInfo page_in(const View& view, const std::string& page);
/// For people: its name, or "#12" where it has none.
[[nodiscard]] std::string title(const PageInfo& page);
/// For JSON: number, name (null where it has none), size, epoch.
[[nodiscard]] Json page_json(const PageInfo& page);
[[nodiscard]] Json retention_json(const Retention& kept);
/// [{"offset", "size"}, ...]
[[nodiscard]] Json runs_json(const std::vector<Delta::Run>& runs);

}  // namespace mmsb::tool
