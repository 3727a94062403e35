#include "os/process.hpp"

#include "os/helpers.hpp"

#include <array>
#include <csignal>
#include <thread>

namespace mmsb::os {
namespace {

using namespace std::chrono_literals;
using test::in_child;

TEST(Process, NamesItself) {
    EXPECT_EQ(process_id(), ::getpid());
    EXPECT_EQ(program_name(), "os_memory_test");
    EXPECT_EQ(process_name(process_id()), "os_memory_test");
    EXPECT_TRUE(process_is_alive(process_id()));
    EXPECT_EQ(user_id(), ::geteuid());
    EXPECT_EQ(in_child([] { return process_id() == ::getpid() ? 0 : 1; }), 0);
}

TEST(Process, FindsTheProcessOfAThread) {
    EXPECT_EQ(process_of_thread(::gettid()), ::getpid());
    std::int32_t found = 0;
    std::thread([&] {
        EXPECT_NE(::gettid(), ::getpid());
        found = process_of_thread(::gettid());
    }).join();
    EXPECT_EQ(found, ::getpid());
    EXPECT_EQ(process_of_thread(0), 0);
    EXPECT_EQ(process_of_thread(0x7ffffff0), 0x7ffffff0);
}

TEST(Process, KnowsADeadOneEvenBeforeAnybodyWaitedForIt) {
    const auto child = ::fork();
    if (child == 0) {
        ::pause();
        ::_exit(0);
    }
    EXPECT_TRUE(process_is_alive(child));
    ::kill(child, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
    EXPECT_FALSE(process_is_alive(child));
    ::waitpid(child, nullptr, 0);
    EXPECT_FALSE(process_is_alive(child));
    EXPECT_EQ(process_name(child), "");
    EXPECT_FALSE(process_is_alive(0));
    EXPECT_FALSE(process_is_alive(-1));
}

TEST(Process, SaysWhereItRuns) {
    EXPECT_EQ(boot_id().size(), 36U);
    EXPECT_EQ(boot_id(), boot_id());
    EXPECT_NE(pid_namespace(), 0U);
    EXPECT_EQ(platform().substr(0, 6), "glibc ");
}

TEST(Process, GivesRandomBytes) {
    std::array<std::byte, 300> a{}, b{};
    random_bytes(a);
    random_bytes(b);
    EXPECT_NE(a, b);
    EXPECT_EQ(random_name().size(), 16U);
    EXPECT_NE(random_name(), random_name());
    EXPECT_EQ(random_name().find_first_not_of("0123456789abcdef"), std::string::npos);
}

TEST(Process, ClocksDoNotStandStill) {
    const auto before = steady_ns(), boot = boot_clock_ns(), system = clock_ns();
    std::this_thread::sleep_for(2ms);
    EXPECT_GE(steady_ns() - before, 2'000'000);
    EXPECT_GE(boot_clock_ns() - boot, 2'000'000);
    EXPECT_GT(system, std::int64_t{1'600'000'000} * 1'000'000'000);
}

TEST(Futex, ReturnsAtAChangeAWakeOrTheTimeout) {
    std::atomic<std::uint32_t> word{1};
    futex_wait(word, 0, 1h);  // Another value: at once.
    futex_wait(word, 1, 1ms);
    futex_wait(word, 1, -1ns);
    std::thread waker([&] {
        std::this_thread::sleep_for(10ms);
        word = 2;
        futex_wake(word);
    });
    while (word == 1) futex_wait(word, 1, 1h);
    waker.join();
    std::thread last([&] {
        std::this_thread::sleep_for(10ms);
        word = 3;
        futex_wake(word);
    });
    while (word == 2) futex_wait(word, 2, forever);
    last.join();
}

}  // namespace
}  // namespace mmsb::os
