// Edges that compute nothing, pages that go and come, and what the log tells of the graph.
#include "api/derived.hpp"
#include "support/contents.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace mmsb::test {
namespace {

using testing::ElementsAre;

TEST(ControlAndCompilerEdges, MakeStaleWhatIsThenComputedOrWrittenAnew) {
    const auto bus = start();
    const auto graph = bus.graph();
    const auto source = bus.create_page(1), object = bus.create_page(1),
               binary = bus.create_page(1), gate = bus.create_page(1), copy = bus.create_page(1);
    graph.add_dependency(source, object, EdgeType::compiler);
    graph.add_dependency(object, binary, EdgeType::compiler);
    graph.derive(copy, {source}, formula::copy());
    graph.add_dependency(gate, copy, EdgeType::control);
    source.update(byte(1));
    EXPECT_TRUE(object.info().stale && binary.info().stale);
    EXPECT_FALSE(copy.info().stale);
    object.update(byte(1));
    EXPECT_FALSE(object.info().stale);
    EXPECT_TRUE(binary.info().stale);
    binary.update(byte(0));  // the same bytes: it was made anew all the same
    EXPECT_FALSE(binary.info().stale);
    gate.update(byte(1));
    EXPECT_TRUE(copy.info().stale);
    EXPECT_EQ(graph.propagate(), 1U);
    EXPECT_FALSE(copy.info().stale);
    graph.remove_dependency(gate, copy);
    gate.update(byte(2));
    EXPECT_FALSE(copy.info().stale);
    bus.transact([&](Transaction& tx) {
        tx.update(source, byte(9));
        tx.update(object, byte(9));
    });
    EXPECT_FALSE(object.info().stale);
    EXPECT_TRUE(binary.info().stale);
    EXPECT_TRUE(bus.verify().good);
}

TEST(Propagating, ComputesAlsoWhatItMakesStaleItself) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1), other = bus.create_page(1),
               c = bus.create_page(1);
    bus.graph().derive(b, {a}, formula::copy());
    bus.graph().derive(c, {other}, formula::copy());
    bus.graph().add_dependency(b, c, EdgeType::control);
    a.update(byte(1), {.propagation = Propagation::deferred});
    EXPECT_EQ(bus.graph().propagate(), 2U);
    EXPECT_FALSE(b.info().stale || c.info().stale);
}

TEST(DeletingAPage, RemovesItsEdgesAndTheFormulasThatNameIt) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1), c = bus.create_page(1);
    bus.graph().derive(b, {a}, formula::copy());
    bus.graph().derive(c, {b}, formula::copy());
    bus.graph().add_dependency(a, c, EdgeType::gpu_sync);
    a.update(byte(4));
    bus.delete_page(a);
    EXPECT_FALSE(bus.graph().formula(b).has_value());
    EXPECT_EQ(byte_of(b), 4);
    EXPECT_EQ(bus.graph().topological_order().size(), 2U);
    b.update(byte(5));
    EXPECT_EQ(byte_of(c), 5);
    EXPECT_TRUE(bus.verify().good);
}

TEST(APageMadeAndDerivedAtOnce, IsComputedInThatCommit) {
    const auto bus = start();
    const auto a = bus.create_page(4, {.contents = bytes_of("abcd")});
    Page b, c;
    const auto before = bus.sequence();
    bus.transact([&](Transaction& tx) {
        b = tx.create_page(2, {.name = "b", .contents = bytes_of("zz")});
        c = tx.create_page(2);
        tx.derive(c, {b}, formula::copy());
        tx.derive(b, {a}, formula::slice(1, 2));
    });
    EXPECT_EQ(bus.sequence(), before + 1);
    EXPECT_EQ(text_of(bus.page("b").read()), "bc");
    EXPECT_EQ(text_of(bus.page(c.id()).read()), "bc");
    EXPECT_TRUE(bus.verify().good);
    EXPECT_THAT(bus.snapshot().edges(),
                ElementsAre(Edge{a, b, EdgeType::data}, Edge{b, c, EdgeType::data}));
    EXPECT_TRUE(bus.at(before).edges().empty());
}

TEST(Verify, FindsAFunctionThatIsNotPure) {
    const auto bus = start();
    int calls = 0;
    bus.register_recompute("test.counts/1", [&](Recompute& r) {
        r.out()[0] = r.parent(0)[0];
        r.out()[1] = static_cast<std::byte>(calls / 4);
        ++calls;
    });
    bus.register_recompute("test.sum/1", [](Recompute& r) { r.out()[0] ^= r.parent(0)[0]; },
                           {.accumulates = true});
    const auto a = bus.create_page(1), b = bus.create_page(2), c = bus.create_page(1),
               d = bus.create_page(1);
    bus.graph().derive(c, {a}, formula::copy());
    bus.graph().derive(d, {a}, formula::call("test.sum/1"));
    for (int i = 1; i <= 3; ++i) a.update(byte(i));
    const auto good = bus.verify({.recompute_every = 1});
    EXPECT_TRUE(good.good);
    EXPECT_EQ(good.recomputed, 4U);
    EXPECT_EQ(good.not_recomputed, 1U);
    EXPECT_EQ(bus.verify({.recompute_every = 100}).recomputed, 1U);
    const auto derived = bus.graph().derive(b, {a}, formula::call("test.counts/1")).sequence;
    for (int i = 4; i <= 6; ++i) a.update(byte(i));
    EXPECT_TRUE(bus.verify().good);
    const auto found = bus.verify({.recompute_every = 1});
    EXPECT_FALSE(found.good);
    EXPECT_EQ(found.page, b.id());
    EXPECT_EQ(found.offset, 1U);
    EXPECT_EQ(found.function, "test.counts/1");
    EXPECT_EQ(found.sequence, derived);
    bus.register_recompute("test.counts/1", [](Recompute&) { throw std::runtime_error("no"); });
    EXPECT_EQ(bus.verify({.recompute_every = 1}).error, "no");
}

TEST(Verify, LetsNoFunctionCommit) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1), other = bus.create_page(1);
    bus.register_recompute("test.sly/1", [](Recompute&) {});
    bus.graph().derive(b, {a}, formula::call("test.sly/1"));
    bus.register_recompute("test.sly/1", [&](Recompute&) { other.update(byte(7)); });
    const auto before = bus.sequence();
    const auto found = bus.verify({.recompute_every = 1});
    EXPECT_FALSE(found.good);
    EXPECT_EQ(found.page, b.id());
    EXPECT_FALSE(found.error.empty());
    EXPECT_EQ(bus.sequence(), before);
}

// A function that lies about its locality is found out as any that is not pure.
TEST(Locality, IsWhatIsLookedAtAndVerified) {
    const auto bus = start();
    const auto a = bus.create_page(4096), twice = bus.create_page(4096),
               liar = bus.create_page(4096);
    const auto add = [&](const char* name, bool lies) {
        bus.register_recompute(name,
                               [lies](Recompute& r) {
                                   for (const auto& [offset, size] : r.changed(0))
                                       for (auto i = offset; i != offset + size; ++i)
                                           r.out()[i] = r.parent(0)[i] << 1U;
                                   if (lies) r.out()[4000] = r.parent(0)[0];
                               },
                               {.locality = Locality::lane_wise});
    };
    add("test.twice/1", false);
    add("test.liar/1", true);
    bus.graph().derive(twice, {a}, formula::call("test.twice/1"));
    bus.graph().derive(liar, {a}, formula::call("test.liar/1"));
    a.update(pattern(4096, 3));
    for (unsigned i = 0; i < 4096; i += 257) a.write(i, byte(static_cast<int>(i % 128)));
    auto expected = a.read();
    for (auto& b : expected) b <<= 1U;
    EXPECT_EQ(twice.read(), expected);
    a.write(0, byte(33));
    EXPECT_NE(liar.read()[4000], std::byte{33});
    const auto found = bus.verify({.recompute_every = 1});
    EXPECT_FALSE(found.good);
}

TEST(GoingBack, LetsDerivedPagesFollow) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1);
    bus.graph().derive(b, {a}, formula::copy());
    const auto then = a.update(byte(1)).sequence;
    a.update(byte(2));
    bus.restore(bus.at(then), {a, b});
    EXPECT_EQ(byte_of(a), 1);
    EXPECT_EQ(byte_of(b), 1);
}

TEST(ABusMadeFromACheckpoint, HasItsGraph) {
    const TempFolder folder, copy, file;
    const auto bus = start(at(folder));
    const auto a = bus.create_page(1, {.name = "a"}), b = bus.create_page(1, {.name = "b"});
    bus.graph().derive(b, {a}, formula::copy());
    bus.graph().derive(bus.create_page(1, {.name = "c"}), {b}, formula::call("nobody.has/1"));
    bus.graph().add_dependency(a, bus.create_page(1), EdgeType::compiler);
    bus.checkpoint(file.path());
    auto config = at(copy);
    config.from_checkpoint = file.path();
    const auto made = start(config);
    auto expected = contents_of(bus);
    EXPECT_EQ(contents_of(made).edges, expected.edges);
    EXPECT_EQ(contents_of(made).pages, expected.pages);
    made.page("a").update(byte(7));
    EXPECT_EQ(byte_of(made.page("b")), 7);
    EXPECT_TRUE(made.page("c").info().stale);
    EXPECT_TRUE(made.verify().good);
    const TempFolder whole;
    bus.copy_to(whole.path());
    EXPECT_EQ(contents_of(start(at(whole))).edges, expected.edges);
}

TEST(APrivateBus, KeepsItsGraphWhereThePastIsFoldedAway) {
    const auto bus = start_with({.max_tlog_records = 4});
    const auto a = bus.create_page(1), b = bus.create_page(1), c = bus.create_page(1);
    bus.graph().derive(b, {a}, formula::copy());
    bus.graph().derive(c, {b}, formula::call("nobody.has/1"));
    for (int i = 0; i < 5000; ++i) a.update(byte(i % 251));
    EXPECT_EQ(contents_of(bus.snapshot()), contents_of(bus));
    EXPECT_TRUE(bus.verify().good);
}

TEST(TheLog, TellsOfEdgesAndStaleness) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1);
    bus.graph().derive(b, {a}, formula::call("nobody.has/1"));
    bus.graph().add_dependency(a, b, EdgeType::compiler);
    bus.graph().remove_dependency(a, b);
    bus.graph().underive(b);
    std::vector<Record> records;
    for (auto& record : bus.tlog({.from = Sequence{3}})) records.push_back(record);
    ASSERT_EQ(records.size(), 4U);
    EXPECT_THAT(records[0].types,
                testing::UnorderedElementsAre(RecordType::page_derived, RecordType::page_stale));
    EXPECT_THAT(records[0].edges_added, ElementsAre(Edge{a, b, EdgeType::data}));
    EXPECT_THAT(records[1].edges_added, ElementsAre(Edge{a, b, EdgeType::compiler}));
    EXPECT_THAT(records[2].edges_removed, ElementsAre(Edge{a, b, EdgeType::compiler}));
    EXPECT_THAT(records[0].derived, ElementsAre(b));
    EXPECT_THAT(records[3].types,
                testing::UnorderedElementsAre(RecordType::page_underived, RecordType::page_fresh));
    EXPECT_THAT(records[3].underived, ElementsAre(b));
    EXPECT_FALSE(b.info().stale);
}

TEST(ManyThreads, NeverSeeADerivedPageThatDisagreesWithItsParents) {
    const auto bus = start();
    add_mean(bus);
    const auto a = bus.create<double[]>(4, {.name = "a"});
    const auto mean = bus.create<double>(), sum = bus.create<double>();
    bus.transact([&](Transaction& tx) {
        tx.derive(mean, {a}, formula::call("test.mean/1"));
        tx.derive(sum, {a}, formula::sum<double>());
    });
    std::vector<std::thread> threads;
    std::atomic<bool> done{false};
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 300; ++i)
                a.update([&](std::span<double> v) { v[static_cast<std::size_t>(t)] += 1.0; });
        });
    std::thread reader([&] {
        while (!done) {
            const auto view = bus.snapshot({a.page(), mean.page(), sum.page()});
            const auto v = view.get(a);
            EXPECT_EQ(view.get(sum), std::accumulate(v.begin(), v.end(), 0.0));
            EXPECT_EQ(view.get(mean), view.get(sum) / 4);
        }
    });
    for (auto& thread : threads) thread.join();
    done = true;
    reader.join();
    EXPECT_EQ(sum.read(), 900.0);
    EXPECT_TRUE(bus.verify().good);
}

TEST(AnArtefact, IsInvalidatedWhereWhatItIsMadeFromIsResized) {
    const auto bus = start();
    const auto source = bus.create_page(4), artefact = bus.create_page(4);
    bus.graph().add_dependency(source, artefact, EdgeType::compiler);
    artefact.write(0, bytes_of("made"));
    artefact.write(0, bytes_of("mode"));
    source.resize(8);
    std::vector<Event> told;
    for (const auto& event : bus.events({.from = bus.sequence()}))
        if (event.type == EventType::artefact_invalidated) told.push_back(event);
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].page, artefact.id());
    EXPECT_EQ(told[0].epoch, artefact.epoch());
}

TEST(APageThatStaysStaleWithoutItsEdge, IsToldAsFreshToWhoCameAfterwards) {
    const TempFolder folder;
    const auto bus = start(at(folder));
    const auto gate = bus.create_page(4), page = bus.create_page(4);
    bus.graph().add_dependency(gate, page, EdgeType::control);
    gate.write(0, bytes_of("x"));
    bus.graph().remove_dependency(gate, page);
    EXPECT_TRUE(page.info().stale);
    auto events = bus.events({.from = bus.sequence() + 1});
    page.write(0, page.read());
    const auto event = events.next(std::chrono::seconds(10));
    ASSERT_TRUE(event);
    EXPECT_EQ(event->type, EventType::page_fresh);
    EXPECT_EQ(event->page, page.id());
    // And to who comes when that has happened, too.
    auto late = bus.events({.from = event->sequence});
    EXPECT_EQ(late.next(Timeout::zero()), event);
    EXPECT_FALSE(late.next(Timeout::zero()));
}

TEST(AWait, SaysWhetherThePageIsStale) {
    const auto bus = start();
    const auto gate = bus.create_page(4), page = bus.create_page(4);
    bus.graph().add_dependency(gate, page, EdgeType::control);
    gate.write(0, bytes_of("x"));
    const auto version = page.wait(Epoch{99}, std::chrono::seconds(0));
    ASSERT_TRUE(version);
    EXPECT_TRUE(version->stale);
}

TEST(WhyAPage, IsWhatItIsMayBeThatAParentWasResized) {
    for (const bool is_private : {true, false}) {
        const TempFolder folder;
        const auto bus = is_private ? start() : start(at(folder));
        const auto numbers = bus.create_page(16), sum = bus.create_page(8);
        bus.graph().derive(sum, {numbers}, formula::sum<std::int64_t>());
        numbers.write(8, bytes_of("x"), {.label = "written"});
        numbers.resize(8, {.label = "resized"});
        numbers.set_metadata("k", "v");
        numbers.rename("n");
        const auto causes = bus.graph().why(sum);
        ASSERT_EQ(causes.size(), 2U);
        EXPECT_EQ(causes[0].change.label, "resized");
        EXPECT_EQ(causes[1].change.label, "resized");
    }
}

}  // namespace
}  // namespace mmsb::test
