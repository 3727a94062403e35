/// base/bytes: writing little-endian fields, and reading them back from bytes that nobody vouches
/// for. ByteReader is noexcept: it latches failed() and gives zeros from there on, so a parser
/// reads all its fields and asks once.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mmsb::base {

static_assert(std::endian::native == std::endian::little, "MMSB's formats are little-endian");

inline constexpr std::size_t varint_max = 10;  ///< Bytes of the longest LEB128 u64.

[[nodiscard]] constexpr std::uint64_t round_up(std::uint64_t n, std::uint64_t multiple) noexcept {
    return (n + multiple - 1) / multiple * multiple;
}
[[nodiscard]] constexpr std::size_t varint_size(std::uint64_t v) noexcept {
    // Seven bits each, rounded up; x * 9 / 64 is x / 7 for what a u64 can have.
    const auto bits = static_cast<std::size_t>(std::bit_width(v | 1U));
    return (bits * 9 + 64) / 64;
}

/// Also of none. Linear.
[[nodiscard]] bool all_zero(std::span<const std::byte> bytes) noexcept;

/// Fields whose sizes have a bound, gathered where they cost least to be appended in one piece.
template <std::size_t capacity>
class FieldBuffer {
public:
    template <class T>
        requires std::has_unique_object_representations_v<T>
    void fixed(T v) noexcept {
        std::memcpy(bytes_ + size_, &v, sizeof v);
        size_ += sizeof v;
    }
    void varint(std::uint64_t v) noexcept {
        for (; v >= 0x80; v >>= 7U) bytes_[size_++] = static_cast<std::byte>(v | 0x80U);
        bytes_[size_++] = static_cast<std::byte>(v);
    }
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {bytes_, size_}; }

private:
    std::byte bytes_[capacity];  // REQUIRES of whoever writes: no more than these.
    std::size_t size_ = 0;
};

/// Fields in front of what is there already: the last one is written first.
class FrontWriter {
public:
    /// REQUIRES room in front of `end` for all that is written.
    explicit FrontWriter(std::byte* end) noexcept : at_(end) {}
    template <class T>
        requires std::has_unique_object_representations_v<T>
    void fixed(T v) noexcept {
        at_ -= sizeof v;
        std::memcpy(at_, &v, sizeof v);
    }
    void varint(std::uint64_t v) noexcept {
        if (v < 0x80) {
            *--at_ = static_cast<std::byte>(v);
            return;
        }
        at_ -= varint_size(v);
        auto* to = at_;
        for (; v >= 0x80; v >>= 7U) *to++ = static_cast<std::byte>(v | 0x80U);
        *to = static_cast<std::byte>(v);
    }
    /// A varint length, and behind it the text.
    void text(std::string_view s) noexcept {
        at_ -= s.size();
        if (!s.empty()) std::memcpy(at_, s.data(), s.size());
        varint(s.size());
    }
    /// Where what was written begins.
    [[nodiscard]] std::byte* begin() const noexcept { return at_; }

private:
    std::byte* at_;
};

/// Appends to a vector. Everything little-endian; varints are LEB128.
class ByteWriter {
public:
    explicit ByteWriter(std::vector<std::byte>& out) : out_(out) {}
    template <class T>
        requires std::is_integral_v<T>
    void fixed(T v) {
        const auto at = out_.size();
        out_.resize(at + sizeof v);
        std::memcpy(out_.data() + at, &v, sizeof v);
    }
    void varint(std::uint64_t v) {
        while (v >= 0x80) {
            out_.push_back(static_cast<std::byte>(v | 0x80U));
            v >>= 7U;
        }
        out_.push_back(static_cast<std::byte>(v));
    }
    void bytes(std::span<const std::byte> b) { out_.insert(out_.end(), b.begin(), b.end()); }
    /// Length as a varint, then the bytes.
    void text(std::string_view s) {
        varint(s.size());
        bytes(std::as_bytes(std::span(s)));
    }

private:
    std::vector<std::byte>& out_;
};

class ByteReader {
public:
    explicit ByteReader(std::span<const std::byte> in) noexcept
        : begin_(in.data()), at_(begin_), end_(begin_ + in.size()) {}
    [[nodiscard]] bool failed() const noexcept { return failed_; }
    [[nodiscard]] bool at_end() const noexcept {
        return at_ == end_;
    }  ///< Also once it has failed.
    [[nodiscard]] std::size_t position() const noexcept {
        return static_cast<std::size_t>(at_ - begin_);
    }
    [[nodiscard]] std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }
    template <class T>
        requires std::is_integral_v<T>
    T fixed() noexcept {
        T v{};
        if (const auto b = bytes(sizeof v); b.size() == sizeof v)
            std::memcpy(&v, b.data(), sizeof v);
        return v;
    }
    /// Fails beyond 64 bits and on an overlong form.
    std::uint64_t varint() noexcept {
        if (left() < sizeof(std::uint64_t)) return accept(varint_by_bytes(at_, left()));
        std::uint64_t word = 0;
        std::memcpy(&word, at_, sizeof word);
        if ((word & 0x80U) == 0) {
            ++at_;
            return word & 0x7FU;
        }
        if ((word & 0x8000U) == 0 && (word & 0x7F00U) != 0) {  // nearly all have one byte or two
            at_ += 2;
            return (word & 0x7FU) | (word >> 1U & 0x3F80U);
        }
        const auto decoded = varint_in(word);
        // It is none of these eight bytes that ends it.
        return accept(decoded.size != 0 ? decoded : varint_by_bytes(at_, left()));
    }
    /// `n` bytes as a view of the input; empty and failed where there are fewer.
    std::span<const std::byte> bytes(std::uint64_t n) noexcept {
        if (n > left()) {
            fail();
            return {};
        }
        const std::span b(at_, static_cast<std::size_t>(n));
        at_ += b.size();
        return b;
    }
    /// A varint length of at most `longest`, then as many bytes.
    std::string_view text(std::uint64_t longest) noexcept {
        const auto n = varint();
        if (n > longest) fail();
        const auto b = bytes(n);
        return {reinterpret_cast<const char*>(b.data()), b.size()};
    }
    std::span<const std::byte> rest() noexcept { return bytes(left()); }
    void fail() noexcept {
        failed_ = true;
        end_ = at_;  // so that nothing has to ask whether it has
    }

private:
    struct Varint {
        std::uint64_t value = 0;
        std::size_t size = 0;  ///< 0: there is none.
    };
    // Not members of a reader, whose fields then stay in registers.
    static Varint varint_in(std::uint64_t word) noexcept;
    static Varint varint_by_bytes(const std::byte* at, std::size_t left) noexcept;

    std::uint64_t accept(const Varint& read) noexcept {
        if (read.size == 0) fail();
        at_ += read.size;
        return read.value;
    }

    const std::byte* begin_;
    const std::byte* at_;
    const std::byte* end_;
    bool failed_ = false;
};

}  // namespace mmsb::base
