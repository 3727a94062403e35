/// Delta: which bytes of one page changed, and their new values. A value; immutable; no handle.
#pragma once

#include <mmsb/types.hpp>

namespace mmsb {

namespace detail {
struct DeltaAccess;  // how the library makes a Delta from a record
}

/// A change of one page. It carries new values, not differences: applying it twice is applying it
/// once. Bytes between two runs are not touched.
/// Threads: `const` functions from any thread.
class Delta {
public:
    /// Neighbouring changed bytes.
    struct Run {
        std::size_t offset = 0;              ///< In the page, bytes.
        std::span<const std::byte> bytes{};  ///< Into the Delta.
    };
    Delta() = default;  ///< Empty, of a page without bytes; as what was moved from.
    Delta(const Delta&) = default;
    Delta& operator=(const Delta&) = default;
    Delta(Delta&& other) noexcept : Delta() { swap(other); }
    Delta& operator=(Delta&& other) noexcept {
        Delta(std::move(other)).swap(*this);
        return *this;
    }
    ~Delta() = default;
    /// The page it was taken from; none for one made by diff().
    [[nodiscard]] PageId page() const noexcept { return page_; }
    [[nodiscard]] Epoch epoch() const noexcept { return epoch_; }  ///< The page's after it.
    /// Of the page that it fits: in bytes, after it.
    [[nodiscard]] std::size_t page_size() const noexcept { return page_size_; }
    /// How many bytes it writes; each of them differed when it was found.
    [[nodiscard]] std::size_t changed_bytes() const noexcept { return changed_bytes_; }
    [[nodiscard]] bool empty() const noexcept { return changed_bytes_ == 0; }  ///< Changes nothing.
    /// Fewer than half of the page's bytes change.
    [[nodiscard]] bool sparse() const noexcept {
        return changed_bytes_ < page_size_ - changed_bytes_;
    }
    /// Maximal, ascending. Linear in the encoded size.
    [[nodiscard]] std::vector<Run> runs() const;
    /// One bit a byte of the page, bit i % 8 of byte i / 8: set where it changes.
    [[nodiscard]] Bytes mask() const;
    /// As large as the page: the new values at their places, zero elsewhere.
    [[nodiscard]] Bytes dense() const;
    /// Writes the changed bytes into `page`. Throws InvalidDelta where its size is another.
    void apply_to(std::span<std::byte> page) const;
    [[nodiscard]] Bytes encode() const;  ///< docs/FORMAT.md, "Delta file".
    /// Throws InvalidDelta for anything but an unharmed Delta file. Memory: that of `bytes`.
    [[nodiscard]] static Delta decode(std::span<const std::byte> bytes);

private:
    friend struct detail::DeltaAccess;
    void swap(Delta& other) noexcept {
        std::swap(page_, other.page_);
        std::swap(epoch_, other.epoch_);
        std::swap(page_size_, other.page_size_);
        std::swap(changed_bytes_, other.changed_bytes_);
        encoded_.swap(other.encoded_);
    }
    PageId page_ = PageId::none;
    Epoch epoch_ = Epoch::zero;
    std::size_t page_size_ = 0;
    std::size_t changed_bytes_ = 0;
    Bytes encoded_{};
};

/// What turns `before` into `after`. REQUIRES equal sizes, else InvalidArgument.
[[nodiscard]] Delta diff(std::span<const std::byte> before, std::span<const std::byte> after);
/// `first`, then `second`, as one; where both write a byte, `second` wins. Page and epoch are
/// second's. InvalidDelta where the page sizes differ. Memory: of the changed bytes and runs of the
/// two, never of the page.
[[nodiscard]] Delta merge(const Delta& first, const Delta& second);
// Not a free `apply(delta, page)`: with std::vector arguments, argument-dependent lookup prefers
// std::apply and fails to compile.

}  // namespace mmsb
