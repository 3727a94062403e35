#include "os/mapping.hpp"

#include "os/error.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define MMSB_THREAD_SANITIZER 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define MMSB_THREAD_SANITIZER 1
#endif

namespace mmsb::os {
namespace {

#ifdef MMSB_THREAD_SANITIZER
// Its shadow memory leaves gaps of some hundred GiB only, and grows with what is mapped.
constexpr std::uint64_t largest_room = std::uint64_t{64} << 30U;
#else
constexpr std::uint64_t largest_room = ~std::uint64_t{0};
#endif

constexpr int protection(bool writable) { return writable ? PROT_READ | PROT_WRITE : PROT_READ; }

/// nullptr and errno instead of MAP_FAILED.
template <class F>
std::byte* map(const std::string& path, F mmap_call) {
    // mmap does not fail with EINTR; a pointer has no sign for call() to look at.
    if (const int refused = fault(Call::map, path.c_str()); refused != 0) {
        errno = refused;
        return nullptr;
    }
    void* const at = mmap_call();
    return at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
}

}  // namespace

Mapping::Mapping(Mapping&& o) noexcept
    : data_(std::exchange(o.data_, nullptr)),
      room_(std::exchange(o.room_, 0)),
      mapped_(std::exchange(o.mapped_, 0)) {}

Mapping& Mapping::operator=(Mapping&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(room_, o.room_);
    std::swap(mapped_, o.mapped_);
    return *this;
}

Mapping::~Mapping() {
    if (data_ != nullptr) ::munmap(data_, mapped_);
}

Mapping Mapping::shared(const File& file, std::uint64_t offset, std::uint64_t room,
                        std::uint64_t least, bool writable) {
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    Mapping m;
    for (auto size = std::max(std::min(room, largest_room), least);;) {
        m.data_ = map(file.path(), [&] {
            return ::mmap(nullptr, size, protection(writable), MAP_SHARED | MAP_NORESERVE,
                          file.fd(), static_cast<off_t>(offset));
        });
        if (m.data_ != nullptr) {
            m.room_ = m.mapped_ = size;
            return m;
        }
        // (EINVAL: valgrind's answer where it has no such room.)
        if (errno != ENOMEM && (errno != EINVAL || size <= least)) fail(errno, "mmap", file.path());
        if (size <= least) fail(ENOMEM, "mmap", "address space", least);
        size = std::max(least, size / 2 / page * page);
    }
}

Mapping Mapping::mirrored(const File& file, std::uint64_t offset, std::uint64_t size,
                          bool writable) {
    Mapping m;
    m.data_ = map(file.path(), [&] {
        return ::mmap(nullptr, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                      0);
    });
    if (m.data_ == nullptr && errno == ENOMEM) fail(ENOMEM, "mmap", "address space", 2 * size);
    if (m.data_ == nullptr) fail(errno, "mmap", file.path());
    m.mapped_ = 2 * size;
    m.room_ = size;
    for (auto* const half : {m.data_, m.data_ + size}) {
        const auto* const at = map(file.path(), [&] {
            return ::mmap(half, size, protection(writable), MAP_SHARED | MAP_FIXED, file.fd(),
                          static_cast<off_t>(offset));
        });
        if (at == nullptr) fail(errno, "mmap", file.path());
    }
    return m;
}

}  // namespace mmsb::os
