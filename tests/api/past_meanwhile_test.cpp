// The past, read while others commit and drop what is older: what is given is right and whole, or
// it is said that it is no longer kept.
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

namespace mmsb::test {
namespace {

// One page holds the number of the newest commit, written by one thread, and another lets go of
// all but the last commits.
class Meanwhile : public testing::Test {
protected:
    static constexpr std::size_t size = 300;

    Meanwhile() {
        writer_ = std::thread([this] {
            while (!done_) counter_.update(pattern_of(bus_.sequence() + 1));
        });
        dropper_ = std::thread([this] {
            while (!done_)
                if (const auto now = number(bus_.sequence()); now > number(bus_.oldest()) + 60)
                    bus_.compact(Sequence{now - 30});
        });
    }
    ~Meanwhile() override {
        done_ = true;
        writer_.join();
        dropper_.join();
    }
    static Bytes pattern_of(Sequence sequence) {
        return pattern(size, static_cast<unsigned>(number(sequence)));
    }
    // Of moments that were kept a moment ago. Returns how often that held until the end.
    template <class Look>
    int look(const Look& look) {
        constexpr int times = 300;
        int kept = 0;
        for (int i = 0; i != times; ++i) {
            const auto oldest = number(bus_.oldest()), now = number(bus_.sequence());
            const Sequence at{oldest + 1 + random_() % std::max<std::uint64_t>(now - oldest, 1)};
            if (at > bus_.sequence()) continue;
            try {
                look(at);
                ++kept;
            } catch (const HistoryDropped&) {
                EXPECT_GE(bus_.oldest() + 1, at);
            }
            if (HasFatalFailure()) break;
        }
        return kept;
    }

    TempFolder folder_{};
    State bus_{start_with(at(folder_))};
    Page still_{bus_.create_page(size, {.name = "still", .contents = pattern(size, 7)})};
    Page counter_{bus_.create_page(size, {.name = "counter"})};
    std::mt19937 random_{1};
    std::atomic<bool> done_{false};
    std::thread writer_{}, dropper_{};
};

TEST_F(Meanwhile, PagesAreAsTheyWere) {
    const auto kept = look([&](Sequence then) {
        const auto view = bus_.at(then);
        ASSERT_EQ(view.bytes(still_.id()).size(), size);
        ASSERT_TRUE(std::ranges::equal(view.bytes(still_.id()), pattern(size, 7)));
        if (then <= Sequence{2}) return;
        ASSERT_TRUE(std::ranges::equal(view.bytes(counter_.id()), pattern_of(then)));
        ASSERT_EQ(view.find_page("counter")->id, counter_.id());
        ASSERT_EQ(view.info(counter_.id()).name, "counter");
        ASSERT_EQ(view.pages().size(), 2U);
    });
    EXPECT_GT(kept, 0);
}

TEST_F(Meanwhile, TheLogHasNoGap) {
    const auto kept = look([&](Sequence from) {
        const auto begins = [&](auto stream) {
            const auto first = stream.next(Timeout::zero());
            ASSERT_TRUE(first);
            ASSERT_EQ(first->sequence, from);
        };
        begins(bus_.tlog({.from = from}));
        if (from <= Sequence{2}) return;
        begins(bus_.tlog({.from = from, .pages = {counter_}}));
        begins(counter_.history({.from = from}));
    });
    EXPECT_GT(kept, 0);
}

TEST(TheLogOfTheStructure, HasWhatIsCommittedWhileItIsOpened) {
    const TempFolder folder;
    const auto bus = start_with(at(folder));
    constexpr unsigned pages = 400;
    std::atomic<bool> done = false;
    std::thread maker([&] {
        for (unsigned i = 0; i != pages; ++i) {
            const auto page = bus.create_page(100, {.name = std::to_string(i)});
            page.update(pattern(100, i));
        }
        done = true;
    });
    std::vector<TLog> logs;
    while (!done) {
        logs.push_back(bus.tlog({.structure = true}));
        std::this_thread::yield();
    }
    maker.join();
    for (auto& log : logs) {
        unsigned found = 0;
        while (const auto record = log.next(Timeout::zero())) {
            ASSERT_EQ(record->pages.size(), 1U);
            ASSERT_EQ(record->pages[0].name, std::to_string(found));
            ++found;
        }
        ASSERT_EQ(found, pages);
    }
}

}  // namespace
}  // namespace mmsb::test
