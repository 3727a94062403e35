// The straight line of a commit that writes one page (state/commit_bytes) beside the way that all
// others go (state/commit), which a transaction of the same write takes: the same results, errors,
// pages and records.
#include "delta/codec.hpp"
#include "state/redo.hpp"
#include "support/child.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <random>
#include <thread>

namespace mmsb::test {
namespace {

std::uint64_t seed() {
    const char* text = std::getenv("MMSB_SEED");
    return text == nullptr ? 20261129 : std::strtoull(text, nullptr, 0);
}

struct Write {
    std::size_t page = 0, offset = 0;
    Bytes bytes{};
    CommitOptions options{};
};

// Two buses on which the same is done, the one way and the other.
class Both {
public:
    explicit Both(const Config& config, const Config& other)
        : straight(start_with(config)), general(start_with(other)) {}

    // Also by a transaction, whose handle does not know where the page is.
    void create(std::size_t size) {
        auto& made = pages.emplace_back();
        if (pages.size() % 2 == 0)
            made.first = straight.create_page(size);
        else
            straight.transact([&](Transaction& tx) { made.first = tx.create_page(size); });
        made.second = general.create_page(size);
    }
    void resize(std::size_t page, std::size_t size) {
        pages[page].first.resize(size);
        pages[page].second.resize(size);
    }
    void write(const Write& write) {
        const auto a = outcome([&] {
            return pages[write.page].first.write(write.offset, write.bytes, write.options);
        });
        const auto b = outcome([&] {
            auto tx = general.transaction();
            tx.write(pages[write.page].second, write.offset, write.bytes);
            return tx.commit(write.options);
        });
        EXPECT_EQ(a, b);
    }
    void update(std::size_t page, std::span<const std::byte> bytes) {
        const auto a = outcome([&] { return pages[page].first.update(bytes); });
        const auto b = outcome([&] {
            auto tx = general.transaction();
            tx.update(pages[page].second, bytes);
            return tx.commit();
        });
        EXPECT_EQ(a, b);
    }
    void expect_same() const {
        EXPECT_EQ(contents_of(straight), contents_of(general));
        const auto one = straight.get_stats(), other = general.get_stats();
        EXPECT_EQ(one.total_deltas, other.total_deltas);
        EXPECT_EQ(one.total_delta_bytes, other.total_delta_bytes);
        EXPECT_EQ(one.delta_apply_count, other.delta_apply_count);
        if (!straight.config().enable_logging) return;
        EXPECT_TRUE(straight.verify().good);
        auto theirs = general.tlog();
        auto at = theirs.begin();
        for (const auto& record : straight.tlog()) {
            ASSERT_NE(at, theirs.end());
            expect_same(record, *at);
            ++at;
        }
        EXPECT_EQ(at, theirs.end());
    }

    State straight, general;
    std::vector<std::pair<Page, Page>> pages{};

private:
    template <class F>
    static std::string outcome(F&& call) {
        try {
            const Committed committed = call();
            return "sequence " + std::to_string(number(committed.sequence)) + ", " +
                   std::to_string(committed.changed_bytes) + " bytes" +
                   (committed.changed() ? "" : ", no record");
        } catch (const Error& error) {
            return std::string(to_string(error.code()));
        }
    }
    static void expect_same(const Record& a, const Record& b) {
        EXPECT_EQ(a.sequence, b.sequence);
        EXPECT_EQ(a.source, b.source);
        EXPECT_EQ(a.label, b.label);
        EXPECT_EQ(a.tag, b.tag);
        EXPECT_EQ(a.process, b.process);
        EXPECT_EQ(a.types, b.types);
        ASSERT_EQ(a.deltas.size(), b.deltas.size());
        for (std::size_t i = 0; i < a.deltas.size(); ++i) {
            EXPECT_EQ(a.deltas[i].page(), b.deltas[i].page());
            EXPECT_EQ(a.deltas[i].epoch(), b.deltas[i].epoch());
            EXPECT_TRUE(
                std::ranges::equal(delta::encoded_of(a.deltas[i]), delta::encoded_of(b.deltas[i])));
        }
    }
};

class Writer {
public:
    explicit Writer(std::uint64_t seed) : random_(seed) {}
    std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
    Bytes bytes(std::size_t size) {
        Bytes made(size);
        for (auto& b : made) b = static_cast<std::byte>(random_());
        return made;
    }
    // Now and then outside the page, of no bytes, unlike what else is written, or in vain.
    Write write(const Both& both) {
        Write made{.page = below(both.pages.size())};
        const auto now = both.pages[made.page].first.read();
        made.offset = below(now.size() + 1);
        const auto most = below(8) == 0 ? 100 : now.size() - made.offset;
        made.bytes = bytes(below(most + 1));
        if (below(4) == 0 && made.bytes.size() <= now.size() - made.offset)
            std::copy_n(now.begin() + static_cast<std::ptrdiff_t>(made.offset), made.bytes.size(),
                        made.bytes.begin());
        if (below(4) == 0) made.options.tag = random_();
        if (below(8) == 0) made.options.label = "a label";
        if (below(8) == 0) made.options.source = below(2) == 0 ? "one" : "another";
        return made;
    }

private:
    std::mt19937_64 random_;
};

void expect_same_whatever_is_written(Both& both, std::uint64_t seed, int writes) {
    SCOPED_TRACE("MMSB_SEED=" + std::to_string(seed));
    Writer writer(seed);
    for (const auto size : {std::size_t{1}, std::size_t{64}, std::size_t{1000}, std::size_t{5000}})
        both.create(size);
    for (int i = 0; i < writes && !testing::Test::HasFailure(); ++i) {
        if (writer.below(50) == 0) both.resize(writer.below(4), 1 + writer.below(6000));
        if (writer.below(3) != 0) {
            both.write(writer.write(both));
            continue;
        }
        const auto page = writer.below(4);
        auto bytes = both.pages[page].first.read();
        for (auto n = writer.below(20); n != 0; --n)
            bytes[writer.below(bytes.size())] = static_cast<std::byte>(writer.below(256));
        if (writer.below(20) == 0) bytes.resize(bytes.size() + 1);
        both.update(page, bytes);
    }
    both.expect_same();
}

TEST(AWriteOfOnePage, CommitsAsATransactionOfItDoes) {
    const TempFolder one, other;
    Both both(at(one), at(other));  // of small rings and segments: many end
    expect_same_whatever_is_written(both, seed(), 5000);
}

TEST(AWriteOfOnePage, IsInTheLogAsATransactionsIs) {
    const TempFolder one, other;
    Both both(at(one), at(other));
    expect_same_whatever_is_written(both, seed() + 1, 500);
    const auto all = contents_of(both.general);
    stop(std::move(both.straight));
    remove_arena(one.path());
    EXPECT_EQ(contents_of(start_with(at(one))), all);
}

TEST(AWriteOfOnePage, CommitsAsATransactionOfItDoesOnAPrivateBus) {
    for (const bool logging : {true, false}) {
        Both both({.enable_logging = logging}, {.enable_logging = logging});
        expect_same_whatever_is_written(both, seed() + 2, 3000);
    }
}

TEST(AWriteOfOnePage, ThatIsNamedAndTimedCommitsLikewise) {
    const TempFolder one, other;
    auto config = at(one), theirs = at(other);
    config.source = theirs.source = "a name";
    config.enable_instrumentation = theirs.enable_instrumentation = true;
    Both both(config, theirs);
    expect_same_whatever_is_written(both, seed() + 3, 1000);
}

TEST(AWriteOfOnePage, IsTimedWhereItsHandleWantsThat) {
    for (const bool wanted : {true, false}) {
        const auto bus = start_with({.enable_instrumentation = wanted});
        const auto page = bus.create_page(1000);
        page.write(0, Bytes(1000, std::byte{1}));  // (Now the source has its number.)
        bus.reset_stats();
        for (int i = 2; i < 20; ++i) page.write(0, Bytes(1000, static_cast<std::byte>(i)));
        EXPECT_EQ(bus.get_stats().delta_apply_total_ns != 0, wanted);
    }
}

// Beyond what is compared at once, and beyond what a record of this ring may have.
TEST(AWriteOfOnePage, OfManyBytesCommitsLikewise) {
    const TempFolder one, other;
    Both both(at(one), at(other));
    Writer writer(seed() + 4);
    both.create(300'000);
    constexpr std::array<std::size_t, 6> sizes{11'000, 13'000, 16'384, 65'536, 65'537, 300'000};
    for (const auto size : sizes) {
        both.write({.page = 0, .offset = 0, .bytes = writer.bytes(size)});
        auto scattered = both.pages[0].first.read();
        scattered.resize(size);
        for (std::size_t i = 0; i < size; i += 2) scattered[i] ^= std::byte{0xff};
        both.write({.page = 0, .offset = 0, .bytes = scattered});
    }
    both.expect_same();
}

TEST(AWriteOfOnePage, WithAnEpochThatIsNotThePagesIsAConflict) {
    const auto bus = start_with({});
    const auto page = bus.create_page(8);
    const Bytes bytes(8, std::byte{1});
    const auto before = page.epoch();
    EXPECT_EQ(page.write(0, bytes, {.expected = before}).changed_bytes, 8U);
    raises<Conflict>(bus, [&] { page.write(0, bytes, {.expected = before}); });
    raises<Conflict>(bus, [&] { page.update(bytes, {.expected = before}); });
}

TEST(AWriteOfOnePage, ThatIsRefusedWaitsForNobody) {
    const auto bus = start_with({.lock_timeout = std::chrono::milliseconds(20)});
    const auto page = bus.create_page(8), gone = bus.create_page(8);
    bus.delete_page(gone);
    const Bytes fits(8, std::byte{1}), does_not(9);
    auto& at = detail::Bus::get(detail::Bus::handle_of(bus)).at();
    std::thread([&] {
        const state::WriterLock lock(at, std::chrono::seconds(1));
        std::thread([&] {
            EXPECT_THROW(page.update(fits), Busy);
            EXPECT_THROW(page.update(does_not), InvalidArgument);
            EXPECT_THROW(gone.update(fits), PageNotFound);
        }).join();
    }).join();
    EXPECT_EQ(page.read(), Bytes(8));
}

TEST(AWriteOfOnePage, NamesWhoWroteItOfSeveralHandles) {
    const TempFolder folder;
    auto config = at(folder);
    config.source = "one";
    const auto one = start_with(config);
    config.source = "two";
    const auto two = start_with(config);
    const auto page = one.create_page(1), same = two.page(page.id());
    for (int i = 1; i < 9; ++i) (i % 2 == 0 ? page : same).write(0, Bytes{std::byte(i)});
    std::string sources;
    for (const auto& change : page.history()) sources += change.source + ' ';
    EXPECT_EQ(sources, "one two one two one two one two one ");
}

// It looks at the graph without a lock first, and knows of none.
TEST(APageThatAnotherProcessHasBound, TakesItsChildrenAlongAtTheNextWrite) {
    using Way = std::function<void(const State&, const Page&)>;
    const Bytes one(8, std::byte{1});
    const std::vector<Way> ways = {
        [&](const State&, const Page& page) { page.write(0, one); },
        [&](const State&, const Page& page) { page.update(one); },
        [&](const State& bus, const Page& page) {
            auto tx = bus.transaction();
            tx.update(page, one);
            tx.commit();
        },
    };
    for (const auto& write : ways) {
        const TempFolder folder;
        const auto bus = start(at(folder));
        const auto parent = bus.create_page(8, {.name = "parent"});
        const auto child = bus.create_page(8, {.name = "child"});
        Child other([&] {
            const auto theirs = start(at(folder));
            theirs.graph().derive(theirs.page("child"), {theirs.page("parent")}, formula::copy());
            return 0;
        });
        ASSERT_EQ(other.wait(), 0);
        write(bus, parent);
        EXPECT_EQ(child.read(), one);
        EXPECT_TRUE(bus.verify({.recompute_every = 1}).good);
    }
}

// Without a log the bytes go straight to the page: also where they come from it.
TEST(AWriteOfOnePage, FromThePageItselfMovesItsBytes) {
    for (const bool logging : {true, false}) {
        const auto bus = start_with({.enable_logging = logging});
        Bytes bytes(256);
        for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
        const auto page = bus.create_page(bytes.size(), {.contents = bytes});
        const auto live = page.peek([](std::span<const std::byte> shown) { return shown; });
        ASSERT_TRUE(live);
        page.write(3, live->first(200));
        std::copy_backward(bytes.begin(), bytes.begin() + 200, bytes.begin() + 203);
        EXPECT_EQ(page.read(), bytes);
    }
}

}  // namespace
}  // namespace mmsb::test
