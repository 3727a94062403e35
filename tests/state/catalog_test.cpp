#include "support/child.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

namespace mmsb::test {
namespace {

unsigned how_many() { return std::getenv("MMSB_LONG") != nullptr ? 100'000 : 5'000; }

// A process that looks for what is not there reads past `applied` while the other one commits: no
// structural record may be passed over on the way.
TEST(Catalog, OfAnotherProcessMissesNoPage) {
    const TempFolder folder;
    const auto pages = how_many();
    auto bus = start_with(at(folder));
    const Pipe ready, done;
    Child other([&] {
        const auto theirs = start_with(at(folder));
        ready.write('r');
        while (number(theirs.sequence()) < pages) static_cast<void>(theirs.find_page("absent"));
        unsigned missing = 0;
        for (unsigned i = 0; i < pages; ++i)
            if (!theirs.find_page("p" + std::to_string(i))) ++missing;
        if (missing != 0 || theirs.pages().size() != pages) {
            std::fprintf(stderr, "%u of %u pages are missing\n", missing, pages);
            return 1;
        }
        return 0;
    });
    ASSERT_TRUE(ready.read<char>());
    for (unsigned i = 0; i < pages; ++i)
        static_cast<void>(bus.create_page(8, {.name = "p" + std::to_string(i)}));
    EXPECT_EQ(other.wait(), 0);
    stop(std::move(bus));
}

// Near each other and far apart, small and large, in many segments: who comes later knows them all.
TEST(Catalog, OfWhoComesLaterHasEveryPage) {
    const TempFolder folder;
    const auto bus = start_with(at(folder));
    const auto page = bus.create_page(60'000);
    std::mt19937 random(7);
    for (unsigned n = 0; n < 300; ++n) {
        const auto size = std::size_t{1} << random() % 16;
        static_cast<void>(
            bus.create_page(size, {.name = "p" + std::to_string(n), .contents = pattern(size, n)}));
        for (auto more = n / 50 % 2 == 0 ? 0 : random() % 3; more != 0; --more)
            page.update(pattern(60'000, n * 4 + static_cast<unsigned>(more)));
    }
    bus.wait_durable(Sequence::newest);
    Child other([&] {
        const auto theirs = start_with(at(folder));
        for (unsigned n = 0; n < 300; ++n)
            if (!theirs.find_page("p" + std::to_string(n))) return 1;
        return theirs.pages().size() == 301 ? 0 : 2;
    });
    EXPECT_EQ(other.wait(), 0);
}

// Only those records were read: nobody can say that what lies between them is good.
TEST(Catalog, OfADamagedChainCallsNothingGood) {
    const TempFolder folder;
    const auto bus = start_with(at(folder));
    const auto& words = detail::Bus::get(detail::Bus::handle_of(bus)).at().words();
    const auto page = bus.create_page(64);
    std::uint64_t damaged = 0;
    for (unsigned n = 0; n < 40; ++n) {
        if (n == 10) damaged = words.logged.load();
        static_cast<void>(bus.create_page(16));
        for (unsigned k = 0; k < 20; ++k) page.write(0, pattern(32, n * 100 + k));
    }
    bus.wait_durable(Sequence::newest);
    const auto file = fs::directory_iterator(folder / "log")->path();
    auto text = read_file(file);
    auto& byte = text[damaged - state::first_lsn + log::segment_header_size + 20];
    byte = static_cast<char>(byte ^ 1);
    write_file(file, text);
    Child other([&] {
        try {
            static_cast<void>(start_with(at(folder)).pages());
        } catch (const Corrupt& e) {
            return e.good_until() == Sequence::zero ? 0 : 2;
        }
        return 1;
    });
    EXPECT_EQ(other.wait(), 0);
}

// Stopped at any moment of a commit, also inside it, where page and catalog are read past
// `applied`.
TEST(Verify, AcceptsAPageWhoseMetadataIsBeingSet) {
    const TempFolder folder;
    auto bus = start_with(at(folder), {});
    constexpr std::size_t size = 4 * limits::mib;  // applying a record takes a while
    static_cast<void>(bus.create_page(64, {.name = "small"}));
    static_cast<void>(bus.create_page(size, {.name = "large"}));
    Child other([&] {
        const auto theirs = start_with(at(folder), {});
        const auto small = theirs.page("small"), large = theirs.page("large");
        for (unsigned i = 0;; ++i)
            theirs.transact([&](Transaction& tx) {
                tx.set_metadata(small, "k", std::to_string(i));
                tx.resize(large, size + i % 2);
            });
        return 0;
    });
    const auto before = bus.sequence();
    while (bus.sequence() == before) ::usleep(100);
    for (unsigned i = 0; i < 40; ++i) {
        other.signal(SIGSTOP);
        ASSERT_TRUE(other.wait_until_stopped());
        const auto report = bus.verify();
        ASSERT_TRUE(report.good) << "page " << number(report.page) << ", byte " << report.offset;
        other.signal(SIGCONT);
        ::usleep(1000);
    }
}

// Between reading where the structure is and following it there, others may commit and drop that.
TEST(Catalog, FollowsToWhereTheLogHasBeenCutSince) {
    const TempFolder folder;
    const auto bus = start_with(at(folder));
    auto& attachment = detail::Bus::get(detail::Bus::handle_of(bus)).at();
    const Pipe made, seen;
    Child other([&] {
        const auto theirs = start_with(at(folder));
        const auto page = theirs.create_page(9'000, {.name = "dropped"});
        made.write('m');
        static_cast<void>(seen.read<char>());
        for (int i = 0; i < 4; ++i) {  // the log is kept back to the checkpoint before the newest
            page.write(0, pattern(9'000, static_cast<unsigned>(i) + 1));
            theirs.compact(theirs.sequence());
        }
        return 0;
    });
    ASSERT_TRUE(made.read<char>());
    const auto head = attachment.words().structure.load();
    seen.write('s');
    EXPECT_EQ(other.wait(), 0);
    EXPECT_GT(attachment.words().history_lsn.load(), head);
    attachment.catalog.follow(attachment, head);
    EXPECT_TRUE(bus.find_page("dropped"));
    EXPECT_TRUE(bus.verify().good);
}

// A writer that dies between publishing the structure and moving `applied` leaves a redo of what
// the catalog knows already: that the page is gone.
TEST(Catalog, KnowsTheLineOfAPageWhoseDeletionIsRedone) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(100, {.name = "page"});
    auto& words = detail::Bus::get(detail::Bus::handle_of(bus)).at().words();
    const auto before = words.applied.load();
    bus.delete_page(page);
    words.applied.store(before);
    Child other([&] {
        start_with(at(folder)).create_page(100, {.name = "another"});
        return 0;
    });
    EXPECT_EQ(other.wait(), 0);
    bus.create_page(100, {.name = "page"});
    EXPECT_TRUE(bus.verify().good);
    EXPECT_EQ(bus.pages().size(), 2U);
}

}  // namespace
}  // namespace mmsb::test
