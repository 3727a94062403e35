// Pages copied while a history went on, and the records behind them: the state at the end, exactly.
#include "replay/checkpoint_support.hpp"
#include "replay/history.hpp"

namespace mmsb::replay::test {
namespace {

// Copies the pages of a random history one by one while it goes on, as a checkpoint of a busy bus
// does. The file is the state at the end, whatever was caught when.
void expect_exact(std::uint64_t seed, const Keep& keep) {
    RandomHistory history(seed);
    Recorder recorder;
    recorder.next = 4096;  // 0 is no record
    Image live;
    std::vector<log::Record> records;
    std::uint64_t sequence = 0;
    const auto commit = [&](std::uint64_t count) {
        for (; count != 0; --count) {
            const auto record = recorder.commit(history.next(++sequence));
            ASSERT_EQ(live.apply(record), "");
            recorder.accept(record);
            records.push_back(record);
        }
    };
    auto& random = history.random();
    commit(below(random, 20));
    const auto from = live.lsn();
    records.clear();
    commit(below(random, 5));
    const auto structure = structure_of(live);

    Bytes file;
    CheckpointWriter writer({.bus = some_bus(), .lsn = from}, structure,
                            [&](std::span<const std::byte> bytes) {
                                file.insert(file.end(), bytes.begin(), bytes.end());
                            });
    for (const auto& [id, page] : structure.pages) {
        commit(below(random, 3));
        if (const auto* const now = live.find(id)) writer.contents(id, *now, now->bytes);
    }
    commit(below(random, 5));
    for (const auto& record : records) writer.change(record, record.body);
    writer.finish({.sequence = live.sequence(),
                   .time_ns = live.time_ns(),
                   .lsn = live.lsn(),
                   .next_page = live.next_page(),
                   .structure = live.structure_head()});

    const auto back = read_back(file, {.keep = keep});
    ASSERT_TRUE(back.value) << back.refusal.expected << ", found " << back.refusal.found;
    expect_same(back.value->image, live);
    EXPECT_EQ(back.value->image.structure_head(), live.structure_head());
    auto rest = std::span<const std::byte>(file);
    const auto head = read_checkpoint_structure([&](std::span<std::byte> out) {
        const auto n = std::min(rest.size(), out.size());
        std::copy_n(rest.begin(), n, out.begin());
        rest = rest.subspan(n);
        return n;
    });
    ASSERT_TRUE(head.value);
    EXPECT_EQ(head.value->structure.head, structure.head);
    EXPECT_EQ(head.value->structure.pages.size(), structure.pages.size());
}

TEST(ACheckpointOfABusyBus, IsTheStateAtItsEnd) {
    for_each_seed(400, [](std::uint64_t seed) { expect_exact(seed, {}); });
}

TEST(ACheckpointOfABusyBus, IsReadWithoutBytesToo) {
    for_each_seed(50, [](std::uint64_t seed) {
        expect_exact(seed, {.which = Keep::Which::none, .pages = {}});
    });
}

// A page of one byte at epoch 0 as of LSN 48, and one change of it.
void expect_change_refused(const Items::Change& change, const log::PageEntry& entry,
                           std::string_view found) {
    Forger forger;
    forger.add_block(Items()
                         .page({})
                         .contents({.size = 1})
                         .piece("a")
                         .change(change, entry)
                         .end({.contents = 1, .changes = 1})
                         .bytes);
    const auto result = read_back(forger.file());
    ASSERT_FALSE(result.value);
    EXPECT_NE(result.refusal.found.find(found), std::string::npos) << result.refusal.found;
}

TEST(AChangeInACheckpoint, IsRefusedWhereItContradictsThePages) {
    const auto delta = delta_of(Bytes(1, std::byte{'a'}), Bytes(1, std::byte{'b'}));
    const log::PageEntry good{.page = PageId{1}, .epoch = Epoch{1}, .size = 1, .delta = delta};
    auto entry = good;
    entry.epoch = Epoch{2};
    expect_change_refused({}, entry, "expected epoch 1, found 2");
    entry = {.page = PageId{1}, .size = 2, .renamed = true, .name = "n"};
    expect_change_refused({}, entry, "expected 1 bytes, found 2");
    entry = good;
    entry.page = PageId{2};
    expect_change_refused({}, entry, "is not there");
    entry = {.page = PageId{1}, .size = 1, .created = true, .line = 3};
    expect_change_refused({}, entry, "is no new id");
    expect_change_refused({.start = 88}, good, "88");
    expect_change_refused({.start = 104}, good, "out of order");
    expect_change_refused({.kind = log::RecordKind::close}, good, "changes nothing");
    expect_change_refused({.kind = log::RecordKind::source}, good, "source");

    Forger forger;
    forger.add_block(Items()
                         .page({})
                         .contents({.size = 1})
                         .piece("a")
                         .change({}, good)
                         .end({.contents = 1, .changes = 1})
                         .bytes);
    const auto result = read_back(forger.file());
    ASSERT_TRUE(result.value) << result.refusal.found;
    EXPECT_EQ(text_of(result.value->image.find(PageId{1})->bytes), "b");
}

TEST(AChangeInACheckpoint, IsRefusedWhereItsPagesBecomeMoreThanTheReaderWants) {
    const log::PageEntry larger{.page = PageId{1}, .epoch = Epoch{1}, .size = 11, .resized = true};
    Forger forger;
    forger.add_block(Items()
                         .page({})
                         .contents({.size = 8})
                         .piece("12345678")
                         .change({}, larger)
                         .end({.contents = 1, .changes = 1})
                         .bytes);
    EXPECT_TRUE(read_back(forger.file(), {.keep = {}, .most_bytes = 11}).value);
    const auto result = read_back(forger.file(), {.keep = {}, .most_bytes = 10});
    ASSERT_FALSE(result.value);
    EXPECT_NE(result.refusal.found.find("more than the reader wants"), std::string::npos)
        << result.refusal.found;
}

}  // namespace
}  // namespace mmsb::replay::test
