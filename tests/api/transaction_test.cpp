// Many changes, one commit: what is seen inside, what is watched, what becomes of it.
#include "support/contents.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <malloc.h>

#include <random>
#include <stdexcept>
#include <thread>

namespace mmsb::test {
namespace {

TEST(Transactions, AllOfItIsOneRecord) {
    const auto bus = start();
    const auto a = bus.create_page(4), b = bus.create_page(4),
               c = bus.create_page(4, {.name = "c"});
    const auto before = bus.sequence();
    Page made;
    const auto done = bus.transact(
        [&](Transaction& tx) {
            tx.write(a, 0, bytes_of("aa"));
            tx.update(b, to_bytes("bbbb"));
            tx.delete_page(c);
            made = tx.create_page(2, {.name = "d", .contents = bytes_of("dd")});
            tx.resize(a, 6);
            tx.rename(b, "b");
            tx.set_metadata(b, "k", "v");
        },
        {.source = "test", .label = "all", .tag = 9});
    EXPECT_EQ(done.sequence, before + 1);
    EXPECT_EQ(bus.sequence(), before + 1);
    EXPECT_EQ(done.changed_bytes, 8U);
    EXPECT_EQ(a.read(), to_bytes(std::string_view("aa\0\0\0\0", 6)));
    EXPECT_EQ(text_of(bus.page("d").read()), "dd");
    EXPECT_EQ(bus.page("b").info().metadata.at("k"), "v");
    EXPECT_EQ(bus.pages(), (std::vector<Page>{a, b, made}));
    EXPECT_EQ(contents_of(bus.at(done.sequence)), contents_of(bus));
    for (const auto& record : bus.tlog({.from = done.sequence})) {
        EXPECT_EQ(record.source, "test");
        EXPECT_EQ(record.label, "all");
        EXPECT_EQ(record.tag, 9U);
        EXPECT_EQ(record.deltas.size(), 3U);
    }
}

// Writes that overlap in every way, against a plain buffer.
TEST(Transactions, OverlappingWritesAreAsInABuffer) {
    const auto bus = start();
    const auto page = bus.create_page(64, {.contents = filled(64, 1)});
    std::mt19937 random(7);
    for (int round = 0; round < 200; ++round) {
        auto model = page.read();
        auto tx = bus.transaction();
        for (int i = 0; i < 12; ++i) {
            if (random() % 8 == 0) {
                model.resize(32 + random() % 64);
                tx.resize(page, model.size());
            }
            const auto offset = random() % model.size();
            const auto size = 1 + random() % std::min<std::size_t>(model.size() - offset, 24);
            const auto bytes = pattern(size, static_cast<unsigned>(random()));
            std::ranges::copy(bytes, model.begin() + static_cast<std::ptrdiff_t>(offset));
            tx.write(page, offset, bytes);
            ASSERT_EQ(tx.read(page), model) << round << ' ' << i;
        }
        tx.commit();
        ASSERT_EQ(page.read(), model) << round;
    }
    EXPECT_TRUE(bus.verify().good);
}

TEST(Transactions, ReadsSeeWhatIsStaged) {
    const auto bus = start();
    const auto page = bus.create_page(8, {.name = "p", .contents = bytes_of("12345678")});
    auto tx = bus.transaction();
    tx.write(page, 2, bytes_of("xx"));
    EXPECT_EQ(tx.read(page), to_bytes("12xx5678"));
    tx.write(page, 1, bytes_of("yyyy"));
    EXPECT_EQ(tx.read(page), to_bytes("1yyyy678"));
    tx.resize(page, 3);
    EXPECT_EQ(tx.size(page), 3U);
    tx.resize(page, 6);
    EXPECT_EQ(tx.read(page), to_bytes(std::string_view("1yy\0\0\0", 6)));
    tx.rename(page, "q");
    EXPECT_FALSE(tx.find_page("p").has_value());
    EXPECT_EQ(tx.find_page("q")->id(), page.id());
    const auto made = tx.create_page(3, {.name = "n", .contents = bytes_of("ab")});
    EXPECT_EQ(tx.find_page("n")->id(), made.id());
    EXPECT_EQ(tx.read(made), to_bytes(std::string_view("ab\0", 3)));
    EXPECT_EQ(page.read(), to_bytes("12345678"));  // nobody else sees it
    tx.commit();
    EXPECT_EQ(page.read(), to_bytes(std::string_view("1yy\0\0\0", 6)));
    EXPECT_EQ(made.read(), to_bytes(std::string_view("ab\0", 3)));
    EXPECT_TRUE(bus.verify().good);
}

TEST(Transactions, ADeletedPageIsGoneForTheTransactionToo) {
    const auto bus = start();
    const auto page = bus.create_page(1, {.name = "p"});
    auto tx = bus.transaction();
    tx.delete_page(page);
    EXPECT_THROW(static_cast<void>(tx.read(page)), PageNotFound);
    EXPECT_THROW(tx.write(page, 0, bytes_of("x")), PageNotFound);
    EXPECT_FALSE(tx.find_page("p").has_value());
    tx.create_page(1, {.name = "p"});  // its name is free
    tx.commit();
    EXPECT_NE(bus.page("p"), page);
}

TEST(Transactions, APageMadeAndDeletedInOneLeavesNothing) {
    const auto bus = start();
    const auto done = bus.transact([](Transaction& tx) { tx.delete_page(tx.create_page(4)); });
    EXPECT_FALSE(done.changed());
    EXPECT_TRUE(bus.pages().empty());
}

TEST(Transactions, NamesMayBeSwapped) {
    const auto bus = start();
    const auto a = bus.create_page(1, {.name = "a"}), b = bus.create_page(1, {.name = "b"});
    bus.transact([&](Transaction& tx) {
        tx.rename(a, "b");
        tx.rename(b, "a");
    });
    EXPECT_EQ(bus.page("a"), b);
    EXPECT_EQ(bus.page("b"), a);
    EXPECT_TRUE(bus.verify().good);
}

TEST(Transactions, WhatWasReadAndHasChangedIsAConflict) {
    const auto bus = start();
    const auto a = bus.create_page(4, {.name = "a"}), b = bus.create_page(4);
    auto tx = bus.transaction();
    static_cast<void>(tx.read(a));
    tx.write(b, 0, bytes_of("x"));
    a.write(0, bytes_of("y"));
    const auto outcome = tx.try_commit();
    EXPECT_EQ(outcome.status, CommitStatus::conflict);
    EXPECT_EQ(outcome.page, a.id());
    EXPECT_EQ(b.epoch(), Epoch::zero);
    EXPECT_EQ(bus.get_stats().conflicts, 1U);
    tx.write(b, 0, bytes_of("x"));  // empty, and usable again
    EXPECT_EQ(tx.try_commit().status, CommitStatus::committed);
}

TEST(Transactions, ASizeThatWasLookedAtIsWatched) {
    const auto bus = start();
    const auto a = bus.create_page(4), b = bus.create_page(4);
    auto tx = bus.transaction();
    EXPECT_EQ(tx.size(a), 4U);
    tx.write(b, 0, bytes_of("x"));
    a.resize(5);
    EXPECT_THROW(tx.commit(), Conflict);
}

TEST(Transactions, ANameThatWasFreeAndIsTakenIsAConflict) {
    const auto bus = start();
    const auto page = bus.create_page(1);
    auto tx = bus.transaction();
    EXPECT_FALSE(tx.find_page("n").has_value());
    tx.write(page, 0, bytes_of("x"));
    const auto taken = bus.create_page(1, {.name = "n"});
    const auto outcome = tx.try_commit();
    EXPECT_EQ(outcome.status, CommitStatus::conflict);
    EXPECT_EQ(outcome.page, taken.id());
    // And one that was taken and is free.
    EXPECT_TRUE(tx.find_page("n").has_value());
    tx.write(page, 0, bytes_of("x"));
    taken.rename("m");
    EXPECT_EQ(tx.try_commit().status, CommitStatus::conflict);
}

TEST(Transactions, ABlindWriteNeverConflicts) {
    const auto bus = start();
    const auto page = bus.create_page(4);
    auto tx = bus.transaction();
    tx.write(page, 1, bytes_of("b"));
    page.update(to_bytes("xxxx"));
    EXPECT_EQ(tx.try_commit().status, CommitStatus::committed);
    EXPECT_EQ(page.read(), to_bytes("xbxx"));
}

TEST(Transactions, ReadsAreOfOneSequence) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1);
    auto tx = bus.transaction();
    static_cast<void>(tx.read(a));
    bus.transact([&](Transaction& other) {
        other.write(a, 0, bytes_of("1"));
        other.write(b, 0, bytes_of("1"));
    });
    EXPECT_THROW(static_cast<void>(tx.read(b)), Conflict);
}

TEST(Transactions, NamesAreOfThatSequenceToo) {
    const auto bus = start();
    const auto a = bus.create_page(1), named = bus.create_page(1, {.name = "x"});
    const auto move_on = [&](const char* name) {
        bus.transact([&](Transaction& tx) {
            tx.update(a, bytes_of(name));
            tx.rename(named, name);
        });
    };
    auto tx = bus.transaction();
    static_cast<void>(tx.read(a));
    move_on("y");
    thrown<Conflict>([&] { static_cast<void>(tx.find_page("x")); });
    tx.discard();
    EXPECT_TRUE(tx.find_page("y"));
    move_on("z");
    thrown<Conflict>([&] { static_cast<void>(tx.read(a)); });
    tx.discard();
    EXPECT_TRUE(tx.find_page("z"));
    static_cast<void>(tx.read(a));
    EXPECT_FALSE(tx.find_page("x"));
    EXPECT_FALSE(tx.commit().changed());
}

TEST(Transactions, ReadingOnlyCommitsNothing) {
    const auto bus = start();
    const auto page = bus.create_page(1);
    auto tx = bus.transaction();
    static_cast<void>(tx.read(page));
    const auto outcome = tx.try_commit();
    EXPECT_EQ(outcome.status, CommitStatus::unchanged);
    EXPECT_EQ(outcome.committed.sequence, bus.sequence());
}

TEST(Transactions, TransactRunsItsFunctionAgainOnAConflict) {
    const auto bus = start();
    const auto n = bus.create<std::uint64_t>();
    int runs = 0;
    bus.transact([&](Transaction& tx) {
        const auto value = tx.read(n);
        if (++runs < 3) std::thread([&] { n.update(value + 10); }).join();
        tx.update(n, value + 1);
    });
    EXPECT_EQ(runs, 3);
    EXPECT_EQ(n.read(), 21U);
    EXPECT_EQ(bus.get_stats().conflicts, 2U);
}

TEST(Transactions, AttemptsEndWithAConflict) {
    const auto bus = start();
    const auto n = bus.create<std::uint64_t>();
    int runs = 0;
    const auto disturbed = [&](Transaction& tx) {
        const auto value = tx.read(n);
        ++runs;
        std::thread([&] { n.update(value + 10); }).join();
        tx.update(n, value + 1);
    };
    EXPECT_THROW(bus.transact(disturbed, {.attempts = 3}), Conflict);
    EXPECT_EQ(runs, 3);
    EXPECT_EQ(n.read(), 30U);
}

TEST(Transactions, OneThatThrowsOrDiesHasChangedNothingAndIsCounted) {
    const auto bus = start();
    const auto page = bus.create_page(1);
    const auto before = contents_of(bus);
    EXPECT_THROW(bus.transact([&](Transaction& tx) {
        tx.write(page, 0, bytes_of("x"));
        throw std::runtime_error("mine");
    }),
                 std::runtime_error);
    {
        auto tx = bus.transaction();
        tx.write(page, 0, bytes_of("x"));
    }
    auto tx = bus.transaction();
    tx.write(page, 0, bytes_of("x"));
    tx.discard();
    EXPECT_EQ(contents_of(bus), before);
    EXPECT_EQ(bus.get_stats().transactions_abandoned, 3U);
}

TEST(Transactions, ACallThatThrowsStagesNothing) {
    const auto bus = start();
    const auto page = bus.create_page(8), other = bus.create_page(9);
    const auto delta = diff(Bytes(9), filled(9, 1));
    auto tx = bus.transaction();
    EXPECT_THROW(tx.write(page, 8, bytes_of("x")), InvalidArgument);
    EXPECT_THROW(tx.update(page, Bytes(9)), InvalidArgument);
    EXPECT_THROW(tx.apply(page, delta), InvalidDelta);
    bus.delete_page(page);
    tx.write(other, 0, bytes_of("y"));
    EXPECT_TRUE(tx.commit().changed());
    EXPECT_THROW(tx.write(other, 9, bytes_of("x")), InvalidArgument);
    tx.discard();
    EXPECT_EQ(bus.get_stats().transactions_abandoned, 0U);
}

// Its bytes are copied before the page is looked at. (Allocators of sanitizers count nothing here.)
TEST(Transactions, WhatWasRefusedIsNotKept) {
    const auto bus = start();
    const auto page = bus.create_page(10), gone = bus.create_page(10);
    bus.delete_page(gone);
    auto tx = bus.transaction();
    const Bytes bytes(4000);
    const auto before = ::mallinfo2();
    for (int i = 0; i < 20'000; ++i) {
        EXPECT_THROW(tx.update(page, bytes), InvalidArgument);
        EXPECT_THROW(tx.update(gone, bytes), PageNotFound);
    }
    const auto after = ::mallinfo2();
    EXPECT_LT(after.uordblks + after.hblkhd, before.uordblks + before.hblkhd + 32 * limits::mib);
    tx.update(page, Bytes(10, std::byte{1}));
    tx.commit();
    EXPECT_EQ(page.read(), Bytes(10, std::byte{1}));
}

TEST(Transactions, AnErrorInTheCommitLeavesEverythingAsItWas) {
    const auto bus = start();
    const auto a = bus.create_page(1, {.name = "a"}), b = bus.create_page(1, {.name = "b"});
    const auto before = contents_of(bus);
    auto tx = bus.transaction();
    tx.write(a, 0, bytes_of("x"));
    tx.create_page(100000, {.name = "c"});
    tx.rename(b, "a");
    EXPECT_THROW(tx.commit(), InvalidArgument);
    EXPECT_EQ(contents_of(bus), before);
    b.write(0, bytes_of("z"));
    EXPECT_TRUE(bus.verify().good);
}

TEST(Transactions, RestoreGoesBackByGoingOn) {
    const auto bus = start();
    const auto a = bus.create_page(4, {.contents = bytes_of("aaaa")});
    const auto b = bus.create_page(4, {.contents = bytes_of("bbbb")});
    const auto then = bus.snapshot({a});
    a.resize(2);
    a.write(0, bytes_of("zz"));
    b.write(0, bytes_of("zz"));
    const auto before = bus.sequence();
    bus.restore(then, {a, b});
    EXPECT_EQ(a.read(), to_bytes("aaaa"));
    EXPECT_EQ(b.read(), to_bytes("bbbb"));
    EXPECT_EQ(bus.sequence(), before + 1);
    EXPECT_TRUE(bus.verify().good);
}

TEST(Transactions, ARestoreThatThrowsStagesNothing) {
    const auto bus = start();
    const auto a = bus.create_page(4, {.contents = bytes_of("then")});
    const auto then = bus.at(bus.sequence());
    a.update(bytes_of("now!"));
    const auto later = bus.create_page(4);
    auto tx = bus.transaction();
    thrown<PageNotFound>([&] { tx.restore(then, {a, later}); });
    const auto another = start();
    const auto foreign = another.create_page(4);
    thrown<InvalidArgument>([&] { tx.restore(then, {a, foreign}); });
    EXPECT_FALSE(tx.commit().changed());
    EXPECT_EQ(a.read(), to_bytes("now!"));
}

TEST(Transactions, RestoreGoesByTheFormulasThatThePageWillHave) {
    const auto bus = start();
    const auto a = bus.create_page(1), b = bus.create_page(1);
    a.update(bytes_of("1"));
    b.update(bytes_of("0"));
    const auto then = bus.at(bus.sequence());
    bus.graph().derive(b, {a}, formula::copy());
    bus.transact([&](Transaction& tx) {
        tx.restore(then, {b});  // derived: it follows
        tx.underive(b);
        tx.restore(then, {b});
    });
    EXPECT_EQ(b.read(), to_bytes("0"));
}

TEST(Transactions, ACommitInsideTheirFunctionIsRefusedAndTakesNothing) {
    const auto bus = start();
    const auto page = bus.create_page(1);
    bus.transact([&](Transaction& tx) {
        tx.update(page, bytes_of("x"));
        thrown<WrongContext>([&] { tx.commit(); });
        thrown<WrongContext>([&] { static_cast<void>(tx.try_commit()); });
    });
    EXPECT_EQ(page.read(), to_bytes("x"));
}

TEST(Transactions, NoPageIsFoundByNoName) {
    const auto bus = start();
    const auto page = bus.create_page(1, {.name = "named"});
    auto tx = bus.transaction();
    tx.rename(page, "");
    EXPECT_FALSE(tx.find_page(""));
    EXPECT_FALSE(tx.find_page("named"));
}

}  // namespace
}  // namespace mmsb::test
