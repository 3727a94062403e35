// A log so long that it is parsed by a thread of its own: what is opened, refused and said of it is
// what a single thread says.
#include "crash/damaged_bus.hpp"
#include "crash/seed.hpp"
#include "state/ahead.hpp"
#include "support/faults.hpp"

namespace mmsb::test {
namespace {

int no_thread_ahead(os::Call call, std::string_view path) {
    return call == os::Call::thread && path == state::thread_ahead ? EAGAIN : 0;
}

class ALongLog : public testing::Test {
protected:
    // Behind the segment's header.
    std::size_t some_place(const std::string& text) {
        return log::segment_header_size + random_() % (text.size() - log::segment_header_size);
    }
    // With the file like that, by two threads and by one.
    Seen look(const fs::path& file, const std::string& changed) {
        const auto seen = bus_.look(file, changed);
        const Faults refused(no_thread_ahead);
        const auto alone = bus_.look(file, changed);
        EXPECT_EQ(seen.what, alone.what);
        EXPECT_EQ(seen.file, alone.file);
        EXPECT_EQ(seen.offset, alone.offset);
        EXPECT_EQ(seen.good_until, alone.good_until);
        return seen;
    }

    std::mt19937_64 random_{seed()};
    DamagedBus bus_{2 * limits::mib, 0, limits::mib / 2, random_()};
};

TEST_F(ALongLog, IsReadByAThreadOfItsOwn) {
    std::atomic<unsigned> threads{0};
    const Faults counted([&](os::Call call, std::string_view path) {
        threads += call == os::Call::thread && path == state::thread_ahead ? 1 : 0;
        return 0;
    });
    EXPECT_EQ(bus_.look_now().what, Seen::What::nothing);
    EXPECT_GT(threads, 1U);  // to open it, to verify it
}

TEST_F(ALongLog, ThatIsDamagedSaysTheSameOfIt) {
    const auto files = bus_.files_of("log");
    ASSERT_GE(files.size(), 4U);
    unsigned refused = 0;
    for (std::size_t n = cases(24, 8); n != 0; --n) {
        const auto& file = files[random_() % files.size()];
        auto text = bus_.files().at(file);
        auto& byte = text[some_place(text)];
        byte = static_cast<char>(byte ^ (1 << random_() % 8));
        refused += look(file, text).what == Seen::What::damage ? 1 : 0;
    }
    EXPECT_GT(refused, 0U);
}

TEST_F(ALongLog, ThatIsCutOffSaysTheSameOfIt) {
    const auto files = bus_.files_of("log");
    for (std::size_t n = cases(8, 4); n != 0; --n) {
        const auto& file = n % 2 == 0 ? files.back() : files[random_() % files.size()];
        const auto& text = bus_.files().at(file);
        look(file, text.substr(0, some_place(text)));
    }
}

// Each read of the log in turn fails: the first is that of the thread that opens, most are others'.
TEST_F(ALongLog, ThatCannotBeReadIsAnError) {
    for (unsigned nth = 1;; nth += 3) {
        std::atomic<unsigned> reads{0};
        bool failed = false;
        {
            const Faults broken([&](os::Call call, std::string_view path) {
                const bool is_log = path.find("/log/") != std::string_view::npos;
                return call == os::Call::pread && is_log && ++reads == nth ? EIO : 0;
            });
            auto config = at(bus_.folder());
            config.open = Open::read_only;
            config.on_notice = [](const Notice&) {};
            try {
                const auto bus = start(config);
                EXPECT_EQ(number(bus.sequence()), bus_.last());
            } catch (const Io&) {
                failed = true;
            }
        }
        if (reads < nth) break;
        EXPECT_TRUE(failed) << "read " << nth << " of the log failed, and nobody said so";
    }
    EXPECT_EQ(bus_.look_now().what, Seen::What::nothing);
}

// Thousands of them lie in what is read at once: each commit's number is what it writes.
TEST(ALogOfManySmallRecords, IsGoodUpToWhereItIsCutOff) {
    std::mt19937_64 random{seed()};
    const TempFolder folder;
    auto config = at(folder);
    config.on_notice = [](const Notice&) {};
    {
        const auto bus =
            start_with(config, {.ring_size = small.ring_size, .segment_size = limits::mib});
        const auto page = bus.create<std::uint64_t>();
        for (std::uint64_t n = 2; n <= 30'000; ++n) page.update(n);
        bus.wait_durable(Sequence::newest);
    }
    remove_arena(folder.path());
    const auto expect_good = [&] {
        for (const bool alone : {false, true}) {
            const Faults faults(alone ? Faults::Answer(no_thread_ahead)
                                      : [](os::Call, std::string_view) { return 0; });
            config.open = Open::read_only;
            const auto bus = start_with(config);
            const TypedPage<std::uint64_t> page(bus.pages().at(0));
            EXPECT_EQ(page.read(), number(bus.sequence()));
            EXPECT_TRUE(bus.verify().good);
        }
    };
    expect_good();
    EXPECT_EQ(start_with(config).sequence(), Sequence{30'000});
    fs::path file;
    for (const auto& entry : fs::directory_iterator(folder / "log"))
        if (entry.path().extension() == ".seg") file = std::max(file, entry.path());
    const auto whole = read_file(file);
    for (std::size_t n = cases(20, 4); n != 0; --n) {
        write_file(file, whole.substr(0, log::segment_header_size + random() % 400'000));
        expect_good();
    }
}

}  // namespace
}  // namespace mmsb::test
