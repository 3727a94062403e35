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
#include <new>

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
        "signal N ended it), unless recording failed, or what a FILE held at the end is not kept.\n"
        "\n"
        "A FILE may be missing, now and then or at first; files that are replaced by a rename are\n"
        "seen. What is kept is what the file holds at a moment: of a program that writes a file "
        "in\n"
        "several steps, such a step may be kept too. --every keeps a minimum time between two\n"
        "commits, and looks that often even where the file system does not tell of changes.\n"
        "Each commit is told on stderr; with --json on stdout, and COMMAND's output goes to "
        "stderr.\n"
        "\n"
        "A FILE that cannot be read for a while (it never stands still, has become a folder,\n"
        "is over 1 GiB) is told once on stderr and tried again; the others go on. So is a\n"
        "lock that is held, or a full disk. What cannot pass, such as damage of the bus, is\n"
        "told at once and ends the recording, but not COMMAND.",
    .example =
        "$ mmsb record demo.bus app.db --every 500ms -- ./app --db app.db\n"
        "sequence 1: 1 file made, 4096 bytes",
    .json =
        "  One object a commit, as of capture. A fate may also be unstable (it changes all the\n"
        "  time while it is read) or unreadable: its page stays as it is.",
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

    // No file has such a name.
    static constexpr auto committing = "", watching = "/";
    enum class Phase : std::uint8_t { first_look, running, last_look };

    /// Why not all of it is kept, if so. While it is running that is told, and tried again.
    std::exception_ptr take(const std::vector<std::string>& names);
    std::exception_ptr look_at_problems(const std::vector<ReadFile>& files);
    std::optional<Kept> keep(const std::vector<ReadFile>& files, std::exception_ptr& problem);
    void take_due(Moment now);
    std::exception_ptr take_changed();
    void again(const std::string& name, milliseconds in);
    void tell(const Kept& kept);
    void say(const std::string& what);
    /// Once, until all is well `with` that again, or something else is wrong.
    void warn(const std::string& with, const std::string& what);
    [[nodiscard]] bool all_are_watched();
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
    Phase phase_ = Phase::first_look;
    bool commits_are_heard_ = true, warnings_are_heard_ = true;
    std::map<std::string, std::string> warned_{};  ///< By file, or one of these two.
    std::exception_ptr failure_{}, unheard_{};     ///< Of the recording; of telling its commits.
};

std::string text_of(const std::exception_ptr& problem) {
    try {
        std::rethrow_exception(problem);
    } catch (const std::bad_alloc&) {
        return "out of memory";
    } catch (const std::exception& error) {
        const std::string_view what = error.what();
        return printable(what.substr(0, what.find('\n')));
    }
}

// Of a commit: whether it may go well later.
bool may_pass(const std::exception& of) {
    const auto* const error = dynamic_cast<const Error*>(&of);
    if (error == nullptr) return dynamic_cast<const std::bad_alloc*>(&of) != nullptr;
    const ErrorCode code = error->code();
    return code == ErrorCode::busy || code == ErrorCode::conflict ||
           code == ErrorCode::not_durable || code == ErrorCode::out_of_space ||
           code == ErrorCode::io;
}

void Recorder::tell(const Kept& kept) {
    if (!kept.committed.logged || !commits_are_heard_) return;
    try {
        if (context_.json) {
            context_.out.json(to_json(kept));
            context_.out.flush();
        } else if (!options_.quiet) {
            errors_.write(summary(kept) + '\n');
            errors_.flush();
        }
    } catch (const ReaderGone&) {
        commits_are_heard_ = false;  // Nobody listens any more; what is recorded still counts.
    } catch (const Io& error) {
        commits_are_heard_ = false;
        unheard_ = std::current_exception();
        say(fmt::format("{}; the recording goes on", error.what()));
    }
}

void Recorder::say(const std::string& what) {
    if (!warnings_are_heard_) return;
    try {
        errors_.write(fmt::format("mmsb: {}\n", what));
        errors_.flush();
    } catch (const ReaderGone&) {
        warnings_are_heard_ = false;
    } catch (const Io&) {
        warnings_are_heard_ = false;
    }
}

void Recorder::warn(const std::string& with, const std::string& what) {
    if (phase_ == Phase::last_look || std::exchange(warned_[with], what) == what) return;
    say(what + "; it is tried again");
}

void Recorder::again(const std::string& name, milliseconds in) {
    const auto found = std::ranges::find(options_.files, name);
    const Moment then = steady_clock::now() + in;
    due_[static_cast<std::size_t>(found - options_.files.begin())] = {then, then};
}

std::exception_ptr Recorder::look_at_problems(const std::vector<ReadFile>& files) {
    std::exception_ptr first;
    for (const ReadFile& file : files) {
        if (!file.problem) {
            warned_.erase(file.name);
            continue;
        }
        const bool unstable = file.contents.status == ReadStatus::unstable;
        // What is wrong from the start is a mistake in the command line.
        if (phase_ == Phase::first_look && !unstable) std::rethrow_exception(file.problem);
        if (!first) first = file.problem;
        warn(file.name, text_of(file.problem));
        again(file.name, unstable ? milliseconds(100) : milliseconds(1000));
    }
    return first;
}

std::optional<Kept> Recorder::keep(const std::vector<ReadFile>& files,
                                   std::exception_ptr& problem) {
    try {
        auto kept = keeper_.keep(files);
        warned_.erase(committing);
        return kept;
    } catch (const std::exception& error) {
        if (phase_ == Phase::first_look) throw;
        problem = std::current_exception();
        if (may_pass(error)) {
            warn(committing, text_of(problem));
            for (const ReadFile& file : files) again(file.name, milliseconds(200));
        } else if (child_ && phase_ == Phase::running) {
            // The command does not suffer from that.
            failure_ = problem;
            say(text_of(problem) + "; the recording has ended, the command goes on");
        } else {
            throw;
        }
        return std::nullopt;
    }
}

std::exception_ptr Recorder::take(const std::vector<std::string>& names) {
    if (names.empty() || failure_) return failure_;
    const std::vector<ReadFile> files = read_files(names);
    std::exception_ptr problem = look_at_problems(files);
    if (const auto kept = keep(files, problem)) tell(*kept);
    if (options_.every) not_before_ = steady_clock::now() + *options_.every;
    return problem;
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

std::exception_ptr Recorder::take_changed() {
    std::vector<std::string> names;
    std::ranges::copy_if(options_.files, std::back_inserter(names),
                         [&](const std::string& name) { return !keeper_.seems_kept(name); });
    return take(names);
}

bool Recorder::all_are_watched() {
    try {
        const bool all = watch_.complete();
        warned_.erase(watching);
        return all;
    } catch (const Io&) {
        warn(watching, text_of(std::current_exception()));
        return false;
    }
}

milliseconds Recorder::until_next(Moment now) {
    auto until = now + std::chrono::hours(1);
    for (const auto& [index, due] : due_)
        until = std::min(until, std::max(std::min(due.at, due.latest), not_before_));
    if (options_.every) until = std::min(until, next_look_);
    if (!all_are_watched()) until = std::min(until, now + milliseconds(500));
    if (watch_.has_news()) until = now;
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
    phase_ = Phase::running;
    if (options_.every) next_look_ = steady_clock::now() + *options_.every;
    if (!context_.words.empty()) child_ = std::make_unique<Child>(context_.words, context_.json);
    loop();
    phase_ = Phase::last_look;
    for (const std::exception_ptr& wrong : {take_changed(), failure_, unheard_})
        if (wrong) std::rethrow_exception(wrong);
    return child_ ? *child_->ended() : exit_ok;
}

int run(Options& options, Context& context) {
    std::vector<std::string> once;
    for (const std::string& file : options.files) {
        if (std::ranges::find(once, file) == once.end()) once.push_back(file);
    }
    options.files = std::move(once);
    for (const std::string& file : options.files) require_regular(file);
    if (!signature_of(options.bus + "/bus"))
        refuse_what_no_commit_takes(options.files, options.keep);
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
