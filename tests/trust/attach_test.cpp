// Opening what must not be opened, or not so: other users' buses, other namespaces, other layouts,
// tricks with names in the bus folder.
// (tests/api/open_test.cpp has foreign files, newer formats, copies and damage.)
#include "state/found_arena.hpp"
#include "support/child.hpp"
#include "support/raises.hpp"
#include "support/temp_bus.hpp"
#include "trust/arena_words.hpp"

#include <gtest/gtest.h>

#include <sched.h>
#include <sys/mount.h>

namespace mmsb::test {
namespace {

using namespace std::chrono_literals;

Config quiet(const TempFolder& folder, Open open = Open::create_or_open) {
    Config config{.path = folder.path(), .open = open, .lock_timeout = 500ms};
    config.on_notice = [](const Notice&) {};
    return config;
}

void make(const TempFolder& folder, unsigned permissions = 0600) {
    auto config = quiet(folder);
    config.permissions = permissions;
    auto bus = start(config);
    bus.create_page(8, {.name = "p", .contents = bytes_of("abc")});
    stop(std::move(bus));
}

std::string text(const State& bus) { return text_of(bus.page("p").read()); }

template <class E>
bool throws(const Config& config) {
    try {
        static_cast<void>(start(config));
    } catch (const E&) {
        return true;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "another error: %s\n", e.what());
    }
    return false;
}

// Keeps a bus open in another process while this lives.
class Holder {
public:
    explicit Holder(const TempFolder& folder)
        : child_([&] {
              auto bus = start(quiet(folder));
              ready_.write(1);
              static_cast<void>(go_.read<int>());
              return 0;
          }) {
        EXPECT_TRUE(ready_.read<int>());
    }
    ~Holder() {
        go_.write(1);
        EXPECT_EQ(child_.wait(), 0);
    }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;

private:
    Pipe ready_{}, go_{};
    Child child_;
};

// ---- what is no bus -----------------------------------------------------------------------------

TEST(APathThatIsNoBus, IsRefusedAndLeftAsItIs) {
    const TempFolder file, empty, fifo, inner;
    write_file(file.path(), "a file");
    fs::create_directories(empty.path());
    make(fifo);
    fs::remove(fifo / "bus");
    ASSERT_EQ(::mkfifo((fifo / "bus").c_str(), 0600), 0);
    make(inner);
    fs::remove(inner / "bus");
    fs::create_directory(inner / "bus");
    for (const auto open : {Open::create_or_open, Open::existing, Open::read_only}) {
        EXPECT_TRUE(throws<NotABus>(quiet(file, open)));
        EXPECT_TRUE(throws<Error>(quiet(fifo, open)));  // and does not wait for a writer of it
        EXPECT_TRUE(throws<Error>(quiet(inner, open)));
        if (open != Open::create_or_open) {
            EXPECT_TRUE(throws<NotABus>(quiet(empty, open)));
        }
    }
    EXPECT_EQ(read_file(file.path()), "a file");
    EXPECT_TRUE(fs::is_empty(empty.path()));
}

// ---- names that lead elsewhere ------------------------------------------------------------------

TEST(ASymbolicLinkInABusFolder, IsNotFollowed) {
    for (const auto* name :
         {"bus", "lock", "lock.open", "arena", "log", "checkpoints", "log/0000000000000001.seg"}) {
        const TempFolder folder, elsewhere;
        make(folder);
        fs::create_directories(elsewhere.path());
        const auto target = elsewhere / "target";
        fs::rename(folder / name, target);  // all is well with what it leads to
        fs::create_symlink(target, folder / name);
        if (std::string_view(name).starts_with("log/")) remove_arena(folder.path());
        EXPECT_TRUE(throws<Error>(quiet(folder))) << name;
    }
}

TEST(ASymbolicLinkToNothing, MakesNoFileThere) {
    for (const auto* name : {"lock", "lock.open", "bus.new", "arena.new"}) {
        const TempFolder folder, elsewhere;
        fs::create_directories(elsewhere.path());
        const auto target = elsewhere / "target";
        if (std::string_view(name) == "bus.new")
            fs::create_directories(folder.path());
        else
            make(folder);
        fs::remove(folder / name);
        fs::create_symlink(target, folder / name);
        remove_arena(folder.path());
        try {
            static_cast<void>(start(quiet(folder)));
        } catch (const Error&) {
        }
        EXPECT_FALSE(fs::exists(target)) << name;
    }
}

TEST(ASymbolicLinkInTheArenasPlace, IsNotFollowed) {
    const TempFolder folder;
    make(folder);
    const auto arena = arena_of(folder.path());
    const fs::path target = arena.string() + ".target";
    fs::rename(arena, target);
    const auto before = fs::last_write_time(target);
    fs::create_symlink(target, arena);
    EXPECT_TRUE(throws<Io>(quiet(folder)));
    EXPECT_EQ(fs::last_write_time(target), before);
    fs::remove(arena);
    fs::remove(target);
    EXPECT_EQ(text(start(quiet(folder))), "abc");
}

TEST(APathOfTheArenaThatLeadsBackAndForth, SaysNothing) {
    const TempFolder folder, elsewhere;
    make(folder);
    const auto arena = arena_of(folder.path());
    fs::create_directories(elsewhere.path());
    const auto name = arena.filename().string();
    write_file(elsewhere / name, "precious");
    for (const auto& path :
         {elsewhere.path() + "/../" + elsewhere.path().substr(elsewhere.path().rfind('/') + 1) +
              "/" + name,
          elsewhere.path() + "//" + name, elsewhere.path() + "/./" + name, "../" + name,
          std::string("/"), std::string(5000, '/'), std::string(1, '\0') + "/" + name}) {
        write_file(folder / "arena", path);
        auto bus = start(quiet(folder));
        EXPECT_EQ(text(bus), "abc");
        stop(std::move(bus));
        write_file(folder / "arena", arena.string());  // for the next one, and for who tidies up
    }
    EXPECT_EQ(read_file(elsewhere / name), "precious");
    EXPECT_EQ(std::distance(fs::directory_iterator(elsewhere.path()), {}), 1);
}

TEST(AnArenaWithARelativePath, IsFoundFromAnotherWorkingFolder) {
    const TempFolder folder, memory;
    fs::create_directories(memory.path());
    const auto here = fs::current_path();
    fs::current_path(memory.path());
    auto config = quiet(folder);
    config.arena_folder = ".";
    auto bus = start(config);
    bus.create_page(8, {.name = "p", .contents = bytes_of("abc")});
    fs::current_path(here);
    EXPECT_EQ(arena_of(folder.path()).parent_path(), fs::canonical(memory.path()));
    Child other([&] { return text(start(quiet(folder))) == "abc" ? 0 : 1; });
    EXPECT_EQ(other.wait(), 0);
}

// ---- whose it is --------------------------------------------------------------------------------

TEST(FilesAndFolders, AreTheirMakersAloneUnlessAskedOtherwise) {
    const TempFolder alone, group;
    const auto mask = ::umask(0);
    make(alone);
    make(group, 0640);
    ::umask(mask);
    const auto check = [](const TempFolder& folder, unsigned file, unsigned directory) {
        const auto mode = [](const fs::path& path) {
            return static_cast<unsigned>(fs::status(path).permissions());
        };
        EXPECT_EQ(mode(folder.path()), directory);
        EXPECT_EQ(mode(arena_of(folder.path())), file);
        for (const auto& entry : fs::recursive_directory_iterator(folder.path()))
            EXPECT_EQ(mode(entry.path()), entry.is_directory() ? directory : file) << entry.path();
    };
    check(alone, 0600, 0700);
    check(group, 0640, 0750);
}

// In a child, as a user who is not root and not whose the bus is.
template <class F>
int as_somebody_else(F&& body) {
    Child child([&] {
        constexpr uid_t nobody = 65534;
        if (::setresuid(nobody, nobody, nobody) != 0) return 98;
        return body();
    });
    return child.wait();
}

TEST(AnotherUsersBus, IsRefusedWithItsPath) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
    const TempFolder folder, shown;
    make(folder);
    EXPECT_EQ(as_somebody_else([&] {
                  for (const auto open : {Open::create_or_open, Open::existing, Open::read_only}) {
                      try {
                          static_cast<void>(start(quiet(folder, open)));
                          return 1;
                      } catch (const Io& e) {
                          if (e.system_error() != EACCES ||
                              e.file().find(folder.path()) == std::string::npos)
                              return 2;
                      }
                  }
                  return 0;
              }),
              0);
    // One that they may look at, shared memory and all, and not write to.
    make(shown, 0644);
    EXPECT_EQ(as_somebody_else([&] {
                  const auto bus = start(quiet(shown, Open::read_only));
                  if (text(bus) != "abc" || bus.recovery().replayed != 0) return 1;
                  return throws<Io>(quiet(shown)) ? 0 : 2;
              }),
              0);
}

TEST(SharedMemoryThatAnotherUserPutThere, IsNotUsed) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
    const TempFolder folder;
    make(folder);
    const auto arena = arena_of(folder.path());
    ASSERT_EQ(::chown(arena.c_str(), 65534, 65534), 0);
    std::vector<std::string> told;
    auto config = quiet(folder);
    config.on_notice = [&](const Notice& n) { told.push_back(n.text); };
    EXPECT_EQ(text(start(config)), "abc");  // from the log
    EXPECT_EQ(told.size(), 1U);
    struct stat now{};
    ASSERT_EQ(::stat(arena.c_str(), &now), 0);
    EXPECT_EQ(now.st_uid, 0U);
}

// ---- where it lives -----------------------------------------------------------------------------

// In a child, behind `flags` of unshare(2); skips where that is not allowed.
template <class F>
std::optional<int> unshared(int flags, F&& body) {
    Child child([&] {
        if (::unshare(flags) != 0) return 97;
        return body();
    });
    const int code = child.wait();
    return code == 97 ? std::nullopt : std::optional(code);
}

TEST(ABusInAnotherMountNamespace, IsRefusedWhileItIsOpenHere) {
    const TempFolder folder;
    make(folder);
    const auto attempt = [&] {
        if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 97;
        if (::mount("other", "/dev/shm", "tmpfs", 0, "size=100m") != 0) return 97;
        return throws<ArenaElsewhere>(quiet(folder)) ? 0 : 1;
    };
    std::optional<int> code;
    {
        const Holder holder(folder);
        code = unshared(CLONE_NEWNS, attempt);
    }
    if (!code) GTEST_SKIP() << "no mount namespaces here: not tried";
    EXPECT_EQ(*code, 0);
    EXPECT_EQ(text(start(quiet(folder))), "abc");
    // Nobody has it open: then it may be opened there, from its log.
    EXPECT_EQ(unshared(CLONE_NEWNS,
                       [&] {
                           if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
                               ::mount("other", "/dev/shm", "tmpfs", 0, "size=100m") != 0)
                               return 97;
                           return text(start(quiet(folder))) == "abc" ? 0 : 1;
                       }),
              0);
}

TEST(ABusInAnotherPidNamespace, IsRefusedWhileItIsOpenHere) {
    const TempFolder folder;
    make(folder);
    std::optional<int> code;
    {
        const Holder holder(folder);
        code = unshared(CLONE_NEWPID, [&] {
            // Process ids mean something else in there: nobody could tell who died.
            Child inner([&] { return throws<ArenaElsewhere>(quiet(folder)) ? 0 : 1; });
            return inner.wait();
        });
    }
    if (!code) GTEST_SKIP() << "no pid namespaces here: not tried";
    EXPECT_EQ(*code, 0);
}

TEST(SharedMemoryOfAnotherLayout, IsRefusedByThoseWhoJoinAndReplacedByWhoIsAlone) {
    const TempFolder folder;
    make(folder);
    const auto scribble = [&] {
        const ForeignMap map(arena_of(folder.path()));
        ASSERT_TRUE(map);
        map.control().stamps.layout ^= 1U << 20U;
    };
    {
        const Holder holder(folder);
        scribble();
        EXPECT_TRUE(throws<ArenaElsewhere>(quiet(folder)));
        scribble();
        EXPECT_EQ(text(start(quiet(folder))), "abc");
        scribble();
    }
    std::vector<std::string> told;
    auto config = quiet(folder);
    config.on_notice = [&](const Notice& n) { told.push_back(n.text); };
    EXPECT_EQ(text(start(config)), "abc");
    ASSERT_EQ(told.size(), 1U);
    EXPECT_NE(told[0].find("another build"), std::string::npos) << told[0];
}

// No network file system can be mounted in a test: what the kernel would say of it is played.
TEST(ABusOnANetworkFileSystem, IsRefusedUnlessAskedForAlsoBeforeItIsMade) {
    std::vector<std::string> asked;
    const auto kind = [&](const std::string& folder) -> std::string_view {
        asked.push_back(folder);
        return folder.starts_with("/dev/shm") ? "nfs" : "";
    };
    Config config{.path = "/dev/shm/no such folder/and none in it/bus"};
    const auto e = thrown<InvalidArgument>([&] { state::refuse_network(config, kind); });
    EXPECT_TRUE(std::string_view(e->what()).starts_with(config.path)) << e->what();
    EXPECT_EQ(e->found(), "nfs");
    EXPECT_EQ(asked, std::vector<std::string>{"/dev/shm"});
    config.allow_network_file_system = true;
    state::refuse_network(config, kind);
    config = {.path = "/proc/self", .arena_folder = "/dev/shm"};
    const auto arena = thrown<InvalidArgument>([&] { state::refuse_network(config, kind); });
    EXPECT_TRUE(std::string_view(arena->what()).starts_with("/dev/shm ")) << arena->what();
    config.arena_folder = "/proc";
    state::refuse_network(config, kind);
}

}  // namespace
}  // namespace mmsb::test
