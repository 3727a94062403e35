// Why a derived page is what it is: the way from the commit that caused it.
#include "api/derived.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

namespace mmsb::test {
namespace {

TEST(Why, AsksByWhatThePageWasComputedThen) {
    const TempFolder folder;
    for (const auto& config : {Config{}, at(folder)}) {
        const auto bus = start(config);
        const auto before = bus.create_page(1), after = bus.create_page(1),
                   page = bus.create_page(1);
        before.update(byte(1));
        const auto by_hand = page.update(byte(1)).sequence;
        bus.graph().derive(page, {before}, formula::copy());  // the same bytes
        const auto root = bus.graph().why(page);
        ASSERT_EQ(root.size(), 1U);
        EXPECT_EQ(root[0].change.sequence, by_hand);
        EXPECT_TRUE(root[0].formula.function.empty());
        const auto changed = before.update(byte(2)).sequence;
        after.update(byte(2));
        bus.graph().derive(page, {after}, formula::copy());  // likewise
        const auto causes = bus.graph().why(page);
        ASSERT_EQ(causes.size(), 2U);
        EXPECT_EQ(causes[1].page, before.id());
        EXPECT_EQ(causes[1].change.sequence, changed);
    }
}

TEST(Why, NamesTheWayFromTheCommitThatCausedIt) {
    const auto bus = start({.source = "sensor"});
    add_next(bus);
    const auto a = bus.create_page(1, {.name = "a"}), other = bus.create_page(1),
               b = bus.create_page(1, {.name = "b"}), c = bus.create_page(2);
    bus.graph().derive(b, {a}, formula::call("test.next/1"));
    bus.graph().derive(c, {other, b}, formula::concatenate());
    const auto cause = a.update(byte(9), {.label = "measured"}).sequence;
    other.update(byte(1));
    const auto then = bus.graph().why(c, cause);
    ASSERT_EQ(then.size(), 3U);
    EXPECT_EQ(then[0].page, c.id());
    EXPECT_EQ(then[0].formula.function, "mmsb.concatenate/1");
    EXPECT_EQ(then[1].name, "b");
    EXPECT_EQ(then[2].name, "a");
    EXPECT_TRUE(then[2].formula.function.empty());
    for (const auto& each : then) EXPECT_EQ(each.change.sequence, cause);
    EXPECT_EQ(then[2].change.label, "measured");
    const auto now = bus.graph().why(c);
    ASSERT_EQ(now.size(), 2U);
    EXPECT_EQ(now[1].page, other.id());
    EXPECT_TRUE(bus.graph().why(a, Sequence{1}).empty());
    EXPECT_THROW(static_cast<void>(bus.graph().why(PageId{99})), PageNotFound);
    EXPECT_THROW(static_cast<void>(bus.graph().why(a, Sequence{99})), InvalidArgument);
}

}  // namespace
}  // namespace mmsb::test
