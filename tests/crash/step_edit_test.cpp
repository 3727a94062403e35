// A writer was killed, or is stopped, in the middle of a commit to a page that another one is
// computed from. Whoever edits it next, from what he reads, mends that, or is told who is in the
// way: what is logged and not applied is no conflict.
#include "crash/steps.hpp"
#include "support/child.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

constexpr std::array steps_of_a_commit{"commit.line_busy", "commit.logged", "apply.line_busy",
                                       "apply.bytes", "apply.fields"};

Config patient(const TempFolder& folder) {
    auto config = at(folder);
    config.lock_timeout = 100ms;
    return config;
}

struct Stage {
    explicit Stage(bool by_transaction) : transacts(by_transaction) {
        bus.graph().derive(derived, {source}, formula::copy());
        EXPECT_EQ(bus.graph().depth(), 1U);  // this process knows of it from here on
    }
    // Writes "a" in front, in another process, and gets no further than `step`.
    [[nodiscard]] std::unique_ptr<Child> write_up_to(const char* step, Action action) const {
        return std::make_unique<Child>([&] {
            let_timer_rest();
            const auto mine = start_with(patient(folder));
            const auto page = mine.page("s");
            arm({.action = action, .step = step});
            page.write(0, bytes_of("a"));
            disarm();
            return 0;
        });
    }
    // Puts "b" behind what there is.
    void edit() const {
        const auto append = [](std::span<std::byte> bytes) { bytes[1] = std::byte{'b'}; };
        if (!transacts) {
            source.update(append);
            return;
        }
        bus.transact([&](Transaction& tx) {
            auto bytes = tx.read(source);
            append(bytes);
            tx.update(source, bytes);
        });
    }
    void expect(std::string_view text) const {
        EXPECT_EQ(text_of(source.read()), text);
        EXPECT_EQ(text_of(derived.read()), text);
        EXPECT_TRUE(bus.verify({.recompute_every = 1}).good);
    }

    bool transacts;
    TempFolder folder{};
    State bus = start_with(patient(folder));
    Page source = bus.create_page(8, {.name = "s", .contents = bytes_of("........")});
    Page derived = bus.create_page(8, {.name = "d"});
};

class AnEditBehindHalfACommit : public testing::TestWithParam<bool> {};

// (At commit.line_busy it is not logged yet, and was none.)
TEST_P(AnEditBehindHalfACommit, MendsWhatAKilledWriterHasLeft) {
    for (const auto* step : steps_of_a_commit) {
        SCOPED_TRACE(step);
        const Stage stage(GetParam());
        const auto writer = stage.write_up_to(step, Action::kill);
        ASSERT_EQ(writer->wait(), -SIGKILL);
        stage.edit();
        stage.expect(std::string_view(step) == "commit.line_busy" ? ".b......" : "ab......");
    }
}

TEST_P(AnEditBehindHalfACommit, SaysWhoIsInTheWay) {
    for (const auto* step : steps_of_a_commit) {
        SCOPED_TRACE(step);
        const Stage stage(GetParam());
        const auto writer = stage.write_up_to(step, Action::stop);
        const auto pid = writer->pid();
        ASSERT_TRUE(writer->wait_until_stopped());
        const auto error = thrown<Busy>([&] { stage.edit(); });
        EXPECT_TRUE(error && error->holder() == pid);
        writer->signal(SIGCONT);
        ASSERT_EQ(writer->wait(), 0);
        stage.edit();
        stage.expect("ab......");
    }
}

INSTANTIATE_TEST_SUITE_P(ByTransaction, AnEditBehindHalfACommit, testing::Bool());

}  // namespace
}  // namespace mmsb::test
