// Damage of every kind to a bus's files: bits flipped, files cut short, blocks swapped, blocks of
// other segments in a segment's place, several bits at once, in the log, in checkpoints and in the
// header. All of it is told, with file and place; nothing of it is ever served as data; and what
// comes before it opens. A sample in CI, printed with its seed; everything with MMSB_LONG.
#include "crash/damaged_bus.hpp"
#include "support/sanitizers.hpp"

#include <set>

namespace mmsb::test {
namespace {

using What = Seen::What;

std::size_t sample(std::size_t in_ci, std::size_t all) {
    return std::getenv("MMSB_LONG") != nullptr ? all : std::min(all, cases(in_ci, in_ci / 4));
}

std::uint64_t seed_of_run() {
    const char* const given = std::getenv("MMSB_SEED");
    const auto seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    return seed;
}

class Damage : public testing::Test {
protected:
    void SetUp() override { random_.seed(seed_); }
    void TearDown() override {
        std::printf("%zu cases:", total_);
        constexpr const char* names[] = {"damage", "a torn tail", "another checkpoint", "nothing"};
        for (const auto& [what, n] : counts_)
            std::printf(" %zu %s", n, names[static_cast<std::size_t>(what)]);
        std::printf("\n");
    }
    void count(const Seen& seen) {
        ++counts_[seen.what];
        ++total_;
    }
    std::size_t below(std::size_t n) { return random_() % n; }
    static void flip(std::string& text, std::size_t bit) {
        text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
    }

    std::uint64_t seed_ = seed_of_run();
    std::mt19937_64 random_{};
    std::map<What, std::size_t> counts_{};
    std::size_t total_ = 0;
};

constexpr std::uint64_t log_size = 64 * limits::kib;

// All of 0 .. n-1 in order, or so many of them by chance.
template <class F>
void each_of(std::size_t n, std::size_t wanted, std::mt19937_64& random, F f) {
    for (std::size_t i = 0; i < wanted && !testing::Test::HasFailure(); ++i)
        f(wanted == n ? i : random() % n);
}

// The log up to a place that was named as damaged is a torn log, as of the sequence that was named.
void expect_good_prefix(DamagedBus& bus, const fs::path& segment, const Seen& damage,
                        std::set<std::uint64_t>& tried) {
    if (damage.offset <= log::segment_header_size || !tried.insert(damage.offset).second) return;
    const auto cut = bus.files().at(segment).substr(0, damage.offset);
    write_file(segment, cut);
    auto config = at(bus.folder());
    config.open = Open::read_only;
    config.on_notice = [](const Notice&) {};
    const auto prefix = start(config);
    EXPECT_EQ(number(prefix.sequence()), damage.good_until);
    EXPECT_EQ(contents_of(prefix), bus.state_at(damage.good_until));
    write_file(segment, bus.files().at(segment));
}

TEST_F(Damage, OfAnyBitOfALogIsTold) {
    DamagedBus bus(log_size, 0, 4 * log_size, seed_);
    const auto segment = bus.files_of("log").at(0);
    ASSERT_EQ(bus.files_of("log").size(), 1U);
    const auto& whole = bus.files().at(segment);
    ASSERT_GE(whole.size(), log_size);
    std::set<std::uint64_t> prefixes;
    each_of(whole.size() * 8, sample(1000, whole.size() * 8), random_, [&](std::size_t bit) {
        auto changed = whole;
        flip(changed, bit);
        const auto seen = bus.look(segment, changed);
        count(seen);
        EXPECT_TRUE(seen.what == What::damage || seen.what == What::torn_tail)
            << "bit " << bit << " was not missed";
        if (seen.what != What::damage) return;
        EXPECT_LE(seen.offset, std::max(bit / 8, log::segment_header_size - 1)) << "bit " << bit;
        expect_good_prefix(bus, segment, seen, prefixes);
    });
    // Only what is behind the last promise that it was synced may look like a torn tail.
    EXPECT_LT(counts_[What::torn_tail], total_ / 20 + 1);
}

TEST_F(Damage, OfALogCutShortAnywhereIsATornTail) {
    DamagedBus bus(log_size, 0, 4 * log_size, seed_);
    const auto segment = bus.files_of("log").at(0);
    const auto& whole = bus.files().at(segment);
    // Without a header nothing says what this file was; and the first record was on the disk before
    // the bus named its shared memory.
    const auto first_end = first_record_end(whole);
    const auto look = [&](std::size_t size) {
        const auto seen = bus.look(segment, whole.substr(0, size));
        count(seen);
        if (size >= first_end) {
            EXPECT_NE(seen.what, What::damage) << "cut to " << size;
        } else {
            EXPECT_EQ(seen.what, What::damage) << "cut to " << size;
        }
    };
    for (const auto size : {log::segment_header_size, first_end - 1, first_end}) look(size);
    each_of(whole.size(), sample(600, whole.size()), random_, look);
}

// Several segments and checkpoints; each case damages one of the files.
class DamageOfMany : public Damage {
protected:
    void look(const fs::path& file, const std::string& changed, const std::string& what) {
        if (changed == bus_.files().at(file)) return;
        const auto seen = bus_.look(file, changed);
        count(seen);
        // Of the header there are two copies; an older checkpoint is read once the newest is bad.
        const bool spare =
            file.filename() == "bus" || (file.parent_path().filename() == "checkpoints" &&
                                         file != bus_.files_of("checkpoints").back());
        if (!spare) {
            EXPECT_NE(seen.what, What::nothing) << what << " in " << file << " was not missed";
        }
    }
    fs::path any(const std::vector<fs::path>& files) { return files[below(files.size())]; }
    std::vector<fs::path> all() const {
        std::vector<fs::path> paths;
        for (const auto& [path, text] : bus_.files()) paths.push_back(path);
        return paths;
    }

    static constexpr std::size_t rounds = 10'000;
    DamagedBus bus_{10 * log_size, 4 * log_size, 2 * log_size, seed_};
};

constexpr std::size_t block_sizes[] = {64, 512, 4096};

TEST_F(DamageOfMany, ByTwoBlocksOfAFileSwappedIsTold) {
    each_of(rounds, sample(300, rounds), random_, [&](std::size_t) {
        const auto file = any(all());
        auto changed = bus_.files().at(file);
        const auto size = block_sizes[below(3)];
        if (changed.size() < 2 * size) return;
        const auto a = below(changed.size() / size) * size, b = below(changed.size() / size) * size;
        for (std::size_t i = 0; i < size; ++i) std::swap(changed[a + i], changed[b + i]);
        look(file, changed, "blocks " + std::to_string(a) + " and " + std::to_string(b));
    });
}

TEST_F(DamageOfMany, ByAStaleBlockOfAnotherFileIsTold) {
    each_of(rounds, sample(300, rounds), random_, [&](std::size_t) {
        const auto kind = below(3) == 0 ? "checkpoints" : "log";
        const auto files = bus_.files_of(kind);
        const auto file = any(files), other = any(files);
        auto changed = bus_.files().at(file);
        const auto& from = bus_.files().at(other);
        const auto size = block_sizes[below(3)];
        const auto most = std::min(changed.size(), from.size());
        if (most < size) return;
        // Where it was in its own file, mostly: that is what a lost write leaves.
        const auto to = below(most / size) * size;
        const auto at = below(4) == 0 ? below(from.size() / size) * size : to;
        changed.replace(to, size, from, at, size);
        look(file, changed, "a block of " + other.string() + " at " + std::to_string(to));
    });
}

TEST_F(DamageOfMany, ByManyBitsAtOnceIsTold) {
    each_of(rounds, sample(300, rounds), random_, [&](std::size_t) {
        const auto file = any(all());
        auto changed = bus_.files().at(file);
        const auto bits = 2 + below(63), first = below(changed.size() * 8);
        // A burst, or all over the file.
        const auto within = below(2) == 0 ? changed.size() * 8 : std::size_t{512};
        for (std::size_t i = 0; i < bits; ++i)
            flip(changed, (first + below(within)) % (changed.size() * 8));
        look(file, changed, std::to_string(bits) + " bits from " + std::to_string(first));
    });
}

TEST_F(DamageOfMany, ByACheckpointCutShortIsTold) {
    for (const auto& file : bus_.files_of("checkpoints")) {
        const auto& whole = bus_.files().at(file);
        each_of(whole.size(), sample(40, whole.size()), random_, [&](std::size_t size) {
            look(file, whole.substr(0, size), "cut to " + std::to_string(size));
        });
    }
}

TEST_F(DamageOfMany, ByAFileThatIsGoneIsTold) {
    for (const auto& file : bus_.files_of("log")) {
        fs::remove(file);
        const auto seen = bus_.look_now();
        count(seen);
        EXPECT_EQ(seen.what, file == bus_.files_of("log").back() ? seen.what : What::damage);
        write_file(file, bus_.files().at(file));
    }
    for (const auto& file : bus_.files_of("checkpoints")) {
        fs::remove(file);
        count(bus_.look_now());  // the log has all of it
        write_file(file, bus_.files().at(file));
    }
    fs::remove(bus_.folder() / "bus");
    EXPECT_EQ(bus_.look_now().what, What::damage);
}

}  // namespace
}  // namespace mmsb::test
