// The past is dropped in the middle of a look at it: before each call of the operating system that
// the look makes, in turn. What is kept nevertheless is found; else it is said that it is dropped.
#include "support/faults.hpp"
#include "support/sanitizers.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <thread>
#include <tuple>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

enum class Keeps : std::uint8_t { what_is_asked_for, nothing };

// And of pages of so many bytes: what is dropped is in one segment, or in several.
class Dropped : public testing::TestWithParam<std::tuple<Keeps, std::size_t>> {
protected:
    const Keeps keeps = std::get<0>(GetParam());
    const std::size_t size = std::get<1>(GetParam());
    static constexpr unsigned more = 90;

    [[nodiscard]] Bytes pattern_of(Sequence sequence) const {
        return pattern(size, static_cast<unsigned>(number(sequence)));
    }
    void commit(unsigned count) {
        for (; count != 0; --count) {
            const auto next = bus_.sequence() + 1;
            if (count % 10 == 0)
                named_.rename(std::to_string(number(next)));
            else
                page_.update(pattern_of(next));
        }
        bus_.wait_durable(bus_.sequence());
    }
    void drop(Sequence then) { bus_.compact(keeps == Keeps::nothing ? bus_.sequence() : then - 5); }
    // `look(then)`, of a commit of page_.
    template <class Look>
    void at_each_call(const Look& look) {
        const auto mine = std::this_thread::get_id();
        unsigned calls = 0;
        for (unsigned nth = 1; calls + 1 >= nth; nth += cases(1U, 3U) + nth / 32) {
            commit(more);
            const auto then = bus_.sequence() - 25 + (number(bus_.sequence()) % 10 == 5 ? 1 : 0);
            rare_then_ = rare_.read();
            rare_.update(pattern_of(bus_.sequence() + 1));
            for (int i = 0; i != 2; ++i) {  // the log is kept back to the second newest
                commit(more / 2);
                bus_.checkpoint();
            }
            calls = 0;
            std::future<void> dropping;
            try {
                const Faults faults([&](os::Call, std::string_view) {
                    if (std::this_thread::get_id() != mine || ++calls != nth) return 0;
                    dropping = std::async(std::launch::async, [&] { drop(then); });
                    // (Whoever looks may hold what that waits for.)
                    static_cast<void>(dropping.wait_for(100ms));
                    return 0;
                });
                look(then);
            } catch (const HistoryDropped&) {
                EXPECT_EQ(keeps, Keeps::nothing) << nth;
            }
            if (dropping.valid()) dropping.get();
            if (HasFatalFailure()) return;
        }
        EXPECT_GT(calls, 0U);
    }

    TempFolder folder_{};
    State bus_{start_with(at(folder_))};
    Page page_{bus_.create_page(size)}, named_{bus_.create_page(8)};
    Page rare_{bus_.create_page(size)};  // changes once behind each commit that is asked for
    Bytes rare_then_{};
};

TEST_P(Dropped, APageIsFound) {
    at_each_call([&](Sequence then) {
        ASSERT_TRUE(std::ranges::equal(bus_.at(then).bytes(page_), pattern_of(then)));
    });
}

TEST_P(Dropped, APageThatHardlyChangesIsFound) {
    at_each_call([&](Sequence then) {
        ASSERT_TRUE(std::ranges::equal(bus_.at(then).bytes(rare_), rare_then_));
    });
}

TEST_P(Dropped, NamesAndTimesAreFound) {
    at_each_call([&](Sequence then) {
        const auto view = bus_.at(then);
        const auto name = view.info(named_.id()).name;
        ASSERT_LE(std::stoull(name), number(then));
        ASSERT_GT(std::stoull(name) + 20, number(then));
        ASSERT_EQ(view.find_page(name)->id, named_.id());
        ASSERT_LE(view.time(), bus_.at(bus_.sequence()).time());
    });
}

TEST_P(Dropped, LogsAndHistoriesBeginWhereTheyAreAskedTo) {
    const auto begins = [](auto stream, Sequence from) {
        const auto first = stream.next(Timeout::zero());
        ASSERT_TRUE(first);
        ASSERT_EQ(first->sequence, from);
    };
    at_each_call([&](Sequence then) { begins(bus_.tlog({.from = then}), then); });
    at_each_call([&](Sequence then) { begins(bus_.tlog({.from = then, .pages = {page_}}), then); });
    at_each_call([&](Sequence then) { begins(page_.history({.from = then}), then); });
}

TEST_P(Dropped, TheStructureGoesOnFromWhatItWas) {
    at_each_call([&](Sequence then) {
        auto log = bus_.tlog({.from = then, .structure = true});
        const auto first = log.next(Timeout::zero());
        ASSERT_TRUE(first);
        ASSERT_EQ(first->pages.size(), 1U);
        ASSERT_EQ(first->pages[0].name, std::to_string(number(first->sequence)));
        ASSERT_LT(number(first->sequence), number(then) + 20);
    });
}

INSTANTIATE_TEST_SUITE_P(Meanwhile, Dropped,
                         testing::Combine(testing::Values(Keeps::what_is_asked_for, Keeps::nothing),
                                          testing::Values(300U, 3000U)));

}  // namespace
}  // namespace mmsb::test
