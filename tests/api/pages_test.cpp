// Pages of bytes: made, read, changed, resized, renamed, described, copied, deleted.
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>

namespace mmsb::test {
namespace {

TEST(Pages, ANewPageIsZeroBehindItsContents) {
    const auto bus = start();
    const auto page = bus.create_page(10, {.contents = bytes_of("abc")});
    EXPECT_EQ(page.read(), to_bytes(std::string_view("abc\0\0\0\0\0\0\0", 10)));
    EXPECT_EQ(page.epoch(), Epoch::zero);
    EXPECT_EQ(page.size(), 10U);
}

TEST(Pages, WithoutASizeAPageHasTheDefaultOne) {
    EXPECT_EQ(start().create_page().size(), 4096U);
    EXPECT_EQ(start({.page_size_default = 33}).create_page().size(), 33U);
}

TEST(Pages, AnEmptyPageIsAPage) {
    const auto bus = start();
    const auto page = bus.create_page(0, {.name = "empty"});
    EXPECT_TRUE(page.read().empty());
    EXPECT_FALSE(page.update(Bytes{}).changed());
    EXPECT_EQ(page.info().name, "empty");
    page.resize(3);
    EXPECT_EQ(page.read(), filled(3, 0));
    page.write(0, bytes_of("abc"));
    page.resize(0);
    EXPECT_TRUE(page.read().empty());
    EXPECT_TRUE(bus.verify().good);
}

TEST(Pages, SizesAroundEveryGranuleKeepTheirBytes) {
    const auto bus = start();
    std::vector<std::pair<Page, Bytes>> all;
    for (const std::size_t size : {1U, 63U, 64U, 65U, 4095U, 4096U, 4097U, 65536U, 1U << 20U})
        all.emplace_back(bus.create_page(size, {.contents = pattern(size)}), pattern(size));
    for (const auto& [page, bytes] : all) EXPECT_EQ(page.read(), bytes) << bytes.size();
    EXPECT_TRUE(bus.verify().good);
}

TEST(Pages, EqualBytesCommitNothingAndSaySo) {
    const auto bus = start();
    const auto page = bus.create_page(8, {.contents = bytes_of("12345678")});
    const auto before = bus.sequence();
    const auto done = page.update(to_bytes("12345678"));
    EXPECT_FALSE(done.changed());
    EXPECT_EQ(done.changed_bytes, 0U);
    EXPECT_EQ(done.sequence, before);
    EXPECT_FALSE(page.write(2, bytes_of("345")).changed());
    EXPECT_FALSE(page.update([](std::span<std::byte>) {}).changed());
    EXPECT_FALSE(page.resize(8).changed());
    EXPECT_FALSE(page.rename("").changed());
    EXPECT_FALSE(page.set_metadata("none", "").changed());
    EXPECT_EQ(bus.sequence(), before);
    EXPECT_EQ(page.epoch(), Epoch::zero);
}

TEST(Pages, ACommitTellsHowManyBytesChanged) {
    const auto bus = start();
    const auto page = bus.create_page(8, {.contents = bytes_of("12345678")});
    const auto done = page.update(to_bytes("1x34y678"));
    EXPECT_TRUE(done.changed());
    EXPECT_EQ(done.changed_bytes, 2U);
    EXPECT_EQ(done.sequence, Sequence{2});
    EXPECT_EQ(page.epoch(), Epoch{1});
}

TEST(Pages, PartsAreReadWithTheirVersion) {
    const auto bus = start();
    const auto page = bus.create_page(8, {.contents = bytes_of("12345678")});
    page.write(0, bytes_of("x"));
    Bytes part(3);
    const auto version = page.read_into(part, 5);
    EXPECT_EQ(part, to_bytes("678"));
    EXPECT_EQ(version, (Version{Epoch{1}, Sequence{2}}));
    EXPECT_EQ(page.read_versioned().version, version);
}

TEST(Pages, PeekSeesTheLiveBytes) {
    const auto bus = start();
    const auto page = bus.create_page(100, {.contents = pattern(100)});
    const auto seen = page.peek([](std::span<const std::byte> bytes) { return bytes.size(); });
    EXPECT_EQ(seen, 100U);
    // A commit meanwhile: nothing is returned.
    const auto unstable = page.peek([&](std::span<const std::byte> bytes) {
        page.write(0, bytes_of("??"));
        return bytes[0];
    });
    EXPECT_FALSE(unstable.has_value());
}

TEST(Pages, AnEditThatThrowsChangesNothing) {
    const auto bus = start();
    const auto page = bus.create_page(4, {.contents = bytes_of("abcd")});
    EXPECT_THROW(page.update([](std::span<std::byte> bytes) {
        bytes[0] = std::byte{0};
        throw std::runtime_error("mine");
    }),
                 std::runtime_error);
    EXPECT_EQ(page.read(), to_bytes("abcd"));
    EXPECT_EQ(bus.sequence(), Sequence{1});
}

TEST(Pages, AnEditRunsAgainOnFreshBytesIfAnotherCommitCameBetween) {
    const auto bus = start();
    const auto page = bus.create_page(2);
    int runs = 0;
    std::thread other;
    page.update([&](std::span<std::byte> bytes) {
        if (++runs == 1) {
            other = std::thread([&] { page.write(1, bytes_of("x")); });
            other.join();
        }
        bytes[0] = std::byte{'a'};
    });
    EXPECT_EQ(runs, 2);
    EXPECT_EQ(page.read(), to_bytes("ax"));
}

TEST(Pages, ADeltaOfOnePageFitsAnotherOfItsSize) {
    const auto bus = start();
    const auto a = bus.create_page(8, {.contents = bytes_of("aaaaaaaa")});
    const auto b = bus.create_page(8, {.contents = bytes_of("bbbbbbbb")});
    const auto delta = diff(a.read(), to_bytes("aaXaYaaa"));
    b.apply(delta);
    EXPECT_EQ(b.read(), to_bytes("bbXbYbbb"));
    // Applying it twice is applying it once.
    EXPECT_FALSE(b.apply(delta).changed());
}

TEST(Pages, ADeltaOfManyRunsIsApplied) {
    const auto bus = start();
    const auto page = bus.create_page(40000);
    Bytes after(40000);
    for (std::size_t i = 0; i < after.size(); i += 4) after[i] = std::byte{1};
    page.apply(diff(page.read(), after));
    EXPECT_EQ(page.read(), after);
    EXPECT_TRUE(bus.verify().good);
}

TEST(Pages, ResizingKeepsTheStartAndZerosTheRest) {
    const auto bus = start();
    const auto page = bus.create_page(100, {.contents = pattern(100)});
    for (const std::size_t size : {50U, 60U, 128U, 5000U, 64U, 9000U, 0U, 10U}) {
        auto expected = page.read();
        expected.resize(size);
        const auto epoch = page.epoch();
        page.resize(size);
        EXPECT_EQ(page.read(), expected) << size;
        EXPECT_EQ(page.epoch(), epoch + 1);
        if (size > 1) page.write(size - 1, bytes_of("!"));
    }
    EXPECT_TRUE(bus.verify().good);
}

TEST(Pages, ARenamedPageIsFoundByItsNewNameOnly) {
    const auto bus = start();
    const auto page = bus.create_page(1, {.name = "old"});
    const auto done = page.rename("new");
    EXPECT_TRUE(done.changed());
    EXPECT_EQ(done.changed_bytes, 0U);
    EXPECT_EQ(page.epoch(), Epoch::zero);
    EXPECT_EQ(bus.find_page("new"), page);
    EXPECT_FALSE(bus.find_page("old").has_value());
    bus.create_page(1, {.name = "old"});  // free again
    page.rename("");
    EXPECT_FALSE(bus.find_page("new").has_value());
}

TEST(Pages, MetadataIsSetReplacedAndErased) {
    const auto bus = start();
    const auto page = bus.create_page(1, {.metadata = {{"a", "1"}, {"b", "2"}}});
    page.set_metadata("b", "3");
    page.set_metadata("c", "4");
    page.set_metadata("a", "");
    EXPECT_EQ(page.info().metadata, (Metadata{{"b", "3"}, {"c", "4"}}));
    EXPECT_EQ(page.epoch(), Epoch::zero);
}

TEST(Pages, ACloneIsAnotherPageWithTheSameBytes) {
    const auto bus = start();
    const auto page = bus.create_page(
        6, {.name = "one", .metadata = {{"k", "v"}}, .contents = bytes_of("abcdef")});
    const auto copy = page.clone({.name = "two"});
    EXPECT_NE(copy.id(), page.id());
    EXPECT_EQ(copy.read(), page.read());
    EXPECT_EQ(copy.info().metadata, page.info().metadata);
    page.write(0, bytes_of("X"));
    EXPECT_EQ(copy.read(), to_bytes("abcdef"));
}

TEST(Pages, AnIdIsNeverUsedAgain) {
    const auto bus = start();
    const auto page = bus.create_page(64, {.name = "p"});
    bus.delete_page(page);
    const auto next = bus.create_page(64, {.name = "p"});
    EXPECT_GT(number(next.id()), number(page.id()));
    EXPECT_THROW(static_cast<void>(page.read()), PageNotFound);
    EXPECT_EQ(bus.pages(), std::vector{next});
}

TEST(Pages, RoomOfDeletedPagesIsUsedAgain) {
    const auto bus = start();
    for (int i = 0; i < 400; ++i) {
        const auto page = bus.create_page(64 * 1024, {.contents = bytes_of("x")});
        bus.delete_page(page);
    }
    const auto& attachment = detail::Bus::get(detail::Bus::handle_of(bus)).at();
    EXPECT_LT(attachment.words().heap_end.load(), 2U << 20U);
    EXPECT_LT(attachment.words().lines_used.load(), 20U);
}

TEST(Pages, OpenPageMakesItOnce) {
    const auto bus = start();
    const auto page = bus.open_page("p", 10, {.contents = bytes_of("first")});
    EXPECT_EQ(bus.open_page("p", 10, {.contents = bytes_of("other")}), page);
    EXPECT_EQ(text_of(page.read()), "first");
    EXPECT_EQ(bus.sequence(), Sequence{1});
}

TEST(Pages, PagesComeInTheOrderOfTheirIds) {
    const auto bus = start();
    std::vector<Page> made;
    for (int i = 0; i < 20; ++i) made.push_back(bus.create_page(1));
    bus.delete_page(made[4]);
    made.erase(made.begin() + 4);
    EXPECT_EQ(bus.pages(), made);
}

TEST(Pages, APageAskedForOnAGpuIsMadeOnTheCpuAndANoticeSaysSo) {
    std::vector<Notice> notices;
    const auto bus = start({.on_notice = [&](const Notice& n) { notices.push_back(n); }});
    EXPECT_TRUE(bus.config().enable_gpu);
    const auto page = bus.create_page(1, {.location = Location::gpu});
    EXPECT_EQ(page.info().location, Location::cpu);
    ASSERT_EQ(notices.size(), 1U);
    EXPECT_NE(notices[0].text.find("gpu"), std::string::npos);
}

TEST(Pages, TheFreeFunctionsActOnTheScopesState) {
    const auto bus = start();
    const Scope scope(bus);
    const auto page = create_page(4);
    update_page(page, to_bytes("abcd"));
    EXPECT_EQ(query_page(page), to_bytes("abcd"));
    EXPECT_EQ(query_page(page.id()), to_bytes("abcd"));
    EXPECT_EQ(get_stats().total_pages, 1U);
    {
        const auto other = start();
        const Scope inner(other);
        EXPECT_EQ(get_stats().total_pages, 0U);
    }
    delete_page(page);
    reset_stats();
    EXPECT_EQ(get_stats().total_pages, 0U);
}

}  // namespace
}  // namespace mmsb::test
