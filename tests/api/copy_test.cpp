// A bus is copied while others write: a new bus, with its past, that goes on by itself. Killed or
// failing anywhere, it leaves nothing that opens as a bus.
#include "support/child.hpp"
#include "support/contents.hpp"
#include "support/faults.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace mmsb::test {
namespace {

constexpr std::size_t large = 200'000;  // a blob's

std::map<fs::path, std::string> files_in(const fs::path& folder) {
    std::map<fs::path, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
        if (entry.is_regular_file()) files[entry.path()] = read_file(entry.path());
    return files;
}

struct Copy : testing::Test {
    TempFolder folder{}, second{};
    std::map<std::uint64_t, Contents> past{};

    void commit(const State& bus, unsigned n) {
        const auto name = "page " + std::to_string(n % 7);
        const auto page = bus.open_page(name, n % 7 == 3 ? large : 100 + 900 * (n % 7));
        page.update(pattern(page.size(), n), {.source = "writer", .label = "n"});
        past[number(bus.sequence())] = contents_of(bus);
    }
    void expect_same_past(const State& copy, Sequence oldest) const {
        EXPECT_EQ(copy.oldest(), oldest);
        for (const auto& [sequence, contents] : past) {
            if (Sequence{sequence} < oldest || sequence > number(copy.sequence())) continue;
            EXPECT_EQ(contents_of(copy.at(Sequence{sequence})), contents) << sequence;
        }
        EXPECT_TRUE(copy.verify().good);
    }
    Config copied() const { return at(second); }
};

TEST_F(Copy, IsABusOfItsOwnWithItsPast) {
    auto bus = start_with(at(folder));
    for (unsigned n = 0; n < 60; ++n) {
        commit(bus, n);
        if (n == 20 || n == 40) bus.checkpoint();
    }
    bus.create_page(8, {.name = "gone", .metadata = {{"unit", "m"}}});
    bus.delete_page(bus.page("gone"));
    const auto now = contents_of(bus);
    EXPECT_EQ(bus.copy_to(second.path()), bus.sequence());
    auto copy = start_with(copied());
    EXPECT_FALSE(copy.recovery().needed);
    EXPECT_EQ(copy.recovery().dropped_bytes, 0U);
    EXPECT_EQ(contents_of(copy), now);
    expect_same_past(copy, Sequence::zero);
    // Each goes on by itself, and neither is seen in the other.
    bus.page("page 1").write(0, bytes_of("original"));
    copy.page("page 1").write(0, bytes_of("copy"));
    EXPECT_NE(contents_of(copy), contents_of(bus));
    const auto mine = contents_of(copy);
    EXPECT_GT(number(copy.create_page(8).id()), number(bus.page("page 6").id()) + 1);
    copy.delete_page(copy.pages().back());
    const auto last = contents_of(copy);
    EXPECT_EQ(last.pages, mine.pages);
    stop(std::move(copy));
    remove_arena(second.path());
    copy = start_with(copied());
    EXPECT_EQ(contents_of(copy), last);
    expect_same_past(copy, Sequence::zero);
    // Files of one are foreign to the other.
    const auto segment = fs::path("log") / "0000000000000001.seg";
    stop(std::move(copy));
    stop(std::move(bus));
    write_file(second / segment.string(), read_file(folder / segment.string()));
    thrown<Corrupt>([&] { static_cast<void>(start_with(copied())); });
}

TEST_F(Copy, IsMadeWhileOthersWrite) {
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(64, {.name = "p", .contents = pattern(64, 0)});
    std::atomic<bool> done{false};
    std::thread writer([&] {
        for (unsigned n = 1; !done.load(); ++n) {
            page.update(pattern(64, n));
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    });
    for (const auto open : {Open::existing, Open::read_only}) {
        auto config = at(folder);
        config.open = open;
        const auto reader = start_with(config);
        const TempFolder to;
        const auto before = bus.sequence();
        const auto as_of = reader.copy_to(to.path());
        EXPECT_GE(as_of, before);
        const auto copy = start_with(at(to));
        EXPECT_EQ(copy.sequence(), as_of);
        const auto p = copy.page("p");
        EXPECT_EQ(p.read(), pattern(64, static_cast<unsigned>(number(p.epoch()))));
        EXPECT_TRUE(copy.verify().good);
    }
    done = true;
    writer.join();
    EXPECT_TRUE(bus.verify().good);
}

TEST_F(Copy, OfABusThatLetGoOfItsPastBeginsWhereThatDoes) {
    auto bus = start_with(at(folder));
    for (unsigned n = 0; n < 40; ++n) commit(bus, n);
    bus.compact(Sequence{30});
    bus.set_retention({.records = 500, .age = std::chrono::hours(1)});
    for (unsigned n = 40; n < 50; ++n) commit(bus, n);
    bus.copy_to(second.path());
    const auto copy = start_with(copied());
    expect_same_past(copy, Sequence{30});
    EXPECT_EQ(copy.retention().records, 500U);
    EXPECT_EQ(copy.retention().age, std::chrono::hours(1));
    thrown<HistoryDropped>([&] { static_cast<void>(copy.at(Sequence{29})); });
}

TEST_F(Copy, GivesBackAPageOfThen) {
    const auto bus = start_with(at(folder));
    const auto page = bus.create_page(4, {.contents = bytes_of("then")});
    const auto other = bus.create_page(4, {.contents = bytes_of("then")});
    bus.copy_to(second.path());
    const auto copy = start_with(copied());
    page.resize(3);
    page.write(0, bytes_of("now"));
    other.write(0, bytes_of("now!"));
    bus.restore(copy.snapshot(), {page});
    EXPECT_EQ(page.read(), to_bytes("then"));
    EXPECT_EQ(other.read(), to_bytes("now!"));
    const auto later = bus.create_page(1);
    thrown<PageNotFound>([&] { bus.restore(copy.snapshot(), {later}); });
    EXPECT_TRUE(bus.verify().good);
}

TEST_F(Copy, OfATornBusAndOfAStoppedOneIsClean) {
    auto bus = start_with(at(folder));
    for (unsigned n = 0; n < 30; ++n) commit(bus, n);
    bus.wait_durable(Sequence::newest);
    stop(std::move(bus));
    remove_arena(folder.path());
    // A tail that is torn, and a segment that is cut short by the next.
    const auto segment = folder / "log/0000000000000001.seg";
    auto text = read_file(segment);
    write_file(segment, text.substr(0, text.size() - 40));
    auto config = at(folder);
    config.on_notice = [](const Notice&) {};
    bus = start_with(config);
    commit(bus, 31);
    commit(bus, 32);
    const auto now = contents_of(bus);
    stop(std::move(bus));
    const auto before = files_in(folder.path());
    config.open = Open::read_only;
    start_with(config).copy_to(second.path());
    EXPECT_EQ(files_in(folder.path()), before);
    const auto copy = start_with(copied());
    EXPECT_FALSE(copy.recovery().needed);
    EXPECT_EQ(contents_of(copy), now);
    EXPECT_TRUE(copy.verify().good);
}

TEST_F(Copy, OfABusThatHoldsNothingIsOne) {
    start_with(at(folder)).copy_to(second.path());
    const auto copy = start_with(copied());
    EXPECT_EQ(copy.sequence(), Sequence::zero);
    copy.create_page(8);
    EXPECT_TRUE(copy.verify().good);
}

TEST_F(Copy, NeverGoesWhereSomethingIs) {
    auto bus = start_with(at(folder));
    commit(bus, 1);
    raises<InvalidArgument>(bus, [&] { bus.copy_to(folder.path()); });
    fs::create_directories(second.path());
    write_file(second / "mine", "text");
    raises<InvalidArgument>(bus, [&] { bus.copy_to(second.path()); });
    fs::remove(second / "mine");
    fs::create_directories(second / "log");
    raises<InvalidArgument>(bus, [&] { bus.copy_to(second.path()); });
    fs::remove(second / "log");
    bus.copy_to(second.path());  // an empty one
    raises<InvalidArgument>(bus, [&] { bus.copy_to(second.path()); });
    const auto in_memory = start();
    raises<InvalidArgument>(in_memory, [&] { in_memory.copy_to(second.path()); });
}

TEST_F(Copy, OfADamagedBusIsRefusedWithThePlace) {
    auto bus = start_with(at(folder));
    for (unsigned n = 0; n < 30; ++n) commit(bus, n);
    bus.wait_durable(Sequence::newest);
    stop(std::move(bus));
    const auto segment = folder / "log/0000000000000001.seg";
    auto text = read_file(segment);
    text[9000] = static_cast<char>(text[9000] ^ 4);
    write_file(segment, text);
    bus = start_with(at(folder));  // the shared memory has all of it
    const auto refused = raises<Corrupt>(bus, [&] { bus.copy_to(second.path()); });
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->file(), segment.string());
    EXPECT_LE(refused->offset(), 9000U);
    EXPECT_FALSE(fs::exists(second.path()));
    stop(std::move(bus));
    // What is good of it can be copied.
    auto config = at(folder);
    config.open = Open::good_prefix;
    config.on_notice = [](const Notice&) {};
    const auto good = start_with(config);
    EXPECT_EQ(good.sequence(), refused->good_until());
    good.copy_to(second.path());
    const auto copy = start_with(copied());
    EXPECT_EQ(contents_of(copy), contents_of(good));
    expect_same_past(copy, Sequence::zero);
}

// Whatever call of it fails, and wherever it is killed.
struct CopyCutShort : Copy {
    CopyCutShort() {
        for (unsigned n = 0; n < 12; ++n) {
            commit(bus, n);
            if (n == 6) bus.checkpoint();
        }
    }
    void expect_no_bus() const {
        for (const auto open : {Open::existing, Open::create_or_open, Open::read_only}) {
            auto config = at(second);
            config.open = open;
            // In an empty folder a bus can be made; what was begun in one is left alone.
            if (open != Open::create_or_open || fs::exists(second / "bus.copying"))
                thrown<NotABus>([&] { static_cast<void>(start_with(config)); });
        }
    }
    State bus = start_with(at(folder));
};

TEST_F(CopyCutShort, ByACallThatFailsLeavesNothing) {
    bool whole = false;
    int n = 0;
    for (; !whole && !HasFailure(); ++n) {
        int left = n;
        const Faults faults([&](os::Call, std::string_view path) {
            return path.find(second.path()) != std::string_view::npos && left-- == 0 ? EIO : 0;
        });
        try {
            bus.copy_to(second.path());
            whole = true;
        } catch (const Io&) {
            // The name of the folder may stay where the sync of its parent failed.
            EXPECT_FALSE(fs::exists(second / "bus")) << n;
            fs::remove_all(second.path());
        }
    }
    EXPECT_GT(n, 30);
    EXPECT_EQ(contents_of(start_with(copied())), contents_of(bus));
}

TEST_F(CopyCutShort, ByADeathIsNoBus) {
    int killed = 0;
    for (int n = 0;; ++n) {
        Child child([&] {
            auto config = at(folder);
            config.open = Open::read_only;
            const auto reader = start_with(config);
            int left = n;
            const Faults faults([&](os::Call, std::string_view path) {
                if (path.find(second.path()) != std::string_view::npos && left-- == 0)
                    ::kill(::getpid(), SIGKILL);
                return 0;
            });
            reader.copy_to(second.path());
            return 0;
        });
        if (child.wait() == 0) break;
        ++killed;
        if (fs::exists(second / "bus")) {  // only once all of it was there
            EXPECT_EQ(contents_of(start_with(copied())), contents_of(bus));
        } else {
            expect_no_bus();
        }
        remove_arena(second.path());
        fs::remove_all(second.path());
        ASSERT_FALSE(HasFailure()) << n;
    }
    EXPECT_GT(killed, 30);
    EXPECT_EQ(contents_of(start_with(copied())), contents_of(bus));
}

// Its words are its own, and nobody moves them when others let go of some of the past.
TEST(AViewerThatSeesNoSharedMemory, CopiesWhatTheFilesHaveByNow) {
    const TempFolder folder;
    fs::create_directories(folder / "memory");
    fs::create_directories(folder / "elsewhere");
    auto config = at(folder);
    config.path = folder / "bus";
    config.arena_folder = folder / "memory";
    {
        const auto bus = start_with(config);
        const auto page = bus.create_page(9'000, {.name = "page"});
        for (unsigned i = 0; i < 20; ++i) {
            page.update(pattern(9'000, i + 1));
            if (i % 8 == 7) bus.checkpoint();
        }
    }
    auto blind = config;
    blind.open = Open::read_only;
    blind.arena_folder = folder / "elsewhere";
    const auto viewer = start_with(blind);
    const auto bus = start_with(config);
    bus.compact(Sequence{10});
    ASSERT_GT(bus.oldest(), viewer.oldest());
    viewer.copy_to(folder / "copy");
    auto copy = config;
    copy.path = folder / "copy";
    const auto copied = start_with(copy);
    EXPECT_EQ(copied.oldest(), bus.oldest());
    EXPECT_EQ(copied.sequence(), viewer.sequence());
    EXPECT_TRUE(copied.verify().good);
    for (unsigned i = 0; i < 3; ++i) {
        bus.page("page").update(pattern(9'000, i + 100));
        bus.compact(bus.sequence());
    }
    ASSERT_GT(bus.oldest(), viewer.sequence());
    thrown<HistoryDropped>([&] { viewer.copy_to(folder / "another"); });
    EXPECT_FALSE(fs::exists(folder / "another" / "bus"));
}

}  // namespace
}  // namespace mmsb::test
