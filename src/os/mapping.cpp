#include "os/mapping.hpp"

#include "base/bytes.hpp"
#include "os/call.hpp"
#include "os/error.hpp"
#include "os/file_system.hpp"

#include <fcntl.h>
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

#ifndef MADV_COLLAPSE  // Linux 6.1; C libraries learned it later.
#define MADV_COLLAPSE 25
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

/// Address room for what begins at `offset` of a file, so placed that a large page of the file can
/// be one of the addresses. nullptr and errno where there is none.
std::byte* reserve(const std::string& path, std::uint64_t offset, std::uint64_t size) {
    const auto spare = size < large_page ? 0 : large_page;
    auto* const at = map(path, [&] {
        return ::mmap(nullptr, size + spare, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1, 0);
    });
    if (at == nullptr || spare == 0) return at;
    const auto lead = (offset - reinterpret_cast<std::uintptr_t>(at)) % large_page;
    if (lead > 0) ::munmap(at, lead);
    ::munmap(at + lead + size, spare - lead);
    return at + lead;
}

std::byte* show(std::byte* place, const File& file, std::uint64_t offset, std::uint64_t size,
                bool writable) {
    return map(file.path(), [&] {
        return ::mmap(place, size, protection(writable), MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
                      file.fd(), static_cast<off_t>(offset));
    });
}

}  // namespace

Mapping::Mapping(Mapping&& o) noexcept
    : data_(std::exchange(o.data_, nullptr)),
      room_(std::exchange(o.room_, 0)),
      mapped_(std::exchange(o.mapped_, 0)),
      offset_(o.offset_),
      large_pages_(o.large_pages_) {}

Mapping& Mapping::operator=(Mapping&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(room_, o.room_);
    std::swap(mapped_, o.mapped_);
    std::swap(offset_, o.offset_);
    std::swap(large_pages_, o.large_pages_);
    return *this;
}

Mapping::~Mapping() {
    if (data_ != nullptr) ::munmap(data_, mapped_);
}

Mapping::Mapping(std::byte* data, std::uint64_t offset, std::uint64_t room,
                 std::uint64_t mapped) noexcept
    : data_(data), room_(room), mapped_(mapped), offset_(offset) {}

Mapping Mapping::shared(const File& file, std::uint64_t offset, std::uint64_t room,
                        std::uint64_t least, bool writable) {
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    for (auto size = std::max(std::min(room, largest_room), least);;) {
        Mapping m(reserve(file.path(), offset, size), offset, size, size);
        if (m.data_ != nullptr && show(m.data_, file, offset, size, writable) != nullptr) return m;
        // (EINVAL: valgrind's answer where it has no such room.)
        if (errno != ENOMEM && (errno != EINVAL || size <= least)) fail(errno, "mmap", file.path());
        if (size <= least) fail(ENOMEM, "mmap", "address space", least);
        size = std::max(least, size / 2 / page * page);
    }
}

Mapping Mapping::mirrored(const File& file, std::uint64_t offset, std::uint64_t size,
                          bool writable) {
    Mapping m(reserve(file.path(), offset, 2 * size), offset, size, 2 * size);
    if (m.data_ == nullptr && errno == ENOMEM) fail(ENOMEM, "mmap", "address space", 2 * size);
    if (m.data_ == nullptr) fail(errno, "mmap", file.path());
    for (auto* const half : {m.data_, m.data_ + size}) {
        if (show(half, file, offset, size, writable) == nullptr) fail(errno, "mmap", file.path());
    }
    return m;
}

// Some of a large page has to be there before: its end, so that the file is as long as the page.
// Making it takes less time than the 512 faults of small ones do, but the system may have to look
// for the memory. Who touches meanwhile what was there waits.
bool Mapping::make_large(const File& file, std::uint64_t at) {
    constexpr std::uint64_t part = 4096;
    const Operation end{.call = Call::allocate,
                        .path = file.path().c_str(),
                        .fd = file.fd(),
                        .offset = offset_ + at + large_page - part,
                        .size = part};
    const auto there = call(end, [&] {
        return ::fallocate(end.fd, 0, static_cast<off_t>(end.offset), static_cast<off_t>(end.size));
    });
    if (there < 0) return false;  // allocate() says why, and how much it needs
    const auto made = call(Call::advise, file.path(),
                           [&] { return ::madvise(data_ + at, large_page, MADV_COLLAPSE); });
    // EAGAIN is of this page only. Else: an older kernel, one that has none, or no such piece of
    // memory, which takes long to find out.
    if (made < 0 && errno != EAGAIN) large_pages_ = false;
    return large_pages_;
}

void Mapping::allocate(const File& file, std::uint64_t at, std::uint64_t size) {
    const auto before_first = base::round_up(offset_, large_page) - offset_;
    auto page = at < before_first ? before_first : at - (at - before_first) % large_page;
    // On a disk it would be a hole that is written in pieces.
    if (page + large_page <= at + size && large_pages_ && is_in_memory(file))
        while (page + large_page <= at + size && make_large(file, page)) page += large_page;
    // Whatever the system says that it has made: this is what later touches rely on.
    if (size > 0) file.allocate(offset_ + at, size);
}

}  // namespace mmsb::os
