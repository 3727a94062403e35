// A commit is stopped (SIGSTOP) at every named step of it, in every kind of commit. Readers in
// other processes, also read-only ones, see what is committed, and do not wait for it. Whoever
// wants to write, or to have it on the disk, either can or is told who is in the way.
#include "crash/scenes.hpp"
#include "crash/seed.hpp"

#include <gtest/gtest.h>

namespace mmsb::test {
namespace {

constexpr std::chrono::milliseconds lock_timeout{30};
constexpr unsigned longest_s = 20;  // of anything here: it hangs

/// What somebody else's attempt came to.
enum class Attempt : std::uint8_t { done, in_the_way, failed };

struct Findings {
    bool right = false;  ///< It read what is committed.
    Attempt wrote = Attempt::failed, synced = Attempt::failed;
    std::int32_t holder = 0;  ///< Who was in the way.
};

template <class F>
Attempt attempt(const F& work, std::int32_t& holder) {
    try {
        work();
        return Attempt::done;
    } catch (const Busy& e) {
        holder = e.holder();
        return Attempt::in_the_way;
    } catch (const NotDurable& e) {
        constexpr std::string_view in_front = "held by process ";
        const std::string_view what = e.what();
        const auto at = what.find(in_front);
        if (at != std::string_view::npos) holder = std::atoi(what.data() + at + in_front.size());
        return Attempt::in_the_way;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return Attempt::failed;
    }
}

// In a process that has had the bus open since before: looks once told to.
void look(const BusPlace& place, Open open, const Contents& expected, const Pipe& ready,
          const Pipe& go, const Pipe& found) {
    let_timer_rest();
    auto config = place.config(open);
    config.lock_timeout = lock_timeout;
    const auto bus = place.open(config);
    ready.write('r');
    if (!go.read<char>()) return;
    ::alarm(longest_s);
    Findings findings;
    bool named = true;  // looked for by name first: nothing has been followed for it yet
    for (const auto& [id, page] : expected.pages) {
        if (page.name.empty()) continue;
        const auto there = bus.find_page(page.name);
        named = named && there && number(there->id()) == id;
    }
    const auto contents = contents_of(bus);
    findings.right = named && contents == expected;
    if (!findings.right) std::cerr << "found " << contents << '\n';
    if (open != Open::read_only) {
        const auto page = bus.page(PageId{3});
        const auto bytes = pattern(9, 12);
        findings.wrote = attempt([&] { page.write(0, bytes); }, findings.holder);
        if (findings.wrote == Attempt::done)
            findings.synced = attempt(
                [&] { page.write(9, bytes, {.durability = Durability::sync}); }, findings.holder);
    }
    found.write(findings);
}

/// Another process that has the bus open when the commit begins.
class Onlooker {
public:
    Onlooker(const BusPlace& place, Open open, const Contents& expected)
        : child_([&] {
              look(place, open, expected, ready_, go_, found_);
              std::_Exit(0);
              return 0;
          }) {
        ready_.close_writing();
        found_.close_writing();
    }
    [[nodiscard]] bool is_ready() const { return ready_.read<char>().has_value(); }
    void tell() const { go_.write('g'); }
    [[nodiscard]] std::optional<Findings> found() const { return found_.read<Findings>(); }

private:
    Pipe ready_{}, go_{}, found_{};
    Child child_;
};

/// Which locks the commit has at a step of it.
struct Held {
    bool writers = false, files = false;
};
Held held_at(const Stage& stage, std::size_t step) {
    Held held;
    for (std::size_t i = 0; i <= step; ++i) {
        const auto name = name_of(stage.trace()[i]);
        if (name == "lock.taken") held.writers = true;
        if (name == "lock.released") held.writers = false;
        if (name == "files.taken") held.files = true;
        if (name == "files.released") held.files = false;
    }
    return held;
}

// But for the page that the onlookers write to.
Contents but_for_theirs(Contents contents) {
    contents.sequence = 0;
    contents.pages.erase(3);
    return contents;
}

std::string told(const Stage& stage, std::size_t step) {
    return "stopped at " + std::string(name_of(stage.trace()[step])) + ", step " +
           std::to_string(step);
}

class StoppedAtEachStep : public testing::TestWithParam<Scene> {
protected:
    // The writer is stopped there, looked at by the others, and goes on.
    void stop_at(const Stage& stage, std::size_t step) {
        const Pipe go;
        const auto writer =
            stage.start({.action = Action::stop, .nth = static_cast<unsigned>(step) + 1},
                        {.opened = &opened_, .go = &go});
        ASSERT_TRUE(opened_.read<char>());
        const auto& expected = stage.seen_at(step);
        const Onlooker reader(stage.place(), Open::read_only, expected),
            other(stage.place(), Open::existing, expected);
        ASSERT_TRUE(reader.is_ready());
        ASSERT_TRUE(other.is_ready());
        go.write('g');
        const auto pid = writer->pid();
        ASSERT_TRUE(writer->wait_until_stopped());
        // The read-only ones first: the other may write.
        reader.tell();
        const auto seen = reader.found();
        ASSERT_TRUE(seen) << "a reader hangs, or died";
        EXPECT_TRUE(seen->right) << "it should be " << expected;
        {
            const auto late = stage.place().open(Open::read_only);
            EXPECT_EQ(contents_of(late), expected);
        }
        other.tell();
        const auto found = other.found();
        ASSERT_TRUE(found) << "somebody who can write hangs, or died";
        EXPECT_TRUE(found->right) << "it should be " << expected;
        judge(*found, held_at(stage, step), pid);
        writer->signal(SIGCONT);
        ASSERT_EQ(writer->wait(), 0);
        const auto bus = stage.place().open();
        EXPECT_EQ(but_for_theirs(contents_of(bus)), but_for_theirs(stage.after()));
        EXPECT_TRUE(bus.verify().good);
    }

    void judge(const Findings& found, Held held, pid_t writer) {
        if (held.writers) {
            ++busy_;
            EXPECT_EQ(found.wrote, Attempt::in_the_way);
        } else if (found.wrote == Attempt::done) {
            EXPECT_EQ(found.synced, held.files ? Attempt::in_the_way : Attempt::done);
            not_durable_ += held.files ? 1 : 0;
        } else {  // there was no room in the ring, which a stopped flusher does not make
            EXPECT_TRUE(held.files);
            EXPECT_EQ(found.wrote, Attempt::in_the_way);
        }
        if (!held.writers && !held.files) return;
        EXPECT_EQ(found.holder, writer) << "another one is blamed";
    }

    int busy_ = 0, not_durable_ = 0;
    Pipe opened_{};
};

TEST_P(StoppedAtEachStep, ACommitIsInNoReadersWay) {
    const auto& stage = stage_of(GetParam());
    const std::size_t stride = every(4);
    int steps = 0;
    for (auto step = seed() % stride; step < stage.trace().size(); step += stride, ++steps) {
        SCOPED_TRACE(told(stage, step));
        stop_at(stage, step);
        if (HasFailure()) return;
    }
    std::printf("%d of %zu steps; %d times Busy, %d times NotDurable\n", steps,
                stage.trace().size(), busy_, not_durable_);
}

INSTANTIATE_TEST_SUITE_P(Of, StoppedAtEachStep, testing::ValuesIn(scenes()), name_of_scene);

}  // namespace
}  // namespace mmsb::test
