// A log whose end was never synced, after a power cut: cut anywhere, or with blocks that never
// reached the disk, it opens to a good prefix and is never called damage. What was synced is not
// given up so.
#include "log/format.hpp"
#include "support/child.hpp"
#include "support/mounts.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <random>
#include <thread>

namespace mmsb::test {
namespace {

// Commits, and dies without a close record when all of it is in the files. The page's bytes after
// sequence n are pattern(size, n). The first `synced` sequences are synced. Returns up to which LSN
// the records say so.
log::Lsn make_and_die(const TempFolder& folder, unsigned commits, std::size_t size,
                      unsigned synced = 0, const limits::Geometry& geometry = small) {
    Pipe durable;
    Child child([&] {
        auto bus = start_with(at(folder), geometry);
        auto& words = detail::Bus::get(detail::Bus::handle_of(bus)).at().words();
        const auto page = bus.create_page(size, {.name = "page", .contents = pattern(size, 1)});
        for (unsigned n = 2; n <= commits; ++n) {
            page.update(pattern(size, n));
            if (n == synced) bus.wait_durable(Sequence{n});
        }
        while (words.flushed.load() < words.logged.load())
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        durable.write<log::Lsn>(words.durable.load());
        ::raise(SIGKILL);
        return 0;
    });
    durable.close_writing();
    const auto lsn = durable.read<log::Lsn>();
    EXPECT_EQ(child.wait(), -SIGKILL);
    remove_arena(folder.path());
    return lsn.value_or(0);
}

std::vector<fs::path> segments(const TempFolder& folder) {
    std::vector<fs::path> all;
    for (const auto& entry : fs::directory_iterator(folder / "log"))
        if (entry.path().extension() == ".seg") all.push_back(entry.path());
    std::sort(all.begin(), all.end());
    return all;
}

// Up to the last byte that is not zero: room that was only reserved says nothing.
std::string written(const std::string& file) {
    return file.substr(0, file.find_last_not_of('\0') + 1);
}

Config quiet(const TempFolder& folder, Open open) {
    auto config = at(folder);
    config.open = open;
    config.on_notice = [](const Notice&) {};
    return config;
}

// The newest sequence; its bytes are checked.
std::uint64_t good_prefix(const State& bus, std::size_t size) {
    const auto sequence = number(bus.sequence());
    if (sequence != 0) {
        EXPECT_EQ(bus.page("page").read(), pattern(size, static_cast<unsigned>(sequence)));
    }
    EXPECT_TRUE(bus.verify().good);
    return sequence;
}
std::uint64_t opened(const TempFolder& folder, std::size_t size) {
    return good_prefix(start(quiet(folder, Open::read_only)), size);
}

TEST(AnUnsyncedLog, CutAtAnyByteOpensToAGoodPrefix) {
    constexpr unsigned commits = 12;
    constexpr std::size_t size = 150;
    const TempFolder folder;
    const auto durable = make_and_die(folder, commits, size);
    const auto file = segments(folder).at(0);
    const auto whole = written(read_file(file));
    const auto header = log::decode_segment(std::as_bytes(std::span(whole)));
    ASSERT_TRUE(header.value);
    const auto synced = log::segment_header_size + durable - header.value->start;
    ASSERT_LT(synced, whole.size());
    std::uint64_t last = 0;
    for (auto cut = synced; cut <= whole.size(); ++cut) {
        write_file(file, whole.substr(0, cut));
        const auto sequence = opened(folder, size);
        ASSERT_GE(sequence, last) << "cut at " << cut;
        ASSERT_FALSE(HasFailure()) << "cut at " << cut;
        last = sequence;
    }
    // The last record's padding may be zero, and is part of it.
    write_file(file, whole + std::string(64, '\0'));
    EXPECT_EQ(opened(folder, size), commits);
}

// It is read piece by piece: of records that fit into one many times, and of larger ones.
TEST(ALongUnsyncedLog, CutAnywhereOpensToAGoodPrefix) {
    for (const auto& [commits, size] :
         {std::pair{1500U, std::size_t{1000}}, std::pair{8U, std::size_t{600'000}}}) {
        const TempFolder folder;
        const auto durable = make_and_die(folder, commits, size, 0, {});
        const auto all = segments(folder);
        ASSERT_EQ(all.size(), 1U);
        const auto whole = written(read_file(all[0]));
        ASSERT_GT(whole.size(), std::size_t{1} << 20U);
        const auto header = log::decode_segment(std::as_bytes(std::span(whole)));
        ASSERT_TRUE(header.value);
        const auto seed = std::random_device{}();
        std::cout << "seed " << seed << '\n';
        std::mt19937 random(seed);
        std::uniform_int_distribution<std::size_t> anywhere(
            log::segment_header_size + durable - header.value->start, whole.size() - 8);
        std::vector<std::size_t> cuts(30);
        for (auto& cut : cuts) cut = anywhere(random);
        std::ranges::sort(cuts);
        std::uint64_t last = 0;
        for (const auto cut : cuts) {
            // What was only reserved says nothing, whether it is there or not.
            const auto zeros = random() % 2 == 0 ? std::size_t{0} : whole.size() - cut;
            write_file(all[0], whole.substr(0, cut) + std::string(zeros, '\0'));
            const auto sequence = opened(folder, size);
            ASSERT_GE(sequence, last) << "cut at " << cut;
            ASSERT_LT(sequence, commits) << "cut at " << cut;
            ASSERT_FALSE(HasFailure()) << "cut at " << cut;
            last = sequence;
        }
        write_file(all[0], whole + std::string(100'000, '\0'));
        EXPECT_EQ(opened(folder, size), commits);
    }
}

TEST(AnUnsyncedLog, WithAnyOfItsBlocksMissingOpensToAGoodPrefix) {
    constexpr unsigned commits = 1000, trials = 60;
    constexpr std::size_t size = 1000, block = 512;
    const TempFolder folder;
    const auto durable = make_and_die(folder, commits, size);
    std::vector<std::pair<fs::path, std::string>> whole;
    for (const auto& file : segments(folder)) whole.emplace_back(file, read_file(file));
    EXPECT_GT(whole.size(), 2U);
    const auto seed = std::random_device{}();
    std::cout << "seed " << seed << '\n';
    std::mt19937 random(seed);
    for (unsigned trial = 0; trial < trials; ++trial) {
        const auto one_in = 1U << random() % 12;
        for (const auto& [file, bytes] : whole) {
            const auto header = log::decode_segment(std::as_bytes(std::span(bytes)));
            ASSERT_TRUE(header.value);
            const auto start = header.value->start;
            const auto first = log::segment_header_size + (durable > start ? durable - start : 0);
            auto torn = bytes;
            for (auto at_byte = (first + block - 1) / block * block; at_byte + block <= torn.size();
                 at_byte += block)
                if (random() % one_in == 0) torn.replace(at_byte, block, block, '\0');
            write_file(file, torn);
        }
        EXPECT_LE(opened(folder, size), commits);
        ASSERT_FALSE(HasFailure()) << "trial " << trial;
    }
    for (const auto& [file, bytes] : whole) write_file(file, bytes);
    EXPECT_EQ(opened(folder, size), commits);
}

// As from another container: the files are there, and the shared memory is not. What is written and
// synced while the log is read makes no damage of it.
TEST(ALogInUseAcrossProcesses, IsWholeForWhoSeesItsFilesOnly) {
    const TempFolder folder;
    Pipe begun;
    Child writer([&] {
        const auto bus = start(at(folder));
        const auto page = bus.create_page(100, {.name = "page"});
        constexpr unsigned before = 100'000;  // so that reading them takes longer than a commit
        for (unsigned n = 1;; ++n) {
            page.update(pattern(100, n));
            if (n == before) begun.write(n);
            if (n < before || n % 8 != 0) continue;
            bus.wait_durable(Sequence::newest);
            // All of the log is read each time: it must not grow faster than that.
            std::this_thread::sleep_for(std::chrono::microseconds(300));
        }
        return 0;
    });
    begun.close_writing();
    ASSERT_TRUE(begun.read<unsigned>());
    constexpr int cannot = 77;
    Child reader([&] {
        if (!be_alone_with_mounts() || ::mount("mmsb", "/dev/shm", "tmpfs", 0, nullptr) != 0)
            return cannot;
        std::uint64_t last = 0;
        for (int i = 0; i < 30; ++i) {
            const auto bus = start(quiet(folder, i % 2 == 0 ? Open::read_only : Open::good_prefix));
            if (bus.recovery().damage || number(bus.sequence()) < last) return 1;
            last = number(bus.sequence());
            const auto page = bus.page("page");
            const auto n = static_cast<unsigned>(number(page.epoch()));
            if (page.read() != pattern(100, n)) return 2;
        }
        return 0;
    });
    const auto status = reader.wait();
    writer.signal(SIGKILL);
    EXPECT_EQ(writer.wait(), -SIGKILL);
    if (status == cannot) GTEST_SKIP() << "no mounts of our own are allowed here: not tried";
    EXPECT_EQ(status, 0);
}

TEST(ASyncedPartOfALog, IsNotGivenUpAsATornTail) {
    constexpr std::size_t size = 400;
    const TempFolder folder;
    make_and_die(folder, 40, size, 30);
    const auto file = segments(folder).at(0);
    auto bytes = read_file(file);
    bytes.replace(log::segment_header_size + 2048, 512, 512, '\0');
    write_file(file, bytes);
    for (const auto open : {Open::read_only, Open::existing}) {
        try {
            static_cast<void>(start(quiet(folder, open)));
            ADD_FAILURE() << "it was given up";
        } catch (const Corrupt& e) {
            EXPECT_EQ(fs::path(e.file()).filename(), file.filename());
            EXPECT_LE(e.offset(), log::segment_header_size + 2048);
            EXPECT_LT(number(e.good_until()), 30U);
        }
    }
    EXPECT_EQ(read_file(file), bytes);  // and nothing was repaired
}

// Cut, recover, commit one record of the same size, sync, cut again: no old record comes back.
TEST(ARecoveredLog, NeverShowsARecordOfItsOldTailAgain) {
    constexpr unsigned commits = 20;
    constexpr std::size_t size = 300;
    const TempFolder folder;
    make_and_die(folder, commits, size);
    const auto old_file = segments(folder).at(0);
    auto bytes = read_file(old_file);
    // One block of the middle is lost; whole old records lie behind it.
    bytes.replace(log::segment_header_size + 2560, 512, 512, '\0');
    write_file(old_file, bytes);
    auto bus = start(quiet(folder, Open::existing));
    const auto good = good_prefix(bus, size);
    EXPECT_TRUE(bus.recovery().needed);
    EXPECT_GT(bus.recovery().dropped_bytes, 0U);
    ASSERT_LT(good, commits - 2);
    ASSERT_GT(good, 2U);
    bus.page("page").update(pattern(size, 1000), {.durability = Durability::sync});
    stop(std::move(bus));

    remove_arena(folder.path());
    bus = start(quiet(folder, Open::existing));
    EXPECT_EQ(number(bus.sequence()), good + 1);
    EXPECT_EQ(bus.page("page").read(), pattern(size, 1000));
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));

    const auto all = segments(folder);
    ASSERT_GE(all.size(), 2U);
    fs::resize_file(all.at(1), log::segment_header_size);
    for (std::size_t i = 2; i < all.size(); ++i) fs::remove(all.at(i));
    remove_arena(folder.path());
    EXPECT_EQ(opened(folder, size), good);
}

}  // namespace
}  // namespace mmsb::test
