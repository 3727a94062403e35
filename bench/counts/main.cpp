// Does one hot path a fixed number of times on fixed inputs, for valgrind to count what it takes:
//
//     valgrind --tool=callgrind --instr-atstart=no --separate-threads=yes bench_counts
//     update_sparse
//
// Instructions are counted between the two client requests below only, and by thread, so that
// neither what is made before nor the thread that writes the log is in them. See compare.py.
#include "stores/model.hpp"

#include "delta/codec.hpp"
#include "delta/compare.hpp"
#include "delta/dispatch.hpp"
#include "os/error.hpp"
#include "state/ahead.hpp"

#include <mmsb/mmsb.hpp>

#include <fmt/format.h>
#include <gnu/libc-version.h>
#include <unistd.h>
#include <valgrind/callgrind.h>
#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace {

using bench::Pattern;
constexpr std::size_t pages = 256, times = 1024;

// Twice as many changes as are counted: the first half warms what is made at its first use.
struct Change {
    std::size_t page = 0;
    mmsb::Bytes bytes{};
};
std::vector<Change> changes(bench::Model& model, Pattern pattern) {
    std::vector<Change> all(2 * times);
    for (Change& change : all) {
        change.page = model.step(pattern);
        const auto bytes = model.page(change.page);
        change.bytes.assign(bytes.begin(), bytes.end());
    }
    return all;
}

// For buses, which go with it.
class Folder {
public:
    Folder()
        : path_(std::filesystem::temp_directory_path() / fmt::format("mmsb-counts-{}", getpid())) {}
    ~Folder() {
        for (const auto& entry : std::filesystem::directory_iterator(path_))
            mmsb::remove_bus(entry.path());
        std::filesystem::remove_all(path_);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    [[nodiscard]] mmsb::State start(const char* name) const {
        const auto path = path_ / name;
        std::filesystem::create_directories(path);
        // No checkpoint comes between, and no clock decides what is done.
        return mmsb::start({.path = path, .checkpoint_interval = std::chrono::seconds(0)});
    }
    [[nodiscard]] std::string operator/(const char* name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

// While it lives no other thread parses a long log ahead: all of that is counted.
class NoReader {
public:
    NoReader() {
        mmsb::os::set_fault_hook([](mmsb::os::Call call, const char* path) {
            const bool is_ahead = std::string_view(path) == mmsb::state::thread_ahead;
            return call == mmsb::os::Call::thread && is_ahead ? EAGAIN : 0;
        });
    }
    ~NoReader() { mmsb::os::set_fault_hook(nullptr); }
    NoReader(const NoReader&) = delete;
    NoReader& operator=(const NoReader&) = delete;
};

// A bus in a folder, and what its pages hold at the end.
class Bus {
public:
    explicit Bus(Pattern pattern) : state_(folder_.start("bus")), model_(pages) {
        for (std::size_t n = 0; n < pages; ++n)
            pages_.push_back(state_->create_page(bench::page_size, {.contents = model_.page(n)}));
        changes_ = changes(model_, pattern);
    }
    void update(int half) {
        for (const Change& change : of(half)) pages_[change.page].update(change.bytes);
    }
    void transactions(int half) {
        auto tx = state_->transaction();
        std::size_t staged = 0;
        for (const Change& change : of(half)) {
            tx.update(pages_[change.page], change.bytes);
            if (++staged % 128 == 0) tx.commit();
        }
    }
    void write(int half) {
        for (const Change& change : of(half))
            pages_[change.page].write(512, std::span(change.bytes).subspan(512, 16));
    }
    void read(int half) {
        mmsb::Bytes out(bench::page_size);
        for (const Change& change : of(half)) pages_[change.page].read_into(out);
    }
    void replay() const {
        const NoReader alone;
        if (!state_->verify().good) throw std::runtime_error("verify finds a difference");
    }
    void read_log() const {
        std::size_t records = 0;
        for (const auto& record : state_->tlog()) records += record.deltas.empty() ? 0 : 1;
        if (records < 2 * times) throw std::runtime_error("records are missing in the log");
    }
    void history() const {
        std::size_t changes = 0;
        for (const auto& change : state_->page(pages_[0].id()).history())
            changes += change.changed_bytes != 0 ? 1 : 0;
        if (changes == 0) throw std::runtime_error("a page has no history");
    }
    /// The log is in its file: where a record is read from is no matter of time.
    void settle() const { state_->wait_durable(mmsb::Sequence::newest); }
    void copy() { state_->copy_to(folder_ / "copy"); }
    void rebuild() {
        const NoReader alone;
        copy_ = folder_.start("copy");
    }
    void check() {
        if (copy_) state_ = std::move(copy_);
        if (!state_->verify().good) throw std::runtime_error("verify finds a difference");
        for (std::size_t n = 0; n < pages; ++n)
            if (!std::ranges::equal(state_->page(pages_[n].id()).read(), model_.page(n)))
                throw std::runtime_error(fmt::format("page {} is wrong at the end", n));
    }

private:
    std::span<const Change> of(int half) {
        return std::span(changes_).subspan(static_cast<std::size_t>(half) * times, times);
    }
    Folder folder_{};
    std::optional<mmsb::State> state_, copy_{};
    bench::Model model_;
    std::vector<mmsb::Page> pages_{};
    std::vector<Change> changes_{};
};

// Pages that are each computed from the one before, by a function that may write anywhere.
class Chain {
public:
    static constexpr std::size_t derived = 64, updates = times / derived;

    explicit Chain(bool logged) : logged_(logged) {
        const auto next = [](mmsb::Recompute& r) {
            std::ranges::copy(r.parent(0), r.out().begin());
            r.out()[0] ^= std::byte{0x55};
        };
        state_.register_recompute("counts.next/1", next);
        for (std::size_t i = 0; i != derived; ++i)
            if (logged) {
                const auto page = state_.create_page(bench::page_size);
                state_.graph().derive(page, {std::get<mmsb::Page>(last_)},
                                      mmsb::formula::call("counts.next/1", {}));
                last_ = page;
            } else {
                last_ = state_.graph().derive_unlogged(bench::page_size, {last_}, next);
            }
    }
    void update() {
        for (std::size_t i = 0; i != updates; ++i) {
            source_.write(8, std::as_bytes(std::span(&++value_, 1)));
            if (!logged_) std::get<mmsb::UnloggedPage>(last_).read_into(read_);
        }
    }
    void check() {
        if (logged_) std::get<mmsb::Page>(last_).read_into(read_);
        if (!std::ranges::equal(read_, source_.read()))
            throw std::runtime_error("the last page is wrong at the end");
    }

private:
    Folder folder_{};
    mmsb::State state_{folder_.start("bus")};
    bool logged_;
    mmsb::Page source_{state_.create_page(bench::page_size)};
    mmsb::AnyPage last_{source_};
    std::uint64_t value_ = 0;
    mmsb::Bytes read_ = mmsb::Bytes(bench::page_size);
};

template <class F>
void counted(F&& work) {
    CALLGRIND_START_INSTRUMENTATION;
    work();
    CALLGRIND_STOP_INSTRUMENTATION;
}

using Step = void (Bus::*)(int);
void with_bus(Pattern pattern, Step step) {
    Bus bus(pattern);
    (bus.*step)(0);
    counted([&] { (bus.*step)(1); });
    if (step != &Bus::read && step != &Bus::write) bus.check();
}

// Both halves are in the log then: per record, half of what is counted.
void with_past(const std::function<void(Bus&)>& prepare, const std::function<void(Bus&)>& work) {
    Bus bus(Pattern::sparse);
    bus.update(0);
    bus.update(1);
    bus.settle();
    prepare(bus);
    counted([&] { work(bus); });
    bus.check();
}

void encode(Pattern pattern) {
    bench::Model model(pages);
    const bench::Model before(pages);
    const auto all = changes(model, pattern);
    mmsb::Bytes out;
    const auto work = [&](std::size_t first) {
        for (const Change& change : std::span(all).subspan(first, times)) {
            out.clear();
            const auto bytes =
                std::span(before.bytes()).subspan(change.page * bench::page_size, bench::page_size);
            const mmsb::delta::Part part{0, bytes, change.bytes};
            mmsb::delta::encode({&part, 1}, bench::page_size, out);
        }
    };
    work(0);
    counted([&] { work(times); });
    const auto last =
        std::span(before.bytes()).subspan(all.back().page * bench::page_size, bench::page_size);
    mmsb::Bytes page(last.begin(), last.end());
    mmsb::delta::apply(out, page);
    if (page != all.back().bytes) throw std::runtime_error("the delta does not give the page");
}

void chain(bool logged) {
    Chain chain(logged);
    chain.update();
    counted([&] { chain.update(); });
    chain.check();
}

struct Path {
    const char* name;
    std::size_t operations;  ///< That are counted together.
    std::function<void()> run;
};
const std::vector<Path>& paths() {
    static const std::vector<Path> all = {
        {"update_sparse", times, [] { with_bus(Pattern::sparse, &Bus::update); }},
        {"update_dense", times, [] { with_bus(Pattern::dense, &Bus::update); }},
        {"transaction_sparse", times, [] { with_bus(Pattern::sparse, &Bus::transactions); }},
        {"write", times, [] { with_bus(Pattern::dense, &Bus::write); }},
        {"read", times, [] { with_bus(Pattern::sparse, &Bus::read); }},
        {"encode_sparse", times, [] { encode(Pattern::sparse); }},
        {"encode_dense", times, [] { encode(Pattern::dense); }},
        {"replay", 2 * times, [] { with_past([](Bus&) {}, [](Bus& bus) { bus.replay(); }); }},
        {"read_log", 2 * times, [] { with_past([](Bus&) {}, [](Bus& bus) { bus.read_log(); }); }},
        {"history", 2 * times, [] { with_past([](Bus&) {}, [](Bus& bus) { bus.history(); }); }},
        {"rebuild", 2 * times,
         [] { with_past([](Bus& bus) { bus.copy(); }, [](Bus& bus) { bus.rebuild(); }); }},
        {"derived", times, [] { chain(true); }},
        {"unlogged", times, [] { chain(false); }},
    };
    return all;
}

// What else than this tree decides how many instructions there are.
void print_environment() {
    fmt::print("g++ {}.{}, glibc {}, {}\n", __GNUC__, __GNUC_MINOR__, gnu_get_libc_version(),
               mmsb::delta::name_of_target(mmsb::delta::compare_target()));
}

}  // namespace

int main(int argc, char** argv) try {
    const std::string wanted = argc == 2 ? argv[1] : "";
    if (wanted == "--list") {
        for (const Path& path : paths()) fmt::print("{} {}\n", path.name, path.operations);
        return 0;
    }
    if (wanted == "--environment") {
        print_environment();
        return 0;
    }
    for (const Path& path : paths()) {
        if (path.name != wanted) continue;
        path.run();
        return 0;
    }
    std::cerr << "usage: bench_counts PATH | --list | --environment\n";
    return 2;
} catch (const std::exception& e) {
    std::cerr << "bench_counts: " << e.what() << '\n';
    return 1;
}
