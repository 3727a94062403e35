// Segment and blob files when calls fail, disks fill up and processes share them.
#include "log/segments_helpers.hpp"

#include "base/checksum.hpp"

#include <random>
#include <thread>

namespace mmsb::log {
namespace {

using test::Failing;

class Blobs : public ::testing::Test {
protected:
    static std::vector<std::byte> content(std::size_t size) { return log_bytes(0, size); }
    os::File file(const BlobReference& blob) {
        return std::move(*folder_->open(blob_name(blob.id), os::Create::never, true));
    }
    test::TemporaryFolder place_{};
    std::unique_ptr<os::Folder> folder_ = os::open_folder(place_.path(), false, 0600);
    Segments segments_{*folder_, test_bus, small, true};
};

TEST_F(Blobs, GiveBackWhatWasPutIn) {
    for (const std::size_t size : {0U, 1U, 5000U, 3'000'000U}) {
        const auto blob = segments_.write_blob(content(size), 0, size % 2 == 0);
        EXPECT_EQ(blob.size, size);
        EXPECT_EQ(blob.checksum, base::crc32c(~0U, content(size)));
        EXPECT_EQ(Segments(*folder_, test_bus, small, false).read_blob(blob), content(size));
        segments_.sync_blob(blob);
    }
    EXPECT_EQ(segments_.blobs(), (std::vector<std::uint64_t>{1, 2, 3, 4}));
    EXPECT_GE(segments_.file_bytes(), 3'000'000U);
}

TEST_F(Blobs, ThatWereNeverLoggedGo) {
    segments_.write_blob(content(10), 64, false);
    segments_.write_blob(content(10), 200, false);
    segments_.write_blob(content(10), 200, false);
    segments_.write_blob(content(10), 400, false);
    segments_.remove_orphans(401);
    EXPECT_EQ(segments_.blobs().size(), 4U);
    segments_.remove_orphans(200);
    EXPECT_EQ(segments_.blobs(), (std::vector<std::uint64_t>{64}));
    segments_.remove_orphans(65);
    EXPECT_EQ(segments_.blobs(), (std::vector<std::uint64_t>{64}));
}

TEST_F(Blobs, GoWithTheirRecordsWhereThoseAreDropped) {
    using BlobIds = std::vector<std::uint64_t>;
    for (const Lsn end : {64U, 200U, 200U, 400U, 600U})
        segments_.write_blob(content(10), end, false);
    EXPECT_EQ(segments_.blobs(), (BlobIds{64, 200, 201, 400, 600}));
    segments_.remove_blobs_before(64, 64);
    EXPECT_EQ(segments_.blobs().size(), 5U);
    // Between 200 and 300 is no commit, so the next one may still be theirs: one of theirs, at
    // most.
    segments_.remove_blobs_before(300, std::nullopt);
    EXPECT_EQ(segments_.blobs(), (BlobIds{200, 201, 400, 600}));
    segments_.remove_blobs_before(300, 201);
    EXPECT_EQ(segments_.blobs(), (BlobIds{201, 400, 600}));
    segments_.remove_blobs_before(300, 0);
    EXPECT_EQ(segments_.blobs(), (BlobIds{400, 600}));
    segments_.remove_blobs_before(600, 600);
    EXPECT_EQ(segments_.blobs(), (BlobIds{600}));
    segments_.remove_blobs_before(600, 0);  // written when the log ended there: not before it
    EXPECT_EQ(segments_.blobs(), (BlobIds{600}));
    Segments(*folder_, Uuid{std::byte{9}}, small, true).remove_blobs_before(9999, 0);
    EXPECT_EQ(segments_.blobs(), (BlobIds{600}));
    EXPECT_NE(Segments(*folder_, test_bus, small, true).write_blob(content(10), 601, false).id,
              600U);
    segments_.remove_blobs_before(9999, 0);
    EXPECT_TRUE(segments_.blobs().empty());
}

// Each commit that comes to nothing uses one up.
TEST_F(Blobs, GoAlsoWhereIdsAreAheadOfTheLog) {
    const auto first = segments_.write_blob(content(10), 5000, false);
    segments_.remove_blob(first.id);
    const auto second = segments_.write_blob(content(10), 100, false);
    const auto third = segments_.write_blob(content(10), 200, false);
    EXPECT_GT(second.id, 5000U);
    segments_.remove_blobs_before(200, third.id);
    EXPECT_EQ(segments_.blobs(), (std::vector<std::uint64_t>{third.id}));
}

TEST_F(Blobs, NeverGetAnIdAgainWhileTheirMakerLives) {
    const auto first = segments_.write_blob(content(10), 0, false);
    Segments other(*folder_, test_bus, small, true);
    const auto second = other.write_blob(content(10), 0, false);
    EXPECT_LT(first.id, second.id);
    other.remove_blob(second.id);
    other.remove_blob(second.id);
    EXPECT_LT(second.id, other.write_blob(content(10), 0, false).id);
    EXPECT_LT(second.id, segments_.write_blob(content(10), 0, false).id);
}

TEST_F(Blobs, AreRefusedWhereAnythingIsNotAsTheRecordSays) {
    const auto blob = segments_.write_blob(content(5000), 0, false);
    const auto refused = [&](const BlobReference& asked) {
        const auto e = thrown<Corrupt>([&] { static_cast<void>(segments_.read_blob(asked)); });
        ASSERT_TRUE(e);
        EXPECT_EQ(e->file(), folder_->path() + '/' + blob_name(asked.id));
        EXPECT_FALSE(e->expected().empty());
        EXPECT_FALSE(e->found().empty());
    };
    refused({blob.id + 1, blob.size, blob.checksum});
    refused({blob.id, blob.size + 1, blob.checksum});
    refused({blob.id, std::uint64_t{1} << 62U, blob.checksum});
    refused({blob.id, blob.size, blob.checksum + 1});
    file(blob).truncate(blob_header_size + 4999);
    refused(blob);
    file(blob).write(blob_header_size, content(5001));
    refused(blob);
    file(blob).truncate(blob_header_size + 5000);
    EXPECT_EQ(segments_.read_blob(blob), content(5000));
    auto damaged = content(5000);
    damaged[4321] ^= std::byte{4};
    file(blob).write(blob_header_size, damaged);
    refused(blob);
    file(blob).write(blob_header_size, content(5000));
    file(blob).write(20, content(4));
    refused(blob);
    file(blob).truncate(0);
    refused(blob);
}

TEST_F(Blobs, OfAnotherBusAreRefused) {
    const auto blob = segments_.write_blob(content(100), 0, false);
    auto uuid = test_bus;
    uuid[3] = std::byte{9};
    Segments other(*folder_, uuid, small, true);
    EXPECT_THROW(static_cast<void>(other.read_blob(blob)), Corrupt);
}

TEST_F(Blobs, AreWrittenWholeOrNotAtAllWhicheverCallFails) {
    for (int n = 0;; ++n) {
        const auto before = segments_.blobs();
        int hit = 0;
        {
            const Failing failing(n % 2 == 0 ? EIO : ENOSPC, n);
            try {
                static_cast<void>(segments_.write_blob(content(100), 0, true));
            } catch (const Error&) {
                EXPECT_EQ(segments_.blobs(), before) << n;
            }
            hit = failing.hit();
        }
        if (hit == 0) break;
    }
    const Segments again(*folder_, test_bus, small, true);  // Sweeps.
    EXPECT_EQ(folder_->list().size(), segments_.blobs().size());
}

TEST_F(Blobs, AreMadeByManyThreadsAtOnce) {
    std::vector<std::thread> threads;
    std::vector<BlobReference> made(40);
    std::array<std::unique_ptr<Segments>, 4> objects{};
    for (auto& object : objects) {
        object = std::make_unique<Segments>(*folder_, test_bus, small, true);
    }
    for (std::size_t t = 0; t < objects.size(); ++t) {
        threads.emplace_back([&, t] {
            for (std::size_t i = 0; i < 10; ++i) {
                made[t * 10 + i] = objects[t]->write_blob(content(1000 + t * 10 + i), 0, false);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    for (std::size_t i = 0; i < made.size(); ++i) {
        EXPECT_EQ(segments_.read_blob(made[i]), content(1000 + i));
    }
    EXPECT_EQ(segments_.blobs().size(), 40U);
}

/// A life of a log: grows over borders, is cut short, trimmed. Returns up to where the bytes at the
/// start are certainly there.
void live(os::Folder& folder, Lsn& written) {
    Segments segments(folder, test_bus, stepped, true);
    if (segments.all().empty()) segments.start_segment(0, 0);
    const auto put = [&](Lsn to) {
        write_log(segments, written, to);
        written = to;
        segments.sync(0, to);
    };
    put(1000);
    put(3 * limits::mib);
    put(4 * limits::mib + 104);
    segments.start_segment(written, 1);
    put(written + 5000);
    segments.trim(written);
    put(written + 5000);
}

void check_life(os::Folder& folder, Lsn written, const std::string& when) {
    SCOPED_TRACE(when);
    Segments segments(folder, test_bus, stepped, true);
    ASSERT_EQ(read_bytes(segments, 0, written), log_bytes(0, written));
    if (segments.all().empty()) segments.start_segment(0, 0);
    // It goes on as if nothing had been.
    write_log(segments, written, written + 300'000);
    segments.sync(0, written + 300'000);
    ASSERT_EQ(read_bytes(segments, 0, written + 300'000), log_bytes(0, written + 300'000));
    for (const auto& name : folder.list()) ASSERT_TRUE(segment_id(name)) << name;
}

TEST(SegmentFaults, LeaveALogThatOpensAndGoesOnWhicheverCallFails) {
    for (const int error : {EIO, ENOSPC}) {
        for (int n = 0;; ++n) {
            const auto folder = os::memory_folder();
            Lsn written = 0;
            int hit = 0;
            {
                const Failing failing(error, n);
                try {
                    live(*folder, written);
                } catch (const Error&) {
                }
                hit = failing.hit();
            }
            check_life(*folder, written,
                       "call " + std::to_string(n) + " failed with " + std::to_string(error));
            if (hit == 0 || ::testing::Test::HasFatalFailure()) break;
        }
    }
}

TEST(SegmentFaults, LeaveALogOnDiskThatOpensAndGoesOnWhicheverCallFailsForEver) {
    for (int n = 0;; n += 3) {
        const test::TemporaryFolder place;
        const auto folder = os::open_folder(place.path(), false, 0600);
        Lsn written = 0;
        int hit = 0;
        {
            const Failing failing(EIO, n, 1'000'000);
            try {
                live(*folder, written);
            } catch (const Error&) {
            }
            hit = failing.hit();
        }
        check_life(*folder, written, "calls from " + std::to_string(n) + " on failed");
        if (hit == 0 || ::testing::Test::HasFatalFailure()) break;
    }
}

/// Names, sizes and room of all files.
std::string picture(os::Folder& folder) {
    std::string out;
    for (const auto& name : folder.list()) {
        const auto file = *folder.open(name, os::Create::never, false);
        out += name + ' ' + std::to_string(file.size()) + ' ' + std::to_string(file.allocated()) +
               '\n';
    }
    return out;
}

TEST(SegmentFaults, ChangeNothingWhereThereIsNoRoomToPrepare) {
    const auto folder = os::memory_folder();
    Segments segments(*folder, test_bus, stepped, true);
    segments.start_segment(0, 0);
    segments.prepare(3 * limits::mib, 0);
    const auto before = picture(*folder);
    for (int n = 0; n < 2; ++n) {  // The present segment, then the next one.
        const Failing failing(ENOSPC, os::Call::allocate, n);
        const auto e = thrown<OutOfSpace>([&] { segments.prepare(4 * limits::mib + 8, 0); });
        EXPECT_GT(e->needed(), 0U);
        EXPECT_EQ(picture(*folder), before);
        EXPECT_EQ(segments.prepare(3 * limits::mib, 0), 3 * limits::mib);
    }
    EXPECT_GT(segments.prepare(4 * limits::mib + 8, 0), 4 * limits::mib);
}

TEST(SegmentFaults, MeetARealFullDisk) {
    const test::SmallDisk disk("1m");
    if (!disk.mounted()) GTEST_SKIP() << "mounting a tmpfs is not allowed here: not tried";
    const auto folder = os::open_folder(disk / "log", true, 0600);
    Segments segments(*folder, test_bus, stepped, true);
    segments.start_segment(0, 0);
    Lsn at = 0;
    for (;; at += 64 * limits::kib) {
        const auto before = picture(*folder);
        try {
            write_log(segments, at, at + 64 * limits::kib);
        } catch (const OutOfSpace& e) {
            EXPECT_EQ(picture(*folder), before);
            EXPECT_NE(e.where().find(segment_name(1)), std::string::npos);
            EXPECT_GT(e.needed(), e.available());
            break;
        }
        ASSERT_LT(at, 1 * limits::mib);
    }
    EXPECT_GE(at, 512 * limits::kib);
    EXPECT_THROW(static_cast<void>(segments.write_blob(log_bytes(0, limits::mib), 0, false)),
                 OutOfSpace);
    EXPECT_EQ(folder->list(), std::vector<std::string>{segment_name(1)});
    Segments again(*folder, test_bus, stepped, false);
    EXPECT_EQ(read_bytes(again, 0, at), log_bytes(0, at));
}

TEST(SegmentThreads, ReadAndFollowWhileOneWrites) {
    const auto folder = os::memory_folder();
    Segments segments(*folder, test_bus, small, true);
    segments.start_segment(0, 0);
    constexpr Lsn end = 20 * small.segment_size;
    std::atomic<Lsn> written{0};
    std::vector<std::thread> readers;
    for (unsigned seed = 1; seed <= 3; ++seed) {
        readers.emplace_back([&, seed] {
            std::mt19937 random(seed);
            Segments own(*folder, test_bus, small, false);
            auto& mine = seed == 1 ? own : segments;
            while (written < end) {
                const Lsn to = written.load();
                if (to == 0) continue;
                const Lsn from = random() % to;
                const auto until = std::min<Lsn>(to, from + 10'000);
                ASSERT_EQ(read_bytes(mine, from, until), log_bytes(from, until));
            }
        });
    }
    for (Lsn at = 0; at < end; at += 8000) {
        const auto to = std::min<Lsn>(end, at + 8000);
        write_log(segments, at, to);
        written = to;
    }
    for (auto& reader : readers) reader.join();
}

}  // namespace
}  // namespace mmsb::log
