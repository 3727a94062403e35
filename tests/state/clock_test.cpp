#include "api/bus.hpp"
#include "os/process.hpp"
#include "state/cursor.hpp"
#include "support/contents.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

// While it lives the system clock of this process is ahead by so much.
class ShiftedClock {
public:
    explicit ShiftedClock(std::chrono::nanoseconds by) { os::shift_clock(by.count()); }
    ~ShiftedClock() { os::shift_clock(0); }
    ShiftedClock(const ShiftedClock&) = delete;
    ShiftedClock& operator=(const ShiftedClock&) = delete;
};
constexpr auto ten_years = 24h * 3652;

struct Logged {
    std::vector<log::KeptPast> retentions{};
    std::vector<std::int64_t> jumps{};
};
Logged logged(const State& bus) {
    Logged found;
    auto& attachment = detail::Bus::get(detail::Bus::handle_of(bus)).at();
    state::Cursor cursor(attachment, attachment.words().history_lsn.load());
    while (cursor.next()) {
        if (cursor.record().kind == log::RecordKind::retention)
            found.retentions.push_back(*log::read_kept_past(cursor.body()));
        if (cursor.record().kind == log::RecordKind::clock)
            found.jumps.push_back(*log::read_clock_jump(cursor.body()));
    }
    return found;
}

class Clock : public testing::Test {
protected:
    Config config() {
        auto config = at(folder);
        config.checkpoint_interval = 0s;
        config.on_notice = [this](const Notice& notice) {
            if (notice.text.find("clock jumped") != std::string::npos) ++notices;
        };
        return config;
    }
    // The files of the past are dropped between checkpoints.
    static void commit(const State& bus, int times) {
        const auto page = bus.open_page("page", 100);
        for (int i = 0; i < times; ++i)
            page.update(pattern(100, static_cast<unsigned>(number(bus.sequence()))));
        static_cast<void>(bus.checkpoint());
    }
    TempFolder folder{};
    int notices = 0;
};

TEST_F(Clock, ThatGoesOnLetsWhatIsOldEnoughGo) {
    const auto bus = start_with(config());
    bus.set_retention({.age = 10min});
    commit(bus, 20);
    const ShiftedClock later(30min);
    commit(bus, 5);
    bus.compact();
    EXPECT_GE(number(bus.oldest()), 20U);
    EXPECT_EQ(notices, 0);
}

TEST_F(Clock, ThatJumpsDropsNothingForItsAge) {
    auto bus = start_with(config());
    bus.set_retention({.age = 24h * 7});
    commit(bus, 20);
    for (const auto by : {ten_years, -ten_years}) {
        const ShiftedClock jumped(by);
        commit(bus, 5);
        bus.compact();
        EXPECT_EQ(bus.oldest(), Sequence::zero);
        EXPECT_TRUE(bus.retention().age_suspended);
    }
    EXPECT_EQ(notices, 2) << "once for each jump";
    const auto jumps = logged(bus).jumps;
    ASSERT_EQ(jumps.size(), 2U);
    EXPECT_NEAR(static_cast<double>(jumps[0]), 1e9 * 3652 * 86400, 1e9 * 60);
    EXPECT_NEAR(static_cast<double>(jumps[1]), -2e9 * 3652 * 86400, 1e9 * 60);
    EXPECT_TRUE(bus.verify().good);
    const auto before = contents_of(bus);
    stop(std::move(bus));
    bus = start_with(config());  // and the clock is right again: one more jump
    EXPECT_EQ(notices, 3);
    EXPECT_TRUE(bus.retention().age_suspended) << "the bus's, not the process's";
    EXPECT_EQ(contents_of(bus), before);
}

TEST_F(Clock, ThatJumpedCountsAgainOnceARetentionIsSet) {
    const auto bus = start_with(config());
    bus.set_retention({.age = 10min});
    const ShiftedClock jumped(ten_years);
    commit(bus, 20);
    bus.compact();
    EXPECT_TRUE(bus.retention().age_suspended);
    bus.set_retention({.age = 10min});
    EXPECT_FALSE(bus.retention().age_suspended);
    commit(bus, 1);
    const ShiftedClock later(ten_years + 30min);
    commit(bus, 1);
    bus.compact();
    EXPECT_GE(number(bus.oldest()), 20U);
    EXPECT_EQ(notices, 1);
}

TEST_F(Clock, OfAPrivateBusDropsNothingWhenItJumps) {
    const auto fill = [](const State& bus) {
        for (unsigned i = 0; i < 20; ++i) bus.open_page("page", 100).update(pattern(100, i));
    };
    for (const bool jumps : {false, true}) {
        notices = 0;
        auto config = this->config();
        config.path.clear();
        config.max_tlog_age = std::chrono::seconds(600);
        const auto bus = start_with(config);
        fill(bus);
        const ShiftedClock later(jumps ? ten_years : std::chrono::nanoseconds(30min));
        fill(bus);
        EXPECT_EQ(bus.oldest() == Sequence::zero, jumps);
        EXPECT_EQ(notices, jumps ? 1 : 0);
        EXPECT_TRUE(bus.verify().good);
    }
}

TEST_F(Clock, IsLookedAtByWhoOpensTheBus) {
    auto bus = start_with(config());
    bus.set_retention({.age = 1h});
    commit(bus, 3);
    stop(std::move(bus));
    const ShiftedClock jumped(ten_years);
    bus = start_with(config());
    EXPECT_EQ(notices, 1);
    EXPECT_TRUE(bus.retention().age_suspended);
}

TEST_F(Clock, RetentionsAreLogged) {
    auto bus = start_with(config());
    bus.set_retention({.bytes = 1'000'000, .records = 1000, .age = 24h});
    bus.set_retention({});
    const auto limits = logged(bus).retentions;
    ASSERT_EQ(limits.size(), 2U);
    EXPECT_EQ(limits[0].bytes, 1'000'000U);
    EXPECT_EQ(limits[0].records, 1000U);
    EXPECT_EQ(limits[0].seconds, 86'400U);
    EXPECT_EQ(limits[1].bytes + limits[1].records + limits[1].seconds, 0U);
    remove_arena(folder.path());  // and replaying them is nothing special
    const auto before = contents_of(bus);
    stop(std::move(bus));
    bus = start_with(config());
    EXPECT_EQ(contents_of(bus), before);
}

}  // namespace
}  // namespace mmsb::test
