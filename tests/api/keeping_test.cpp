// Checkpoints inside a bus, and the past that it lets go of: what a reboot begins from, what damage
// of a checkpoint costs, and that nothing which is kept is touched.
#include "state/checkpoints.hpp"
#include "support/child.hpp"
#include "support/contents.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <random>
#include <thread>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

std::vector<fs::path> files_in(const fs::path& folder, std::string_view suffix) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder))
        if (entry.path().string().ends_with(suffix)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
}

void flip_a_byte_of(const fs::path& file) {
    auto text = read_file(file);
    ASSERT_GT(text.size(), 100U);
    text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 1);
    write_file(file, text);
}

// Commits that create, change, resize, rename and delete pages.
class Busy {
public:
    explicit Busy(unsigned seed) : random_(seed) {}
    void commit(const State& bus, int commits) {
        for (; commits != 0; --commits) {
            const auto name = "page " + std::to_string(random_() % 12);
            const auto page = bus.find_page(name);
            const auto what = random_() % 20;
            if (!page)
                bus.create_page(random_() % 3000, {.name = name, .metadata = {{"k", name}}});
            else if (what == 0)
                bus.delete_page(*page);
            else if (what == 1)
                page->resize(random_() % 5000);
            else if (what == 2)
                page->set_metadata("k", std::to_string(random_()));
            else
                page->update([&](std::span<std::byte> bytes) {
                    for (std::size_t i = random_() % 97; i < bytes.size(); i += 97)
                        bytes[i] = static_cast<std::byte>(random_());
                });
        }
    }

private:
    std::mt19937 random_;
};

struct Keeping : testing::Test {
    TempFolder folder{};
    State bus = start_with(at(folder));
    Busy busy{5};
    std::map<std::uint64_t, Contents> known{};

    void commit(int commits) {
        busy.commit(bus, commits);
        known[number(bus.sequence())] = contents_of(bus);
    }
    void reboot() {
        stop(std::move(bus));
        remove_arena(folder.path());
        bus = start_with(at(folder));
    }
    // Everything that was remembered from `oldest` on is still there, and nothing older.
    void expect_past_from(Sequence oldest) {
        EXPECT_EQ(bus.oldest(), oldest);
        EXPECT_EQ(contents_of(bus), known.rbegin()->second);
        EXPECT_TRUE(bus.verify().good);
        for (const auto& [sequence, contents] : known) {
            if (Sequence{sequence} >= oldest)
                EXPECT_EQ(contents_of(bus.at(Sequence{sequence})), contents);
            else
                EXPECT_EQ(thrown<HistoryDropped>([&] {
                              static_cast<void>(bus.at(Sequence{sequence}));
                          })->oldest(),
                          oldest);
        }
    }
};
using KeepingAcrossProcesses = Keeping;

TEST_F(Keeping, ABusIsRebuiltFromItsNewestCheckpoint) {
    commit(300);
    const auto at = bus.checkpoint();
    EXPECT_EQ(at, bus.sequence());
    EXPECT_EQ(bus.checkpoint(), at) << "nothing was committed since";
    EXPECT_EQ(files_in(folder / "checkpoints", ".chk").size(), 1U);
    commit(50);
    reboot();
    EXPECT_EQ(bus.recovery().checkpoint, at);
    EXPECT_EQ(bus.recovery().replayed, 50U);
    expect_past_from(Sequence::zero);
    commit(50);
    reboot();
    expect_past_from(Sequence::zero);
}

TEST_F(Keeping, ADamagedCheckpointIsPassedOverAloud) {
    commit(100);
    const auto older = bus.checkpoint();
    commit(100);
    bus.checkpoint();
    commit(10);
    const auto files = files_in(folder / "checkpoints", ".chk");
    ASSERT_EQ(files.size(), 2U);
    stop(std::move(bus));
    flip_a_byte_of(files[1]);
    remove_arena(folder.path());
    std::vector<std::string> notices;
    auto config = at(folder);
    config.on_notice = [&](const Notice& notice) { notices.push_back(notice.text); };
    bus = start_with(config);
    EXPECT_EQ(bus.recovery().checkpoint, older);
    EXPECT_EQ(bus.recovery().damaged_checkpoint, files[1].string());
    ASSERT_FALSE(notices.empty());
    EXPECT_NE(notices[0].find(files[1].string()), std::string::npos);
    expect_past_from(Sequence::zero);

    flip_a_byte_of(files[0]);  // then the log alone
    reboot();
    EXPECT_EQ(bus.recovery().checkpoint, Sequence::zero);
    EXPECT_EQ(bus.recovery().replayed, number(bus.sequence()));
    expect_past_from(Sequence::zero);
}

TEST_F(Keeping, CompactingLetsGoOfWhatIsOlderAndOfNothingElse) {
    for (int i = 0; i < 8; ++i) commit(150);
    auto& segments = *detail::Bus::get(detail::Bus::handle_of(bus)).at().segments;
    const auto before = segments.file_bytes();
    const auto oldest = Sequence{std::next(known.begin(), 5)->first};
    bus.compact(oldest);
    expect_past_from(oldest);
    EXPECT_LT(segments.file_bytes(), before);
    commit(20);
    reboot();
    expect_past_from(oldest);
    thrown<HistoryDropped>([&] { bus.compact(oldest - 1); });
    thrown<InvalidArgument>([&] { bus.compact(bus.sequence() + 1); });
    expect_past_from(oldest);
}

TEST_F(Keeping, ABaseThatIsDamagedIsSaidWhereItIsNeeded) {
    commit(200);
    commit(200);
    const auto oldest = Sequence{known.begin()->first};
    bus.compact(oldest);
    const auto files = files_in(folder / "checkpoints", ".chk");
    ASSERT_EQ(files.size(), 2U);
    flip_a_byte_of(files[0]);
    const auto error = thrown<Corrupt>([&] { static_cast<void>(contents_of(bus.at(oldest))); });
    ASSERT_TRUE(error);
    EXPECT_NE(std::string(error->what()).find(files[0].string()), std::string::npos);
    reboot();  // from the newest one, which is good
    EXPECT_EQ(contents_of(bus), known.rbegin()->second);
    stop(std::move(bus));
    flip_a_byte_of(files[1]);
    remove_arena(folder.path());
    thrown<Corrupt>([&] { static_cast<void>(start_with(at(folder))); });
    flip_a_byte_of(files[1]);
    bus = start_with(at(folder));
    EXPECT_EQ(contents_of(bus), known.rbegin()->second);
}

TEST_F(Keeping, RetentionBelongsToTheBus) {
    EXPECT_EQ(bus.retention().records, 0U);
    bus.set_retention({.records = 200});
    stop(std::move(bus));
    bus = start_with(at(folder));
    EXPECT_EQ(bus.retention().records, 200U);
    for (int i = 0; i < 5; ++i) commit(150);
    bus.compact();
    EXPECT_EQ(bus.oldest(), bus.sequence() - 200);
    bus.set_retention({.bytes = 1});
    commit(1);
    bus.compact();
    EXPECT_GE(bus.oldest() + 1, bus.sequence());
    bus.set_retention({.age = 1h});
    commit(100);
    const auto oldest = bus.oldest();
    bus.compact();
    EXPECT_EQ(bus.oldest(), oldest) << "nothing is an hour old";
    thrown<InvalidArgument>([&] { bus.set_retention({.age = -1s}); });
    EXPECT_TRUE(bus.verify().good);
}

TEST_F(Keeping, ARetentionOfAConfigCountsWhereTheBusIsMade) {
    const TempFolder other;
    {
        const auto made = start_with({.path = other.path(), .max_tlog_records = 7});
        EXPECT_EQ(made.retention().records, 7U);
    }
    const auto again = start_with({.path = other.path(), .max_tlog_records = 9});
    EXPECT_EQ(again.retention().records, 7U);
}

TEST_F(Keeping, BlobsGoWithTheRecordsThatNameThem) {
    const auto page = bus.create_page(200'000, {.name = "large"});
    page.update(pattern(200'000, 1));
    page.update(pattern(200'000, 2));
    const auto oldest = bus.sequence();
    known[number(oldest)] = contents_of(bus);
    page.update(pattern(200'000, 3));
    known[number(bus.sequence())] = contents_of(bus);
    EXPECT_EQ(files_in(folder / "log", ".blob").size(), 3U);
    bus.compact(oldest);
    EXPECT_EQ(files_in(folder / "log", ".blob").size(), 1U);
    expect_past_from(oldest);
    reboot();
    expect_past_from(oldest);
}

// The records before the base are still in the segment that holds it, and each opening lets go
// again of the blobs that they name.
TEST_F(Keeping, ABlobIsNotTakenForOneThatWasLetGo) {
    const auto page = bus.create_page(200'000, {.name = "large"});
    page.update(pattern(200'000, 1));
    const auto oldest = bus.sequence();
    bus.create_page(10);
    bus.compact(oldest);
    EXPECT_EQ(files_in(folder / "log", ".blob").size(), 0U);
    for (unsigned i = 2; i < 4; ++i) {  // by processes that have seen no blob
        reboot();
        bus.page("large").update(pattern(200'000, i));
    }
    reboot();
    EXPECT_EQ(files_in(folder / "log", ".blob").size(), 2U);
    EXPECT_EQ(bus.page("large").read(), pattern(200'000, 3));
    EXPECT_TRUE(bus.verify().good);
}

TEST_F(KeepingAcrossProcesses, AnotherProcessThatSleptFindsItsWay) {
    commit(100);
    Pipe go, done;
    Child other([&] {
        const auto mine = start_with(at(folder));
        const auto names = mine.pages().size();
        done.write(names);
        static_cast<void>(go.read<int>());
        const bool good = mine.verify().good && mine.find_page("made while it slept") &&
                          contents_of(mine).sequence == number(mine.sequence());
        done.write(good ? 1UL : 0UL);
        return good ? 0 : 1;
    });
    ASSERT_TRUE(done.read<std::size_t>());
    for (int i = 0; i < 6; ++i) commit(150);
    bus.create_page(10, {.name = "made while it slept"});
    bus.compact(bus.sequence() - 1);
    bus.create_page(10, {.name = "and another"});
    go.write(1);
    EXPECT_EQ(done.read<std::size_t>(), 1U);
    EXPECT_EQ(other.wait(), 0);
}

TEST_F(Keeping, CheckpointsAreExactWhileWritersWork) {
    std::atomic<bool> stopping{false};
    std::vector<std::thread> writers;
    for (unsigned i = 0; i < 2; ++i)
        writers.emplace_back([&, i] {
            Busy mine(100 + i);
            while (!stopping.load()) {
                try {
                    mine.commit(bus, 1);
                } catch (const PageNotFound&) {     // the other one deleted it
                } catch (const InvalidArgument&) {  // or made it, or another size of it
                }
            }
        });
    std::vector<Sequence> taken;
    for (int i = 0; i < 20; ++i) {
        taken.push_back(bus.checkpoint());
        std::this_thread::sleep_for(2ms);
    }
    stopping.store(true);
    for (auto& writer : writers) writer.join();
    EXPECT_TRUE(bus.verify().good);
    // Each file that is still there is the state that the log alone gives for its sequence.
    auto& attachment = detail::Bus::get(detail::Bus::handle_of(bus)).at();
    std::map<std::string, replay::Image> images;
    for (const auto& file : state::checkpoint_files(attachment)) {
        const auto opened = attachment.checkpoints->open(file.name, os::Create::never, false);
        images.emplace(file.name, state::read_checkpoint_file(*opened).image);
    }
    EXPECT_FALSE(images.empty());
    for (const auto& file : files_in(folder / "checkpoints", ".chk")) fs::remove(file);
    for (const auto& [name, image] : images) {
        const auto view = bus.at(image.sequence());
        ASSERT_EQ(view.pages().size(), image.pages().size()) << name;
        for (const auto& info : view.pages()) {
            const auto* const page = image.find(info.id);
            ASSERT_NE(page, nullptr);
            EXPECT_EQ(page->name, info.name);
            EXPECT_EQ(page->metadata, info.metadata);
            EXPECT_EQ(page->epoch, info.epoch);
            EXPECT_TRUE(std::ranges::equal(page->bytes, view.bytes(info.id))) << name;
        }
    }
}

// A checkpoint that was begun before the base and ends behind it: its names are of a time whose
// records are gone, and who attaches has to take those of its end.
TEST_F(KeepingAcrossProcesses, ACheckpointThatStraddlesTheBaseStillSaysWhoIsThere) {
    commit(60);
    auto& attachment = detail::Bus::get(detail::Bus::handle_of(bus)).at();
    Sequence between = Sequence::zero;
    bool begun = false;
    state::write_checkpoint_in(*attachment.checkpoints, [&](const auto& write) {
        return state::stream_checkpoint(attachment, [&](std::span<const std::byte> bytes) {
            write(bytes);
            if (std::exchange(begun, true)) return;
            bus.create_page(10, {.name = "before the base"});  // while it is being written
            busy.commit(bus, 400);  // so that the room of its record is given back
            between = bus.sequence();
            known[number(between)] = contents_of(bus);
            bus.create_page(10, {.name = "behind the base"});
        });
    });
    known[number(bus.sequence())] = contents_of(bus);
    ASSERT_EQ(state::checkpoint_files(attachment).back().sequence, bus.sequence());
    bus.compact(between);
    ASSERT_EQ(bus.oldest(), between);
    Child other([&] {
        const auto mine = start_with(at(folder));
        return mine.find_page("before the base") && mine.find_page("behind the base") &&
                       contents_of(mine) == known.rbegin()->second
                   ? 0
                   : 1;
    });
    EXPECT_EQ(other.wait(), 0);
    expect_past_from(between);
}

// Killed at random instants of compactions: the past that was to be kept is there, whole.
TEST_F(KeepingAcrossProcesses, ACompactionMayBeKilledAtAnyInstant) {
    std::mt19937 random(std::random_device{}());
    for (int i = 0; i < 4; ++i) commit(100);
    for (int round = 0; round < 12; ++round) {
        commit(60);
        const auto keep_from = Sequence{std::next(known.rbegin(), 2)->first};
        stop(std::move(bus));
        Child child([&] {
            const auto mine = start_with(at(folder));
            mine.compact(keep_from);
            return 0;
        });
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
        child.signal(SIGKILL);
        child.wait();
        if (round % 2 == 0) remove_arena(folder.path());
        bus = start_with(at(folder));
        EXPECT_LE(bus.oldest(), keep_from);
        ASSERT_NO_FATAL_FAILURE(expect_past_from(bus.oldest()));
    }
}

TEST_F(Keeping, ReadOnlyAndPrivateBusesRefuseWhatTheyCannot) {
    const auto mine = start({});
    thrown<InvalidArgument>([&] { mine.checkpoint(); });
    thrown<InvalidArgument>([&] { mine.compact(Sequence{1}); });
    thrown<InvalidArgument>([&] { mine.set_retention({}); });
    commit(10);
    auto config = at(folder);
    config.open = Open::read_only;
    const auto viewer = start(config);
    thrown<ReadOnly>([&] { viewer.checkpoint(); });
    thrown<ReadOnly>([&] { viewer.compact(); });
    thrown<ReadOnly>([&] { viewer.set_retention({}); });
    EXPECT_EQ(viewer.retention().bytes, 0U);
}

}  // namespace
}  // namespace mmsb::test
