/// tests/crash/scenes: buses at chosen places of their log, and single commits on them of every
/// kind, to be interrupted.
#pragma once

#include "crash/saved_bus.hpp"
#include "crash/steps.hpp"
#include "state/cursor.hpp"
#include "support/child.hpp"
#include "support/contents.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace mmsb::test {

[[nodiscard]] inline state::Attachment& attachment_of(const State& bus) {
    return detail::Bus::get(detail::Bus::handle_of(bus)).at();
}

/// Blob files, and the records that have one: as many, or a blob is nobody's.
[[nodiscard]] inline std::pair<std::size_t, std::size_t> blobs_and_owners(const State& bus) {
    auto& at = attachment_of(bus);
    std::size_t owners = 0;
    state::Cursor cursor(at, at.words().history_lsn.load());
    while (cursor.next()) owners += static_cast<std::size_t>(cursor.record().blob.has_value());
    return {at.segments->blobs().size(), owners};
}

/// A commit of one kind; the same bytes each time.
struct Scene {
    const char* name;
    std::function<void(const State&)> commit;
    /// In a process before, which dies afterwards: brings the bus to the place in question.
    std::function<void(const State&)> before{};
};

/// What all scenes begin with. The log is on its third lap of the ring, in its second segment.
inline void make_pages(const State& bus) {
    for (const auto& [name, size] :
         std::initializer_list<std::pair<const char*, std::size_t>>{{"a", 200},
                                                                    {"b", 5000},
                                                                    {"c", 64},
                                                                    {"grows", 300},
                                                                    {"shrinks", 9000},
                                                                    {"stays", 100},
                                                                    {"doomed", 700},
                                                                    {"large", 40'000},
                                                                    {"source", 64}})
        bus.create_page(size, {.name = name, .contents = pattern(size)});
    const auto derived = bus.create_page(64, {.name = "derived"});
    bus.graph().derive(derived, {bus.page("source")}, formula::copy());
    bus.graph().derive(bus.create_page(4, {.name = "sum of it"}), {derived}, formula::checksum());
    const auto& words = attachment_of(bus).words();
    const auto a = bus.page("a"), b = bus.page("b");
    for (unsigned n = 2; words.logged.load() < 4 * small.ring_size + 20'000; ++n) {
        bus.transact([&](Transaction& tx) {
            tx.update(a, pattern(200, n));
            tx.write(b, 0, pattern(1000, n));
        });
    }
}

/// Commits until fewer than `least` bytes are left of what `left` says.
inline void commit_until(const State& bus, std::uint64_t least,
                         const std::function<std::uint64_t()>& left) {
    const auto a = bus.page("a");
    for (unsigned n = 1000; left() >= least; ++n) a.update(pattern(200, n));
}

inline std::uint64_t left_of_segment(const State& bus) {
    auto& at = attachment_of(bus);
    const auto logged = at.words().logged.load();
    return at.segments->end_of(*at.segments->find(logged)) - logged;
}
inline std::uint64_t left_of_ring(const State& bus) {
    const auto& at = attachment_of(bus);
    return at.words().flushed.load() + at.arena->ring_size() - at.words().logged.load();
}

inline void change_everything(const State& bus) {
    bus.transact([&](Transaction& tx) {
        tx.delete_page(bus.page("doomed"));
        tx.create_page(
            3000, {.name = "doomed", .metadata = {{"made", "anew"}}, .contents = pattern(2000, 5)});
        tx.resize(bus.page("grows"), 6000);
        tx.write(bus.page("grows"), 250, pattern(500, 6));
        tx.resize(bus.page("shrinks"), 90);
        tx.write(bus.page("shrinks"), 0, pattern(40, 7));
        tx.resize(bus.page("stays"), 120);
        tx.write(bus.page("stays"), 90, pattern(30, 8));
        tx.rename(bus.page("c"), "renamed");
        tx.set_metadata(bus.page("b"), "key", "value");
        tx.write(bus.page("b"), 100, pattern(300, 9));
        tx.update(bus.page("a"), pattern(200, 10));
    });
}

[[nodiscard]] inline const std::vector<Scene>& scenes() {
    static const std::vector<Scene> all = {
        {"one page", [](const State& bus) { bus.page("a").write(10, pattern(100, 77)); }},
        {"two pages",
         [](const State& bus) {
             bus.transact([&](Transaction& tx) {
                 tx.update(bus.page("a"), pattern(200, 78));
                 tx.update(bus.page("b"), pattern(5000, 78));
             });
         }},
        {"create",
         [](const State& bus) {
             bus.create_page(2000, {.name = "new", .contents = pattern(1500, 3)});
         }},
        {"delete", [](const State& bus) { bus.delete_page(bus.page("doomed")); }},
        {"grow", [](const State& bus) { bus.page("grows").resize(20'000); }},
        {"shrink", [](const State& bus) { bus.page("shrinks").resize(64); }},
        {"grow in place", [](const State& bus) { bus.page("stays").resize(128); }},
        {"empty", [](const State& bus) { bus.page("shrinks").resize(0); }},
        {"rename", [](const State& bus) { bus.page("c").rename("d"); }},
        {"everything", change_everything},
        {"derived pages", [](const State& bus) { bus.page("source").write(10, pattern(9, 75)); }},
        {"stale pages",
         [](const State& bus) {
             bus.page("source").write(10, pattern(9, 76), {.propagation = Propagation::deferred});
         }},
        {"a formula",
         [](const State& bus) {
             bus.transact([&](Transaction& tx) {
                 tx.derive(bus.page("stays"), {bus.page("a")}, formula::slice(20, 100));
                 tx.add_dependency(bus.page("source"), bus.page("b"), EdgeType::compiler);
                 tx.write(bus.page("source"), 0, pattern(64, 74));
             });
         }},
        {"deleting a parent", [](const State& bus) { bus.delete_page(bus.page("source")); }},
        {"by somebody else",
         [](const State& bus) {
             bus.page("a").write(0, pattern(64, 79), {.source = "somebody", .label = "else"});
         }},
        {"created by somebody else",
         [](const State& bus) {
             bus.transact([&](Transaction& tx) { tx.create_page(100, {.name = "theirs"}); },
                          {.source = "somebody"});
         }},
        {"blob", [](const State& bus) { bus.page("large").update(pattern(40'000, 80)); }},
        {"blob of pages",
         [](const State& bus) {
             bus.transact([&](Transaction& tx) {
                 tx.update(bus.page("large"), pattern(40'000, 81));
                 tx.create_page(30'000, {.name = "huge", .contents = pattern(30'000, 82)});
                 tx.delete_page(bus.page("doomed"));
             });
         }},
        {"sync",
         [](const State& bus) {
             bus.page("a").write(0, pattern(50, 83), {.durability = Durability::sync});
         }},
        {"over the end of a segment",
         [](const State& bus) { bus.page("b").write(0, pattern(900, 84)); },
         [](const State& bus) { commit_until(bus, 500, [&] { return left_of_segment(bus); }); }},
        {"over the end of a segment, synced",
         [](const State& bus) {
             bus.page("b").write(0, pattern(900, 84), {.durability = Durability::sync});
         },
         [](const State& bus) { commit_until(bus, 500, [&] { return left_of_segment(bus); }); }},
        {"into a full ring", [](const State& bus) { bus.page("b").write(0, pattern(900, 85)); },
         [](const State& bus) { commit_until(bus, 800, [&] { return left_of_ring(bus); }); }},
    };
    return all;
}

/// The kinds of commit that go the most different ways.
inline bool is_special(const Scene& scene) {
    return std::ranges::any_of(
        std::initializer_list<std::string_view>{"two pages", "delete", "everything", "a formula",
                                                "created by somebody else", "blob of pages", "sync",
                                                "over the end of a segment, synced"},
        [&](std::string_view name) { return name == scene.name; });
}
/// As the name of a test.
inline std::string name_of_scene(const testing::TestParamInfo<Scene>& scene) {
    std::string name = scene.param.name;
    std::replace_if(name.begin(), name.end(), [](char c) { return c == ' ' || c == ','; }, '_');
    return name;
}

/// A bus on which one scene is played again and again.
class Stage {
public:
    explicit Stage(const Scene& scene, const limits::Geometry& geometry = small)
        : scene_(scene), place_(geometry) {
        die_after([&](const State& bus) {
            make_pages(bus);
            if (scene_.before) scene_.before(bus);
        });
        saved_ = std::make_unique<SavedBus>(place_);
        before_ = look();
        saved_->restore();
        die_after([&](const State& bus) { scene_.commit(bus); });
        after_ = look();
        saved_->restore();
        Pipe steps;
        play(Plan{}, &steps);
        steps.close_writing();
        while (const auto step = steps.read<std::uint16_t>()) trace_.push_back(*step);
        const auto logged = std::find_if(trace_.begin(), trace_.end(), [](auto step) {
            return name_of(step) == "commit.logged";
        });
        logged_ = static_cast<std::size_t>(logged - trace_.begin());
    }

    [[nodiscard]] const Scene& scene() const noexcept { return scene_; }
    [[nodiscard]] const BusPlace& place() const noexcept { return place_; }
    [[nodiscard]] const Contents& before() const noexcept { return before_; }
    [[nodiscard]] const Contents& after() const noexcept { return after_; }
    /// The steps of the commit, in order.
    [[nodiscard]] const std::vector<std::uint16_t>& trace() const noexcept { return trace_; }
    /// What everybody must see when the commit's process does not go on behind trace()[step].
    [[nodiscard]] const Contents& seen_at(std::size_t step) const {
        return step < logged_ ? before_ : after_;
    }
    [[nodiscard]] bool is_logged_at(std::size_t step) const noexcept { return step >= logged_; }

    void restore() const { saved_->restore(); }

    /// In a child: opens the restored bus, says so and waits to be told to go on (both only where
    /// there is a pipe for it), arms, commits, says which steps it met.
    struct Pipes {
        const Pipe *opened = nullptr, *go = nullptr, *trace = nullptr;
    };
    [[nodiscard]] std::unique_ptr<Child> start(const Plan& plan, const Pipes& pipes) const {
        saved_->restore();
        return std::make_unique<Child>([&] {
            let_timer_rest();
            const auto bus = place_.open();
            if (pipes.opened != nullptr) pipes.opened->write('o');
            if (pipes.go != nullptr && !pipes.go->read<char>()) return 1;
            arm(plan);
            scene_.commit(bus);
            const auto met = disarm();
            if (pipes.trace != nullptr)
                for (const auto step : met) pipes.trace->write(step);
            std::_Exit(0);  // as if killed, but for what it says
            return 0;
        });
    }
    int play(const Plan& plan, const Pipe* trace = nullptr) const {
        return start(plan, {.trace = trace})->wait();
    }

private:
    Contents look() const {
        const auto bus = place_.open();
        return contents_of(bus);
    }
    template <class F>
    void die_after(F&& work) const {
        Child child([&] {
            let_timer_rest();
            const auto bus = place_.open();
            work(bus);
            std::_Exit(0);
            return 0;
        });
        if (child.wait() != 0) std::abort();
    }

    Scene scene_;
    BusPlace place_;
    std::unique_ptr<SavedBus> saved_{};
    Contents before_{}, after_{};
    std::vector<std::uint16_t> trace_{};
    std::size_t logged_ = 0;
};

/// The stage of a scene, made once for all tests of a program.
inline const Stage& stage_of(const Scene& scene) {
    static std::map<std::string, std::unique_ptr<Stage>> stages;
    auto& stage = stages[scene.name];
    if (!stage) stage = std::make_unique<Stage>(scene);
    return *stage;
}

}  // namespace mmsb::test
