// The seam where tests stand: short transfers, what a tap sees; and signals during a reservation.
#include "os/helpers.hpp"
#include "support/tap.hpp"

#include <sys/time.h>

#include <csignal>
#include <thread>

namespace mmsb::os {
namespace {

TEST(ShortTransfers, AreGoneOnWith) {
    const auto folder = memory_folder();
    const auto file = *folder->open("file", Create::always, true);
    std::string text(10'000, 'x');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 26);
    for (const std::uint64_t most : {1U, 7U, 4096U}) {
        test::ShortTransfers few(most);
        const test::Tapped tapped(few);
        file.write(most, test::bytes(text));
        EXPECT_EQ(test::read_text(file, most, text.size()), text);
    }
    test::ShortTransfers none(0);
    const test::Tapped tapped(none);
    EXPECT_THROW(file.write(0, test::bytes(text)), Io);
}

TEST(ATap, SeesWhatIsDoneToFilesAndTheirNames) {
    class Writer final : public Tap {
    public:
        void before(const Operation& what) override {
            if (what.call == Call::pwrite)
                seen += "pwrite " + std::to_string(what.offset) + ' ' +
                        test::text({what.data, static_cast<std::size_t>(what.size)}) + '\n';
        }
        void after(const Operation& what, long result) override {
            if (what.call == Call::stat || what.call == Call::pwrite) return;
            if (what.call == Call::set_mode || what.call == Call::lock) return;
            if (what.name != nullptr) seen += std::string(what.creates ? "+" : "") + what.name;
            if (what.to != nullptr) seen += std::string(">") + what.to;
            if (what.size != 0)
                seen += std::to_string(what.offset) + '+' + std::to_string(what.size);
            seen += ' ' + std::to_string(static_cast<int>(what.call)) +
                    (result < 0 ? " failed\n" : "\n");
        }
        std::string seen;
    };
    const auto line = [](const std::string& what, Call call) {
        return what + ' ' + std::to_string(static_cast<int>(call)) + '\n';
    };
    const test::TemporaryFolder place;
    const auto folder = open_folder(place.path(), false, 0600);
    Writer writer;
    {
        const test::Tapped tapped(writer);
        const auto file = *folder->open("a", Create::always, true);
        file.write(3, test::bytes("hello"));
        file.allocate(8, 100);
        file.truncate(50);
        file.sync_data();
        folder->rename("a", "b");
        EXPECT_TRUE(folder->rename_new("b", "c"));
        folder->sync();
        folder->remove("c");
        static_cast<void>(folder->folder("d", true));
    }
    EXPECT_EQ(writer.seen,
              line("+a", Call::open) + "pwrite 3 hello\n" + line("8+100", Call::allocate) +
                  line("0+50", Call::truncate) + line("", Call::sync) + line("a>b", Call::rename) +
                  line("b>c", Call::link) + line("b", Call::remove) + line("", Call::sync_folder) +
                  line("c", Call::remove) + line("d", Call::make_folder) + line("", Call::open) +
                  line("", Call::sync_folder));
}

// tmpfs gives back all that an interrupted fallocate had reserved: a large one would be begun again
// and again for ever.
TEST(AReservation, EndsWhereSignalsComeAllTheTime) {
    struct sigaction ignore{};
    struct sigaction before{};
    ignore.sa_handler = [](int) {};
    ASSERT_EQ(::sigaction(SIGALRM, &ignore, &before), 0);
    const itimerval often{.it_interval = {0, 50}, .it_value = {0, 50}}, never{};
    ASSERT_EQ(::setitimer(ITIMER_REAL, &often, nullptr), 0);
    const auto file = memory_file("signals");
    file.allocate(0, 64U << 20U);
    ASSERT_EQ(::setitimer(ITIMER_REAL, &never, nullptr), 0);
    ::sigaction(SIGALRM, &before, nullptr);
    EXPECT_EQ(file.allocated(), 64U << 20U);
}

}  // namespace
}  // namespace mmsb::os
