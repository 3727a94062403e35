/// tests/crash/trial_work: what is done to a bus in a Trial: each of the calls that write, and
/// those that read the past.
#pragma once

#include "crash/trial.hpp"
#include "support/child.hpp"

#include <array>

namespace mmsb::test {

/// Pages that are computed from "small", logged and unlogged ones, and what asks about them.
inline void work_on_graph(Trial& trial) {
    const auto& bus = trial.bus();
    bool follows = false;
    trial.act("derive", [&] {
        bus.transact([&](Transaction& tx) {
            const auto part = tx.create_page(100, {.name = "part"});
            tx.derive(part, {bus.page("small")}, formula::slice(0, 100));
            tx.derive(tx.create_page(100, {.name = "again"}), {part}, formula::copy());
        });
        follows = true;
    });
    std::optional<UnloggedPage> sum;
    trial.act("derive unlogged", [&] {
        const std::vector<AnyPage> parents(1, bus.page("again"));
        sum = bus.graph().derive_unlogged(4, parents, formula::checksum());
    });
    trial.act("update what others follow", [&] { bus.page("small").update(pattern(5000, 7)); });
    trial.act("read unlogged", [&] {
        if (!sum) return;  // no memory for it
        EXPECT_NE(sum->read_as<std::uint32_t>(), 0U);
        EXPECT_FALSE(sum->stale());
    });
    trial.act("events", [&] {
        bool told = false;
        for (const auto& event : bus.events({.from = Sequence{1}}))
            told = told || event.type == EventType::propagated;
        EXPECT_EQ(told, follows);
    });
    trial.act("why", [&] { EXPECT_GE(bus.graph().why(bus.page("again")).size(), 2U); });
    trial.act("underive", [&] { bus.graph().underive(bus.page("part")); });
}

/// A bus that is made, worked on until its ring has lapped and its log has a second segment, and
/// stopped.
inline void work(Trial& trial, const TempFolder& folder) {
    const CommitOptions sync{.durability = Durability::sync};
    trial.open();
    if (!trial.is_open()) return;
    const auto& bus = trial.bus();
    trial.act("create", [&] {
        bus.create_page(200,
                        {.name = "small", .metadata = {{"kind", "s"}}, .contents = pattern(100)});
    });
    trial.act("create a blob",
              [&] { bus.create_page(40'000, {.name = "large", .contents = pattern(40'000, 2)}); });
    trial.act("update and sync", [&] { bus.page("small").update(pattern(200, 3), sync); });
    trial.act("transact", [&] {
        bus.transact([&](Transaction& tx) {
            tx.update(bus.page("small"), pattern(200, 4));
            tx.update(bus.page("large"), pattern(40'000, 4));
            tx.create_page(3000, {.name = "fill"});
        });
    });
    for (unsigned i = 0; i < 90; ++i)
        trial.act("fill", [&] {
            bus.page("fill").update(pattern(3000, i), i % 30 == 7 ? sync : CommitOptions{});
        });
    trial.act("resize", [&] { bus.page("small").resize(5000); });
    work_on_graph(trial);
    trial.act("rename", [&] { bus.page("large").rename("renamed"); });
    trial.act("checkpoint", [&] { bus.checkpoint(); });
    trial.act("update behind it", [&] { bus.page("renamed").update(pattern(40'000, 5)); });
    trial.act("checkpoint file", [&] { bus.checkpoint(folder.path() + ".checkpoint"); });
    trial.act("view", [&] { EXPECT_FALSE(bus.at(Sequence{4}).pages().empty()); });
    trial.act("tlog", [&] {
        std::size_t records = 0;
        for (const auto& record : bus.tlog()) records += record.sequence > Sequence::zero ? 1 : 0;
        EXPECT_GE(records, number(bus.sequence()));
    });
    trial.act("watch", [&] { EXPECT_TRUE(bus.watch().take().empty()); });
    trial.act("verify", [&] { EXPECT_TRUE(bus.verify().good); });
    trial.act("set retention", [&] { bus.set_retention({.records = 20}); });
    trial.act("compact", [&] { bus.compact(); });
    trial.act("delete", [&] { bus.delete_page(bus.page("fill")); });
    trial.act("wait until durable", [&] { bus.wait_durable(Sequence::newest); });
    trial.stop_it();
    fs::remove(folder.path() + ".checkpoint");
}

/// A bus that processes died in, one after the other, and may be its shared memory with the last.
struct Deaths {
    unsigned lives;  ///< The second makes a checkpoint.
    bool lost;       ///< As after a reboot.
};
inline constexpr std::array<Deaths, 4> all_deaths{{{1, false}, {1, true}, {2, false}, {2, true}}};

/// A bus whose last process died, looked at, opened, and gone on with.
inline void recover(Trial& trial) {
    trial.open_read_only();
    trial.open();
    if (!trial.is_open()) return;
    const auto& bus = trial.bus();
    trial.act("update and sync", [&] {
        bus.page("page 0").write(0, bytes_of("again"), {.durability = Durability::sync});
    });
    trial.act("create", [&] { bus.create_page(100, {.contents = bytes_of("new")}); });
    trial.act("verify", [&] { EXPECT_TRUE(bus.verify().good); });
    trial.stop_it();
}

/// What a process that worked on a bus and died had acknowledged.
struct Died {
    std::map<std::uint64_t, Contents> past{};  ///< By sequence, from `durable` on.
    std::uint64_t durable = 0;
};

/// Goes on with the bus in `folder`, or makes it, in a process that dies without stopping it; about
/// half of its commits are durable.
inline Died die_in(const TempFolder& folder, unsigned round) {
    auto config = at(folder);
    config.checkpoint_interval = std::chrono::seconds(0);
    config.on_notice = [](const Notice&) {};
    Pipe told;
    Child child([&] {
        auto bus = start_with(config);
        for (unsigned i = 0; i < 8; ++i) {
            const auto page = bus.open_page("page " + std::to_string((round + i) % 3),
                                            900 + (round + i) % 3 * 9000);
            page.update(pattern(page.size(), round * 100 + i),
                        {.durability = i == 3 ? Durability::sync : Durability::process});
            if (i == 5 && round % 4 == 1) static_cast<void>(bus.checkpoint());
        }
        told.write(number(bus.durable_sequence()));
        std::_Exit(0);
        return 0;
    });
    told.close_writing();
    Died died;
    died.durable = told.read<std::uint64_t>().value_or(0);
    EXPECT_EQ(child.wait(), 0);
    config.open = Open::read_only;
    const auto bus = start_with(config);
    EXPECT_GE(number(bus.sequence()), 8U);
    for (auto at = died.durable; at <= number(bus.sequence()); ++at)
        died.past[at] = contents_of(bus.at(Sequence{at}));
    EXPECT_EQ(died.past.rbegin()->second, contents_of(bus));
    return died;
}

/// One recovery from those deaths, as `run` has it (which calls its argument), and what the bus
/// then must hold. In a folder of its own: in one that all trials share each would have more to
/// recover than the one before, and a sweep over all of it would never end.
template <class Run>
void try_recovery(const Deaths& deaths, Trip& trip, bool keep_arena, Run run) {
    const TempFolder folder;
    Died died;
    for (unsigned round = 0; round < deaths.lives; ++round) died = die_in(folder, round);
    if (deaths.lost) remove_arena(folder.path());
    Trial trial(folder, trip);
    trial.begin_with(died.past, died.durable, deaths.lost);
    run([&] { recover(trial); });
    trial.settle(keep_arena);
}

}  // namespace mmsb::test
