/// tests/trust/arena_words: somebody else's hands on a bus's shared memory.
#pragma once

#include "arena/layout.hpp"
#include "support/temp_bus.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace mmsb::test {

/// The arena of the bus in `folder`, mapped as any process may map it. Null where there is none.
class ForeignMap {
public:
    explicit ForeignMap(const fs::path& arena) {
        fd_ = ::open(arena.c_str(), O_RDWR | O_CLOEXEC);
        struct stat s{};
        if (fd_ < 0 || ::fstat(fd_, &s) != 0 || s.st_size == 0) return;
        size_ = static_cast<std::size_t>(s.st_size);
        void* const at =
            ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd_, 0);
        if (at != MAP_FAILED) data_ = static_cast<std::byte*>(at);
    }
    ~ForeignMap() {
        if (data_ != nullptr) ::munmap(data_, size_);
        if (fd_ >= 0) ::close(fd_);
    }
    ForeignMap(const ForeignMap&) = delete;
    ForeignMap& operator=(const ForeignMap&) = delete;

    [[nodiscard]] explicit operator bool() const noexcept { return data_ != nullptr; }
    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] arena::Control& control() const noexcept {
        return *reinterpret_cast<arena::Control*>(data_);
    }
    /// The 64-bit word at this offset of the file; nullptr behind its end.
    [[nodiscard]] arena::Word* word(std::uint64_t offset) const noexcept {
        if (offset + 8 > size_) return nullptr;
        return reinterpret_cast<arena::Word*>(data_ + offset / 8 * 8);
    }

    /// REQUIRES that the file reaches so far.
    [[nodiscard]] arena::PageLine& line(std::uint32_t number) const noexcept {
        return reinterpret_cast<arena::PageLine*>(data_ + arena::table_at)[number];
    }

private:
    int fd_ = -1;
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace mmsb::test
