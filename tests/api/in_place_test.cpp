// A handle remembers where its page's bytes were when it was made, and reads go there first. What
// they find is right all the same, wherever the page is by now, and whatever lies there instead.
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <array>
#include <limits>
#include <optional>

namespace mmsb::test {
namespace {

enum class Kind : std::uint8_t { path, in_memory, no_log };

class ReadingInPlace : public testing::TestWithParam<Kind> {
protected:
    ReadingInPlace() {
        auto config = GetParam() == Kind::path ? at(folder_) : Config{};
        config.enable_logging = GetParam() != Kind::no_log;
        bus_ = start(config);
    }
    // Through the handle, in each way that there is.
    static void expect(const Page& page, const Bytes& wanted) {
        Bytes out(wanted.size());
        page.read_into(out);
        EXPECT_EQ(out, wanted);
        EXPECT_EQ(page.read(), wanted);
        EXPECT_EQ(page.peek([](auto bytes) { return Bytes(bytes.begin(), bytes.end()); }), wanted);
        const auto half = wanted.size() / 2;
        Bytes rest(wanted.size() - half);
        page.read_into(rest, half);
        EXPECT_TRUE(std::ranges::equal(rest, std::span(wanted).subspan(half)));
    }

    TempFolder folder_{};
    std::optional<State> bus_{};
};

TEST_P(ReadingInPlace, FindsAPageThatMovedAndWhoseOldPlaceIsAnotherPages) {
    const auto page = bus_->create_page(1000, {.contents = pattern(1000, 9)});
    page.resize(5000);
    page.update(pattern(5000, 1));
    for (unsigned n = 2; n != 6; ++n) bus_->create_page(1000, {.contents = pattern(1000, n)});
    expect(page, pattern(5000, 1));
}

TEST_P(ReadingInPlace, FindsAPageThatMovedAndCameBack) {
    const auto page = bus_->create_page(1000, {.contents = pattern(1000, 9)});
    page.resize(5000);
    page.resize(900);
    page.update(pattern(900, 1));
    expect(page, pattern(900, 1));
}

TEST_P(ReadingInPlace, DoesNotTakeThePageThatCameInsteadOfItsOwn) {
    const auto gone = bus_->create_page(1000, {.contents = pattern(1000, 9)});
    bus_->delete_page(gone);
    std::optional<Page> next;
    for (unsigned n = 1; n != 4; ++n)
        next = bus_->create_page(1000, {.contents = pattern(1000, n)});
    Bytes out(1000);
    thrown<PageNotFound>([&] { gone.read_into(out); });
    thrown<PageNotFound>([&] { static_cast<void>(gone.peek([](auto) { return true; })); });
    expect(*next, pattern(1000, 3));
}

TEST_P(ReadingInPlace, StaysWithinThePage) {
    const auto first = bus_->create_page(1000, {.contents = pattern(1000, 9)});
    const auto page = bus_->create_page(1000, {.contents = pattern(1000, 1)});
    Bytes out(8, std::byte{7}), none;
    constexpr auto most = std::numeric_limits<std::size_t>::max();
    for (const std::size_t offset : {std::size_t{993}, std::size_t{1000}, most - 7, most - 63,
                                     most - 1023, most - 2047, most / 2, most})
        thrown<InvalidArgument>([&] { page.read_into(out, offset); });
    EXPECT_EQ(out, Bytes(8, std::byte{7}));
    page.read_into(none, 1000);
    thrown<InvalidArgument>([&] { page.read_into(none, 1001); });
    page.read_into(out, 992);
    const auto whole = pattern(1000, 1);
    EXPECT_TRUE(std::ranges::equal(out, std::span(whole).subspan(992)));
    expect(first, pattern(1000, 9));
}

TEST_P(ReadingInPlace, ReadsPagesOfAllSizes) {
    for (const std::size_t size : {1U, 63U, 64U, 65U, 4096U, 65'536U, 65'537U, 200'000U}) {
        const auto page = bus_->create_page(size, {.contents = pattern(size, 9)});
        expect(page, pattern(size, 9));
        page.update(pattern(size, 1));
        expect(page, pattern(size, 1));
    }
}

std::string name_of(const testing::TestParamInfo<Kind>& made) {
    constexpr std::array names{"Path", "InMemory", "NoLog"};
    return names[static_cast<std::size_t>(made.param)];
}
INSTANTIATE_TEST_SUITE_P(All, ReadingInPlace,
                         testing::Values(Kind::path, Kind::in_memory, Kind::no_log), name_of);

}  // namespace
}  // namespace mmsb::test
