// Eight processes read and write the same pages for a while. Each page says itself whether it is
// whole: every word of it follows from the first two. No read is torn, none goes back in time,
// pages that are changed together are seen together, and the log gives exactly the live pages at
// the end.
#include "crash/saved_bus.hpp"
#include "crash/seed.hpp"
#include "crash/shared.hpp"
#include "os/process.hpp"
#include "support/child.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>

#include <sys/prctl.h>

namespace mmsb::test {
namespace {

constexpr unsigned processes = 8, viewers = 2;
constexpr limits::Geometry geometry{.ring_size = 512 * limits::kib,
                                    .segment_size = 4 * limits::mib};

/// Sizes in words. The last kind changes its size all the time.
struct Kind {
    const char* name;
    unsigned pages;
    std::size_t words;
    bool resized = false;
};
constexpr std::array<Kind, 6> kinds{{{"line ", 16, 8},
                                     {"small ", 8, 40},
                                     {"block ", 4, 512},
                                     {"large ", 2, 8192},
                                     {"huge ", 1, 65'536},  // a blob each time
                                     {"resized ", 2, 64, true}}};
constexpr unsigned pairs = 8;  // of two lines, changed together

struct Counts {
    std::array<std::atomic<std::uint64_t>, kinds.size()> reads{};
    std::atomic<std::uint64_t> pair_reads{0}, commits{0};
};
struct Board {
    std::array<Counts, processes> counts{};
    std::atomic<bool> stop{false};
};

std::uint64_t mix(std::uint64_t x) {
    x = (x ^ (x >> 33U)) * 0xff51afd7ed558ccdU;
    return (x ^ (x >> 29U)) * 0xc4ceb9fe1a85ec53U;
}

// word 0: version, which only grows; word 1: a random number; the others follow from both.
void fill(std::span<std::uint64_t> words, std::uint64_t version, std::uint64_t random) {
    words[0] = version;
    words[1] = random;
    auto x = mix(version ^ random);
    for (std::size_t i = 2; i < words.size(); ++i) words[i] = x += random | 1U;
}
bool is_whole(std::span<const std::uint64_t> words) {
    auto x = mix(words[0] ^ words[1]);
    bool whole = true;
    for (std::size_t i = 2; i < words.size(); ++i) whole &= words[i] == (x += words[1] | 1U);
    return whole;
}
std::span<const std::uint64_t> words_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const std::uint64_t*>(bytes.data()), bytes.size() / 8};
}
std::span<std::uint64_t> words_of(std::span<std::byte> bytes) {
    return {reinterpret_cast<std::uint64_t*>(bytes.data()), bytes.size() / 8};
}

std::string name_of(const char* what, unsigned i) { return what + std::to_string(i); }

void make(const BusPlace& place) {
    auto bus = place.open();
    bus.set_retention({.bytes = 8 * limits::mib});
    const auto add = [&](const std::string& name, std::size_t words) {
        Bytes bytes(words * 8);
        fill(words_of(std::span(bytes)), 1, 1);
        bus.create_page(bytes.size(), {.name = name, .contents = bytes});
    };
    for (const auto& kind : kinds)
        for (unsigned i = 0; i < kind.pages; ++i) add(name_of(kind.name, i), kind.words);
    for (unsigned i = 0; i < 2 * pairs; ++i) add(name_of("pair ", i), 8);
    stop(std::move(bus));
}

/// What one of the processes does until it is told to stop; 0, or what it found.
class Worker {
public:
    enum Found : int { nothing, torn, went_back, not_together };

    Worker(const BusPlace& place, unsigned me, Board& board)
        : me_(me),
          counts_(board.counts.at(me)),
          stop_(board.stop),
          bus_(place.open(me < viewers ? Open::read_only : Open::existing)),
          random_(mix(seed() + me)) {
        for (std::size_t k = 0; k < kinds.size(); ++k)
            for (unsigned i = 0; i < kinds[k].pages; ++i)
                pages_[k].push_back({bus_.page(name_of(kinds[k].name, i))});
        for (unsigned i = 0; i < 2 * pairs; ++i)
            pair_pages_.push_back(bus_.page(name_of("pair ", i)));
    }

    int run() {
        const bool writes = me_ >= viewers;
        // Those with higher numbers write more; one of them lets go of the past now and then.
        const unsigned rest = 200U >> (me_ / 2);
        auto compacted = os::steady_ns();
        for (std::uint64_t turn = 0; !stop_ && found_ == nothing; ++turn) {
            for (unsigned i = 0; i < rest && found_ == nothing; ++i) read_one();
            if (!writes) continue;
            write_one();
            if (me_ != processes - 1 || turn % 16 != 0) continue;
            if (os::steady_ns() - compacted < 300'000'000) continue;
            bus_.compact();
            compacted = os::steady_ns();
        }
        return found_;
    }

private:
    struct Known {
        Page page;
        std::uint64_t version = 0;  ///< The newest one seen here.
    };

    unsigned pick(std::size_t n) {
        random_ = random_ * 6364136223846793005U + 1442695040888963407U;
        return static_cast<unsigned>((random_ >> 33U) % n);
    }
    // Mostly the smaller kinds: they are what can be read most often.
    std::size_t pick_kind() {
        const auto n = pick(1024);
        return n < 900 ? n % 2 : n < 1000 ? 5 - n % 2 * 3 : n < 1020 ? 3 : 4;
    }

    void judge(Known& known, std::span<const std::byte> bytes) {
        const auto words = words_of(bytes);
        if (words.size() < 2 || !is_whole(words))
            found_ = torn;
        else if (words[0] < known.version)
            found_ = went_back;
        else
            known.version = words[0];
    }

    void read_one() {
        if (pick(8) == 0) return read_pair();
        const auto k = pick_kind();
        auto& known = pages_[k][pick(pages_[k].size())];
        if (kinds[k].resized) {
            judge(known, known.page.read());
        } else {
            buffer_.resize(kinds[k].words * 8);
            known.page.read_into(buffer_);
            judge(known, buffer_);
        }
        counts_.reads[k].fetch_add(1, std::memory_order_relaxed);
    }

    void read_pair() {
        const auto i = 2 * pick(pairs);
        const auto view = bus_.snapshot({pair_pages_[i], pair_pages_[i + 1]});
        const auto one = words_of(view.bytes(pair_pages_[i])),
                   other = words_of(view.bytes(pair_pages_[i + 1]));
        if (!is_whole(one) || !is_whole(other)) found_ = torn;
        if (one[0] != other[0]) found_ = not_together;
        counts_.pair_reads.fetch_add(1, std::memory_order_relaxed);
    }

    void write_one() {
        const std::uint64_t random = mix(random_);
        if (pick(8) == 0) {
            const auto i = 2 * pick(pairs);
            bus_.transact([&](Transaction& tx) {
                for (const auto& page : {pair_pages_[i], pair_pages_[i + 1]})
                    tx.update(page, [&](std::span<std::byte> bytes) { renew(bytes, random); });
            });
        } else {
            const auto k = pick_kind();
            const auto& page = pages_[k][pick(pages_[k].size())].page;
            if (kinds[k].resized)
                resize(page, random);
            else
                page.update([&](std::span<std::byte> bytes) { renew(bytes, random); });
        }
        counts_.commits.fetch_add(1, std::memory_order_relaxed);
    }

    static void renew(std::span<std::byte> bytes, std::uint64_t random) {
        const auto words = words_of(bytes);
        fill(words, words[0] + 1, random);
    }

    void resize(const Page& page, std::uint64_t random) {
        bus_.transact([&](Transaction& tx) {
            const auto version = words_of(std::span<const std::byte>(tx.read(page)))[0];
            Bytes bytes((2 + random % 200) * 8);
            fill(words_of(std::span(bytes)), version + 1, random);
            tx.resize(page, bytes.size());
            tx.update(page, bytes);
        });
    }

    unsigned me_;
    Counts& counts_;
    std::atomic<bool>& stop_;
    State bus_;
    std::uint64_t random_;
    int found_ = nothing;
    std::array<std::vector<Known>, kinds.size()> pages_{};
    std::vector<Page> pair_pages_{};
    Bytes buffer_{};
};

TEST(EightProcesses, NeverReadAPageThatIsTorn) {
    static_cast<void>(seed());
    const BusPlace place(geometry);
    make(place);
    const Shared<Board> board;
    std::vector<std::unique_ptr<Child>> children;
    for (unsigned me = 0; me < processes; ++me)
        children.push_back(std::make_unique<Child>([&, me] {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            return Worker(place, me, *board).run();
        }));
    const auto total = [&] {
        std::uint64_t n = 0;
        for (const auto& counts : board->counts) {
            n += counts.pair_reads;
            for (const auto& reads : counts.reads) n += reads;
        }
        return n;
    };
    const std::uint64_t enough = is_long() ? 100'000'000 : 500'000;
    const auto begun = os::steady_ns();
    const auto seconds = [&] { return static_cast<double>(os::steady_ns() - begun) / 1e9; };
    const double least = is_long() ? 60 : 4, most = is_long() ? 1800 : 15;
    while ((total() < enough || seconds() < least) && seconds() < most) ::usleep(10'000);
    board->stop = true;
    for (unsigned me = 0; me < processes; ++me)
        EXPECT_EQ(children[me]->wait(), 0)
            << "process " << me
            << " (1: torn, 2: older than before, 3: half of a commit, 99: threw)";
    std::uint64_t commits = 0, pair_reads = 0;
    for (const auto& counts : board->counts) {
        commits += counts.commits;
        pair_reads += counts.pair_reads;
        for (const auto& reads : counts.reads) EXPECT_GT(reads, 0U) << "somebody did not get to it";
    }
    std::printf("%.1f s: %llu reads, %llu commits; of pairs %llu", seconds(),
                static_cast<unsigned long long>(total()), static_cast<unsigned long long>(commits),
                static_cast<unsigned long long>(pair_reads));
    for (std::size_t k = 0; k < kinds.size(); ++k) {
        std::uint64_t reads = 0;
        for (const auto& counts : board->counts) reads += counts.reads[k];
        std::printf(", %s%llu", kinds[k].name, static_cast<unsigned long long>(reads));
    }
    std::printf("\n");
    const auto bus = place.open();
    EXPECT_TRUE(bus.verify().good);
}

}  // namespace
}  // namespace mmsb::test
