#include "os/fork.hpp"

#include "os/error.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

namespace mmsb::os {

namespace {

volatile std::uint64_t* make_page() {
    const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const int refused = fault(Call::map, "fork token");
    if (refused != 0) fail(refused, "mmap", "fork token");
    void* const page =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) fail(errno, "mmap", "fork token");
    const int unadvised = fault(Call::advise, "fork token");
    if (unadvised != 0 || ::madvise(page, size, MADV_WIPEONFORK) < 0) {
        const int reason = unadvised != 0 ? unadvised : errno;
        ::munmap(page, size);
        fail(reason, "madvise", "fork token");
    }
    return static_cast<volatile std::uint64_t*>(page);
}

}  // namespace

ForkToken::ForkToken() {
    static std::mutex mutex;
    static std::uint64_t last = 0;
    const std::lock_guard lock(mutex);
    if (page_ == nullptr) page_ = make_page();
    if (*page_ == 0) *page_ = ++last;  // the first of this process, which may be a child
    number_ = *page_;
}

}  // namespace mmsb::os
