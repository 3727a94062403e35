// A read-only viewer that had to rebuild the bus for itself goes over to the shared memory when it
// appears, also in the middle of waiting and watching.
#include "support/child.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <poll.h>

#include <thread>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

Config quiet_config(const TempFolder& folder, Open open = Open::create_or_open) {
    Config config{.path = folder.path(), .open = open};
    config.on_notice = [](const Notice&) {};
    return config;
}

// A bus whose shared memory is gone, as after a reboot.
void make_without_memory(const TempFolder& folder) {
    auto bus = start(quiet_config(folder));
    bus.create_page(8, {.name = "p", .contents = bytes_of("abc")});
    stop(std::move(bus));
    remove_arena(folder.path());
}

TEST(AViewerFromBeforeTheSharedMemory, NoticesWhenItAppears) {
    const TempFolder folder;
    make_without_memory(folder);
    const auto viewer = start(quiet_config(folder, Open::read_only));
    const auto page = viewer.page("p");
    EXPECT_EQ(text_of(page.read()), "abc");
    auto watch = viewer.watch({page});
    Pipe ready, go;
    Child writer([&] {
        go.close_writing();
        auto bus = start(quiet_config(folder));
        ready.write(1);
        for (int i = 1; go.read<int>(); ++i)
            ready.write(number(bus.page("p").write(0, filled(8, i)).sequence));
        return 0;
    });
    ASSERT_TRUE(ready.read<int>());
    const auto seen = page.info().epoch;
    go.write(1);
    const auto sequence = ready.read<std::uint64_t>();
    ASSERT_TRUE(sequence);
    // One who waits: for the page, for the bus; and who watches.
    const auto version = page.wait(seen, 20s);
    ASSERT_TRUE(version);
    EXPECT_EQ(number(version->sequence), *sequence);
    EXPECT_EQ(page.read(), filled(8, 1));
    pollfd poll{.fd = watch.fd(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&poll, 1, 20'000), 1);
    EXPECT_EQ(watch.take().size(), 1U);
    go.write(1);
    ASSERT_TRUE(ready.read<std::uint64_t>());
    EXPECT_TRUE(viewer.wait(Sequence{*sequence}, 20s));
    EXPECT_EQ(page.read(), filled(8, 2));
    EXPECT_TRUE(viewer.verify().good);
    go.close_writing();
    EXPECT_EQ(writer.wait(), 0);
    EXPECT_EQ(page.read(), filled(8, 2));
}

TEST(AViewerFromBeforeTheSharedMemory, IsWokenInTheMiddleOfAWait) {
    const TempFolder folder;
    make_without_memory(folder);
    const auto viewer = start(quiet_config(folder, Open::read_only));
    const auto now = viewer.sequence();
    Child writer([&] {
        std::this_thread::sleep_for(100ms);
        auto bus = start(quiet_config(folder));
        bus.page("p").write(0, filled(8, 7));
        std::this_thread::sleep_for(300ms);
        return 0;
    });
    EXPECT_TRUE(viewer.wait(now, 20s));
    EXPECT_EQ(viewer.page("p").read(), filled(8, 7));
    EXPECT_EQ(writer.wait(), 0);
}

}  // namespace
}  // namespace mmsb::test
