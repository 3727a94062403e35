#include "support/child.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

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
