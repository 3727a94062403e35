// What is good of a damaged bus opens read-only: as of the last sequence before the damage, with
// the past that can be read, and without a byte of the bus's folder being changed. Random cases
// print their seed.
#include "crash/damaged_bus.hpp"
#include "crash/seed.hpp"
#include "support/raises.hpp"

#include <thread>

namespace mmsb::test {
namespace {

constexpr std::uint64_t log_size = 64 * limits::kib;

using Files = std::map<fs::path, std::string>;

Files files_in(const fs::path& folder) {
    Files files;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
        files[entry.path()] = entry.is_regular_file() ? read_file(entry.path()) : "a folder";
    return files;
}

Config good_prefix(const TempFolder& folder) {
    auto config = at(folder);
    config.open = Open::good_prefix;
    config.on_notice = [](const Notice&) {};
    return config;
}

std::optional<Corrupt> refusal(const TempFolder& folder) {
    auto config = good_prefix(folder);
    config.open = Open::read_only;
    try {
        const auto bus = start(config);
        return std::nullopt;
    } catch (const Corrupt& e) {
        return e;
    } catch (const NotABus& e) {  // a magic that is damaged
        return Corrupt(ErrorCode::corrupt, e.what());
    }
}

void flip_byte(const fs::path& file, std::size_t at) {
    auto text = read_file(file);
    ASSERT_LT(at, text.size());
    text[at] = static_cast<char>(text[at] ^ 0x20);
    write_file(file, text);
}

void expect_no_writing(const State& bus) {
    raises<ReadOnly>(bus, [&] { bus.create_page(8); });
    raises<ReadOnly>(bus, [&] { bus.transact([](Transaction& tx) { tx.create_page(8); }); });
    raises<ReadOnly>(bus, [&] { bus.checkpoint(); });
    raises<ReadOnly>(bus, [&] { bus.compact(); });
    raises<ReadOnly>(bus, [&] { bus.set_retention({.records = 1}); });
    if (bus.pages().empty()) return;
    const auto page = bus.pages().front();
    raises<ReadOnly>(bus, [&] { page.write(0, bytes_of("x")); });
    raises<ReadOnly>(bus, [&] { page.update([](std::span<std::byte> b) { b[0] ^= b[0]; }); });
    raises<ReadOnly>(bus, [&] { page.resize(1); });
    raises<ReadOnly>(bus, [&] { bus.delete_page(page); });
}

class GoodPrefix : public testing::Test {
protected:
    // Opens the damaged bus, looks at everything in it, and changes nothing.
    State open(DamagedBus& bus) {
        const auto before = files_in(bus.folder().path());
        auto good = start(good_prefix(bus.folder()));
        expect_prefix(bus, good);
        EXPECT_EQ(files_in(bus.folder().path()), before);
        return good;
    }
    static void expect_prefix(const DamagedBus& bus, const State& good) {
        const auto now = number(good.sequence());
        EXPECT_EQ(good.recovery().sequence, good.sequence());
        EXPECT_EQ(contents_of(good), bus.state_at(now));
        const auto oldest = good.oldest();
        EXPECT_EQ(contents_of(good.at(oldest)), bus.state_at(number(oldest)));
        if (oldest > Sequence::zero)
            thrown<HistoryDropped>([&] { static_cast<void>(good.at(oldest - 1)); });
        std::uint64_t records = 0;
        for (const auto& record : good.tlog()) records += record.sequence > oldest ? 1 : 0;
        EXPECT_EQ(records, now - number(oldest));
        EXPECT_TRUE(good.verify().good);
        if (const auto& damage = good.recovery().damage) {
            EXPECT_EQ(damage->good_until, good.sequence());
            EXPECT_FALSE(damage->file.empty());
            EXPECT_FALSE(damage->expected.empty());
            EXPECT_FALSE(damage->found.empty());
        }
    }
    // As what refuses to open says.
    static void expect_as_refused(const State& good, const std::optional<Corrupt>& refused) {
        const auto& damage = good.recovery().damage;
        ASSERT_TRUE(refused && damage);
        EXPECT_EQ(damage->file, refused->file());
        EXPECT_EQ(damage->offset, refused->offset());
        EXPECT_NE(std::string_view(refused->what()).find("found " + refused->found()),
                  std::string_view::npos);
        EXPECT_EQ(damage->good_until, refused->good_until());
    }

    std::uint64_t seed_ = seed();
    DamagedBus plain_{10 * log_size, 0, 2 * log_size, seed_};  // no checkpoint
    DamagedBus kept_{10 * log_size, 3 * log_size, 2 * log_size, seed_};
};

TEST_F(GoodPrefix, OfABusThatIsGoodIsAllOfIt) {
    for (auto* bus : {&plain_, &kept_}) {
        const auto good = open(*bus);
        EXPECT_EQ(number(good.sequence()), bus->last());
        EXPECT_EQ(good.oldest(), Sequence::zero);
        EXPECT_FALSE(good.recovery().damage);
        EXPECT_EQ(good.recovery().dropped_bytes, 0U);
        expect_no_writing(good);
    }
}

TEST_F(GoodPrefix, EndsBeforeAFlippedBit) {
    const auto segments = plain_.files_of("log");
    ASSERT_GE(segments.size(), 5U);
    flip_byte(segments[2], 70'000);
    const auto refused = refusal(plain_.folder());
    const auto good = open(plain_);
    expect_as_refused(good, refused);
    EXPECT_EQ(good.recovery().damage->file, segments[2].string());
    EXPECT_LE(good.recovery().damage->offset, 70'000U);
    EXPECT_EQ(good.recovery().damage->segments, segments.size() - 3);
    EXPECT_GT(good.recovery().damage->bytes, (segments.size() - 3) * log_size);
    EXPECT_LT(number(good.sequence()), plain_.last());
    EXPECT_GT(number(good.sequence()), 0U);
    EXPECT_EQ(good.oldest(), Sequence::zero);
    expect_no_writing(good);
}

TEST_F(GoodPrefix, EndsBeforeASegmentThatIsGoneOrHasNoHeader) {
    const auto segments = plain_.files_of("log");
    std::optional<Damage> without;
    for (const bool gone : {true, false}) {
        gone ? void(fs::remove(segments[2])) : flip_byte(segments[2], 40);
        EXPECT_TRUE(refusal(plain_.folder()));
        const auto good = open(plain_);
        const auto& damage = good.recovery().damage;
        ASSERT_TRUE(damage);
        EXPECT_EQ(damage->file, segments[2].string());
        EXPECT_GT(good.sequence(), Sequence::zero);
        if (without) {
            EXPECT_EQ(damage->good_until, without->good_until);
            EXPECT_GT(damage->bytes, without->bytes + log_size);
            EXPECT_EQ(damage->segments, without->segments + 1);
        }
        without = damage;
        write_file(segments[2], plain_.files().at(segments[2]));
    }
}

// A torn end with a segment behind it that cannot be read: one damage, and no torn tail.
TEST_F(GoodPrefix, CountsWhatADamagedSegmentCutsOffOnce) {
    const auto segments = plain_.files_of("log");
    flip_byte(segments.back(), 40);
    auto torn = read_file(segments.end()[-2]);
    write_file(segments.end()[-2], torn.replace(torn.size() - 512, 512, 512, '\0'));
    const auto good = open(plain_);
    ASSERT_TRUE(good.recovery().damage);
    EXPECT_GT(good.recovery().damage->bytes, 0U);
    EXPECT_EQ(good.recovery().dropped_bytes, 0U);
}

TEST_F(GoodPrefix, IsThePresentWhereOnlyThePastIsDamaged) {
    const auto segments = kept_.files_of("log");
    for (const int how : {0, 1, 2}) {
        if (how == 0) flip_byte(segments[1], 70'000);
        if (how == 1) flip_byte(segments[1], 40);
        if (how == 2) fs::remove(segments[1]);
        const auto good = open(kept_);
        EXPECT_EQ(number(good.sequence()), kept_.last()) << how;
        EXPECT_FALSE(good.recovery().damage) << how;
        EXPECT_GT(good.oldest(), Sequence::zero) << how;
        EXPECT_LE(good.oldest(), good.recovery().checkpoint) << how;
        write_file(segments[1], kept_.files().at(segments[1]));
    }
}

TEST_F(GoodPrefix, BeginsAtTheCheckpointBeforeADamagedOne) {
    const auto checkpoints = kept_.files_of("checkpoints");
    ASSERT_GE(checkpoints.size(), 2U);
    const auto whole = Sequence{kept_.last()};
    auto newest = Sequence::newest;
    for (auto i = checkpoints.size(); i-- > 0;) {
        const auto good = open(kept_);
        EXPECT_EQ(good.sequence(), whole);
        EXPECT_LT(good.recovery().checkpoint, newest);
        newest = good.recovery().checkpoint;
        EXPECT_EQ(good.recovery().damaged_checkpoint,
                  i + 1 == checkpoints.size() ? "" : checkpoints.back().string());
        flip_byte(checkpoints[i], fs::file_size(checkpoints[i]) / 2);
    }
    EXPECT_EQ(open(kept_).recovery().checkpoint, Sequence::zero);  // from the log alone
}

TEST_F(GoodPrefix, PassesOverACheckpointThatIsNoneAnyMore) {
    const auto newest = kept_.files_of("checkpoints").back();
    const auto whole = kept_.files().at(newest);
    for (const auto& changed :
         {std::string(whole).replace(0, 512, 512, '\0'), std::string(whole).replace(5, 1, "x"),
          std::string(whole).replace(8, 1, "\x7f"), std::string("A letter to my aunt."),
          std::string()}) {
        write_file(newest, changed);
        for (const auto open : {Open::good_prefix, Open::read_only}) {
            auto config = good_prefix(kept_.folder());
            config.open = open;
            const auto bus = start(config);
            EXPECT_EQ(bus.recovery().damaged_checkpoint, newest.string());
            EXPECT_EQ(number(bus.sequence()), kept_.last());
            EXPECT_EQ(contents_of(bus), kept_.state_at(kept_.last()));
            const auto before = bus.sequence() - 1;
            EXPECT_EQ(contents_of(bus.at(before)), kept_.state_at(number(before)));
        }
        const auto found = examine(kept_.folder().path());
        EXPECT_EQ(std::ranges::count(found.files, FileHealth::damaged, &FileFinding::health), 1);
    }
}

TEST_F(GoodPrefix, NeedsOneCopyOfTheHeader) {
    flip_byte(plain_.folder() / "bus", 20);
    EXPECT_EQ(number(open(plain_).sequence()), plain_.last());
    flip_byte(plain_.folder() / "bus", 512 + 20);
    thrown<Corrupt>([&] { static_cast<void>(start(good_prefix(plain_.folder()))); });
}

TEST_F(GoodPrefix, OfATornTailIsNoDamage) {
    const auto last = plain_.files_of("log").back();
    write_file(last, read_file(last).substr(0, fs::file_size(last) - 100));
    const auto good = open(plain_);
    EXPECT_FALSE(good.recovery().damage);
    EXPECT_GT(good.recovery().dropped_bytes, 0U);
}

TEST_F(GoodPrefix, OfAnyDamageIsWhatOnceWas) {
    std::mt19937_64 random(seed_);
    const int cases = is_long() ? 5000 : 40;
    for (auto* bus : {&plain_, &kept_}) {
        for (int i = 0; i < cases && !HasFailure(); ++i) {
            const auto& files = bus->files();
            const auto& [file, whole] =
                *std::next(files.begin(), static_cast<std::ptrdiff_t>(random() % files.size()));
            if (file.filename() == "bus") continue;
            auto changed = whole;
            const auto kind = random() % 4;
            const auto place = random() % whole.size();
            if (kind == 0) changed.resize(place);
            if (kind == 1) changed.replace(place, 512, 512, '\0');
            if (kind > 1) changed[place] = static_cast<char>(changed[place] ^ (1 << random() % 8));
            write_file(file, changed);
            const auto refused = refusal(bus->folder());
            const auto good = start(good_prefix(bus->folder()));
            expect_prefix(*bus, good);
            // Of the past only: then the present opens all the same.
            EXPECT_TRUE(good.recovery().damage || !refused || good.oldest() > Sequence::zero);
            if (refused && refused->good_until() > Sequence::zero) {
                EXPECT_EQ(good.sequence(), refused->good_until());
            }
            EXPECT_FALSE(HasFailure()) << file << " at " << place << ", kind " << kind;
            write_file(file, whole);
        }
    }
}

TEST(GoodPrefixOfBlobs, EndsBeforeOneThatIsGoneOrDamaged) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    constexpr std::size_t large = 200'000;
    const auto page = bus.create_page(large, {.name = "large"});
    page.write(3, bytes_of("small"));
    const auto good = contents_of(bus);
    page.update(pattern(large));
    page.write(5, bytes_of("behind"));
    bus.wait_durable(Sequence::newest);
    stop(std::move(bus));
    remove_arena(folder.path());
    fs::path blob;
    for (const auto& entry : fs::directory_iterator(folder / "log"))
        if (entry.path().extension() == ".blob") blob = entry.path();
    const auto whole = read_file(blob);
    for (const int how : {0, 1, 2, 3}) {
        if (how == 0) fs::remove(blob);
        if (how == 1) flip_byte(blob, 100'000);  // its bytes
        if (how == 2) flip_byte(blob, 0);        // its magic
        if (how == 3) write_file(blob, whole.substr(0, 1000));
        const auto refused = refusal(folder);
        ASSERT_TRUE(refused) << how;
        EXPECT_EQ(refused->file(), blob.string());
        EXPECT_EQ(number(refused->good_until()), good.sequence);
        const auto before = files_in(folder.path());
        const auto prefix = start(good_prefix(folder));
        EXPECT_EQ(contents_of(prefix), good);
        ASSERT_TRUE(prefix.recovery().damage);
        EXPECT_EQ(prefix.recovery().damage->file, blob.string());
        EXPECT_TRUE(prefix.verify().good);
        EXPECT_EQ(files_in(folder.path()), before);
        write_file(blob, whole);
    }
}

// The record that names the blob is good itself: from right behind it the history can be read.
TEST(GoodPrefixOfBlobs, BeginsRightBehindADamagedOne) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(200'000, {.name = "large"});
    bus.checkpoint();
    page.update(pattern(200'000));
    const auto behind = bus.checkpoint();
    page.write(5, bytes_of("behind"));
    bus.checkpoint();
    page.write(5, bytes_of("newest"));
    bus.wait_durable(Sequence::newest);
    stop(std::move(bus));
    remove_arena(folder.path());
    for (const auto& entry : fs::directory_iterator(folder / "log"))
        if (entry.path().extension() == ".blob") flip_byte(entry.path(), 100'000);
    const auto good = start(good_prefix(folder));
    EXPECT_EQ(good.oldest(), behind);
}

// Writes to the page while it lives.
class Writing {
public:
    explicit Writing(const Page& page)
        : thread_([this, page] {
              for (unsigned n = 1; !done_.load(); ++n) {
                  page.update(pattern(64, n));
                  // All of the log is read each time: it must not grow faster than that.
                  std::this_thread::sleep_for(std::chrono::microseconds(200));
              }
          }) {}
    ~Writing() {
        done_ = true;
        thread_.join();
    }
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;

private:
    std::atomic<bool> done_{false};
    std::thread thread_;
};

TEST(GoodPrefixOfALiveBus, IsWhatIsWrittenAndDisturbsNobody) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(64, {.name = "counter"});
    bus.wait_durable(Sequence::newest);  // else it may be in memory only when it is looked for
    const Writing writer(page);
    Sequence seen = Sequence::zero;
    for (int i = 0; i < 30; ++i) {
        if (i % 10 == 5) bus.compact(bus.sequence());
        const auto good = start(good_prefix(folder));
        EXPECT_FALSE(good.recovery().damage);
        EXPECT_GE(good.sequence(), seen);
        seen = good.sequence();
        EXPECT_TRUE(good.verify().good);
        const auto now = good.page("counter");
        if (const auto n = number(now.epoch()); n != 0) {
            EXPECT_EQ(now.read(), pattern(64, static_cast<unsigned>(n)));
        }
    }
    EXPECT_GT(seen, Sequence::zero);
    EXPECT_TRUE(bus.verify().good);
}

TEST(GoodPrefixOfALiveBus, TellsOfDamageThatTheSharedMemoryHides) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(64, {.name = "p"});
    for (unsigned n = 1; n <= 100; ++n) page.update(pattern(64, n));
    bus.wait_durable(Sequence::newest);
    const auto present = contents_of(bus);
    flip_byte(folder / "log" / "0000000000000001.seg", 4096 + 5000);
    const auto good = start(good_prefix(folder));
    ASSERT_TRUE(good.recovery().damage);
    EXPECT_LT(good.sequence(), bus.sequence());
    EXPECT_EQ(good.page("p").read(),
              pattern(64, static_cast<unsigned>(number(good.page("p").epoch()))));
    EXPECT_EQ(contents_of(bus), present);
    page.update(pattern(64, 7));  // goes on
}

TEST(GoodPrefixOfNothing, IsRefused) {
    const TempFolder folder;
    thrown<NotABus>([&] { static_cast<void>(start(good_prefix(folder))); });
    EXPECT_FALSE(fs::exists(folder.path()));
    fs::create_directories(folder.path());
    thrown<NotABus>([&] { static_cast<void>(start(good_prefix(folder))); });
    thrown<InvalidArgument>([&] { static_cast<void>(start({.open = Open::good_prefix})); });
}

}  // namespace
}  // namespace mmsb::test
