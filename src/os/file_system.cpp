#include "os/file_system.hpp"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

namespace mmsb::os {

Extent extent_of(const File& file) noexcept {
    struct stat s{};
    if (::fstat(file.fd(), &s) != 0) return {};
    return {true, static_cast<std::uint64_t>(s.st_size),
            static_cast<std::uint64_t>(s.st_blocks) * 512};
}

std::string_view network_name(std::uint64_t type) noexcept {
    // linux/magic.h has not all of them.
    switch (type & 0xffffffffU) {
        case NFS_SUPER_MAGIC:
            return "nfs";
        case SMB_SUPER_MAGIC:
        case 0xff534d42U:
        case 0xfe534d42U:
            return "cifs";
        case AFS_SUPER_MAGIC:
        case 0x6b414653U:
            return "afs";
        case CODA_SUPER_MAGIC:
            return "coda";
        case 0x00c36400U:
            return "ceph";
        case 0x01021997U:
            return "9p";
        case 0x01161970U:
            return "gfs2";
        case 0x7461636fU:
            return "ocfs2";
        case 0x0bd00bd0U:
            return "lustre";
        case 0x47504653U:
            return "gpfs";
        default:
            return {};
    }
}

std::string_view network_file_system(const std::string& folder) noexcept {
    struct statfs s{};
    if (::statfs(folder.c_str(), &s) != 0) return {};
    return network_name(static_cast<std::uint64_t>(s.f_type));
}

bool is_in_memory(const File& file) noexcept {
    struct statfs s{};
    return ::fstatfs(file.fd(), &s) == 0 && s.f_type == TMPFS_MAGIC;
}

}  // namespace mmsb::os
