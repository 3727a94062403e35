// True power cuts of a real file system: a bus on ext4 on a loop device, whose journal and page
// cache are dropped (EXT4_IOC_SHUTDOWN) while processes commit durably. Mounted again, and without
// the shared memory, it has everything that was acknowledged, and nothing by half. Where loop
// devices are not allowed the test says so.
//
// What counts is what was acknowledged before the cut began: the call is not one moment, and an
// fdatasync that it meets may return 0 for what is not in the journal. (Three processes that only
// write and fdatasync their places of one file lose their last write so in some cuts of a hundred.)
#include "crash/shared.hpp"
#include "support/child.hpp"
#include "support/mounts.hpp"
#include "support/reboot.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <iostream>
#include <random>
#include <thread>

#include <sys/ioctl.h>

namespace mmsb::test {
namespace {

constexpr unsigned long ext4_shutdown = 0x8004587DU;
constexpr std::uint32_t without_flushing_the_journal = 2;
constexpr unsigned writers = 3, accounts = 4;
constexpr std::int64_t total = 1000;

bool run(const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

// ext4 in a file.
class Disk {
public:
    explicit Disk(const std::string& folder) : image_(folder + "/image"), at_(folder + "/mounted") {
        fs::create_directories(at_);
        made_ = run("truncate -s 96M " + image_ + " && mkfs.ext4 -q -F " + image_);
    }
    ~Disk() { unmount(); }
    Disk(const Disk&) = delete;
    Disk& operator=(const Disk&) = delete;
    [[nodiscard]] bool made() const noexcept { return made_; }
    [[nodiscard]] bool mount() { return mounted_ = run("mount -o loop " + image_ + ' ' + at_); }
    void unmount() {
        if (!std::exchange(mounted_, false)) return;
        remove_arena(bus());  // it is found by what is on the disk
        run("umount " + at_);
    }
    // As if the power was gone: what the disk does not have by now it will not get.
    [[nodiscard]] bool cut() const {
        const int fd = ::open(at_.c_str(), O_RDONLY | O_CLOEXEC);
        auto how = without_flushing_the_journal;
        const bool done = fd >= 0 && ::ioctl(fd, ext4_shutdown, &how) == 0;
        if (fd >= 0) ::close(fd);
        return done;
    }
    [[nodiscard]] std::string bus() const { return at_ + "/bus"; }

private:
    std::string image_, at_;
    bool made_ = false, mounted_ = false;
};

Config config_of(const Disk& disk) {
    Config config;
    config.path = disk.bus();
    config.on_notice = [](const Notice&) {};
    config.durability = Durability::sync;
    return config;
}

std::string counter_of(unsigned writer) { return "counter " + std::to_string(writer); }
std::string account_of(unsigned i) { return "account " + std::to_string(i); }

void make(const Disk& disk) {
    auto bus = start_with(config_of(disk));
    for (unsigned i = 0; i < accounts; ++i)
        bus.open<std::int64_t>(account_of(i)).update(total / std::int64_t{accounts});
    for (unsigned i = 0; i < writers; ++i) bus.open<std::uint64_t>(counter_of(i));
    stop(std::move(bus));
}

// Moves amounts between accounts, and counts its commits, until the disk is gone.
int commit_until_the_cut(const Disk& disk, unsigned writer,
                         std::atomic<std::uint64_t>& acknowledged) {
    try {
        const auto bus = start_with(config_of(disk));
        const auto counter = bus.open<std::uint64_t>(counter_of(writer));
        std::vector<TypedPage<std::int64_t>> pages;
        for (unsigned i = 0; i < accounts; ++i)
            pages.push_back(bus.open<std::int64_t>(account_of(i)));
        for (unsigned n = writer;; ++n) {
            std::uint64_t count = 0;
            bus.transact([&](Transaction& tx) {
                count = tx.read(counter) + 1;
                tx.update(counter, count);
                tx.update(pages[n % accounts], tx.read(pages[n % accounts]) - 1);
                tx.update(pages[(n + 1) % accounts], tx.read(pages[(n + 1) % accounts]) + 1);
                if (count % 16 != 0) return;  // structure, and blobs, too
                const auto name = "extra " + std::to_string(count % 64);
                if (const auto old = tx.find_page(name)) tx.delete_page(*old);
                tx.create_page(100 + count % 7 * 9000, {.name = name, .contents = bytes_of("new")});
            });
            acknowledged.store(count);
            if (writer == 0 && n % 50 == 49) static_cast<void>(bus.checkpoint());
        }
    } catch (const Error& e) {
        // Whatever the disk says by now is a typed error of it.
        const bool told = e.code() == ErrorCode::poisoned || e.code() == ErrorCode::io ||
                          e.code() == ErrorCode::out_of_space || e.code() == ErrorCode::not_durable;
        if (!told) std::cerr << "writer: " << e.what() << '\n';
        return told ? 0 : 1;
    }
}

using Counts = std::array<std::uint64_t, writers>;
using Ledger = std::array<std::atomic<std::uint64_t>, writers>;

void check(const Disk& disk, const Counts& acknowledged) {
    remove_arena(disk.bus());
    auto bus = start_with(config_of(disk));
    std::int64_t sum = 0;
    for (unsigned i = 0; i < accounts; ++i) sum += bus.page<std::int64_t>(account_of(i)).read();
    EXPECT_EQ(sum, total) << "a commit is there by half";
    for (unsigned i = 0; i < writers; ++i)
        EXPECT_GE(bus.page<std::uint64_t>(counter_of(i)).read(), acknowledged[i])
            << "an acknowledged commit of writer " << i << " is gone";
    EXPECT_EQ(bus.recovery().damaged_checkpoint, "");
    EXPECT_TRUE(bus.verify().good);
    stop(std::move(bus));
}

// One cut after a random while; adds to what was acknowledged.
void cut_once(Disk& disk, std::mt19937& random, Counts& acknowledged) {
    ASSERT_TRUE(disk.mount());
    const Shared<Ledger> ledger;
    std::vector<std::unique_ptr<Child>> children;
    for (unsigned i = 0; i < writers; ++i)
        children.push_back(std::make_unique<Child>(
            [&, i] { return commit_until_the_cut(disk, i, (*ledger)[i]); }));
    const auto none = [](const auto& count) { return count == 0; };
    while (std::ranges::all_of(*ledger, none))
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 40'000));
    for (unsigned i = 0; i < writers; ++i)
        if (const auto count = (*ledger)[i].load(); count != 0) acknowledged[i] = count;
    ASSERT_TRUE(disk.cut());
    for (const auto& child : children) EXPECT_EQ(child->wait(), 0);
    remove_arena(disk.bus());  // while its place can still be read, if it can
    disk.unmount();
    ASSERT_TRUE(disk.mount());
    // Of that disk the kernel knows nothing any more, as after a boot.
    if (random() % 2 == 0) date_log_before_boot(disk.bus());
    check(disk, acknowledged);
    disk.unmount();
}

TEST(APowerCutOfExt4, LosesNothingThatWasAcknowledged) {
    const TempFolder folder;
    const TempFolder say;
    Child child([&] {
        const auto cannot = [&](const char* what) {
            write_file(say.path(), what);
            return 77;
        };
        if (!be_alone_with_mounts()) return cannot("no mount namespace");
        Disk disk(folder.path());
        if (!disk.made()) return cannot("mkfs.ext4 does not work");
        if (!disk.mount()) return cannot("no loop device can be mounted");
        if (!disk.cut()) return cannot("EXT4_IOC_SHUTDOWN is refused");
        disk.unmount();
        if (!disk.mount()) return 2;
        make(disk);
        disk.unmount();
        const char* const given = std::getenv("MMSB_SEED");
        const auto seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                           : std::random_device{}();
        std::mt19937 random(seed);
        Counts acknowledged{};
        const int cuts = std::getenv("MMSB_LONG") != nullptr ? 100 : 6;
        int done = 0;
        for (; done < cuts && !HasFailure(); ++done) cut_once(disk, random, acknowledged);
        std::cout << "MMSB_SEED=" << seed << ": " << done << " cuts, "
                  << acknowledged[0] + acknowledged[1] + acknowledged[2] << " commits acknowledged"
                  << std::endl;
        std::fflush(nullptr);
        return HasFailure() ? 1 : 0;
    });
    const int code = child.wait();
    const auto why = read_file(say.path());
    fs::remove(say.path());
    if (code == 77) GTEST_SKIP() << "no power can be cut here: " << why;
    ASSERT_EQ(code, 0);
}

}  // namespace
}  // namespace mmsb::test
