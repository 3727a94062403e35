// Wrong arguments and outcomes that are errors: each is raised for real, knows what it says it
// knows, and has changed nothing.
#include "support/child.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace mmsb::test {
namespace {

struct Errors : testing::Test {
    State bus = start();
    Page page = bus.create_page(8, {.name = "counter", .contents = bytes_of("12345678")});
    Page other = bus.create_page(8, {.name = "other"});

    template <class E, class F>
    std::optional<E> raises(F&& call) const {
        return test::raises<E>(bus, call);
    }
};
using InvalidArgumentError = Errors;
using PageNotFoundError = Errors;
using WrongContextError = Errors;
using InvalidDeltaError = Errors;
using ConflictError = Errors;
using OutOfSpaceError = Errors;
using BusClosedError = Errors;

// ---- InvalidArgument
// ------------------------------------------------------------------------------

TEST_F(InvalidArgumentError, BytesOfAnotherSize) {
    const auto e = raises<InvalidArgument>([&] { page.update(Bytes(9)); });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->code(), ErrorCode::invalid_argument);
    EXPECT_EQ(e->page(), page.id());
    EXPECT_EQ(e->expected(), "8 bytes");
    EXPECT_EQ(e->found(), "9");
    auto tx = bus.transaction();
    raises<InvalidArgument>([&] { tx.update(page, Bytes(7)); });
}

TEST_F(InvalidArgumentError, ARangeOutsideThePage) {
    const auto e = raises<InvalidArgument>([&] { page.write(7, bytes_of("ab")); });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->page(), page.id());
    EXPECT_EQ(e->expected(), "at most 8 bytes");
    raises<InvalidArgument>([&] { page.write(9, {}); });
    raises<InvalidArgument>([&] { page.write(~std::size_t{0}, bytes_of("ab")); });
    Bytes out(4);
    raises<InvalidArgument>([&] { page.read_into(out, 5); });
    raises<InvalidArgument>([&] { page.read_into(out, ~std::size_t{0} - 1); });
    auto tx = bus.transaction();
    raises<InvalidArgument>([&] { tx.write(page, 7, bytes_of("ab")); });
    raises<InvalidArgument>([&] { tx.read_into(page, out, 5); });
}

TEST_F(InvalidArgumentError, APageThatBecameTooSmallForWhatWasStaged) {
    auto tx = bus.transaction();
    tx.write(page, 6, bytes_of("ab"));
    page.resize(4);
    raises<InvalidArgument>([&] { tx.commit(); });
}

TEST_F(InvalidArgumentError, ContentsLargerThanThePage) {
    raises<InvalidArgument>([&] { bus.create_page(3, {.contents = bytes_of("1234")}); });
    raises<InvalidArgument>([&] { page.clone({.contents = pattern(9)}); });
}

TEST_F(InvalidArgumentError, ANameThatIsTakenOrTooLong) {
    const auto e = raises<InvalidArgument>([&] { bus.create_page(1, {.name = "counter"}); });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->page(), page.id());
    EXPECT_EQ(e->found(), "counter");
    raises<InvalidArgument>([&] { other.rename("counter"); });
    raises<InvalidArgument>([&] { page.clone({.name = "other"}); });
    const std::string long_name(256, 'n');
    raises<InvalidArgument>([&] { bus.create_page(1, {.name = long_name}); });
    raises<InvalidArgument>([&] { page.rename(long_name); });
    page.rename(long_name.substr(1));  // 255 are fine
}

TEST_F(InvalidArgumentError, OpenPageWithoutANameOrInAnotherSize) {
    raises<InvalidArgument>([&] { bus.open_page("", 8); });
    const auto e = raises<InvalidArgument>([&] { bus.open_page("counter", 9); });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->page(), page.id());
    EXPECT_EQ(e->expected(), "9 bytes");
    EXPECT_EQ(e->found(), "8");
}

TEST_F(InvalidArgumentError, AnImpossibleSizeOrLocation) {
    constexpr auto too_large = (std::size_t{1} << 40U) + 1;
    raises<InvalidArgument>([&] { bus.create_page(too_large); });
    raises<InvalidArgument>([&] { page.resize(too_large); });
    raises<InvalidArgument>([&] { bus.create_page(1, {.location = static_cast<Location>(9)}); });
}

TEST_F(InvalidArgumentError, MetadataThatIsTooLargeOrHasNoKey) {
    const std::string half(40 * 1024, 'v');
    page.set_metadata("a", half);
    raises<InvalidArgument>([&] { page.set_metadata("b", half); });
    raises<InvalidArgument>([&] { page.set_metadata("", "x"); });
    raises<InvalidArgument>([&] { page.set_metadata("a", half + half); });
    raises<InvalidArgument>([&] { bus.create_page(1, {.metadata = {{"", "x"}}}); });
}

TEST_F(InvalidArgumentError, ALabelOrSourceThatIsTooLong) {
    const std::string text(1025, 't');
    raises<InvalidArgument>([&] { page.write(0, bytes_of("x"), {.label = text}); });
    raises<InvalidArgument>([&] { page.write(0, bytes_of("x"), {.source = text}); });
    page.write(0, bytes_of("x"), {.label = std::string_view(text).substr(1)});
}

TEST_F(InvalidArgumentError, APageOfAnotherBus) {
    const auto elsewhere = start();
    const auto theirs = elsewhere.create_page(8);
    raises<InvalidArgument>([&] { bus.delete_page(theirs); });
    raises<InvalidArgument>(
        [&] { bus.transact([&](Transaction& tx) { tx.write(theirs, 0, bytes_of("x")); }); });
    raises<InvalidArgument>([&] { static_cast<void>(bus.snapshot({theirs})); });
}

TEST_F(InvalidArgumentError, TheFuture) {
    raises<InvalidArgument>([&] { static_cast<void>(bus.at(bus.sequence() + 1)); });
}

TEST_F(InvalidArgumentError, MoreDurabilityThanPrivateMemoryHas) {
    raises<InvalidArgument>(
        [&] { page.write(0, bytes_of("x"), {.durability = Durability::sync}); });
    raises<InvalidArgument>([&] { static_cast<void>(bus.wait_durable(bus.sequence())); });
    thrown<InvalidArgument>([] { static_cast<void>(start({.durability = Durability::interval})); });
}

TEST_F(InvalidArgumentError, LessDurabilityThanTheBusHas) {
    const TempFolder folder;
    const auto durable = start({.path = folder.path(), .durability = Durability::sync});
    const auto p = durable.create_page(8);
    test::raises<InvalidArgument>(
        durable, [&] { p.write(0, bytes_of("x"), {.durability = Durability::process}); });
    const auto none = static_cast<Durability>(9);
    test::raises<InvalidArgument>(durable,
                                  [&] { p.write(0, bytes_of("x"), {.durability = none}); });
    thrown<InvalidArgument>(
        [&] { static_cast<void>(start({.path = folder.path(), .durability = none})); });
    test::raises<InvalidArgument>(
        durable, [&] { static_cast<void>(durable.wait_durable(durable.sequence() + 1)); });
}

TEST_F(InvalidArgumentError, AnExpectedEpochInATransaction) {
    auto tx = bus.transaction();
    tx.write(page, 0, bytes_of("x"));
    raises<InvalidArgument>([&] { tx.commit({.expected = Epoch{0}}); });
}

TEST_F(InvalidArgumentError, AConfigThatCannotBe) {
    const TempFolder folder;
    using namespace std::chrono_literals;
    const auto refused = [](const Config& config) {
        thrown<InvalidArgument>([&] { static_cast<void>(start(config)); });
    };
    refused({.open = Open::existing});
    refused({.open = Open::read_only});
    refused({.path = folder.path(), .enable_logging = false});
    refused({.path = folder.path(), .max_tlog_age = -1s});
    refused({.path = folder.path(), .checkpoint_interval = -1s});
    refused({.interval = 0ms});
    refused({.lock_timeout = -1ms});
    refused({.page_size_default = (std::size_t{1} << 40U) + 1});
    const std::string long_source(256, 's');
    refused({.source = long_source});
    EXPECT_FALSE(fs::exists(folder.path()));
}

// ---- PageNotFound
// ---------------------------------------------------------------------------------

TEST_F(PageNotFoundError, ByNameSaysWhatIsNear) {
    const auto e = raises<PageNotFound>([&] { static_cast<void>(bus.page("couter")); });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->name(), "couter");
    EXPECT_EQ(e->deleted_at(), Sequence::zero);
    EXPECT_NE(std::string(e->what()).find("did you mean \"counter\"?"), std::string::npos)
        << e->what();
    const auto far = raises<PageNotFound>([&] { static_cast<void>(bus.page("entirely else")); });
    EXPECT_EQ(std::string(far->what()).find("did you mean"), std::string::npos);
}

TEST_F(PageNotFoundError, OfADeletedPageSaysWhen) {
    page.write(0, bytes_of("x"));
    const auto done = bus.delete_page(page);
    other.write(0, bytes_of("y"));
    const auto expect = [&](auto call) {
        const auto e = raises<PageNotFound>(call);
        ASSERT_TRUE(e);
        EXPECT_EQ(e->page(), page.id());
        EXPECT_EQ(e->deleted_at(), done.sequence);
    };
    expect([&] { static_cast<void>(page.read()); });
    expect([&] { static_cast<void>(page.info()); });
    expect([&] { static_cast<void>(page.size()); });
    expect([&] { static_cast<void>(page.epoch()); });
    expect([&] { static_cast<void>(page.peek([](auto) { return 1; })); });
    expect([&] { page.write(0, bytes_of("z")); });
    expect([&] { page.update(Bytes(8)); });
    expect([&] { page.update([](std::span<std::byte>) {}); });
    expect([&] { page.resize(1); });
    expect([&] { page.rename("x"); });
    expect([&] { page.set_metadata("k", "v"); });
    expect([&] { page.apply(diff(Bytes(8), Bytes(8))); });
    expect([&] { static_cast<void>(page.clone()); });
    expect([&] { static_cast<void>(page.history()); });
    expect([&] { bus.delete_page(page); });
    expect([&] { static_cast<void>(bus.page(page.id())); });
    expect([&] { static_cast<void>(bus.snapshot({page})); });
    expect([&] { bus.transact([&](Transaction& tx) { static_cast<void>(tx.read(page)); }); });
    expect([&] { bus.transact([&](Transaction& tx) { tx.write(page, 0, bytes_of("x")); }); });
    EXPECT_FALSE(bus.find_page(page.id()).has_value());
}

TEST_F(PageNotFoundError, OfAPageDeletedAfterItWasStaged) {
    auto tx = bus.transaction();
    tx.write(page, 0, bytes_of("x"));
    bus.delete_page(page);
    raises<PageNotFound>([&] { tx.commit(); });
}

TEST_F(PageNotFoundError, OfAHandleThatIsNoPage) {
    raises<PageNotFound>([] { static_cast<void>(Page().read()); });
    raises<PageNotFound>([&] { static_cast<void>(bus.page(PageId{77})); });
}

// ---- WrongContext
// ---------------------------------------------------------------------------------

TEST_F(WrongContextError, ACommitInsideAnEdit) {
    raises<WrongContext>(
        [&] { page.update([&](std::span<std::byte>) { other.write(0, bytes_of("x")); }); });
    raises<WrongContext>([&] { page.update([&](std::span<std::byte>) { bus.create_page(1); }); });
    raises<WrongContext>(
        [&] { page.update([&](std::span<std::byte>) { bus.transact([](Transaction&) {}); }); });
    page.write(0, bytes_of("y"));  // outside again
}

TEST_F(WrongContextError, ACommitThatGoesPastItsTransaction) {
    raises<WrongContext>(
        [&] { bus.transact([&](Transaction&) { other.write(0, bytes_of("x")); }); });
    raises<WrongContext>([&] { bus.transact([&](Transaction& tx) { tx.commit(); }); });
    // Another bus is none of its business.
    const auto elsewhere = start();
    bus.transact([&](Transaction&) { elsewhere.create_page(1); });
    EXPECT_EQ(elsewhere.pages().size(), 1U);
}

TEST_F(WrongContextError, AHandleInAForkedChild) {
    Child child([&] {
        try {
            static_cast<void>(page.read());
        } catch (const WrongContext&) {
            try {
                static_cast<void>(bus.sequence());
            } catch (const WrongContext&) {
                return 0;
            }
        }
        return 1;
    });
    EXPECT_EQ(child.wait(), 0);
}

TEST(AForkedChild, OpensTheBusForItself) {
    const TempFolder folder;
    auto bus = start(at(folder));
    const auto page = bus.create_page(8, {.name = "p"});
    Child child([&] {
        auto mine = start(at(folder));
        mine.page("p").write(0, bytes_of("child"), {.durability = Durability::sync});
        stop(std::move(mine));
        return 0;
    });
    EXPECT_EQ(child.wait(), 0);
    EXPECT_EQ(text_of(page.read()), "child");
    page.write(0, bytes_of("parent"));
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
}

TEST(AThreadWithoutAScope, HasNoCurrentState) {
    thrown<WrongContext>([] { static_cast<void>(Scope::current()); });
}

// ---- InvalidDelta, Conflict
// -------------------------------------------------------------------------

TEST_F(InvalidDeltaError, OfAnotherSizeOrUnreadable) {
    const auto delta = diff(Bytes(4), to_bytes("abcd"));
    const auto e = raises<InvalidDelta>([&] { page.apply(delta); });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->page(), page.id());
    EXPECT_EQ(e->expected(), "8 bytes");
    EXPECT_EQ(e->found(), "4");
    auto tx = bus.transaction();
    raises<InvalidDelta>([&] { tx.apply(page, delta); });
    thrown<InvalidDelta>([] { static_cast<void>(Delta::decode(bytes_of("no delta"))); });
    thrown<InvalidDelta>([&] { static_cast<void>(merge(delta, diff(Bytes(5), Bytes(5)))); });
    Bytes wrong(5);
    thrown<InvalidDelta>([&] { delta.apply_to(wrong); });
}

TEST_F(ConflictError, AnotherEpochThanTheExpectedOne) {
    page.write(0, bytes_of("x"));
    const auto e = raises<Conflict>([&] { page.write(0, bytes_of("y"), {.expected = Epoch{0}}); });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->page(), page.id());
    raises<Conflict>([&] { page.update(Bytes(8), {.expected = Epoch{2}}); });
    raises<Conflict>(
        [&] { page.update([](std::span<std::byte> b) { b[0] = {}; }, {.expected = Epoch{0}}); });
    raises<Conflict>([&] { bus.delete_page(page, {.expected = Epoch{0}}); });
    raises<Conflict>([&] { page.rename("n", {.expected = Epoch{0}}); });
    EXPECT_TRUE(page.write(0, bytes_of("y"), {.expected = Epoch{1}}).changed());
    EXPECT_TRUE(
        page.update([](std::span<std::byte> b) { b[0] = {}; }, {.expected = Epoch{2}}).changed());
}

TEST_F(ConflictError, AnEditThatIsDisturbedTooOften) {
    int runs = 0;
    const auto e = thrown<Conflict>([&] {
        page.update(
            [&](std::span<std::byte> bytes) {
                ++runs;
                std::thread([&] { page.write(0, pattern(8, static_cast<unsigned>(runs))); }).join();
                bytes[0] = std::byte{0};
            },
            {.attempts = 3});
    });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->page(), page.id());
    EXPECT_EQ(runs, 3);
    EXPECT_EQ(page.read(), pattern(8, 3));
}

// ---- OutOfSpace without faults
// ------------------------------------------------------------------------

TEST_F(OutOfSpaceError, OfTheAddressRoom) {
    const auto e = raises<OutOfSpace>([&] { bus.create_page(std::size_t{1} << 40U); });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->where(), "address space");
    EXPECT_EQ(e->needed(), std::uint64_t{1} << 40U);
    EXPECT_LT(e->available(), e->needed());
    EXPECT_GT(e->available(), 0U);
    raises<OutOfSpace>([&] { page.resize(std::size_t{1} << 40U); });
    page.resize(100);
    EXPECT_TRUE(bus.verify().good);
}

TEST_F(OutOfSpaceError, OfSourceNames) {
    for (int i = 0; i < 65534; ++i)  // and the program's own
        page.write(0, pattern(8, static_cast<unsigned>(i)),
                   {.source = "source " + std::to_string(i)});
    const auto e =
        raises<OutOfSpace>([&] { page.write(0, bytes_of("new"), {.source = "one more"}); });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->where(), "source names");
    EXPECT_EQ(e->available(), 65535U);
    page.write(0, bytes_of("old"), {.source = "source 17"});
}

// ---- BusClosed, ReadOnly
// ------------------------------------------------------------------------------

TEST_F(BusClosedError, EveryHandleOfAStoppedBus) {
    auto tx = bus.transaction();
    tx.write(page, 0, bytes_of("x"));
    const auto view = bus.at(Sequence{1});
    auto history = page.history();
    stop(std::move(bus));
    EXPECT_EQ(thrown<BusClosed>([&] { static_cast<void>(page.read()); })->code(),
              ErrorCode::closed);
    thrown<BusClosed>([&] { page.write(0, bytes_of("x")); });
    thrown<BusClosed>([&] { tx.commit(); });
    thrown<BusClosed>([&] { static_cast<void>(view.bytes(page)); });
    thrown<BusClosed>([&] {
        for (const auto& change : history) static_cast<void>(change);
    });
    // Another bus in the same slot is not taken for it.
    bus = start();
    bus.create_page(8);
    thrown<BusClosed>([&] { static_cast<void>(page.read()); });
}

}  // namespace
}  // namespace mmsb::test
