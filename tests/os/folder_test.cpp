// One conformance suite for both kinds of folder, then what only the disk has.
#include "os/helpers.hpp"

#include <sys/stat.h>

#include <fstream>

namespace mmsb::os {
namespace {

using test::bytes;
using test::Failing;
using test::read_text;
using test::TemporaryFolder;
using Names = std::vector<std::string>;

enum class Kind : std::uint8_t { disk, memory };

class Folders : public ::testing::TestWithParam<Kind> {
protected:
    Folders()
        : folder_(GetParam() == Kind::disk ? open_folder(place_.path(), false, 0600)
                                           : memory_folder()) {}
    void make(const std::string& name, const std::string& content) {
        folder_->open(name, Create::always, true)->write(0, bytes(content));
    }
    std::string content(const std::string& name) {
        const auto file = folder_->open(name, Create::never, false);
        return file ? read_text(*file, 0, 1000) : "(absent)";
    }
    TemporaryFolder place_{};
    std::unique_ptr<Folder> folder_;
};

TEST_P(Folders, OpenAsAskedFor) {
    EXPECT_FALSE(folder_->open("f", Create::never, true));
    EXPECT_TRUE(folder_->open("f", Create::if_need, true));
    EXPECT_TRUE(folder_->open("f", Create::if_need, true));
    EXPECT_TRUE(folder_->open("f", Create::never, false));
    EXPECT_THROW(static_cast<void>(folder_->open("f", Create::always, true)), Io);
}

TEST_P(Folders, ShowTheSameFileToAllWhoOpenIt) {
    const auto a = *folder_->open("f", Create::always, true);
    const auto b = *folder_->open("f", Create::never, false);
    EXPECT_EQ(a.inode(), b.inode());
    a.write(0, bytes("seen"));
    EXPECT_EQ(read_text(b, 0, 9), "seen");
    EXPECT_THROW(b.write(0, bytes("x")), Io);
    EXPECT_NE(a.inode(), folder_->open("g", Create::always, true)->inode());
    EXPECT_EQ(a.owner(), user_id());
    EXPECT_NE(a.path().find('f'), std::string::npos);
}

TEST_P(Folders, ListFilesSortedAndNotFolders) {
    make("c", "");
    make("a", "");
    make("b", "");
    static_cast<void>(folder_->folder("inner", true));
    EXPECT_EQ(folder_->list(), (Names{"a", "b", "c"}));
}

TEST_P(Folders, RemoveAFileButNotUnderItsReaders) {
    make("f", "kept");
    const auto open = *folder_->open("f", Create::never, false);
    folder_->remove("f");
    folder_->remove("f");
    EXPECT_EQ(content("f"), "(absent)");
    EXPECT_EQ(read_text(open, 0, 9), "kept");
    make("f", "new");
    EXPECT_EQ(read_text(open, 0, 9), "kept");
}

TEST_P(Folders, RenameOverWhatIsThere) {
    make("a", "from a");
    make("b", "from b");
    folder_->rename("a", "b");
    EXPECT_EQ(content("b"), "from a");
    EXPECT_EQ(folder_->list(), Names{"b"});
    EXPECT_THROW(folder_->rename("absent", "b"), Io);
    EXPECT_EQ(content("b"), "from a");
}

TEST_P(Folders, RenameToANewNameOnly) {
    make("a", "from a");
    make("b", "from b");
    EXPECT_FALSE(folder_->rename_new("a", "b"));
    EXPECT_EQ(content("b"), "from b");
    EXPECT_TRUE(folder_->rename_new("a", "c"));
    EXPECT_EQ(folder_->list(), (Names{"b", "c"}));
    EXPECT_EQ(content("c"), "from a");
    EXPECT_THROW(static_cast<void>(folder_->rename_new("absent", "d")), Io);
}

TEST_P(Folders, HoldFoldersThatAreTheSameEachTime) {
    EXPECT_EQ(folder_->folder("log", false), nullptr);
    const auto log = folder_->folder("log", true);
    static_cast<void>(log->open("f", Create::always, true));
    const auto again = folder_->folder("log", false);
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(again->list(), Names{"f"});
    EXPECT_EQ(again->inode(), log->inode());
    EXPECT_EQ(again->device(), folder_->device());
    EXPECT_NE(log->inode(), folder_->inode());
    EXPECT_TRUE(folder_->list().empty());
    EXPECT_EQ(log->in_memory(), GetParam() == Kind::memory);
    log->sync();
    folder_->sync();
}

TEST_P(Folders, LockEachOpeningForItself) {
    FileLock a(*folder_->open("lock", Create::if_need, true));
    FileLock b(*folder_->open("lock", Create::if_need, true));
    EXPECT_TRUE(a.try_exclusive());
    EXPECT_FALSE(b.try_exclusive());
    a.release();
    EXPECT_TRUE(b.try_exclusive());
}

TEST_P(Folders, FailByNameAndChangeNothingThen) {
    make("f", "same");
    const auto refuses = [&](Call call, const std::string& name, auto action) {
        const Failing failing(EIO, call);
        try {
            action();
            ADD_FAILURE() << name << " did not throw";
        } catch (const Io& e) {
            EXPECT_EQ(std::string(e.what()).substr(0, name.size() + 1), name + ' ');
            EXPECT_EQ(e.system_error(), EIO);
        }
    };
    refuses(Call::open, "open",
            [&] { static_cast<void>(folder_->open("f", Create::never, true)); });
    refuses(Call::remove, "unlink", [&] { folder_->remove("f"); });
    refuses(Call::rename, "rename", [&] { folder_->rename("f", "g"); });
    refuses(Call::link, "link", [&] { static_cast<void>(folder_->rename_new("f", "g")); });
    refuses(Call::sync_folder, "fsync", [&] { folder_->sync(); });
    refuses(Call::list, "open", [&] { static_cast<void>(folder_->list()); });
    refuses(Call::make_folder, "mkdir", [&] { static_cast<void>(folder_->folder("x", true)); });
    EXPECT_EQ(folder_->list(), Names{"f"});
    EXPECT_EQ(content("f"), "same");
    EXPECT_EQ(folder_->folder("x", false), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Both, Folders, ::testing::Values(Kind::disk, Kind::memory),
                         [](const auto& kind) {
                             return kind.param == Kind::disk ? "Disk" : "Memory";
                         });

TEST(DiskFolder, IsMadeWithItsPermissionsWhateverTheUmask) {
    const TemporaryFolder place;
    const auto old = ::umask(077);
    const auto folder = open_folder(place / "bus", true, 0640);
    static_cast<void>(folder->open("f", Create::if_need, true));
    static_cast<void>(folder->folder("log", true)->open("g", Create::if_need, true));
    ::umask(old);
    const auto mode = [&](const std::string& name) {
        struct stat s{};
        EXPECT_EQ(::stat((place / name).c_str(), &s), 0);
        return s.st_mode & 0777U;
    };
    EXPECT_EQ(mode("bus"), 0750U);
    EXPECT_EQ(mode("bus/f"), 0640U);
    EXPECT_EQ(mode("bus/log"), 0750U);
    EXPECT_EQ(mode("bus/log/g"), 0640U);
}

TEST(DiskFolder, IsNotThereWhereItIsNotMade) {
    const TemporaryFolder place;
    EXPECT_EQ(open_folder(place / "absent", false, 0600), nullptr);
    EXPECT_THROW(static_cast<void>(open_folder(place / "no/parent", true, 0600)), Io);
    std::ofstream(place / "file") << "x";
    EXPECT_THROW(static_cast<void>(open_folder(place / "file", false, 0600)), Io);
    EXPECT_THROW(static_cast<void>(open_folder(place / "file", true, 0600)), Io);
}

TEST(DiskFolder, FollowsNoSymbolicLinkInside) {
    const TemporaryFolder place, elsewhere;
    std::ofstream(elsewhere / "secret") << "secret";
    const auto folder = open_folder(place.path(), false, 0600);
    std::filesystem::create_symlink(elsewhere / "secret", place / "f");
    std::filesystem::create_symlink(elsewhere.path(), place / "log");
    for (const auto create : {Create::never, Create::if_need, Create::always}) {
        EXPECT_THROW(static_cast<void>(folder->open("f", create, true)), Io);
    }
    EXPECT_THROW(static_cast<void>(folder->folder("log", false)), Io);
    EXPECT_THROW(static_cast<void>(folder->folder("log", true)), Io);
    EXPECT_TRUE(folder->list().empty());
    try {
        static_cast<void>(folder->open("f", Create::never, false));
    } catch (const Io& e) {
        EXPECT_NE(std::string(e.what()).find("symbolic links are not followed"), std::string::npos);
    }
}

TEST(DiskFolder, RefusesNamesThatLeadOutAndFilesThatAreNone) {
    const TemporaryFolder place;
    const auto folder = open_folder(place.path(), false, 0600);
    EXPECT_THROW(static_cast<void>(folder->open("../f", Create::if_need, true)), Io);
    EXPECT_THROW(static_cast<void>(folder->folder("a/b", true)), Io);
    ASSERT_EQ(::mkfifo((place / "fifo").c_str(), 0600), 0);
    EXPECT_THROW(static_cast<void>(folder->open("fifo", Create::never, false)), Io);
    ASSERT_EQ(::mkdir((place / "inner").c_str(), 0700), 0);
    EXPECT_THROW(static_cast<void>(folder->open("inner", Create::never, false)), Io);
    EXPECT_TRUE(folder->list().empty());
}

TEST(DiskFolder, StaysWithTheFolderThatWasOpenedWhenItIsRenamed) {
    const TemporaryFolder place;
    const auto folder = open_folder(place / "bus", true, 0600);
    std::filesystem::rename(place / "bus", place / "moved");
    static_cast<void>(folder->open("f", Create::always, true));
    EXPECT_TRUE(std::filesystem::exists(place / "moved/f"));
}

TEST(DiskFolder, IsMadeOrNotWhicheverCallFails) {
    for (int n = 0;; ++n) {
        const TemporaryFolder place;
        int hit = 0;
        {
            const Failing failing(EIO, n);
            try {
                static_cast<void>(open_folder(place / "bus", true, 0600));
            } catch (const Io&) {
            }
            hit = failing.hit();
        }
        const auto again = open_folder(place / "bus", true, 0600);
        EXPECT_TRUE(again->open("f", Create::if_need, true));
        if (hit == 0) break;
    }
}

TEST(MemoryFolder, IsEmptyAndItsOwnEachTime) {
    const auto a = memory_folder(), b = memory_folder();
    static_cast<void>(a->open("f", Create::always, true));
    EXPECT_TRUE(b->list().empty());
    EXPECT_NE(a->inode(), b->inode());
}

}  // namespace
}  // namespace mmsb::os
