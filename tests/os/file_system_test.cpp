#include "os/file_system.hpp"

#include "os/helpers.hpp"

namespace mmsb::os {
namespace {

TEST(ExtentOf, SaysWhereAFileEndsAndWhatIsBehindIt) {
    const auto file = memory_file("f");
    EXPECT_EQ(extent_of(file).size, 0U);
    EXPECT_EQ(extent_of(file).allocated, 0U);
    file.allocate(std::uint64_t{1} << 30U, 8192);
    EXPECT_EQ(extent_of(file).size, (std::uint64_t{1} << 30U) + 8192);
    EXPECT_EQ(extent_of(file).allocated, 8192U);
    ASSERT_EQ(::ftruncate(file.fd(), 4096), 0);
    EXPECT_EQ(extent_of(file).size, 4096U);
    EXPECT_EQ(extent_of(file).allocated, 0U);
    EXPECT_TRUE(is_in_memory(file));
}

// No network file system can be mounted in a test: the numbers are the kernel's, of statfs(2).
TEST(NetworkFileSystems, AreKnownByTheirNumbers) {
    EXPECT_EQ(network_name(0x6969), "nfs");
    EXPECT_EQ(network_name(0xff534d42), "cifs");
    EXPECT_EQ(network_name(0xfe534d42), "cifs");
    EXPECT_EQ(network_name(0xffffffff'ff534d42U), "cifs");  // as a signed word says it
    EXPECT_EQ(network_name(0x01021997), "9p");
    EXPECT_EQ(network_name(0x00c36400), "ceph");
    for (const auto local : {0x01021994U, 0xef53U, 0x58465342U, 0x9123683eU, 0x794c7630U})
        EXPECT_EQ(network_name(local), "");
    EXPECT_EQ(network_file_system("/dev/shm"), "");
    EXPECT_EQ(network_file_system("/no/such/folder"), "");
}

}  // namespace
}  // namespace mmsb::os
