// Segment files: the same on disk and in memory.
#include "log/segments_helpers.hpp"

#include <random>

namespace mmsb::log {
namespace {

using test::Failing;
using Ids = std::vector<std::uint64_t>;

enum class Kind : std::uint8_t { disk, memory };

class SegmentFiles : public ::testing::TestWithParam<Kind> {
protected:
    SegmentFiles()
        : folder_(GetParam() == Kind::disk ? os::open_folder(place_.path(), false, 0600)
                                           : os::memory_folder()) {}
    std::unique_ptr<Segments> open(const limits::Geometry& geometry = small, bool writable = true) {
        return std::make_unique<Segments>(*folder_, test_bus, geometry, writable);
    }
    os::File file(std::uint64_t id) {
        return std::move(*folder_->open(segment_name(id), os::Create::never, true));
    }
    static Ids ids(Segments& segments) {
        Ids out;
        for (const auto& segment : segments.all()) out.push_back(segment->header.id);
        return out;
    }
    test::TemporaryFolder place_{};
    std::unique_ptr<os::Folder> folder_;
};

TEST_P(SegmentFiles, BeginEmpty) {
    const auto segments = open();
    EXPECT_EQ(segments->find(0), nullptr);
    EXPECT_EQ(segments->oldest(), no_lsn);
    EXPECT_TRUE(segments->all().empty());
    EXPECT_EQ(segments->file_bytes(), 0U);
    EXPECT_TRUE(read_bytes(*segments, 0, 10).empty());
    EXPECT_THROW(segments->prepare(10, 0), InvalidArgument);
    EXPECT_THROW(segments->write(0, log_bytes(0, 8)), Corrupt);
}

TEST_P(SegmentFiles, KeepTheirHeaders) {
    const auto made = open()->start_segment(4096, 77);
    const auto found = open()->find(5000);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->header.id, 1U);
    EXPECT_EQ(found->header.bus, test_bus);
    EXPECT_EQ(found->header.start, 4096U);
    EXPECT_EQ(found->header.capacity, small.segment_size);
    EXPECT_EQ(found->header.base_time_ns, 77);
    EXPECT_EQ(found->header.salt, made->header.salt);
    EXPECT_EQ(found->context().salt, made->header.salt);
    EXPECT_EQ(open()->oldest(), 4096U);
}

TEST_P(SegmentFiles, GiveEachOneAnotherSalt) {
    const auto segments = open();
    const auto a = segments->start_segment(0, 0), b = segments->start_segment(0, 0);
    EXPECT_NE(a->header.salt, b->header.salt);
    EXPECT_NE(a->header.id, b->header.id);
}

TEST_P(SegmentFiles, ReadBackWhatWasWrittenAcrossTheirBorders) {
    const auto segments = open();
    segments->start_segment(0, 0);
    constexpr Lsn end = 5 * small.segment_size + 1000;
    std::mt19937 random(1);
    for (Lsn at = 0; at < end;) {
        const auto next = std::min<Lsn>(end, at + 1 + random() % 20'000);
        write_log(*segments, at, next);
        at = next;
    }
    EXPECT_EQ(ids(*segments), (Ids{1, 2, 3, 4, 5, 6}));
    const auto again = open();
    EXPECT_EQ(read_bytes(*again, 0, end), log_bytes(0, end));
    for (int i = 0; i < 200; ++i) {
        const Lsn from = random() % end, to = from + random() % (end - from);
        ASSERT_EQ(read_bytes(*again, from, to), log_bytes(from, to)) << from << " to " << to;
    }
    const auto second = again->find(small.segment_size);
    EXPECT_EQ(second->header.id, 2U);
    EXPECT_EQ(again->find(small.segment_size - 1)->header.id, 1U);
    EXPECT_EQ(again->end_of(*second), 2 * small.segment_size);
    EXPECT_EQ(again->find(6 * small.segment_size), nullptr);
}

TEST_P(SegmentFiles, AreSeenWhenAnotherProcessMakesThem) {
    const auto writer = open(), reader = open(small, false);
    writer->start_segment(0, 0);
    EXPECT_EQ(reader->find(10)->header.id, 1U);
    write_log(*writer, 0, 3 * small.segment_size);
    EXPECT_EQ(read_bytes(*reader, 100, 2 * small.segment_size),
              log_bytes(100, 2 * small.segment_size));
    EXPECT_EQ(ids(*reader), ids(*writer));
    const auto cut_at = 2 * small.segment_size + 800;
    writer->start_segment(cut_at, 0);
    EXPECT_EQ(reader->find(cut_at)->header.id, 4U);
    EXPECT_EQ(reader->find(cut_at - 1)->header.id, 3U);
    EXPECT_EQ(reader->end_of(*reader->find(cut_at - 1)), cut_at);
    EXPECT_THROW(reader->write(0, log_bytes(0, 8)), Io);
}

TEST_P(SegmentFiles, AreCutShortWhereALaterOneStarts) {
    const auto segments = open();
    segments->start_segment(0, 0);
    write_log(*segments, 0, 10'000);
    const auto torn = segments->find(0);
    segments->start_segment(8000, 5);
    EXPECT_EQ(segments->end_of(*torn), 8000U);
    // What the old file has behind the cut is never given out.
    auto bytes = read_bytes(*segments, 7000, 10'000);
    ASSERT_EQ(bytes.size(), 3000U);
    EXPECT_EQ(std::vector(bytes.begin(), bytes.begin() + 1000), log_bytes(7000, 8000));
    EXPECT_EQ(std::vector(bytes.begin() + 1000, bytes.end()), std::vector<std::byte>(2000));
    segments->write(8000, log_bytes(8000, 9000));
    const auto again = open();
    EXPECT_EQ(read_bytes(*again, 0, 9000), log_bytes(0, 9000));
    EXPECT_EQ(test::read_text(file(1), segment_header_size + 9000, 1000),
              test::text(log_bytes(9000, 10'000)));
}

TEST_P(SegmentFiles, AreSupersededWholeByALaterOneThatStartsAtOrBeforeThem) {
    const auto segments = open();
    segments->start_segment(0, 0);
    write_log(*segments, 0, 2 * small.segment_size + 100);
    const auto gone = segments->find(small.segment_size);
    segments->start_segment(small.segment_size - 8, 0);
    EXPECT_EQ(ids(*segments), (Ids{1, 4}));
    EXPECT_EQ(ids(*open()), (Ids{1, 4}));
    EXPECT_EQ(segments->end_of(*gone), gone->header.start);
    EXPECT_EQ(segments->end_of(*segments->find(0)), small.segment_size - 8);
    segments->start_segment(0, 0);
    EXPECT_EQ(ids(*open()), Ids{5});
    segments->start_segment(0, 0);
    EXPECT_EQ(ids(*segments), Ids{6});
    EXPECT_EQ(ids(*open()), Ids{6});
}

TEST_P(SegmentFiles, StartWhereARecordCanAndLeaveNoGap) {
    const auto segments = open();
    segments->start_segment(0, 0);
    EXPECT_THROW(segments->start_segment(small.segment_size + 8, 0), InvalidArgument);
    EXPECT_THROW(segments->start_segment(small.segment_size - 4, 0), InvalidArgument);
    segments->start_segment(small.segment_size, 0);
    EXPECT_EQ(ids(*segments), (Ids{1, 2}));
}

TEST_P(SegmentFiles, PrepareRoomInGrowingSteps) {
    const auto segments = open(stepped);
    segments->start_segment(0, 0);
    EXPECT_EQ(file(1).size(), segment_header_size + 256 * limits::kib);
    EXPECT_EQ(segments->prepare(1000, 0), 256 * limits::kib);
    EXPECT_EQ(segments->prepare(300'000, 0), 512 * limits::kib);
    // Of memory each step is small.
    const auto half = 512 * limits::kib, quarter = half / 2;
    EXPECT_EQ(segments->prepare(600'000, 0), GetParam() == Kind::disk ? 2 * half : half + quarter);
    EXPECT_EQ(segments->prepare(3 * limits::mib, 0), 3 * limits::mib);
    EXPECT_EQ(segments->prepare(3 * limits::mib + 8, 0),
              GetParam() == Kind::disk ? 4 * limits::mib : 3 * limits::mib + quarter);
    EXPECT_EQ(ids(*segments), Ids{1});
    EXPECT_EQ(segments->prepare(4 * limits::mib + 8, 9), 4 * limits::mib + 256 * limits::kib);
    EXPECT_EQ(ids(*segments), (Ids{1, 2}));
    EXPECT_EQ(segments->find(4 * limits::mib)->header.base_time_ns, 9);
    EXPECT_GE(segments->file_bytes(), 4 * limits::mib + 256 * limits::kib);
    // An object that knows nothing of it finds the same room.
    EXPECT_EQ(open(stepped)->prepare(4 * limits::mib + 8, 0), 4 * limits::mib + 256 * limits::kib);
}

TEST_P(SegmentFiles, PrepareOverSeveralSegmentsAtOnce) {
    const auto segments = open();
    segments->start_segment(0, 0);
    constexpr auto far = 3 * small.segment_size + 100;
    EXPECT_GE(segments->prepare(far, 0), far);
    EXPECT_EQ(ids(*segments), (Ids{1, 2, 3, 4}));
    for (const std::uint64_t id : Ids{1, 2, 3, 4}) {
        EXPECT_GE(file(id).allocated(), segment_header_size + small.segment_size) << id;
    }
}

TEST_P(SegmentFiles, FillHolesThatACopyLeftInTheRoom) {
    open(stepped)->start_segment(0, 0);
    const auto copy = file(1);
    copy.truncate(segment_header_size);
    copy.truncate(segment_header_size + 256 * limits::kib);
    ASSERT_LT(copy.allocated(), 256 * limits::kib);
    open(stepped)->prepare(1000, 0);
    EXPECT_GE(copy.allocated(), 256 * limits::kib);
}

TEST_P(SegmentFiles, TrimGivesBackAndPrepareTakesAgain) {
    auto segments = open(stepped);
    segments->start_segment(0, 0);
    segments->prepare(3 * limits::mib, 0);
    segments->write(0, log_bytes(0, 5000));
    segments->trim(5000);
    EXPECT_EQ(file(1).size(), segment_header_size + 5000);
    EXPECT_EQ(read_bytes(*segments, 0, 9000), log_bytes(0, 5000));
    EXPECT_EQ(segments->prepare(5008, 0), 5000 + 256 * limits::kib);
    segments->write(5000, log_bytes(5000, 6000));
    EXPECT_EQ(read_bytes(*open(stepped), 0, 6000), log_bytes(0, 6000));
}

TEST_P(SegmentFiles, TrimReachesBackOverSegmentsThatWereMadeAhead) {
    auto segments = open();
    segments->start_segment(0, 0);
    write_log(*segments, 0, 5000);
    segments->prepare(small.segment_size + 10, 0);
    segments->trim(5000);
    EXPECT_EQ(file(1).size(), segment_header_size + 5000);
    EXPECT_EQ(file(2).size(), segment_header_size);
    segments = open();
    EXPECT_EQ(ids(*segments), (Ids{1, 2}));
    EXPECT_GE(segments->prepare(5008, 0), 5008U);
    EXPECT_GE(file(1).allocated(), small.segment_size);
    write_log(*segments, 5000, 2 * small.segment_size);
    EXPECT_EQ(read_bytes(*open(), 0, 2 * small.segment_size), log_bytes(0, 2 * small.segment_size));
}

TEST_P(SegmentFiles, DropWhatEndsBeforeAPositionAndNeverTheLast) {
    const auto segments = open();
    segments->start_segment(0, 0);
    write_log(*segments, 0, small.segment_size + 10);
    segments->start_segment(small.segment_size, 0);  // Supersedes 2.
    write_log(*segments, small.segment_size, 3 * small.segment_size);
    ASSERT_EQ(ids(*segments), (Ids{1, 3, 4}));
    segments->drop_before(small.segment_size - 1);
    EXPECT_EQ(ids(*segments), (Ids{1, 3, 4}));
    segments->drop_before(small.segment_size);
    EXPECT_EQ(ids(*segments), (Ids{3, 4}));
    EXPECT_EQ(segments->oldest(), small.segment_size);
    EXPECT_EQ(segments->find(small.segment_size - 1), nullptr);
    EXPECT_TRUE(read_bytes(*segments, 0, 100).empty());
    EXPECT_EQ(ids(*open()), (Ids{3, 4}));
    EXPECT_EQ(folder_->list().size(), 2U);
    segments->drop_before(100 * small.segment_size);
    EXPECT_EQ(ids(*segments), Ids{4});
    write_log(*segments, 3 * small.segment_size, 3 * small.segment_size + 10);
    EXPECT_EQ(ids(*open()), (Ids{4, 5}));
}

// Another process has made segments and dropped them again since this one looked.
TEST_P(SegmentFiles, AreFollowedOverThoseThatCameAndWentUnseen) {
    const auto busy = open(), idle = open(), reader = open(small, false);
    busy->start_segment(0, 0);
    ASSERT_EQ(ids(*idle), Ids{1});
    ASSERT_EQ(ids(*reader), Ids{1});
    write_log(*busy, 0, 4 * small.segment_size + 100);
    busy->drop_before(3 * small.segment_size);
    ASSERT_EQ(ids(*busy), (Ids{4, 5}));
    ASSERT_NE(reader->find(4 * small.segment_size), nullptr);
    EXPECT_EQ(reader->find(4 * small.segment_size)->header.id, 5U);
    EXPECT_EQ(reader->find(0), nullptr);
    EXPECT_GE(idle->prepare(5 * small.segment_size + 8, 0), 5 * small.segment_size + 8);
    EXPECT_EQ(ids(*idle), (Ids{4, 5, 6}));
    EXPECT_EQ(ids(*busy), (Ids{4, 5, 6}));
    EXPECT_EQ(folder_->list().size(), 3U);
}

TEST_P(SegmentFiles, SyncThoseThatHoldTheRangeAndTheirNamesOnce) {
    const auto segments = open();
    segments->start_segment(0, 0);
    write_log(*segments, 0, 3 * small.segment_size);
    const auto other = open();  // Did not make them: does not know whether their names are synced.
    const auto count = [&](Segments& which, os::Call call, Lsn from, Lsn to) {
        const Failing counting(0, call, 0, 1000);
        which.sync(from, to);
        return counting.seen();
    };
    const auto border = small.segment_size;
    EXPECT_EQ(count(*segments, os::Call::sync, 5, 5), 0);
    EXPECT_EQ(count(*segments, os::Call::sync, 5, border), 1);
    EXPECT_EQ(count(*segments, os::Call::sync, border - 1, border + 1), 2);
    EXPECT_EQ(count(*segments, os::Call::sync, 0, 3 * border), 3);
    EXPECT_EQ(count(*segments, os::Call::sync_folder, 0, 3 * border), 0);
    EXPECT_EQ(count(*other, os::Call::sync_folder, 0, border), 1);
    EXPECT_EQ(count(*other, os::Call::sync_folder, 0, border), 0);
    EXPECT_EQ(count(*other, os::Call::sync_folder, 0, 3 * border), 1);
    const Failing failing(EIO, os::Call::sync);
    EXPECT_THROW(segments->sync(0, border), Io);
}

TEST_P(SegmentFiles, RefuseDamageByFileAndOffset) {
    const auto segments = open();
    segments->start_segment(0, 0);
    write_log(*segments, 0, 3 * small.segment_size);
    const auto header = [&](std::uint64_t id) { return segments->all().at(id - 1)->header; };
    const auto put = [&](std::uint64_t id, const SegmentHeader& h) {
        file(id).write(0, encode_segment(h));
    };
    const auto second = header(2);
    const auto named = [&](const auto& e) {
        ASSERT_TRUE(e);
        EXPECT_NE(std::string(e->what()).find(segment_name(2)), std::string::npos) << e->what();
        EXPECT_FALSE(e->expected().empty());
        EXPECT_FALSE(e->found().empty());
    };
    auto bytes = encode_segment(second);
    bytes[100] ^= std::byte{1};
    file(2).write(0, bytes);
    const auto flipped = thrown<Corrupt>([&] { open(); });
    named(flipped);
    EXPECT_EQ(flipped->file(), file(2).path());
    EXPECT_EQ(flipped->offset(), 12U);

    auto other = second;
    other.id = 7;
    put(2, other);
    named(thrown<Corrupt>([&] { open(); }));
    other = second;
    other.bus[0] ^= std::byte{1};
    put(2, other);
    EXPECT_EQ(thrown<Corrupt>([&] { open(); })->offset(), 16U);
    other = second;
    other.start += 8;
    put(2, other);
    named(thrown<Corrupt>([&] { open(); }));
    put(2, second);
    file(2).write(0, test::bytes("GARBAGE!"));
    named(thrown<Corrupt>([&] { open(); }));  // the rest says that it is ours
    file(2).write(200, test::bytes("GARBAGE!"));
    named(thrown<Corrupt>([&] { open(); }));
    file(2).truncate(100);
    put(2, second);
    file(2).truncate(1000);
    const auto cut = thrown<Corrupt>([&] { open(); });
    named(cut);
    EXPECT_EQ(cut->offset(), 1000U);
    put(2, second);
    EXPECT_EQ(ids(*open()), (Ids{1, 2, 3}));
}

TEST_P(SegmentFiles, RefuseAFormatThatIsNewer) {
    open()->start_segment(0, 0);
    // Its checksum is not ours with another version put in: that would be damage.
    file(1).write(8, std::vector{std::byte{2}, std::byte{0}});
    EXPECT_THROW(open(), Corrupt);
    file(1).write(12, std::vector{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}});
    EXPECT_THROW(open(), NewerFormat);
}

TEST_P(SegmentFiles, RefuseAMissingOne) {
    const auto segments = open();
    segments->start_segment(0, 0);
    write_log(*segments, 0, 3 * small.segment_size);
    folder_->remove(segment_name(2));
    const auto e = thrown<Corrupt>([&] { open(); });
    EXPECT_NE(e->file().find(segment_name(2)), std::string::npos);
    EXPECT_EQ(e->expected(), "segment 2");
    folder_->remove(segment_name(1));
    EXPECT_EQ(ids(*open()), Ids{3});
}

TEST_P(SegmentFiles, IgnoreFilesThatAreNotTheirsAndSweepWhatWasNeverFinished) {
    open()->start_segment(0, 0);
    for (const auto* name : {"notes.txt", "0123456789abcdef.new", "0000000000000002.segx"}) {
        static_cast<void>(folder_->open(name, os::Create::always, true));
    }
    const os::FileLock busy(*folder_->open("fedcba9876543210.new", os::Create::always, true));
    ASSERT_TRUE(const_cast<os::FileLock&>(busy).try_exclusive());
    EXPECT_EQ(ids(*open(small, false)), Ids{1});
    EXPECT_EQ(folder_->list().size(), 5U);
    EXPECT_EQ(ids(*open()), Ids{1});
    EXPECT_EQ(folder_->list(), (std::vector<std::string>{segment_name(1), "0000000000000002.segx",
                                                         "fedcba9876543210.new", "notes.txt"}));
}

INSTANTIATE_TEST_SUITE_P(Both, SegmentFiles, ::testing::Values(Kind::disk, Kind::memory),
                         [](const auto& kind) {
                             return kind.param == Kind::disk ? "Disk" : "Memory";
                         });

}  // namespace
}  // namespace mmsb::log
