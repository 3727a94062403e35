#include "command.hpp"
#include "exit_code.hpp"
#include "keeper.hpp"
#include "os_stream.hpp"
#include "os_watch.hpp"
#include "parse.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <map>

namespace mmsb::tool {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr CommandText text{
    .name = "record",
    .summary = "Put files into pages of a bus whenever they change.",
    .usage = "[OPTIONS] BUS FILE... [-- COMMAND [ARGUMENT...]]",
    .description =
        "Does what capture does: once at the start, whenever a FILE changes, and once at the end;\n"
        "that is when COMMAND ends, or without one when you press Ctrl-C (or send SIGTERM or\n"
        "SIGHUP). Signals are passed on to COMMAND, and the exit code is COMMAND's (128 + N where\n"
        "signal N ended it), unless recording failed.\n"
        "\n"
        "A FILE may be missing, now and then or at first; files that are replaced by a rename are\n"
        "seen. What is kept is what the file holds at a moment: of a program that writes a file "
        "in\n"
        "several steps, such a step may be kept too. --every keeps a minimum time between two\n"
        "commits, and looks that often even where the file system does not tell of changes.\n"
        "Each commit is told on stderr; with --json on stdout, and COMMAND's output goes to "
        "stderr.",
    .example =
        "$ mmsb record demo.bus app.db --every 500ms -- ./app --db app.db\n"
        "sequence 1: 1 file made, 4096 bytes",
    .json = "  One object a commit, as of capture.",
};

struct Options {
    std::string bus{};
    std::vector<std::string> files{};
    KeepOptions keep{};
    std::optional<std::chrono::nanoseconds> every{};
    bool quiet = false;
};

/// The waiting and the taking, until the end.
class Recorder {
public:
    Recorder(const Options& options, Context& context, const State& bus, Signals& signals)
        : options_(options),
          context_(context),
          signals_(signals),
          watch_(options.files),
          keeper_(bus, options.keep) {}

    int run();

private:
    using Moment = steady_clock::time_point;

    void take(const std::vector<std::string>& names);
    void take_due(Moment now);
    void take_changed();
    void tell(const Kept& kept);
    [[nodiscard]] milliseconds until_next(Moment now);
    void note_changes(Moment now);
    /// False where a signal ends the recording.
    bool handle_signals();
    void loop();

    const Options& options_;
    Context& context_;
    Signals& signals_;
    Watch watch_;
    Keeper keeper_;
    std::unique_ptr<Child> child_{};
    Output errors_{standard_error};
    struct Due {
        Moment at, latest;
    };
    std::map<std::size_t, Due> due_{};
    Moment next_look_{}, not_before_{};
    bool told_ = true;
    std::exception_ptr failure_{};
};

void Recorder::tell(const Kept& kept) {
    if (!kept.committed.logged || !told_) return;
    try {
        if (context_.json) {
            context_.out.json(to_json(kept));
            context_.out.flush();
        } else if (!options_.quiet) {
            errors_.write(summary(kept) + '\n');
            errors_.flush();
        }
    } catch (const ReaderGone&) {
        told_ = false;  // Nobody listens any more; what is recorded still counts.
    }
}

void Recorder::take(const std::vector<std::string>& names) {
    if (names.empty() || failure_) return;
    try {
        const Kept kept = keeper_.keep(read_files(names));
        for (const KeptFile& file : kept.files) {
            if (file.fate != FileFate::unstable) continue;
            const auto found = std::ranges::find(options_.files, file.name);
            const Moment again = steady_clock::now() + milliseconds(100);
            due_[static_cast<std::size_t>(found - options_.files.begin())] = {again, again};
        }
        tell(kept);
    } catch (const Error&) {
        if (!child_) throw;
        // The command does not suffer from a recording that fails; it is told at its end.
        failure_ = std::current_exception();
    }
    if (options_.every) not_before_ = steady_clock::now() + *options_.every;
}

void Recorder::take_due(Moment now) {
    if (options_.every && now >= next_look_) {
        for (std::size_t i = 0; i < options_.files.size(); ++i) due_[i] = {now, now};
        next_look_ = now + *options_.every;
    }
    if (now < not_before_) return;
    std::vector<std::string> names;
    std::erase_if(due_, [&](const auto& each) {
        if (std::min(each.second.at, each.second.latest) > now) return false;
        const std::string& name = options_.files[each.first];
        if (!keeper_.seems_kept(name)) names.push_back(name);
        return true;
    });
    take(names);
}

void Recorder::take_changed() {
    std::vector<std::string> names;
    std::ranges::copy_if(options_.files, std::back_inserter(names),
                         [&](const std::string& name) { return !keeper_.seems_kept(name); });
    take(names);
}

milliseconds Recorder::until_next(Moment now) {
    auto until = now + std::chrono::hours(1);
    for (const auto& [index, due] : due_)
        until = std::min(until, std::max(std::min(due.at, due.latest), not_before_));
    if (options_.every) until = std::min(until, next_look_);
    if (!watch_.complete()) until = std::min(until, now + milliseconds(500));
    return std::chrono::ceil<milliseconds>(until - now);
}

void Recorder::note_changes(Moment now) {
    constexpr milliseconds quiet{50};
    constexpr milliseconds longest{500};
    const Watch::Seen seen = watch_.read();
    for (const std::size_t index : seen.busy) {
        const auto [due, first] = due_.try_emplace(index, Due{now + quiet, now + longest});
        due->second.at = now + quiet;
    }
    for (const std::size_t index : seen.settled) due_[index] = {now, now};
}

bool Recorder::handle_signals() {
    while (const auto signal = signals_.next()) {
        if (signal->of_child) continue;
        if (!child_) return false;
        if (!signal->from_terminal) child_->send(signal->number);
    }
    return true;
}

void Recorder::loop() {
    for (;;) {
        // One taken from a child's end is never missed: the question comes after the signal.
        if (!handle_signals() || (child_ && child_->ended())) return;
        const Moment now = steady_clock::now();
        note_changes(now);
        take_due(now);
        wait_for(watch_, signals_, until_next(steady_clock::now()));
    }
}

int Recorder::run() {
    take(options_.files);
    if (options_.every) next_look_ = steady_clock::now() + *options_.every;
    if (!context_.words.empty()) child_ = std::make_unique<Child>(context_.words, context_.json);
    loop();
    take_changed();
    const int code = child_ ? *child_->ended() : exit_ok;
    if (failure_) std::rethrow_exception(failure_);
    return code;
}

int run(Options& options, Context& context) {
    std::vector<std::string> once;
    for (const std::string& file : options.files) {
        if (std::ranges::find(once, file) == once.end()) once.push_back(file);
    }
    options.files = std::move(once);
    Signals signals;  // Before the bus has threads.
    State bus = open_to_write(options.bus, options.keep.source);
    const int code = Recorder(options, context, bus, signals).run();
    stop(std::move(bus));
    return code;
}

}  // namespace

void add_record(Program& program) {
    auto options = std::make_shared<Options>();
    Command command =
        program.add(text, [options](Context& context) { return run(*options, context); });
    command.bus(options->bus);
    command.argument("FILE", options->files, "The files.");
    command.option(
        "--every", "DURATION",
        [options](const std::string& t) { options->every = parse_duration(t); },
        "At most one commit in that time, such as 500ms or 2s.");
    command.option("--label", "TEXT", options->keep.label, "A text, kept with each commit.");
    command.option("--source", "NAME", options->keep.source, "Who; by default mmsb.");
    command.option("--tag", "N", options->keep.tag, "A number of yours, by which to find it.");
    command.flag("--prune", options->keep.prune, "Delete the page of a FILE that is gone.");
    command.flag("--sync", options->keep.sync, "Wait for the disk at each commit.");
    command.flag("-q,--quiet", options->quiet, "Tell nothing of the commits.");
}

}  // namespace mmsb::tool
