#include "beside/turns.hpp"

#include "beside/writing_process.hpp"
#include "cores.hpp"
#include "figures.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <thread>

namespace bench {

namespace {

constexpr std::size_t set_size = 8;

template <class F>
double ns_each(std::size_t times, F&& work) {
    const auto began = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < times; ++i) work();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - began;
    return took.count() / static_cast<double>(times);
}

void require(bool right, const std::string& who) {
    if (!right) throw std::runtime_error(who + ": what was read is not what was written");
}

/// Reads of random pages, the same ones each time.
class RandomReads {
public:
    RandomReads(Reader& reader, std::size_t pages) : reader_(reader), pages_(pages) {}
    Moment one() {
        page_ = next();
        return reader_.read(page_, bytes_);
    }
    Moment many() {
        for (auto& page : set_) page = next();
        const auto moment = reader_.read_many(set_);
        for (std::size_t i = 0; i < set_.size(); ++i)
            first_bytes_ ^= reader_.held(i).front();  // it has to be there
        return moment;
    }
    [[nodiscard]] bool one_agrees(Follower& follower) {
        const auto moment = one();
        return follower.agrees(moment, page_, bytes_);
    }
    [[nodiscard]] bool many_agree(Follower& follower) {
        const auto moment = many();
        bool right = true;
        for (std::size_t i = 0; i < set_.size(); ++i)
            right = right && follower.agrees(moment, set_[i], reader_.held(i));
        return right;
    }

private:
    std::uint64_t next() { return (random_() >> 32U) * pages_ >> 32U; }
    Reader& reader_;
    std::size_t pages_;
    Random random_{.state = 0x9e3779b97f4a7c15};
    std::uint64_t page_ = 0;
    std::array<std::byte, page_size> bytes_{};
    std::array<std::uint64_t, set_size> set_{};
    std::byte first_bytes_{};
};

void rest(const TurnOptions& options) {
    std::this_thread::sleep_for(std::chrono::milliseconds(options.alone_ms));
}

// Nothing is written: all pages, each by itself, are as the last commit left them.
void check_end(Reader& reader, const TurnOptions& options, Moment end, Follower& follower,
               const std::string& name) {
    std::vector<std::byte> bytes(page_size);
    for (std::size_t page = 0; page < options.pages; ++page) {
        reader.read(page, bytes);
        require(follower.agrees(end, page, bytes), name);
    }
}

}  // namespace

PageTimes page_turn(const Sides& sides, const TurnOptions& options, bool torn) {
    WritingProcess writer(sides, options.folder, options.pages, options.writing_core);
    stay_on(options.reading_core);
    const auto reader = sides.reader(options.folder);
    const std::uint64_t first = 0;
    const auto start = reader->read_many({&first, 1});
    RandomReads reads(*reader, options.pages);
    const auto sets = std::max<std::size_t>(options.reads / set_size, 1);
    const auto all_once = [&] { reads.one(); };
    PageTimes times;
    ns_each(options.pages, all_once);  // what is touched first costs a page fault
    times.quiet = ns_each(options.reads, all_once);
    times.many_quiet = ns_each(sets, [&] { reads.many(); });
    writer.write();
    times.alone = writer.ns_a_commit([&] { rest(options); });
    Follower follower(options.pages, start);
    if (!torn) {
        times.beside = writer.ns_a_commit([&] { times.busy = ns_each(options.reads, all_once); });
        times.many_busy = ns_each(sets, [&] { reads.many(); });
        for (std::size_t i = 0; i < options.reads / 50; ++i)
            require(reads.one_agrees(follower), sides.name);
        for (std::size_t i = 0; i < sets / 50; ++i) require(reads.many_agree(follower), sides.name);
    }
    writer.pause();
    check_end(*reader, options, start + writer.commits(), follower, sides.name);
    return times;
}

StoppedTimes stopped_turn(const TurnOptions& options) {
    const auto sides = mmsb_sides();
    WritingProcess writer(sides, options.folder, 1, options.writing_core);
    stay_on(options.reading_core);
    const auto reader = sides.reader(options.folder);
    const std::uint64_t page = 0;
    Follower follower(1, reader->read_many({&page, 1}));
    std::array<std::byte, page_size> bytes{};
    const auto reads = std::max<std::size_t>(options.reads / 50, 1);
    const auto measure = [&] {
        const auto ns = ns_each(reads, [&] { reader->read(page, bytes); });
        const auto moment = reader->read(page, bytes);
        require(follower.agrees(moment, page, bytes), "past a stopped writer");
        return ns;
    };
    StoppedTimes times;
    times.quiet = measure();
    writer.write();
    std::vector<double> stopped;
    Random random;
    constexpr int most_tries = 100'000;
    for (int i = 0; i < most_tries; ++i) {
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 200));
        writer.process().signal(SIGSTOP);
        if (!writer.process().wait_until_stopped())
            throw std::runtime_error("the writing process has ended");
        if (!stands_still(*reader, page)) stopped.push_back(measure());
        if (stopped.size() == static_cast<std::size_t>(options.stops)) break;
        writer.process().signal(SIGCONT);
    }
    if (stopped.size() != static_cast<std::size_t>(options.stops))
        throw std::runtime_error("the writer was never stopped in the middle of a commit");
    times.stopped = median(stopped);
    writer.process().signal(SIGKILL);
    writer.process().wait();
    times.dead = measure();
    return times;
}

LargeTimes large_turn(const TurnOptions& options) {
    const auto sides = mmsb_large_sides();
    WritingProcess writer(sides, options.folder, options.large_pages, options.writing_core);
    stay_on(options.reading_core);
    const auto reader = sides.reader(options.folder);
    std::vector<std::byte> bytes(options.large_pages * page_size);
    const auto start = reader->read(0, bytes);
    const auto original = bytes;
    Follower follower(options.large_pages, start);
    require(follower.agrees(start, bytes), "the large page");
    std::vector<double> copy, quiet, busy;
    const auto read_it = [&] { reader->read(0, bytes); };
    for (std::size_t i = 0; i < options.large_reads; ++i) {
        copy.push_back(
            ns_each(1, [&] { std::memcpy(bytes.data(), original.data(), bytes.size()); }));
        quiet.push_back(ns_each(1, read_it));
    }
    writer.write();
    LargeTimes times;
    times.alone = writer.ns_a_commit([&] { rest(options); });
    times.beside = writer.ns_a_commit([&] {
        for (std::size_t i = 0; i < options.large_reads; ++i) busy.push_back(ns_each(1, read_it));
    });
    for (int i = 0; i < 2; ++i) {
        const auto moment = reader->read(0, bytes);
        require(follower.agrees(moment, bytes), "the large page beside its writer");
    }
    writer.pause();
    reader->read(0, bytes);
    require(follower.agrees(start + writer.commits(), bytes), "the large page");
    times.copy = median(copy);
    times.quiet = median(quiet);
    times.busy = median(busy);
    return times;
}

}  // namespace bench
