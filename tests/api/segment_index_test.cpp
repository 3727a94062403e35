// The indexes of segments beside the log: made when a page's history is asked for, used, and not
// missed. Of the histories themselves there is page_history_test.cpp.
#include "log/segment_index.hpp"
#include "state/cursor.hpp"
#include "support/child.hpp"
#include "support/faults.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <map>

namespace mmsb::test {
namespace {

using Paths = std::vector<fs::path>;

Paths files(const TempFolder& folder, const char* extension) {
    Paths found;
    for (const auto& entry : fs::directory_iterator(folder / "log"))
        if (entry.path().extension() == extension) found.push_back(entry.path());
    std::ranges::sort(found);
    return found;
}

std::vector<Sequence> read_through(History& history) {
    std::vector<Sequence> all;
    for (const auto& change : history) all.push_back(change.sequence);
    return all;
}
std::vector<Sequence> read_through(const Page& page, bool newest_first = false) {
    auto history = page.history({.newest_first = newest_first});
    auto all = read_through(history);
    if (newest_first) std::ranges::reverse(all);
    return all;
}

// Three pages over several segments, one of them of records that are too large for the log.
class Indexed : public testing::Test {
protected:
    Indexed() {
        for (const auto size : {1000U, 1000U, 100'000U}) make(size);
        for (unsigned i = 0; i != 900; ++i) write(pages_[i % 100 == 99 ? 2 : i % 2], i);
        bus_->wait_durable(bus_->sequence());
    }
    void make(std::size_t size) {
        pages_.push_back(bus_->create_page(size));
        note(pages_.back());
    }
    void write(const Page& page, unsigned seed) {
        page.update(pattern(page.size(), seed));
        note(page);
    }
    void note(const Page& page) { known_[page.id()].push_back(bus_->sequence()); }

    // Of each page, forwards and backwards.
    void expect_histories(const State& bus) {
        for (const auto& page : pages_) {
            const auto here = bus.page(page.id());
            ASSERT_EQ(read_through(here), known_[page.id()]);
            ASSERT_EQ(read_through(here, true), known_[page.id()]);
        }
    }
    void expect_histories() { expect_histories(*bus_); }
    void reopen() {
        bus_.reset();
        bus_ = start_with(at(folder_));
        for (auto& page : pages_) page = bus_->page(page.id());
    }

    TempFolder folder_{};
    std::optional<State> bus_{start_with(at(folder_))};
    std::vector<Page> pages_{};
    std::map<PageId, std::vector<Sequence>> known_{};
};

TEST_F(Indexed, EachSegmentThatTheLogHasLeftGetsOneWhenAHistoryIsAsked) {
    EXPECT_EQ(files(folder_, ".idx"), Paths{});
    expect_histories();
    const auto segments = files(folder_, ".seg"), made = files(folder_, ".idx");
    ASSERT_GE(segments.size(), 3U);
    ASSERT_EQ(made.size(), segments.size() - 1);
    for (std::size_t i = 0; i != made.size(); ++i) EXPECT_EQ(made[i].stem(), segments[i].stem());
    reopen();
    expect_histories();
    EXPECT_EQ(files(folder_, ".idx"), made);
    EXPECT_TRUE(bus_->verify().good);
}

TEST_F(Indexed, HistoriesGoOnBeyondThem) {
    expect_histories();
    for (unsigned round = 0; round != 40; ++round) {
        for (unsigned i = 0; i != 20; ++i) write(pages_[i % 2], 1000 + round * 20 + i);
        expect_histories();
    }
    EXPECT_EQ(files(folder_, ".idx").size(), files(folder_, ".seg").size() - 1);
}

// What is of other pages is damaged here, which nobody sees who does not read it.
TEST_F(Indexed, OnlyAPagesOwnRecordsAreRead) {
    make(50);
    write(pages_.back(), 1);
    for (unsigned i = 0; i != 600; ++i) write(pages_[0], 2000 + i);
    write(pages_.back(), 2);
    bus_->wait_durable(bus_->sequence());
    expect_histories();
    const auto segment = files(folder_, ".seg").front();
    auto bytes = read_file(segment);
    const auto at = bytes.size() / 2;
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    write_file(segment, bytes);
    EXPECT_EQ(read_through(pages_.back()), known_[pages_.back().id()]);
    const auto error = raises<Corrupt>(*bus_, [&] {
        static_cast<void>(read_through(pages_[0]));
        static_cast<void>(read_through(pages_[1]));  // it is of either
    });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->file(), segment.string());
}

TEST_F(Indexed, ADamagedOneIsNotUsedAndMadeAnew) {
    expect_histories();
    const auto index = files(folder_, ".idx").front();
    const auto good = read_file(index);
    auto next = files(folder_, ".idx").back();
    std::vector<std::string> bad{"",
                                 "x",
                                 good.substr(0, 127),
                                 good.substr(0, good.size() - 1),
                                 read_file(next),
                                 std::string(good.size(), '\0')};
    for (std::size_t at = 0; at < 600; at += 7) {
        bad.push_back(good);
        bad.back()[at] = static_cast<char>(bad.back()[at] ^ 4);
    }
    for (std::size_t at = 4224; at < good.size(); at += 5) {  // the lists
        bad.push_back(good);
        bad.back()[at] = static_cast<char>(bad.back()[at] ^ 4);
    }
    for (const auto& bytes : bad) {
        write_file(index, bytes);
        expect_histories();
        ASSERT_EQ(read_file(index), good);
    }
    EXPECT_TRUE(bus_->verify().good);
}

// With right checksums: who reads all of the log compares.
TEST_F(Indexed, VerifyFindsOneThatSaysLessThanTheLog) {
    expect_histories();
    const auto index = files(folder_, ".idx").front();
    const auto bytes = read_file(index);
    const auto header =
        log::decode_index_header(std::as_bytes(std::span(bytes)).first(log::index_header_size));
    ASSERT_TRUE(header.value);
    const auto less = log::encode_index(
        *header.value, std::vector<log::Mention>{{pages_[0].id(), header.value->start}});
    write_file(index, {reinterpret_cast<const char*>(less.data()), less.size()});
    const auto error = raises<Corrupt>(*bus_, [&] { static_cast<void>(bus_->verify()); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->file(), index.string());
    // It leads to a record that is of another page.
    const auto lost = raises<Corrupt>(*bus_, [&] { static_cast<void>(read_through(pages_[0])); });
    ASSERT_TRUE(lost);
    EXPECT_EQ(lost->file(), index.string());
    fs::remove(index);
    expect_histories();
    EXPECT_EQ(read_file(index), bytes);
    EXPECT_TRUE(bus_->verify().good);
}

TEST_F(Indexed, TheyGoWithTheirSegments) {
    expect_histories();
    bus_->checkpoint();
    write(pages_[0], 5000);
    bus_->checkpoint();
    bus_->compact(bus_->sequence());
    const auto segments = files(folder_, ".seg");
    ASSERT_GT(segments.front().stem(), "0000000000000001");
    for (const auto& index : files(folder_, ".idx"))
        EXPECT_GE(index.stem(), segments.front().stem());
    for (auto& [page, all] : known_)
        std::erase_if(all, [&](Sequence s) { return s <= bus_->oldest(); });
    expect_histories();
}

TEST_F(Indexed, WhoMayNotWriteUsesThemAndMakesNone) {
    auto config = at(folder_);
    config.open = Open::read_only;
    bus_.reset();  // else they would share what this process has open
    expect_histories(start(config));
    EXPECT_EQ(files(folder_, ".idx"), Paths{});
    reopen();
    expect_histories();
    const auto made = files(folder_, ".idx");
    fs::remove(made.front());
    bus_.reset();
    expect_histories(start(config));
    EXPECT_EQ(files(folder_, ".idx"), Paths(made.begin() + 1, made.end()));
}

TEST_F(Indexed, OneOfASegmentThatWasCutShortIsNotUsed) {
    expect_histories();
    const auto index = files(folder_, ".idx").front();
    const auto good = read_file(index);
    auto header =
        log::decode_index_header(std::as_bytes(std::span(good)).first(log::index_header_size))
            .value.value();
    header.end += 4096;
    const auto longer = log::encode_index(header, {});
    write_file(index, {reinterpret_cast<const char*>(longer.data()), longer.size()});
    expect_histories();
    EXPECT_EQ(read_file(index), good);
}

// Nothing is read of one that is larger than it should be, as a sparse file can be at no cost.
TEST_F(Indexed, VerifyReadsNoMoreOfOneThanItShouldHold) {
    expect_histories();
    const auto index = files(folder_, ".idx").front();
    fs::resize_file(index, std::uintmax_t{1} << 40U);
    const auto error = raises<Corrupt>(*bus_, [&] { static_cast<void>(bus_->verify()); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->file(), index.string());
    expect_histories();  // what it says of each page is right still
}

TEST_F(Indexed, OneThatCannotBeReadIsNotThere) {
    expect_histories();
    const auto index = files(folder_, ".idx").front();
    fs::remove(index);
    fs::create_directory(index);
    expect_histories();
    EXPECT_TRUE(bus_->verify().good);
}

TEST_F(Indexed, AHistoryEndsAtWhatWasCommittedWhenItWasMade) {
    auto history = pages_[0].history();
    const auto before = known_[pages_[0].id()];
    for (unsigned i = 0; i != 600; ++i) write(pages_[0], 3000 + i);  // in further segments
    auto all = read_through(history);
    EXPECT_EQ(all, before);
    while (const auto change = history.next(Timeout(0))) all.push_back(change->sequence);
    EXPECT_EQ(all, known_[pages_[0].id()]);
}

// A read of a segment or blob that fails once: the next call tries the same.
TEST_F(Indexed, NoCommitIsLostWhereACallFails) {
    const auto& page = pages_[2];
    for (unsigned i = 0; i != 300; ++i) write(i % 30 == 29 ? page : pages_[0], 8000 + i);
    bus_->wait_durable(bus_->sequence());
    const auto& known = known_[page.id()];
    int failed = 0;
    for (const bool newest_first : {false, true}) {
        for (int n = 1; n <= 24; ++n) {
            if (n % 2 == 0) {
                for (const auto& index : files(folder_, ".idx")) fs::remove(index);
            }
            auto history = page.history({.newest_first = newest_first});
            int reads = 0, errors = 0;
            std::vector<Sequence> all;
            const Faults faults([&](os::Call call, std::string_view path) {
                const bool is_read = call == os::Call::pread && !path.ends_with(".idx");
                return is_read && ++reads == n / 2 + 1 ? EIO : 0;
            });
            for (bool more = true; more && errors < 3;) {
                try {
                    const auto change = history.next(Timeout(0));
                    more = change.has_value();
                    if (more) all.push_back(change->sequence);
                } catch (const Io&) {
                    ++errors;
                }
            }
            failed += errors;
            if (newest_first) std::ranges::reverse(all);
            ASSERT_EQ(all, known) << newest_first << ' ' << n;
        }
    }
    EXPECT_GT(failed, 20);
}

// It goes on with what is still there, or says that it is not: nothing is passed over.
TEST_F(Indexed, AHistoryThatIsOpenWhileItsPastIsDroppedHasNoGap) {
    auto& bus = detail::Bus::get(detail::Bus::handle_of(*bus_)).at();
    const auto& known = known_[pages_[0].id()];
    for (const std::uint64_t dropped : {2U, 3U, 20U, 120U}) {
        const auto ranges = bus.segments->ranges();
        ASSERT_GE(ranges.size(), 3U);
        const auto next = state::record_at(bus, ranges[1].start).record().sequence;
        auto history = pages_[0].history();
        auto expected = std::ranges::upper_bound(known, bus_->oldest());
        for (; *expected < next; ++expected)
            ASSERT_EQ(history.next(Timeout(0)).value().sequence, *expected);
        bus_->compact(next + dropped);  // into the segment that comes next
        try {
            for (; const auto change = history.next(Timeout(0)); ++expected)
                ASSERT_EQ(change->sequence, *expected);
            ASSERT_EQ(expected, known.end());
        } catch (const HistoryDropped&) {
            ASSERT_GT(dropped, 2U);
        }
        for (unsigned i = 0; i != 300; ++i) write(pages_[0], 7000 + i);
    }
}

std::vector<Sequence> from_to(Sequence first, Sequence last) {
    std::vector<Sequence> all;
    for (auto at = first; at <= last; at = at + 1) all.push_back(at);
    return all;
}

// A viewer reads the files until somebody makes shared memory again: it is the same log.
TEST(AHistory, GoesOnWhereItsViewerGoesOverToOtherMemory) {
    const TempFolder folder;
    auto first = Sequence::zero;
    PageId id{};
    {
        const auto bus = start_with(at(folder));
        id = bus.create_page(1000);
        first = bus.sequence();
        for (unsigned i = 0; i != 900; ++i) bus.page(id).update(pattern(1000, i));
    }
    auto config = at(folder);
    config.open = Open::read_only;
    for (int round = 0; round != 3; ++round) {
        remove_arena(folder.path());
        const auto viewer = start(config);
        const auto page = viewer.page(id);
        const auto before = viewer.sequence();
        auto whole = page.history(), begun = page.history();
        std::vector<Sequence> all;
        for (int i = 0; i != 300; ++i) all.push_back(begun.next(Timeout(0)).value().sequence);
        Child writer([&] {
            const auto bus = start_with(at(folder));
            for (unsigned i = 0; i != 30; ++i) bus.page(id).update(pattern(1000, i + 5000));
            bus.wait_durable(bus.sequence());
            return 0;  // and is gone: its memory stays
        });
        ASSERT_EQ(writer.wait(), 0);
        while (viewer.sequence() < before + 30) static_cast<void>(page.read());
        EXPECT_EQ(read_through(whole), from_to(first, before));
        for (const auto& change : begun) all.push_back(change.sequence);
        EXPECT_EQ(all, from_to(first, before));
        while (const auto change = begun.next(Timeout(0))) all.push_back(change->sequence);
        EXPECT_EQ(all, from_to(first, before + 30));
        EXPECT_EQ(read_through(page), from_to(first, before + 30));
        EXPECT_EQ(read_through(page, true), from_to(first, before + 30));
    }
}

}  // namespace
}  // namespace mmsb::test
