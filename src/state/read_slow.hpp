/// state/read_slow: bytes of pages whose lines do not stand still: a fuzzy copy, then redo of the
/// log over it. For read.cpp only; contracts and errors are there.
#pragma once

#include "state/attachment.hpp"

#include <optional>
#include <span>

namespace mmsb::state {

/// Where the bytes that are read go: memory of the caller's, or a container that grows.
class Target {
public:
    explicit Target(std::span<std::byte> fixed) noexcept : fixed_(fixed) {}
    explicit Target(Bytes& grown) noexcept : grown_(&grown) {}
    /// What was there stays, what is new is zero. REQUIRES that it fits, where it is the caller's.
    void resize(std::size_t size) {
        if (grown_ != nullptr) {
            grown_->resize(size);
            bytes_ = *grown_;
            return;
        }
        const auto had = bytes_.size();
        bytes_ = fixed_.first(size);
        if (size > had) std::memset(bytes_.data() + had, 0, size - had);
    }
    /// There will be this much: memory is taken once.
    void reserve(std::size_t size) {
        if (grown_ != nullptr) grown_->reserve(size);
    }
    /// Likewise, but nobody cares what is in it.
    void make(std::size_t size) {
        if (grown_ != nullptr) grown_->resize(size);
        bytes_ = grown_ != nullptr ? std::span(*grown_) : fixed_.first(size);
    }
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }

private:
    std::span<std::byte> fixed_{}, bytes_{};
    Bytes* grown_ = nullptr;
};

/// A page, or a part of one, as it is read.
struct Redone {
    PageId page = PageId::none;
    std::uint32_t line = 0;
    Target target;
    std::uint64_t from = 0;
    std::optional<std::uint64_t> length{};  ///< Empty: to the end of the page.
    bool found = false;                     ///< False: it was not there.
    bool begun = false;                     ///< Only the beginning of it was copied so far.
    arena::LineCopy info{};
};

/// From here on reading goes chunk by chunk: where something is written all the time, no copy in
/// one piece would ever find the line as it was.
inline constexpr std::uint64_t large_size = 64 * limits::kib;

/// Copies the line; false: another page's, busy, or it moved meanwhile. Throws Corrupt where one
/// that stood still is not as its last writer left it.
bool copy_line(const Attachment& bus, PageId page, const arena::PageLine& line,
               arena::LineCopy& out);
[[noreturn]] void throw_scribbled(const Attachment& bus, PageId page, const char* expected);
/// Are these the words as one writer left them?
[[nodiscard]] bool is_sealed(const arena::Control& words, const arena::Tail& tail) noexcept;
/// Copies line and bytes, whatever is there. False: the line points outside the arena, as one that
/// is being moved may.
bool copy_fuzzy(Attachment& bus, Redone& page);

/// All of them as of the position that is returned; of the writers' lock, without a log.
Position read_slow(Attachment& bus, std::span<Redone> pages);
/// A page or a part that is large, quick or not. REQUIRES a log.
void read_large(Attachment& bus, Redone& page);

}  // namespace mmsb::state
