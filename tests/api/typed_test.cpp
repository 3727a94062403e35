// Pages seen as a T, or as many T.
#include "support/raises.hpp"

#include <gtest/gtest.h>

namespace mmsb::test {
namespace {

struct Pose {
    static constexpr std::string_view mmsb_type = "pose.v1";
    double x = 0, y = 0;
    std::uint64_t tick = 0;
};
struct Other {
    static constexpr std::string_view mmsb_type = "other.v1";
    double a = 0, b = 0, c = 0;
};
struct Untyped {
    std::uint64_t a = 0, b = 0, c = 0;
};
struct Padded {
    char c;
    int i;
};
struct alignas(32) Aligned {
    double lanes[4];
};

static_assert(Plain<Pose> && !Plain<Padded> && !Plain<Aligned> && !Plain<int*> &&
              !Plain<std::string>);
static_assert(EditOf<decltype([](Pose&) {}), Pose>);
static_assert(!EditOf<decltype([](Pose) {}), Pose> && !EditOf<decltype([](const Pose&) {}), Pose>);

TEST(TypedPages, AValueComesBack) {
    const auto bus = start();
    const auto pose = bus.create<Pose>({.name = "pose"});
    pose.update(Pose{.x = 1, .y = 2, .tick = 3});
    EXPECT_EQ(pose.read().y, 2);
    const auto done = pose.update([](Pose& p) { p.tick += 1; });
    EXPECT_EQ(done.changed_bytes, 1U);
    const auto now = pose.read_versioned();
    EXPECT_EQ(now.value.tick, 4U);
    EXPECT_EQ(now.version.epoch, Epoch{2});
    EXPECT_EQ(pose.page().info().metadata.at("mmsb_type"), "pose.v1");
}

TEST(TypedPages, ThatWereResizedAreNeitherEditedNorReadBeyondTheirEnd) {
    const auto bus = start();
    const auto pose = bus.create<Pose>({.name = "pose"});
    const auto committed = pose.page().resize(8).sequence;
    bool ran = false;
    thrown<InvalidArgument>([&] { pose.update([&](Pose& p) { p.tick = ran = true; }); });
    thrown<InvalidArgument>([&] { pose.update(Pose{}); });
    thrown<InvalidArgument>([&] { static_cast<void>(pose.read()); });
    thrown<InvalidArgument>([&] { static_cast<void>(bus.transaction().read(pose)); });
    EXPECT_FALSE(ran);
    EXPECT_EQ(bus.sequence(), committed);
    pose.page().resize(100);
    EXPECT_EQ(pose.read().tick, 0U);
    thrown<InvalidArgument>([&] { pose.update([&](Pose& p) { p.tick = ran = true; }); });
    EXPECT_FALSE(ran);
}

TEST(TypedPages, ManyValuesComeBack) {
    const auto bus = start();
    const auto row = bus.create<std::uint32_t[]>(5);
    EXPECT_EQ(row.count(), 5U);
    row.update(std::vector<std::uint32_t>{1, 2, 3, 4, 5});
    row.write(1, std::vector<std::uint32_t>{20, 30});
    row.update([](std::span<std::uint32_t> all) { all[4] = 50; });
    EXPECT_EQ(row.read(), (std::vector<std::uint32_t>{1, 20, 30, 4, 50}));
    std::array<std::uint32_t, 2> part{};
    row.read_into(part, 2);
    EXPECT_EQ(part, (std::array<std::uint32_t, 2>{30, 4}));
}

TEST(TypedPages, OpeningATypedPageAgainChecksItsType) {
    const auto bus = start();
    const auto pose = bus.open<Pose>("pose");
    EXPECT_EQ(bus.open<Pose>("pose").id(), pose.id());
    EXPECT_EQ(bus.page<Pose>("pose").id(), pose.id());
    EXPECT_EQ(bus.open<Untyped>("pose").id(),
              pose.id());  // has no name for its type: only its size is checked
    const auto name = raises<TypeMismatch>(bus, [&] { bus.open<Other>("pose"); });
    EXPECT_EQ(name->page(), pose.id());
    EXPECT_EQ(name->expected(), "other.v1");
    EXPECT_EQ(name->found(), "pose.v1");
    raises<TypeMismatch>(bus, [&] { static_cast<void>(bus.page<std::uint64_t>("pose")); });
    const auto size = raises<TypeMismatch>(bus, [&] { bus.open<std::uint64_t>("pose"); });
    EXPECT_EQ(size->page(), pose.id());
    EXPECT_EQ(size->expected(), "8 bytes");
    EXPECT_EQ(size->found(), "24 bytes");
    raises<TypeMismatch>(bus, [&] { bus.open<std::uint64_t[]>("pose", 4); });
    raises<InvalidArgument>(bus, [&] { bus.open<Pose>(""); });
    EXPECT_EQ(bus.page<std::uint64_t[]>("pose").count(), 3U);
}

TEST(TypedPages, AViewGivesValues) {
    const auto bus = start();
    const auto n = bus.create<std::uint64_t>();
    const auto row = bus.create<std::uint16_t[]>(3);
    n.update(5);
    row.update(std::vector<std::uint16_t>{1, 2, 3});
    const auto then = bus.snapshot({n, row});
    n.update(6);
    row.write(0, std::vector<std::uint16_t>{9});
    EXPECT_EQ(then.get(n), 5U);
    EXPECT_EQ(then.get(row)[0], 1U);
    EXPECT_EQ(bus.snapshot().get(n), 6U);
    EXPECT_EQ(bus.at(then.sequence()).get(row), (std::vector<std::uint16_t>{1, 2, 3}));
}

TEST(TypedPages, TransactionsReadAndUpdateValues) {
    const auto bus = start();
    const auto n = bus.create<std::int64_t>();
    const auto row = bus.create<std::int64_t[]>(2);
    bus.transact([&](Transaction& tx) {
        tx.update(n, tx.read(n) + 4);
        tx.update(n, [](std::int64_t& v) { v *= 2; });
        auto all = tx.read(row);
        all[1] = tx.read(n);
        tx.update(row, all);
        tx.update(row, [](std::span<std::int64_t> values) { values[0] = -1; });
    });
    EXPECT_EQ(n.read(), 8);
    EXPECT_EQ(row.read(), (std::vector<std::int64_t>{-1, 8}));
    EXPECT_EQ(bus.sequence(), Sequence{3});
}

}  // namespace
}  // namespace mmsb::test
