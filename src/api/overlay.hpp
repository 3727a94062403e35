/// api/overlay: bytes that a transaction writes over a page.
#pragma once

#include "state/stage.hpp"

#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <utility>

namespace mmsb::detail {

/// For nodes of containers that are let go of together with the pieces. Given back is nothing
/// before.
class PieceResource final : public std::pmr::memory_resource {
public:
    explicit PieceResource(state::Pieces& pieces) noexcept : pieces_(pieces) {}
    [[nodiscard]] state::Pieces& pieces() const noexcept { return pieces_; }

private:
    void* do_allocate(std::size_t size, std::size_t alignment) override {
        return alignment <= state::Pieces::small_alignment ? pieces_.take_small(size).data()
                                                           : pieces_.take(size).data();
    }
    void do_deallocate(void* /*at*/, std::size_t /*size*/, std::size_t /*alignment*/) override {}
    [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
        return this == &other;
    }
    state::Pieces& pieces_;
};

/// Disjoint stretches by offset; later ones replace what they cover. Most pages are written once: a
/// first write needs no node, and its bytes are the resource's, if they are few. Others own theirs,
/// and let go of them when they are written over.
class Overlay {
public:
    explicit Overlay(PieceResource& memory) : stretches_(&memory), pieces_(memory.pieces()) {}
    /// Of how many bytes a first write allocates nothing that is its own.
    static constexpr std::size_t short_write = 4096;
    /// Copies the bytes. O(log n) and what it covers.
    void put(std::uint64_t offset, std::span<const std::byte> bytes);
    /// Drops what lies behind the new end of the page.
    void cut(std::uint64_t size);
    void clear() noexcept {
        only_.reset();
        stretches_.clear();
    }
    /// Writes what falls into [offset, offset + out.size()).
    void over(std::span<std::byte> out, std::uint64_t offset) const;
    /// Ascending, disjoint. Lives as long as this and the pieces, until the next change.
    [[nodiscard]] std::span<const state::Write> writes() const;

private:
    struct Stretch {
        std::span<std::byte> bytes{};
        std::shared_ptr<std::byte[]> owner{};  ///< None where the bytes are the resource's.
        std::size_t owned = 0;                 ///< As many as the owner has.
        explicit Stretch(std::span<std::byte> from) noexcept : bytes(from) {}
        explicit Stretch(std::size_t size)
            : owner(std::make_shared_for_overwrite<std::byte[]>(size)), owned(size) {
            bytes = {owner.get(), size};
        }
        void cut(std::uint64_t size) {
            if (size < bytes.size()) bytes = bytes.first(static_cast<std::size_t>(size));
        }
    };
    using Stretches = std::pmr::map<std::uint64_t, Stretch>;
    static std::uint64_t end_of(const auto& stretch) noexcept {
        return stretch.first + stretch.second.bytes.size();
    }
    /// Writes what lies inside the stretch: true.
    static bool put_inside(const auto& stretch, std::uint64_t offset,
                           std::span<const std::byte> bytes) noexcept;
    void put_beside(std::uint64_t offset, std::span<const std::byte> bytes);
    [[nodiscard]] Stretch copy(std::span<const std::byte> bytes);
    [[nodiscard]] static Stretch rest_of(const Stretch& stretch, std::uint64_t from);

    /// The first write, while there is no other: `stretches_` are none then.
    std::optional<std::pair<std::uint64_t, Stretch>> only_{};
    Stretches stretches_;
    state::Pieces& pieces_;
    bool written_ = false;  ///< The first write has been.
};

}  // namespace mmsb::detail
