/// os/mapping: files seen as memory. Room is reserved first, then filled: nobody guesses a map
/// size.
#pragma once

#include "base/limits.hpp"
#include "os/file.hpp"

namespace mmsb::os {

/// One entry of a processor's tables of addresses can stand for so much, and one fault brings it.
inline constexpr std::uint64_t large_page = 2 * limits::mib;

/// A range of addresses that shows a part of a file; unmapped when destroyed. Move-only.
///
/// The file may be shorter than the room: touching what is beyond its end is SIGBUS, so callers
/// touch only what was allocated (File::allocate) and published as such.
class Mapping {
public:
    Mapping() = default;
    Mapping(Mapping&& o) noexcept;
    Mapping& operator=(Mapping&& o) noexcept;
    ~Mapping();
    /// `room` bytes of the file from `offset` (both multiples of the page size), shared. Where so
    /// much address room is not to be had (RLIMIT_AS, sanitizers) half as much is tried, down to
    /// `least`; then OutOfSpace "address space". See room().
    [[nodiscard]] static Mapping shared(const File& file, std::uint64_t offset, std::uint64_t room,
                                        std::uint64_t least, bool writable);
    /// The same `size` bytes twice in a row: a ring without code for the wrap.
    [[nodiscard]] static Mapping mirrored(const File& file, std::uint64_t offset,
                                          std::uint64_t size, bool writable);
    /// As File::allocate, of what is at `at` of this mapping. Of a file in memory, and where the
    /// system gives them, it is made of large pages; the first may be one that had a beginning
    /// already, which stays as it is. REQUIRES a writable mapping of this file.
    void allocate(const File& file, std::uint64_t at, std::uint64_t size);
    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    [[nodiscard]] std::uint64_t room() const noexcept { return room_; }

private:
    Mapping(std::byte* data, std::uint64_t offset, std::uint64_t room,
            std::uint64_t mapped) noexcept;
    /// False: it makes no sense to ask for the next.
    [[nodiscard]] bool make_large(const File& file, std::uint64_t at);

    std::byte* data_ = nullptr;
    std::uint64_t room_ = 0, mapped_ = 0, offset_ = 0;
    bool large_pages_ = true;  ///< The system has not said yet that it gives none.
};

}  // namespace mmsb::os
